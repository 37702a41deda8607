"""Every API of the façade: each module of calls declares its rows, and here they are one table."""

from typing import Any, Final

from app.youzan import customers, detail, followers, lists, tags
from app.youzan.calling import Api

ROWS: Final[tuple[Api[Any, Any], ...]] = (
    *customers.APIS,
    *detail.APIS,
    *lists.APIS,
    *tags.APIS,
    *followers.APIS,
)

APIS: Final = {(api.name, api.version): api for api in ROWS}


def page() -> str:
    """The table of docs/youzan.md: one line for each API with its versions, its scope and how complete it is."""
    lines = ["| API | versions | scope | status |", "| --- | --- | --- | --- |"]
    seen: dict[tuple[str, str, str], list[str]] = {}
    for api in sorted(ROWS, key=lambda api: (api.name, api.version)):
        status = f"partial: {api.missing}" if api.missing else "complete"
        seen.setdefault((api.name, api.scope, status), []).append(api.version)
    lines += [f"| `{name}` | {', '.join(of)} | `{scope}` | {status} |" for (name, scope, status), of in seen.items()]
    return "\n".join(lines) + "\n"

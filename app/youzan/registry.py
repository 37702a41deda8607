"""Every API of the façade: each module of calls declares its rows, and here they are one table."""

from typing import Any, Final

from app.youzan import batches, card_members, customers, detail, followers, lists, profiles, search_list, tags, users
from app.youzan.calling import Api

ROWS: Final[tuple[Api[Any, Any], ...]] = (
    *customers.APIS,
    *profiles.APIS,
    *batches.APIS,
    *detail.APIS,
    *lists.APIS,
    *search_list.APIS,
    *card_members.APIS,
    *users.APIS,
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

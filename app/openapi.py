"""What is written from the code: the HTTP contract that clients are generated from, and the façade's table of calls."""

from pathlib import Path
from typing import Any

import orjson

from app.core.config import Settings, new_root_key
from app.core.problems import Problem
from app.main import create_app
from app.youzan import registry

_ROOT = Path(__file__).resolve().parent.parent
CONTRACT = _ROOT / "openapi" / "openapi.json"
FACADE = _ROOT / "docs" / "youzan.md"
_BEGIN, _END = "<!-- calls -->\n", "<!-- end of calls -->\n"


def files() -> dict[Path, bytes]:
    """Each file with the content that it should have."""
    return {CONTRACT: contract(), FACADE: facade_page(FACADE.read_text()).encode()}


def facade_page(page: str) -> str:
    """The page with its table as the registry has it."""
    before, _, rest = page.partition(_BEGIN)
    return before + _BEGIN + registry.page() + _END + rest.partition(_END)[2]


def contract() -> bytes:
    """The contract as it follows from the code; needs no server."""
    settings = Settings.model_validate(
        {"database_url": "postgresql://nowhere/none", "redis_url": "redis://nowhere", "root_key": new_root_key()}
    )
    document: dict[str, Any] = create_app(settings).openapi()
    document["components"]["schemas"]["Problem"] = Problem.model_json_schema(
        ref_template="#/components/schemas/{model}"
    ) | {"$defs": None}
    document["components"]["schemas"]["FieldProblem"] = (
        document["components"]["schemas"]["Problem"].pop("$defs")
        or (Problem.model_json_schema()["$defs"]["FieldProblem"])
    )
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS) + b"\n"

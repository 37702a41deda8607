"""Writes the HTTP contract that clients are generated from: python -m app.openapi."""

from pathlib import Path
from typing import Any

import orjson

from app.core.config import Settings, new_root_key
from app.core.problems import Problem
from app.main import create_app

CONTRACT = Path(__file__).resolve().parent.parent / "openapi" / "openapi.json"


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


if __name__ == "__main__":
    CONTRACT.write_bytes(contract())

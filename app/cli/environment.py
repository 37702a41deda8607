"""Where the command line finds its settings: the environment, or the demo that lives in this folder."""

import os
from pathlib import Path
from typing import Any

import orjson
from pydantic import ValidationError

from app.cli.console import fail, say
from app.core.config import ConfigError, Settings

DATA = Path(os.environ.get("KEHU_DATA", "kehu-data"))
ROOT_KEY_FILE = "root.key"
DEMO_FILE = "demo.json"


def demo_facts() -> dict[str, Any]:
    """What the demo wrote down, or nothing."""
    path = DATA / DEMO_FILE
    facts: dict[str, Any] = orjson.loads(path.read_bytes()) if path.is_file() else {}
    return facts


def load_settings() -> Settings:
    """Settings from the environment, or without DATABASE_URL a demo's in ./kehu-data. Exits with what is missing."""
    values: dict[str, Any] = {}
    if "DATABASE_URL" not in os.environ and (facts := demo_facts()):
        say(f"(no DATABASE_URL: using the demo in {DATA})")
        key = DATA / ROOT_KEY_FILE
        values = {
            "database_url": facts["database_url"],
            "redis_url": facts["redis_url"],
            "root_key": key.read_text().strip() if key.is_file() else "",
            "outbound_allow_networks": "127.0.0.0/8,::1/128",
            "sandbox": True,
        }
    try:
        return Settings(**values)
    except ConfigError as error:
        fail(str(error), 2)
    except ValidationError as error:
        missing = sorted({_variable(str(e["loc"][0])) for e in error.errors() if e["type"] == "missing"})
        if missing:
            fail(f"set {', '.join(missing)} (see docs/operations.md), or start ./kehu demo", 2)
        first = error.errors(include_input=False, include_url=False)[0]
        fail(f"{_variable(str(first['loc'][0]))}: {first['msg']}", 2)


def _variable(field: str) -> str:
    plain = {"DATABASE_URL", "REDIS_URL", "MIGRATION_DATABASE_URL"}
    return field.upper() if field.upper() in plain else f"KEHU_{field.upper()}"

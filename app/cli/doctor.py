"""doctor: names what is missing, and the remedy."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import asyncpg
import typer
from alembic.script import ScriptDirectory
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app import migrate
from app.access.shops import Shops
from app.cli.console import err, print_json
from app.cli.environment import load_settings
from app.core import clock
from app.core.bell import redis_settings
from app.core.config import Settings
from app.core.crypto import CannotOpen, RootKey
from app.core.db import ROLE, connect_arguments
from app.events import partitions
from app.main import open_database


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at."""

    what: str
    state: Literal["ok", "warning", "broken"]
    detail: str


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print JSON")] = False) -> None:
    """Look at settings, database, Redis and keys; exit 1 when something is broken."""
    settings = load_settings()

    async def look() -> list[Finding]:
        return [finding async for finding in _findings(settings)]

    findings = asyncio.run(look())
    if as_json:
        print_json([{"what": f.what, "state": f.state, "detail": f.detail} for f in findings])
    else:
        marks = {"ok": "[green]ok[/]", "warning": "[yellow]warning[/]", "broken": "[red]broken[/]"}
        for finding in findings:
            err.print(f"{marks[finding.state]:<24} {finding.what}: {finding.detail}", highlight=False, soft_wrap=True)
    if any(finding.state == "broken" for finding in findings):
        raise typer.Exit(1)


async def _findings(settings: Settings) -> AsyncIterator[Finding]:
    yield Finding("settings", "ok", "complete")
    try:
        connection = await asyncpg.connect(**connect_arguments(settings.database_url.get_secret_value()), timeout=5)
    except (OSError, asyncpg.PostgresError, TimeoutError) as error:
        yield Finding("database", "broken", f"cannot connect ({error}); look at DATABASE_URL")
    else:
        try:
            async for finding in _database(connection, settings):
                yield finding
        finally:
            await connection.close()
    yield await _redis(settings)


async def _database(connection: Any, settings: Settings) -> AsyncIterator[Finding]:
    version = connection.get_server_version()
    yield Finding("database", "ok" if version.major >= 15 else "broken", f"PostgreSQL {version.major}.{version.minor}")
    if await connection.fetchval("select to_regclass('alembic_version') is null"):
        yield Finding("schema", "broken", "not there; run: kehu migrate")
        return
    have = await connection.fetchval("select version_num from alembic_version")
    want = ScriptDirectory.from_config(migrate.config("")).get_current_head()
    yield Finding("schema", "ok" if have == want else "broken", f"{have}" if have == want else "old; run: kehu migrate")
    if have == want:
        yield await _months(connection)
    yield await _role(connection)
    yield await _root_key(settings)


async def _months(connection: Any) -> Finding:
    """Events that find no month of their own are kept all the same, in one table that grows."""
    found = await partitions.look(connection, clock.now())
    if found.months_ahead < partitions.FEW_MONTHS:
        return Finding("months of events", "warning", f"{found.months_ahead} are made ahead of time; run: kehu migrate")
    if found.waiting_bytes:
        return Finding(
            "months of events",
            "warning",
            f"the default partition holds events ({found.waiting_bytes // 1024} kB); kehu migrate gives those of the "
            f"last {partitions.MONTHS_BACK} months a month of their own, and older ones may stay while they are few",
        )
    return Finding("months of events", "ok", f"made until {found.last:%Y-%m}")


async def _role(connection: Any) -> Finding:
    """A login that owns the tables or skips row security could look over the wall between shops."""
    login = await connection.fetchrow(
        "select rolname, rolsuper, rolbypassrls from pg_roles where rolname = session_user"
    )
    if not await connection.fetchval("select pg_has_role(session_user, $1, 'member')", ROLE):
        return Finding("login", "broken", f"not a member of {ROLE}; run as owner: grant {ROLE} to {login['rolname']}")
    owns = await connection.fetchval("select count(*) from pg_tables where tableowner = session_user")
    if login["rolsuper"] or login["rolbypassrls"] or owns:
        return Finding(
            "login",
            "warning",
            f"{login['rolname']} is superuser, owner or skips row security: fine for a demo; in production give "
            f"DATABASE_URL a login of its own (create role … login; grant {ROLE} to …) and keep this one for "
            "MIGRATION_DATABASE_URL",
        )
    return Finding("login", "ok", f"{login['rolname']} owns nothing and works as {ROLE}")


async def _root_key(settings: Settings) -> Finding:
    database, root = open_database(settings, None), RootKey(settings.root_key_bytes)
    try:
        shops = Shops(database, root)
        ids = await shops.ids()
        for shop_id in ids[:1]:
            await shops.get(shop_id)
    except CannotOpen:
        return Finding("root key", "broken", "KEHU_ROOT_KEY is not the key that this database was sealed with")
    finally:
        await database.close()
    return Finding("root key", "ok", f"opens the keys of {len(ids)} shops" if ids else "no shop yet: kehu shop create")


async def _redis(settings: Settings) -> Finding:
    found = redis_settings(settings.redis_url.get_secret_value())
    redis = Redis(
        host=str(found.host),
        port=found.port,
        db=found.database,
        username=found.username,
        password=found.password,
        ssl=found.ssl,
        socket_connect_timeout=3,
    )
    try:
        await redis.ping()
    except (RedisError, OSError) as error:
        return Finding(
            "redis", "warning", f"cannot connect ({type(error).__name__}); work still runs, found by polling"
        )
    finally:
        await redis.aclose()
    return Finding("redis", "ok", "answers")

"""SQLAlchemy describes the statements, asyncpg executes them; one transaction per request or job step."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple, TypeAlias
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import asyncpg
import orjson
from sqlalchemy import ClauseElement
from sqlalchemy.dialects.postgresql import asyncpg as asyncpg_dialect
from sqlalchemy.dialects.postgresql.base import PGDialect

from app.core import metrics
from app.core.errors import DatabaseUnavailable

Row: TypeAlias = Mapping[str, Any]  # an asyncpg.Record
Rows: TypeAlias = Sequence[Sequence[Any]]  # values to write, in an order that the statement names
ROLE: Final = "kehu_app"  # owns nothing; every connection works as it
_DIALECT: Final[PGDialect] = asyncpg_dialect.dialect()  # type: ignore[no-untyped-call]
_ROLE: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}")

# Losing the server looks like any of these; what it was doing is unknown, so the caller hears 503 and may try again.
_CONNECTION_LOST: Final = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a farewell that came between two statements leaves the protocol in disorder
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.OperatorInterventionError,
    TimeoutError,
)
# A wrong argument raises these too: they are a loss only where the connection is gone.
_PERHAPS_LOST: Final = (asyncpg.InterfaceError, asyncpg.InternalClientError)


class Statement(NamedTuple):
    """SQL compiled once: text with `$n`, and the parameter name behind each `$n`."""

    sql: str
    names: tuple[str, ...]
    defaults: Mapping[str, Any]

    def arguments(self, values: Mapping[str, Any]) -> list[Any]:
        """Values in `$n` order. Raises KeyError for a missing one, TypeError for one the statement does not take."""
        if len(values) + len(self.defaults) != len(self.names):
            extra = set(values) - set(self.names)
            if extra:
                raise TypeError(f"the statement takes no {sorted(extra)}")
        defaults = self.defaults
        return [values[name] if name in values else defaults[name] for name in self.names]


def statement(clause: ClauseElement) -> Statement:
    """Compile a Core statement, or `text()` for one that Core would only obscure.

    Raises: ValueError for `in_()`, whose placeholder count is not known yet: write `column == any_(array)`.
    """
    compiled = clause.compile(dialect=_DIALECT)
    sql = str(compiled)
    if "POSTCOMPILE" in sql:
        raise ValueError(f"in_() cannot be compiled once; use any_() with an array: {sql}")
    names = tuple(getattr(compiled, "positiontup", None) or ())
    defaults = {name: value for name, value in compiled.params.items() if value is not None and name in names}
    return Statement(sql, names, defaults)


def of(alias: str, names: Iterable[str]) -> str:
    """SQL of columns of one table, by its alias."""
    return ", ".join(f"{alias}.{name}" for name in names)


def unnest(arrays: Mapping[str, str]) -> str:
    """SQL of arrays that are bound by name as the rows of a table `t`. `arrays`: each name with its element's type."""
    casts = ", ".join(f"cast(:{name} as {kind}[])" for name, kind in arrays.items())
    return f"unnest({casts}) as t ({', '.join(arrays)})"


def columns(names: Iterable[str], rows: Rows) -> dict[str, Sequence[Any]]:
    """Rows as one array for each name, for `unnest`. Of NULLs alone none is sent: shorter arrays are filled with them.

    At least one name is of values that are never None, so that there are as many rows.
    """
    if not rows:
        return {name: () for name in names}
    return {
        name: () if column[0] is None and column.count(None) == len(column) else column
        for name, column in zip(names, zip(*rows, strict=True), strict=True)
    }


class Connection:
    """An open transaction inside one shop's wall."""

    __slots__ = ("_raw", "parting", "patience", "rings", "shop_id")

    def __init__(self, raw: Any, shop_id: int | None) -> None:
        self._raw = raw
        self.shop_id = shop_id
        self.rings: set[str] = set()  # which bells ring once this has committed
        self.patience: float | None = None  # how many seconds statements may take here; None: as everywhere
        self.parting = ""  # SQL that travels with COMMIT, made by `access` from checked text only

    async def fetch(self, query: Statement, **values: Any) -> list[Row]:
        """All rows."""
        rows: list[Row] = await self._raw.fetch(query.sql, *query.arguments(values), timeout=self.patience)
        return rows

    async def fetch_one(self, query: Statement, **values: Any) -> Row | None:
        """The first row, or None."""
        arguments = query.arguments(values)
        return await self._raw.fetchrow(query.sql, *arguments, timeout=self.patience)  # type: ignore[no-any-return]

    async def fetch_value(self, query: Statement, **values: Any) -> Any:
        """The first column of the first row, or None."""
        return await self._raw.fetchval(query.sql, *query.arguments(values), timeout=self.patience)

    async def execute(self, query: Statement, **values: Any) -> int:
        """Run for the effect. Returns how many rows it touched."""
        return _touched(await self._raw.execute(query.sql, *query.arguments(values), timeout=self.patience))

    async def stream(self, query: Statement, *, prefetch: int = 500, **values: Any) -> AsyncIterator[Row]:
        """Rows through a server-side cursor: memory stays flat however long the answer."""
        cursor = await self._raw.cursor(query.sql, *query.arguments(values))
        while rows := await cursor.fetch(prefetch):
            for row in rows:
                yield row

    def ring(self, bell: str) -> None:
        """After the commit, tell the workers that this shop has work of that kind."""
        self.rings.add(bell)

    def is_lost(self) -> bool:
        """Whether the server went away meanwhile, so that nothing more can be run here."""
        with contextlib.suppress(asyncpg.InterfaceError):  # taken back by the pool, it refuses even this question
            return bool(self._raw.is_closed())
        return True

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """Undo only this block when it raises. asyncpg's own refuses a transaction that it did not begin."""
        await self._raw.execute("SAVEPOINT step")
        try:
            yield
        except BaseException:
            if not self._raw.is_closed():
                await self._raw.execute("ROLLBACK TO SAVEPOINT step; RELEASE SAVEPOINT step")
            raise
        await self._raw.execute("RELEASE SAVEPOINT step")


def _touched(status: str) -> int:
    tail = status.rpartition(" ")[2]
    return int(tail) if tail.isdigit() else 0


class Database:
    """The pool, and the one way to a transaction."""

    def __init__(
        self,
        url: str,
        *,
        role: str | None,
        pool_size: int,
        acquire_timeout_seconds: float,
        statement_timeout_seconds: float,
        pgbouncer: bool = False,
        on_commit: Callable[[Iterable[str], int], None] | None = None,
    ) -> None:
        if role is not None and not _ROLE.fullmatch(role):
            raise ValueError(f"not a role name: {role!r}")
        self._connect = {"timeout": acquire_timeout_seconds} | connect_arguments(url)
        if not pgbouncer:
            # A page of ten million customers is read in less time than it takes to start processes that would share it.
            self._connect["server_settings"] |= {"max_parallel_workers_per_gather": "0"}
        if role is not None and not pgbouncer:
            self._connect["server_settings"] |= {"role": role}
        self._role = role
        self._pool_size = pool_size
        self._acquire_timeout = acquire_timeout_seconds
        self._statement_timeout = statement_timeout_seconds
        self._pgbouncer = pgbouncer
        self._on_commit = on_commit
        self._pool: asyncpg.Pool[Any] | None = None
        self._opening = asyncio.Lock()
        self._taken = 0  # connections in use, and those who wait for one

    async def close(self) -> None:
        """Close the pool; transactions under way get five seconds."""
        if self._pool is not None:
            try:
                await asyncio.wait_for(self._pool.close(), 5)
            except TimeoutError:
                self._pool.terminate()

    @asynccontextmanager
    async def transaction(self, shop_id: int | None = None, *, admit: str = "") -> AsyncIterator[Connection]:
        """BEGIN and shop in one round trip; COMMIT when the block ends, ROLLBACK when it raises.

        Args:
            shop_id: whose rows may be seen. None sees no tenant row at all.
            admit: further SQL for the same round trip, made by `access` from hex digits and integers only.
        Raises: DatabaseUnavailable when the server cannot be reached or went away.
        """
        raw = await self._acquire()
        try:
            try:
                await raw.execute(self._begin(shop_id, admit))
                db = Connection(raw, shop_id)
                yield db
                if await raw.execute(f"{db.parting}COMMIT") != "COMMIT":
                    raise RuntimeError("a database error was swallowed inside the transaction: it rolled back")
            except BaseException as error:
                gone = await self._rollback(raw)
                if isinstance(error, _CONNECTION_LOST) and (gone or not isinstance(error, _PERHAPS_LOST)):
                    raise DatabaseUnavailable from error
                raise
        finally:
            await self._release(raw)
        if db.rings and shop_id is not None and self._on_commit is not None:
            self._on_commit(db.rings, shop_id)

    def _begin(self, shop_id: int | None, admit: str) -> str:
        # A connection of our own is opened as the role; one that a pooler lends steps into it each time.
        role = f"SET LOCAL ROLE {self._role}; " if self._role and self._pgbouncer else ""
        # A statement, where a function would be quicker: only that reaches the other servers of a spread database.
        shop = f"SET LOCAL kehu.shop_id = '{int(shop_id)}'; " if shop_id is not None else ""
        return f"BEGIN; {role}{shop}{admit}"

    async def _acquire(self) -> Any:
        self._taken += 1
        try:
            pool = self._pool or await self._open()
            # With a timeout asyncpg starts a task; where one is free there is nothing to wait for.
            timeout = None if self._taken <= self._pool_size else self._acquire_timeout
            with metrics.POOL_WAIT.time():
                return await pool.acquire(timeout=timeout)
        except BaseException as error:
            self._taken -= 1
            if isinstance(error, _CONNECTION_LOST):
                raise DatabaseUnavailable from error
            raise

    async def _open(self) -> "asyncpg.Pool[Any]":
        async with self._opening:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    **self._connect,
                    min_size=1,
                    max_size=self._pool_size,
                    # Every setting here is transaction-local, so there is nothing to reset and no round trip for it.
                    reset=_nothing_to_reset,
                    init=self._prepare,
                    statement_cache_size=0 if self._pgbouncer else 512,
                    max_cached_statement_lifetime=0,
                    command_timeout=self._statement_timeout,
                    max_inactive_connection_lifetime=300,
                )
            return self._pool

    async def _prepare(self, raw: Any) -> None:
        # A pooler may drop the setting, and the login behind it may see everything.
        if self._role and not self._pgbouncer and await raw.fetchval("select current_user::text") != self._role:
            raise RuntimeError(f"not connected as {self._role}: behind a pooler set KEHU_DATABASE_PGBOUNCER=true")
        await _install_codecs(raw)

    @staticmethod
    async def _rollback(raw: Any) -> bool:
        """Returns whether the connection is gone. One that broke was taken back by the pool, and refuses every call."""
        with contextlib.suppress(asyncpg.InterfaceError):
            if raw.is_closed():
                return True
            try:
                await asyncio.wait_for(raw.execute("ROLLBACK"), 5)
                return False
            except BaseException:  # whatever it was, this connection's state is unknown: never reuse it
                raw.terminate()
        return True

    async def _release(self, raw: Any) -> None:
        try:
            if self._pool is not None:
                await self._pool.release(raw)
        except _CONNECTION_LOST:
            raw.terminate()
        finally:
            self._taken -= 1


async def _nothing_to_reset(_: Any) -> None:
    return None


async def _install_codecs(raw: Any) -> None:
    await raw.set_type_codec(
        "jsonb", schema="pg_catalog", encoder=lambda value: orjson.dumps(value).decode(), decoder=orjson.loads
    )


_TIMELESS: Final = {"connect_timeout", "target_session_attrs"}


def connect_arguments(url: str) -> dict[str, Any]:
    """asyncpg's arguments from a database URL as platforms write them (postgres://, sslmode, options and friends).

    Raises: ValueError when it is not a PostgreSQL URL.
    """
    parts = urlsplit(url)
    if parts.scheme.partition("+")[0] not in {"postgres", "postgresql"}:
        raise ValueError("DATABASE_URL must start with postgresql://")
    query = dict(parse_qsl(parts.query))
    arguments: dict[str, Any] = {
        "host": query.pop("host", None) or parts.hostname or "localhost",
        "port": int(query.pop("port", 0)) or parts.port or 5432,
        "user": unquote(parts.username) if parts.username else None,
        "password": unquote(parts.password) if parts.password else None,
        "database": unquote(parts.path.lstrip("/")) or None,
    }
    if sslmode := query.pop("sslmode", None):
        arguments["ssl"] = sslmode
    if "connect_timeout" in query:
        arguments["timeout"] = float(query["connect_timeout"])
    if attrs := query.get("target_session_attrs"):
        arguments["target_session_attrs"] = attrs
    settings = {name: value for name, value in query.items() if name not in _TIMELESS and not name.startswith("ssl")}
    arguments["server_settings"] = {"application_name": "kehu", "jit": "off"} | settings
    return {name: value for name, value in arguments.items() if value is not None}


def sqlalchemy_url(url: str) -> str:
    """The same place for SQLAlchemy's asyncpg engine, without the query that its dialect refuses."""
    arguments = connect_arguments(url)
    login = quote(arguments.get("user", ""), safe="")
    if password := arguments.get("password"):
        login += ":" + quote(password, safe="")
    return (
        f"postgresql+asyncpg://{login}@{arguments['host']}:{arguments['port']}/{quote(arguments.get('database', ''))}"
    )

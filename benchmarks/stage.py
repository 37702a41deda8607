"""What a benchmark runs on: durable servers in a directory of their own, shops, and each side as a process."""

import asyncio
import os
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, TypeVar
from zoneinfo import ZoneInfo

import asyncpg
import uvloop

from app import migrate
from app.access import repository
from app.access.credentials import create_client, exchange
from app.access.entry import Entry
from app.access.scopes import SCOPES
from app.access.settings import LimitSettings, ShopSettings
from app.access.shops import Shop, Shops, create_shop
from app.core import clock
from app.core.config import Settings, new_root_key
from app.core.crypto import RootKey
from app.embedded import servers
from app.embedded.children import Children
from app.main import open_database
from benchmarks import client
from benchmarks.measure import Plan, cpu_seconds

T = TypeVar("T")

_ROOT: Final = Path(__file__).resolve().parent.parent
# The limiter counts every call and row as always; it must only not refuse any.
_UNBOUND: Final = ShopSettings(
    limits=LimitSettings(
        reads_per_second=100_000, writes_per_second=100_000, batches_per_second=10_000, rows_per_day=10**12
    )
)
_READY_SECONDS: Final = 60.0
_ZONE: Final = ZoneInfo("Asia/Shanghai")


@dataclass(frozen=True, slots=True)
class Tenant:
    """A shop with someone who may call in its name."""

    shop: Shop
    api_key: str
    token: str


class Stage:
    """Servers that are up and migrated; `run` runs a coroutine, the other methods are for inside it or before."""

    def __init__(
        self,
        directory: Path,
        database_url: str,
        redis_url: str,
        children: Children,
        *,
        root_key: str | None = None,
        prefix: str = "",
    ) -> None:
        self.owner_url = database_url
        self.directory = directory
        self._children = children
        self._prefix = prefix
        self._environment = {
            "DATABASE_URL": database_url,
            "MIGRATION_DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "KEHU_ROOT_KEY": root_key or new_root_key(),
            "KEHU_OUTBOUND_ALLOW_NETWORKS": "127.0.0.0/8",
            "PYTHONPATH": str(_ROOT),
        }
        self.settings = Settings(
            database_url=database_url, redis_url=redis_url, root_key=self._environment["KEHU_ROOT_KEY"]
        )

    def beside(self, name: str) -> "Stage":
        """A new database of that name on the same servers, migrated and empty; its processes have that prefix."""

        async def make() -> None:
            async with self.owner() as owner:
                await owner.execute(f"drop database if exists {name} with (force)")
                await owner.execute(f"create database {name}")

        self.run(make)
        database_url = f"{self.owner_url.rpartition('/')[0]}/{name}"
        migrate.upgrade(database_url)
        redis_url = f"{self._environment['REDIS_URL'].rpartition('/')[0]}/1"
        return Stage(self.directory, database_url, redis_url, self._children, prefix=f"{name}-")

    def run(self, step: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine on uvloop."""
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(step())

    def serve(self) -> int:
        """Start the real service, one process with everything on. Returns its port."""
        return self._start("service", lambda port: ["app", "serve", "--port", str(port)])

    def serve_bare(self, shop_id: int) -> int:
        """Start the bare baseline for one shop. Returns its port."""
        return self._start("bare", lambda port: ["benchmarks.bare", "--port", str(port), "--shop", str(shop_id)])

    def work(self) -> None:
        """Start one worker process. Returns once it works."""
        self._children.add(self._prefix + "worker", [sys.executable, "-m", "app", "worker"], self._environment)
        deadline = time.monotonic() + _READY_SECONDS
        while "worker_started" not in self.tail("worker"):
            if time.monotonic() > deadline:
                raise TimeoutError(f"the worker did not come up:\n{self.tail('worker')}")
            time.sleep(0.1)

    def pid(self, name: str) -> int:
        """The process id of `service`, `bare` or `worker`."""
        return self._children.pid(self._prefix + name)

    def cpu(self, name: str) -> dict[str, float]:
        """CPU seconds used so far by one side, by Postgres, and by the client that is measuring."""
        postmaster = int((self.directory / "postgres" / "postmaster.pid").read_text().split()[0])
        return {
            name: cpu_seconds(self.pid(name)),
            "Postgres": cpu_seconds(postmaster, with_children=True),
            "client": cpu_seconds(os.getpid()),
        }

    def tail(self, name: str) -> str:
        """The end of a process's log."""
        return (self.directory / "logs" / f"{self._prefix}{name}.log").read_text(errors="replace")[-2000:]

    @asynccontextmanager
    async def entry(self) -> AsyncIterator[Entry]:
        """The service's own door, in this process."""
        root = RootKey(self.settings.root_key_bytes)
        database = open_database(self.settings, None)
        try:
            yield Entry(database, root, Shops(database, root))
        finally:
            await database.close()

    @asynccontextmanager
    async def owner(self) -> AsyncIterator[Any]:
        """A connection as the login that owns the tables: it sees past the wall."""
        connection = await asyncpg.connect(self.owner_url, command_timeout=3600)
        try:
            yield connection
        finally:
            await connection.close()

    async def open_shop(self, name: str, *, pinned: bool = True) -> Tenant:
        """A shop with a client.

        Args:
            pinned: it stands at a day ahead, so that neither midnight nor a nightly run falls into it. Time stands.
        """
        async with self.entry() as entry:
            day = clock.live_as_of(_ZONE, pinned=None) + timedelta(days=1) if pinned else None
            shop_id = await create_shop(entry.database, entry.root, name=name, timezone=_ZONE.key, pinned_as_of=day)
            async with entry.shop(shop_id) as (db, _):
                await db.execute(repository.SET_SETTINGS, shop=shop_id, settings=_UNBOUND.model_dump(mode="json"))
        return await self.enter_shop(shop_id)

    async def enter_shop(self, shop_id: int) -> Tenant:
        """A new client of a shop that is there."""
        async with self.entry() as entry:
            async with entry.shop(shop_id) as (db, shop):
                new = await create_client(db, shop, entry.root, name="benchmark", scopes=frozenset(SCOPES))
            token = await exchange(
                entry,
                {
                    "authorize_type": "silent",
                    "client_id": new.client_id,
                    "client_secret": new.client_secret,
                    "grant_id": shop_id,
                },
            )
        return Tenant(shop, new.api_key, token.access_token)

    def _start(self, name: str, module: Callable[[int], list[str]]) -> int:
        port = _free_port()
        self._children.add(self._prefix + name, [sys.executable, "-m", *module(port)], self._environment)
        self.run(lambda: self._until_ready(name, port))
        return port

    async def _until_ready(self, name: str, port: int) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while time.monotonic() < deadline:
            try:
                async with client.connected(port, 1) as (connection,):
                    if (await connection.ask(client.request("GET", "/readyz"))).status == 200:
                        return
            except OSError:
                pass
            await asyncio.sleep(0.1)
        raise TimeoutError(f"{name} did not come up:\n{self.tail(name)}")


@contextmanager
def up(plan: Plan) -> Iterator[Stage]:
    """Servers with real fsync in a directory that is removed afterwards, and whatever processes are started on them."""
    with workplace(plan) as directory, at(directory) as place:
        yield place


@contextmanager
def at(directory: Path, root_key: str | None = None, settings: Mapping[str, str] | None = None) -> Iterator[Stage]:
    """The same in a directory that stays. `root_key`: of what is there already; `settings`: of Postgres."""
    with servers.start(directory, durable=True, settings=settings) as running, Children(directory / "logs") as children:
        migrate.upgrade(running.database_url)
        yield Stage(directory, running.database_url, running.redis_url, children, root_key=root_key)


@contextmanager
def workplace(plan: Plan) -> Iterator[Path]:
    """A directory that is removed afterwards; where the system's temporary one lives in memory, name a disk's."""
    with tempfile.TemporaryDirectory(prefix="kehu-bench-", dir=plan.directory) as name:
        yield Path(name)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((client.HOST, 0))
        return int(probe.getsockname()[1])

"""What the faults happen to: servers of their own with real fsync, shops, and the API and workers as processes."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from app import migrate
from app.access import repository
from app.access.credentials import create_client, exchange
from app.access.entry import Entry
from app.access.scopes import SCOPES
from app.access.settings import LimitSettings, ShopSettings
from app.access.shops import Shops, create_shop
from app.core.config import Settings, new_root_key
from app.core.crypto import RootKey
from app.embedded import home, process
from app.embedded.postgres import Postgres
from app.embedded.valkey import Valkey
from app.main import open_database
from tests.faults.waiting import until

HOST: Final = "127.0.0.1"
ROOT: Final = Path(__file__).resolve().parents[2]
READY_SECONDS: Final = 60.0
# Short, so that what waits for the end of a lease can be waited for.
LEASE_SECONDS: Final = 1.5
TIMEOUT_SECONDS: Final = 0.5
HELD_SECONDS: Final = TIMEOUT_SECONDS + 5.0  # a delivery's lease outlasts its attempt by that much
_SETTINGS: Final = {
    "KEHU_OUTBOUND_ALLOW_NETWORKS": "127.0.0.0/8",
    "KEHU_OUTBOUND_TIMEOUT_SECONDS": str(TIMEOUT_SECONDS),
    "KEHU_LEASE_SECONDS": str(LEASE_SECONDS),
    "KEHU_WORKER_POLL_SECONDS": "0.5",
    "KEHU_DATABASE_POOL_SIZE": "8",
}
# The limiter counts as always; it must only not refuse.
_UNBOUND: Final = ShopSettings(
    limits=LimitSettings(reads_per_second=100_000, writes_per_second=100_000, batches_per_second=10_000)
)


class Bear(Protocol):
    """Starts `python -m app` with arguments and environment, writing to a log. Returns its number and a death check."""

    def __call__(
        self, arguments: list[str], environment: dict[str, str], log: Path
    ) -> tuple[int, Callable[[], bool]]: ...


class Child:
    """The API or a worker, as a process that can be killed, frozen and replaced."""

    def __init__(self, bear: Bear, arguments: list[str], environment: dict[str, str], log: Path) -> None:
        self._bear, self._arguments, self._environment, self.log = bear, arguments, environment, log
        self.start()

    def start(self) -> None:
        """Start it, or a successor."""
        self.pid, self.died = self._bear(self._arguments, self._environment, self.log)

    def send(self, number: signal.Signals) -> None:
        """SIGKILL, SIGSTOP, SIGCONT, SIGTERM. One that is gone is gone."""
        if not self.died():
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    async def end(self, number: signal.Signals = signal.SIGKILL, *, seconds: float = 10.0) -> None:
        """Send the signal and wait until the process is gone."""
        self.send(number)
        await until(self.died, seconds=seconds)

    def said(self, event: str) -> int:
        """How often the log, of this process and those before it, tells of an event."""
        return self.log.read_text(errors="replace").count(f'"event":"{event}"')


class Service(Child):
    """The API, on a port that its successors keep."""

    def __init__(self, bear: Bear, environment: dict[str, str], log: Path) -> None:
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            self.port: int = probe.getsockname()[1]
        super().__init__(bear, ["serve", "--port", str(self.port)], environment, log)

    async def ready(self) -> None:
        """Wait until it listens. Raises TimeoutError with the end of its log."""
        end = time.monotonic() + READY_SECONDS
        while time.monotonic() < end and not self.died():
            with suppress(OSError):
                _, writer = await asyncio.open_connection(HOST, self.port)
                writer.close()
                return
            await asyncio.sleep(0.02)
        raise TimeoutError(f"the API does not listen:\n{self.log.read_text(errors='replace')[-2000:]}")


class Nursery:
    """A process that has everything imported, and forks."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.nursery"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            text=True,
        )
        self._read()

    def __call__(self, arguments: list[str], environment: dict[str, str], log: Path) -> tuple[int, Callable[[], bool]]:
        """Bear one."""
        assert self._process.stdin is not None
        order = {"arguments": arguments, "environment": environment, "log": str(log)}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        number = int(self._read())
        return number, lambda: not _exists(number)

    def _read(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the nursery ended")
        return line.strip()

    def close(self) -> None:
        """End it, and with it whatever it bore."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(10)


def executed(arguments: list[str], environment: dict[str, str], log: Path) -> tuple[int, Callable[[], bool]]:
    """A real `python -m app`, imports and all: what the long forms start."""
    born = process.spawn([sys.executable, "-m", "app", *arguments], log=log, env=environment)
    return born.pid, lambda: born.poll() is not None


@dataclass(frozen=True, slots=True)
class Tenant:
    """A shop with someone who may do everything in it."""

    id: int
    api_key: str
    token: str


class Ground:
    """Servers that are up and migrated."""

    def __init__(self, directory: Path, postgres: Postgres, valkey: Valkey, nursery: Nursery) -> None:
        self.directory, self.postgres, self.valkey = directory, postgres, valkey
        self._nursery = nursery
        self._root_key = new_root_key()
        self._born: list[Child] = []
        self._connection: Any = None
        self._reading = asyncio.Lock()

    @property
    def postgres_port(self) -> int:
        """Where a proxy to Postgres leads."""
        return urlsplit(self.postgres.url).port or 0

    @property
    def valkey_port(self) -> int:
        """Where a proxy to Valkey leads."""
        return urlsplit(self.valkey.url).port or 0

    def environment(
        self, *, postgres: int | None = None, redis: int | None = None, **settings: object
    ) -> dict[str, str]:
        """A process's environment. `postgres`, `redis`: the ports of proxies to go through."""
        given = {name: value for name, value in os.environ.items() if not name.startswith(("KEHU_", "PG"))}
        named = {f"KEHU_{name.upper()}": str(value) for name, value in settings.items()}
        return (
            given
            | _SETTINGS
            | {
                "PYTHONPATH": str(ROOT),
                "DATABASE_URL": _at(self.postgres.url, postgres),
                "REDIS_URL": _at(self.valkey.url, redis),
                "KEHU_ROOT_KEY": self._root_key,
            }
            | named
        )

    async def serve(self, *, real: bool = False, **options: Any) -> Service:
        """Start an API process and wait until it listens. `real`: with imports of its own."""
        service = Service(executed if real else self._nursery, self.environment(**options), self._log("api"))
        self._born.append(service)
        await service.ready()
        return service

    def work(self, *, real: bool = False, **options: Any) -> Child:
        """Start a worker process."""
        worker = Child(
            executed if real else self._nursery, ["worker"], self.environment(**options), self._log("worker")
        )
        self._born.append(worker)
        return worker

    async def end_all(self) -> None:
        """Kill every process that is left."""
        for child in self._born:
            await child.end()
        self._born.clear()
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    def incidents(self) -> list[str]:
        """What processes have logged as a failure of their own, so far."""
        found = []
        for log in sorted(self.directory.glob("*-*.log")):
            for line in log.read_text(errors="replace").splitlines():
                if '"level":"error"' in line and line.startswith("{"):
                    told = json.loads(line)
                    found.append(f"{log.name}: {told.get('event')}\n{told.get('exception', '')[-1500:]}")
        return found

    async def rows(self, sql: str, *arguments: Any) -> list[dict[str, Any]]:
        """Rows as they are stored, read past the wall."""
        async with self._reading:
            if self._connection is None or self._connection.is_closed():
                self._connection = await asyncpg.connect(self.postgres.url)
            return [dict(row) for row in await self._connection.fetch(sql, *arguments)]

    @asynccontextmanager
    async def entry(self) -> AsyncIterator[Entry]:
        """The service's own door, in this process."""
        settings = Settings.model_validate(
            {"database_url": self.postgres.url, "redis_url": self.valkey.url, "root_key": self._root_key}
        )
        root = RootKey(settings.root_key_bytes)
        database = open_database(settings, None)
        try:
            yield Entry(database, root, Shops(database, root))
        finally:
            await database.close()

    async def open_shop(self) -> Tenant:
        """A fresh shop and its client."""
        async with self.entry() as entry:
            shop_id = await create_shop(entry.database, entry.root, name="Under fire")
            async with entry.shop(shop_id) as (db, shop):
                await db.execute(repository.SET_SETTINGS, shop=shop_id, settings=_UNBOUND.model_dump(mode="json"))
                made = await create_client(db, shop, entry.root, name="faults", scopes=frozenset(SCOPES))
            secret = {"client_id": made.client_id, "client_secret": made.client_secret, "grant_id": shop_id}
            token = await exchange(entry, {"authorize_type": "silent"} | secret)
        return Tenant(shop_id, made.api_key, token.access_token)

    async def time_passes(self, shop_id: int, *, state: str = "pending") -> None:
        """Deliveries that wait for their next attempt, or for the end of a lease, are due now."""
        await self.rows(
            "update webhook_deliveries set due_at = now() where shop_id = $1 and state = $2 and attempt > 0 "
            "returning id",
            shop_id,
            state,
        )

    async def stop_server(self, server: Postgres | Valkey, number: signal.Signals) -> None:
        """Send one of the servers a signal and wait until it is gone."""
        ((running, _),) = server.stopping()
        running.send_signal(number)
        await asyncio.to_thread(running.wait, 30)

    async def start_server(self, server: Postgres | Valkey) -> None:
        """Start it again, on its port, without holding up whoever loads it."""
        server.launch()
        await asyncio.to_thread(server.wait)

    def _log(self, name: str) -> Path:
        return self.directory / f"{name}-{len(self._born)}-{time.monotonic_ns()}.log"


@contextmanager
def up(directory: Path) -> Iterator[Ground]:
    """Servers with real fsync, an empty migrated database, and nothing running yet. Call it from the main thread."""
    with home.kept(directory) as place, ExitStack() as stack:
        valkey, postgres = Valkey(place, durable=False), Postgres(place, durable=True)
        stack.callback(lambda: process.stop([*valkey.stopping(), *postgres.stopping()], (1.5, 0.5)))
        valkey.launch()
        postgres.launch()
        nursery = Nursery()
        stack.callback(nursery.close)
        valkey.wait()
        postgres.wait()
        with ThreadPoolExecutor(1) as thread:  # it runs an event loop of its own
            thread.submit(migrate.upgrade, postgres.url).result()
        yield Ground(directory, postgres, valkey, nursery)


def _at(url: str, port: int | None) -> str:
    parts = urlsplit(url)
    if port is None:
        return url
    return urlunsplit(parts._replace(netloc=f"{parts.netloc.rpartition(':')[0]}:{port}"))


def _exists(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    return True

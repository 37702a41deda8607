"""The demo as one context manager: servers, schema, shop, API, data, worker, scores; everything stops with it."""

import shutil
import socket
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import httpx
import orjson

from app import migrate
from app.core.config import load_root_key_file
from app.demo import inside, load
from app.embedded import home, servers
from app.embedded.children import Children
from app.embedded.servers import Servers

HOST: Final = "127.0.0.1"
_READY_SECONDS: Final = 60.0
_OURS: Final = ("postgres", "valkey", "servers.json", "demo.json", "loaded.json", "root.key", "logs")

Progress = Callable[[str], AbstractContextManager[Any]]


class DemoRefused(Exception):
    """What stands in the way, in one line with the remedy."""


@dataclass(frozen=True, slots=True)
class Facts:
    """demo.json: how to connect."""

    base_url: str
    shop_id: int
    client_id: str
    client_secret: str
    access_token: str
    api_key: str
    database_url: str
    redis_url: str
    path: str


@dataclass(frozen=True, slots=True)
class Totals:
    """What the database holds, read from it."""

    orders: int
    customers: int
    amount_fen: int
    tiers: dict[str, int]
    try_paid_at: str


class Demo:
    """Up when entered, down when left; killed at any line, the next start goes on from there."""

    def __init__(
        self,
        data: Path,
        *,
        port: int,
        orders: Path | None,
        reset: bool,
        say: Callable[[str], None],
        progress: Progress,
    ) -> None:
        self._data = data.absolute()
        self._port = port
        self._orders = orders
        self._reset = reset
        self._say = say
        self._progress = progress
        self._stack = ExitStack()
        self.facts: Facts
        self.as_of: date

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._start(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def stay(self) -> None:
        """Keep everything running until Ctrl-C or SIGTERM."""
        self._children.wait(self._look_after_servers)

    def totals(self) -> Totals:
        """Counts and sums, from the database."""
        found = inside.run(self._environment, inside.totals, self.facts.shop_id)
        return Totals(**found, try_paid_at=f"{self.as_of - timedelta(days=1)}T00:30:00")

    def _start(self, stack: ExitStack) -> None:
        if self._orders is not None and not self._orders.is_file():
            raise DemoRefused(f"there is no file {self._orders}")
        self._data.mkdir(mode=0o700, parents=True, exist_ok=True)
        port = self._free_port()
        if self._reset:
            self._throw_away()
        self._servers: Servers = stack.enter_context(servers.start(self._data))
        self._environment = {
            "DATABASE_URL": self._servers.database_url,
            "MIGRATION_DATABASE_URL": self._servers.database_url,
            "REDIS_URL": self._servers.redis_url,
            "KEHU_ROOT_KEY": load_root_key_file(self._data / "root.key"),
            "KEHU_OUTBOUND_ALLOW_NETWORKS": "127.0.0.0/8,::1/128",
            "KEHU_SANDBOX": "true",
        }
        self._children = stack.enter_context(Children(self._data / "logs", report=self._say))
        base_url = f"http://{HOST}:{port}"
        # The API takes its seconds to import while we migrate; it calls itself ready when the schema is there.
        self._children.add("api", [*_PYTHON, "serve", "--host", HOST, "--port", str(port)], self._environment)
        migrate.upgrade(self._servers.database_url)
        access = inside.run(
            self._environment, inside.let_in, self._known_facts(), "history" if self._orders else "brand"
        )
        self._wait_for_api(base_url)
        token = _token(base_url, access)
        self.facts = Facts(
            base_url=base_url,
            access_token=token,
            database_url=self._servers.database_url,
            redis_url=self._servers.redis_url,
            path=str(self._data / "demo.json"),
            **access,
        )
        self._write_facts()
        load.sandbox(base_url, access["api_key"], access["shop_id"])
        # The worker starts once the data is in and the shop's day is set, so that it never scores on another day.
        loaded = self._load()
        self._children.add("worker", [*_PYTHON, "worker"], self._environment)
        if not loaded:
            with self._progress("scoring") as update:
                load.score(self.facts.base_url, self.facts.api_key, update, self._children.check)
            with self._progress("segments") as update:
                load.segments(self.facts.base_url, self.facts.api_key, update, self._children.check)
            self._mark_loaded()

    def _load(self) -> bool:
        """Put the data in unless it is there. Returns True when it was, scores included."""
        marker = self._data / "loaded.json"
        source = sha256(self._orders.read_bytes()).hexdigest() if self._orders else "brand"
        if marker.is_file():
            before = orjson.loads(marker.read_bytes())
            if self._orders is not None and before["source"] != source:
                raise DemoRefused(f"{self._data} holds other data; start with --reset, or with another --data")
            self._source = before["source"]
            self.as_of = inside.run(self._environment, inside.as_of, self.facts.shop_id)
            return True
        self._source = source
        place = {"base_url": self.facts.base_url, "api_key": self.facts.api_key}
        if self._orders is not None:
            with self._progress("orders") as update:
                load.file(self._orders, update, self._put_files_in, **place)
            inside.run(self._environment, inside.pin_after_newest_order, self.facts.shop_id)
        else:
            load.brand(self._progress, **place)
            migrate.upgrade(self._servers.database_url)  # months for the events, which go back further than it had any
        self.as_of = inside.run(self._environment, inside.as_of, self.facts.shop_id)
        return False

    def _put_files_in(self) -> None:
        """The part of the worker that the data needs: the whole worker would score on another day."""
        inside.run(self._environment, inside.put_files_in, self.facts.shop_id)

    def _mark_loaded(self) -> None:
        self._write("loaded.json", {"source": self._source})

    def _known_facts(self) -> dict[str, Any] | None:
        path = self._data / "demo.json"
        with suppress(orjson.JSONDecodeError):
            if path.is_file():
                return dict(orjson.loads(path.read_bytes()))
        return None

    def _write_facts(self) -> None:
        facts = asdict(self.facts)
        del facts["path"]
        self._write("demo.json", facts)

    def _write(self, name: str, value: dict[str, Any]) -> None:
        home.write_private(self._data / name, orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())

    def _wait_for_api(self, base_url: str) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while time.monotonic() < deadline:
            with suppress(httpx.HTTPError):
                if httpx.get(f"{base_url}/readyz", timeout=2, trust_env=False).status_code == 200:
                    return
            self._children.check()
            time.sleep(0.05)
        raise DemoRefused(f"the API did not come up; see {self._data / 'logs' / 'api.log'}")

    def _look_after_servers(self) -> bool:
        for name in self._servers.revive():
            self._say(f"{name} had died and was started again")
        return False

    def _free_port(self) -> int:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, self._port))
            except OSError:
                raise DemoRefused(f"port {self._port} is busy; choose another with --port, or --port 0") from None
            return int(probe.getsockname()[1])

    def _throw_away(self) -> None:
        """Remove what a demo makes, and nothing else that may lie in the folder."""
        if (self._data / "servers.json").is_file():
            with home.kept(self._data):
                for name in _OURS:
                    path = self._data / name
                    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


_PYTHON: Final = (sys.executable, "-m", "app")


def _token(base_url: str, access: dict[str, Any]) -> str:
    answer = httpx.post(
        f"{base_url}/auth/token",
        json={
            "client_id": access["client_id"],
            "client_secret": access["client_secret"],
            "authorize_type": "silent",
            "grant_id": access["shop_id"],
            "refresh": False,
        },
        trust_env=False,
    ).json()
    if not answer["success"]:
        raise DemoRefused(f"no access token: {answer['message']}")
    return str(answer["data"]["access_token"])

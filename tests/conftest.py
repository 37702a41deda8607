"""Real servers for the whole run, one migrated database per test process, one fresh shop per test."""

import asyncio
import contextlib
import os
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from app.access.credentials import NewClient, create_client
from app.access.entry import Entry
from app.access.scopes import parse_scopes
from app.access.shops import Shop, create_shop
from app.core.config import Settings, new_root_key
from app.core.logging import configure
from app.embedded import servers
from app.main import create_app
from app.migrate import upgrade
from workers.house import House

TEMPLATE = "kehu_template"
_servers = contextlib.ExitStack()

# Property tests look for counter-examples; how long one example takes says nothing here.
try:
    from hypothesis import HealthCheck
    from hypothesis import settings as hypothesis_settings

    hypothesis_settings.register_profile(
        "kehu", deadline=None, max_examples=40, suppress_health_check=list(HealthCheck), print_blob=True
    )
    hypothesis_settings.load_profile("kehu")
except ImportError:  # pragma: no cover
    pass


def pytest_configure(config: pytest.Config) -> None:
    """Start Postgres and Valkey once, in the process that starts the others; they find them in the environment."""
    if hasattr(config, "workerinput") or "KEHU_TEST_DATABASE_URL" in os.environ or config.option.collectonly:
        return
    home = Path(_servers.enter_context(tempfile.TemporaryDirectory(prefix="kehu-test-")))
    running = _servers.enter_context(servers.start(home, durable=False))
    _servers.callback(os.environ.pop, "KEHU_TEST_DATABASE_URL", None)
    os.environ["KEHU_TEST_DATABASE_URL"] = running.database_url
    os.environ["KEHU_TEST_REDIS_URL"] = running.redis_url
    asyncio.run(_create_database(running.database_url, TEMPLATE))
    upgrade(with_database(running.database_url, TEMPLATE))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop them."""
    _servers.close()


def with_database(url: str, name: str) -> str:
    """The same server's other database."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


async def _create_database(url: str, name: str, template: str = "template1") -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(f'create database "{name}" template "{template}"')
    finally:
        await connection.close()


@pytest.fixture(scope="session")
async def database_url(worker_id: str) -> AsyncIterator[str]:
    """A migrated database of this process's own. The login is a superuser: rows can be asserted across the wall."""
    url = os.environ["KEHU_TEST_DATABASE_URL"]
    name = f"kehu_{worker_id}_{os.getpid()}"
    await _create_database(url, name, TEMPLATE)
    yield with_database(url, name)
    connection = await asyncpg.connect(url)
    await connection.execute(f'drop database "{name}" with (force)')
    await connection.close()


@pytest.fixture(scope="session")
def settings(database_url: str, worker_id: str) -> Settings:
    """As an operator would set them."""
    return Settings.model_validate(
        {
            "database_url": database_url,
            "redis_url": os.environ["KEHU_TEST_REDIS_URL"],
            "root_key": new_root_key(),
            "worker_queue": f"kehu:bell:{worker_id}",
            "worker_gather_seconds": 0,
            "outbound_allow_networks": "127.0.0.0/8",
            "sandbox": True,
            # A thousand at once on a busy machine are to be answered, not refused.
            "database_acquire_timeout_seconds": 60,
        }
    )


@pytest.fixture(scope="session")
async def app(settings: Settings) -> AsyncIterator[FastAPI]:
    """The service, started."""
    configure("INFO", as_json=True)
    service = create_app(settings)
    async with service.router.lifespan_context(service):
        yield service


@pytest.fixture(scope="session")
async def base_url(app: FastAPI) -> AsyncIterator[str]:
    """The same service on a real port, for clients that are not ours to hand a transport."""
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_config=None, access_log=False))
    listener = socket.create_server(("127.0.0.1", 0))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    await serving


@pytest.fixture(scope="session")
def entry(app: FastAPI) -> Entry:
    """The door, for steps that no HTTP call offers."""
    return app.state.entry  # type: ignore[no-any-return]


@pytest.fixture(scope="session")
async def house(settings: Settings) -> AsyncIterator[House]:
    """A worker's services; `work` runs them."""
    built = House(settings)
    built.bell.start()
    yield built
    await built.close()


Rows = Callable[..., Awaitable[list[dict[str, Any]]]]


@pytest.fixture(scope="session")
async def rows(database_url: str) -> AsyncIterator[Rows]:
    """Rows as they are stored, read past the wall: `await rows("select … where shop_id = $1", shop.id)`."""
    connection = await asyncpg.connect(database_url)
    lock = asyncio.Lock()

    async def fetch(sql: str, *arguments: Any) -> list[dict[str, Any]]:
        async with lock:
            return [dict(row) for row in await connection.fetch(sql, *arguments)]

    yield fetch
    await connection.close()


@dataclass(frozen=True)
class Api:
    """A caller of one shop."""

    client: NewClient
    http: httpx.AsyncClient

    async def get(self, path: str, **options: Any) -> httpx.Response:
        """GET."""
        return await self.http.get(path, **options)

    async def post(self, path: str, json: Any = None, **options: Any) -> httpx.Response:
        """POST of JSON."""
        return await self.http.post(path, json=json, **options)

    async def patch(self, path: str, json: Any) -> httpx.Response:
        """PATCH of JSON."""
        return await self.http.patch(path, json=json)


MakeApi = Callable[..., Awaitable[Api]]


@pytest.fixture
async def shop(entry: Entry) -> Shop:
    """A fresh shop."""
    return await entry.shops.get(await create_shop(entry.database, entry.root, name="A shop"))


@pytest.fixture
async def other_shop(entry: Entry) -> Shop:
    """Another one, whose rows must never be seen."""
    return await entry.shops.get(await create_shop(entry.database, entry.root, name="Another shop"))


@pytest.fixture
async def make_api(app: FastAPI, entry: Entry) -> AsyncIterator[MakeApi]:
    """`await make_api(shop, "customers:read")`: a caller with these scopes; all scopes by default."""
    async with contextlib.AsyncExitStack() as stack:

        async def make(of: Shop, scopes: str = "all") -> Api:
            async with entry.shop(of.id) as (db, shop):
                client = await create_client(db, shop, entry.root, name="test", scopes=parse_scopes(scopes))
            http = await stack.enter_async_context(
                httpx.AsyncClient(
                    transport=httpx.ASGITransport(app, raise_app_exceptions=False),
                    base_url="http://kehu.test",
                    headers={"Authorization": f"Bearer {client.api_key}"},
                )
            )
            return Api(client, http)

        yield make


@pytest.fixture
async def api(make_api: MakeApi, shop: Shop) -> Api:
    """A caller who may do everything in the test's shop."""
    return await make_api(shop)


@pytest.fixture
def work(house: House, shop: Shop) -> Callable[[], Awaitable[None]]:
    """Run every worker step that is due in the test's shop, as a worker would."""

    async def run() -> None:
        house.entry.shops.forget(shop.id)
        await house.rounds.until_idle(shop.id)

    return run

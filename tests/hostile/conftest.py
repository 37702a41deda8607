"""A server on a real port, a furnished shop, its routes as the contract tells them, and a digest of what is stored."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import uvicorn
from fastapi import FastAPI

from app.access.entry import Entry
from app.access.shops import Shop, create_shop
from app.core.logging import configure
from app.tables import metadata
from tests.conftest import MakeApi, Rows
from tests.hostile.shops import Furnished, furnish
from tests.hostile.wire import RawClient
from workers.house import House

Digest = Callable[[Shop], Awaitable[dict[str, str]]]

# The access log tells of refusals too; that is what it is for.
_LOGS = {"access_log", "access_chain", "access_heads"}


@pytest.fixture(scope="session")
async def address(app: FastAPI) -> AsyncIterator[str]:
    """The service on a real port, behind the same HTTP parser as in production."""
    config = uvicorn.Config(app, http="httptools", lifespan="off", log_config=None, access_log=False)
    server = uvicorn.Server(config)
    # asyncio turns Nagle's algorithm off only for sockets that say that they are TCP; with it, answers are 40 ms late.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    await serving


@pytest.fixture
async def raw(address: str) -> AsyncIterator[RawClient]:
    """A client without manners."""
    async with RawClient(address) as client:
        yield client


@pytest.fixture
def digest(rows: Rows) -> Digest:
    """`await digest(shop)`: per table, how many rows the shop has and a sum over their content."""
    tables = [table for table in metadata.tables.values() if "shop_id" in table.c and table.name not in _LOGS]
    assert len(tables) > 20
    looks = [("shops", "id")] + [(str(table), "shop_id") for table in tables]
    sql = " union all ".join(
        f"select '{name}' as name, count(*) || ':' || coalesce(sum(hashtextextended(t::text, 0)), 0) as state "  # noqa: S608
        f"from {name} t where {column} = $1"
        for name, column in looks
    )

    async def look(shop: Shop) -> dict[str, str]:
        return {row["name"]: row["state"] for row in await rows(sql, shop.id)}

    return look


@pytest.fixture
async def furnished(
    app: FastAPI, make_api: MakeApi, entry: Entry, house: House, rows: Rows
) -> AsyncIterator[Furnished]:
    """A shop with one of everything, and a caller who may do everything there."""
    yield await _furnished(make_api, entry, house, rows, "A furnished shop")
    configure("INFO", as_json=True)


@pytest.fixture
async def other_furnished(
    app: FastAPI, make_api: MakeApi, entry: Entry, house: House, rows: Rows
) -> AsyncIterator[Furnished]:
    """Another one, with things of its own."""
    yield await _furnished(make_api, entry, house, rows, "Another furnished shop")
    configure("INFO", as_json=True)


async def _furnished(make_api: MakeApi, entry: Entry, house: House, rows: Rows, name: str) -> Furnished:
    configure("ERROR", as_json=True)  # thousands of refusals, each with a line
    shop = await entry.shops.get(await create_shop(entry.database, entry.root, name=name))
    found = await furnish(shop, await make_api(shop), house)
    # A history that begins today has no two days to compare.
    await rows("update tier_changes set as_of = date '2025-01-01' where shop_id = $1", shop.id)
    return found

"""What the demo does past the API: opening the shop, its clock, and totals read from the database."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import date, timedelta
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from sqlalchemy import text

from app.access import credentials, repository
from app.access.audit import Visit
from app.access.entry import Entry
from app.access.scopes import SCOPES
from app.access.shops import Shops, create_shop
from app.changes import jobs
from app.core.config import Settings
from app.core.crypto import RootKey
from app.core.db import Database, statement
from app.core.errors import Unauthorized
from app.imports import repository as imports
from app.imports.jobs import run as run_import
from app.scoring import runs

NAMES: Final = {"brand": "初雨美妆 (demo)", "history": "Orders from a file (demo)"}

TOTALS = statement(
    text(
        """
        select count(*) as orders, coalesce(sum(amount_fen), 0)::bigint as fen
        from orders where shop_id = :shop_id
        """
    )
)
CUSTOMERS = statement(text("select count(*) from customers where shop_id = :shop_id"))
TIERS = statement(
    text(
        """
        select tier, count(*) as count from customer_scores
        where shop_id = :shop_id and tier is not null group by tier order by tier desc
        """
    )
)
NEWEST = statement(text("select max(paid_at) from orders where shop_id = :shop_id"))

_LEASE_SECONDS: Final = 30.0

P = ParamSpec("P")
T = TypeVar("T")


def run(
    environment: dict[str, str], step: Callable[Concatenate[Entry, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs
) -> T:
    """Run one step with a small database pool of its own."""

    async def go() -> T:
        settings = Settings(
            database_url=environment["DATABASE_URL"],
            redis_url=environment["REDIS_URL"],
            root_key=environment["KEHU_ROOT_KEY"],
        )
        root = RootKey(settings.root_key_bytes)
        database = Database(
            settings.database_url.get_secret_value(),
            role=None,
            pool_size=4,
            acquire_timeout_seconds=10,
            statement_timeout_seconds=60,
        )
        try:
            return await step(Entry(database, root, Shops(database, root)), *args, **kwargs)
        finally:
            await database.close()

    return asyncio.run(go())


async def let_in(entry: Entry, known: dict[str, Any] | None, kind: str) -> dict[str, Any]:
    """The demo's shop and client: those in demo.json while their key still opens the door, otherwise new ones."""
    names = ("shop_id", "client_id", "client_secret", "api_key")
    if known and all(name in known for name in names):
        try:
            async with entry.call(known["api_key"], Visit("demo")):
                return {name: known[name] for name in names}
        except Unauthorized:
            pass
    ids = await entry.shops.ids()
    shop_id = ids[0] if ids else await create_shop(entry.database, entry.root, name=NAMES[kind])
    async with entry.shop(shop_id) as (db, shop):
        client = await credentials.create_client(db, shop, entry.root, name="demo", scopes=frozenset(SCOPES))
    return {
        "shop_id": shop_id,
        "client_id": client.client_id,
        "client_secret": client.client_secret,
        "api_key": client.api_key,
    }


async def put_files_in(entry: Entry, shop_id: int) -> None:
    """Carry out the imports that are waiting."""
    while await jobs.run_due(entry, shop_id, {imports.KIND: run_import}, lease_seconds=_LEASE_SECONDS):
        pass


async def pin_after_newest_order(entry: Entry, shop_id: int) -> None:
    """Let the shop's live scores stand at the day after its newest order, for data that is history."""
    async with entry.shop(shop_id) as (db, shop):
        newest = await db.fetch_value(NEWEST, shop_id=shop_id)
        if newest is not None:
            day = newest.astimezone(shop.zone).date() + timedelta(days=1)
            await db.execute(repository.PIN_SHOP, shop=shop_id, pinned_as_of=day)
            # Whoever was looked at until now was measured as of today; the run that follows measures everybody.
            await runs.take_clock(db, shop_id, day)
            await db.execute(runs.SET_CLOCK, shop_id=shop_id, day=day)
    entry.shops.forget(shop_id)


async def as_of(entry: Entry, shop_id: int) -> date:
    """The day that the shop's live scores stand at."""
    return (await entry.shops.get(shop_id)).live_as_of()


async def totals(entry: Entry, shop_id: int) -> dict[str, Any]:
    """Orders, customers, money and tiers, counted in the database."""
    async with entry.shop(shop_id) as (db, _):
        orders = await db.fetch_one(TOTALS, shop_id=shop_id)
        assert orders is not None  # noqa: S101 an aggregate answers one row
        return {
            "orders": orders["orders"],
            "amount_fen": orders["fen"],
            "customers": await db.fetch_value(CUSTOMERS, shop_id=shop_id),
            "tiers": {row["tier"]: row["count"] for row in await db.fetch(TIERS, shop_id=shop_id)},
        }

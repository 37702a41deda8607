"""Lists by last trade: an index behind every one of them, under row security."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from app.access.entry import Entry
from app.access.shops import Shop
from app.core.db import statement
from app.directory import traded
from app.directory.filters import Filters
from app.directory.traded import Wanted
from tests.conftest import Rows

WINDOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
WALKS = {
    "newest trade": (Wanted(Filters(), by_trade=True), True),
    "oldest trade": (Wanted(Filters(), by_trade=True, ascending=True), True),
    "members by trade": (Wanted(Filters(member=True), by_trade=True), True),
    "trade from": (Wanted(Filters(), by_trade=True, traded_from=WINDOW), True),
    "never traded": (Wanted(Filters(), by_trade=True), False),
    "newest": (Wanted(Filters()), None),
    "oldest": (Wanted(Filters(), ascending=True), None),
}


@pytest.mark.parametrize("walk", WALKS)
async def test_every_order_walks_an_index_behind_the_wall(entry: Entry, rows: Rows, shop: Shop, walk: str) -> None:
    """EXPLAIN as the service's role over 20,000 customers: the page reads no table from end to end."""
    await rows(
        """
        with people as (
            insert into customers (shop_id, id, member_since, created_at, updated_at, told_at)
            select $1, n, case when n % 3 = 0 then now() end,
                   timestamptz '2026-01-01' + n * interval '1 minute', now(), now()
            from generate_series(1, 20000) as n returning id
        ),
        counted as (
            insert into customer_stats
                (shop_id, customer_id, since_on, active_on, orders,
                 purchase_days, gross_fen, refund_fen, net_fen, net_365d_fen,
                 last_on)
            select $1, id, date '2026-01-01', date '2026-01-01', 1, 1, 100, 0, 100, 100,
                   case when id % 2 = 0 then date '2026-01-01' + (id % 300)::int end
            from people
        )
        insert into orders
            (shop_id, order_no, customer_id, origin_customer_id, status, paid_at, amount_fen, currency, source_version,
             payload_hash, received_at)
        select $1, 'O' || id, id, id, 'paid', timestamptz '2026-01-01 12:00+08' + (id % 300) * interval '1 day', 100,
               'CNY', 1, '', now()
        from people where id % 2 = 0 returning 1
        """,
        shop.id,
    )
    for table in ("customers", "customer_stats", "orders"):
        await rows(f"analyze {table}")
    wanted, part = WALKS[walk]
    query = traded._page(wanted, part)
    explain = statement(text("select 1"))._replace(
        sql="explain (format text) " + query.sql, names=query.names, defaults=query.defaults
    )
    values = wanted.bound(shop) | {"zone": shop.zone.key}
    async with entry.database.transaction(shop.id) as db:
        plan = "\n".join(
            row["QUERY PLAN"] for row in await db.fetch(explain, shop_id=shop.id, limit=50, offset=0, **values)
        )
    for table in ("customers", "customer_stats", "orders"):
        assert f"Seq Scan on {table}" not in plan, plan

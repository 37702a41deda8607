"""The time sweep: a new day marks whom it concerns, once, and nothing that is measured meanwhile is lost."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta

from sqlalchemy import text

from app.access import repository as access
from app.access.entry import Entry
from app.access.shops import Shop
from app.core import clock
from app.core.db import statement
from app.refresh import sweep
from app.refresh.jobs import refresh_changed, sweep_day
from app.scoring import measuring
from tests.conftest import Api, Rows
from workers.house import House

Work = Callable[[], Awaitable[None]]


async def _order(api: Api, person: str, number: str, ago: int) -> int:
    body = {
        "order_no": number,
        "identities": [{"kind": "external_id", "value": person}],
        "paid_at": (clock.now() - timedelta(days=ago)).isoformat(),
        "amount_fen": 1000,
    }
    answer = await api.post("/v1/orders", body)
    assert answer.status_code == 200, answer.text
    return int(answer.json()["customer_id"])


async def _yesterday(rows: Rows, shop: Shop) -> None:
    """As if nobody had looked at the shop since yesterday."""
    await rows(
        "update score_clocks set swept_to = swept_to - 1 where shop_id = $1 returning 1",
        shop.id,
    )


async def _marked(rows: Rows, shop: Shop) -> set[int]:
    found = await rows("select customer_id, cause from customer_changes where shop_id = $1", shop.id)
    assert {row["cause"] for row in found} <= {"time"}
    assert len(found) == len({row["customer_id"] for row in found}), "each once"
    return {row["customer_id"] for row in found}


async def test_a_new_day_turns_a_score_and_says_so(api: Api, shop: Shop, rows: Rows, house: House, work: Work) -> None:
    """Bought 180 days before today: dormant as of tomorrow, not as of today."""
    turning = await _order(api, "T", "T1", ago=179)
    await _order(api, "S", "S1", ago=3)
    # As a refresh of yesterday would have left it.
    await work()
    await rows(
        "with turned as (update customer_scores set stage = 'growing' "
        "where shop_id = $1 and customer_id = $2 returning 1) "
        "update stage_changes set to_stage = 'growing' where shop_id = $1 and customer_id = $2 returning 1",
        shop.id,
        turning,
    )
    await _yesterday(rows, shop)
    house.entry.shops.forget(shop.id)
    await house._tick_of(shop.id)
    assert turning in await _marked(rows, shop)
    await work()
    moves = await rows(
        "select from_stage, to_stage, cause from stage_changes where shop_id = $1 and customer_id = $2 order by id",
        shop.id,
        turning,
    )
    assert moves[-1] == {"from_stage": "growing", "to_stage": "dormant", "cause": "time"}
    await house._tick_of(shop.id)
    assert await _marked(rows, shop) == set(), "a day is swept once"


async def test_only_those_whom_the_day_concerns_are_marked(
    api: Api, entry: Entry, shop: Shop, rows: Rows, work: Work
) -> None:
    people = {ago: await _order(api, f"P{ago}", f"O{ago}", ago) for ago in range(0, 400, 3)}
    await work()
    await _yesterday(rows, shop)
    marked = await sweep_day(entry, shop.id)
    found = await _marked(rows, shop)
    assert marked == len(found)
    # Today's and those who leave a window or a month; thresholds between them fall on days without an order here.
    assert {ago for ago, number in people.items() if number in found} == {0, 30, 60, 90, 120, 150, 180}


async def test_a_sweep_waits_for_whoever_measures_as_of_the_day_before(
    api: Api, entry: Entry, shop: Shop, rows: Rows, work: Work
) -> None:
    """A refresh in flight has counted an order into a window that the new day closes."""
    customer = await _order(api, "P", "O1", ago=200)
    await work()
    before = clock.live_as_of(shop.zone, pinned=None)
    tomorrow = before + timedelta(days=1)
    async with entry.shop(shop.id) as (db, of):
        yardstick = await measuring.hold_published(db, of)
        assert yardstick.as_of == before
        # Its fact: an order that falls out of the 30 days when the day changes.
        paid_at = clock.day_start(before - timedelta(days=30), shop.zone) + timedelta(hours=1)
        await db.execute(
            statement(text("update orders set paid_at = :paid_at where shop_id = :shop_id and order_no = 'O1'")),
            shop_id=shop.id,
            paid_at=paid_at,
        )
        await measuring.measure(db, of, [customer], yardstick)
        sweeping = asyncio.create_task(_sweep_to(entry, shop, tomorrow))
        await asyncio.sleep(0.3)
        assert not sweeping.done()
    assert await sweeping >= 1
    assert customer in await _marked(rows, shop)
    await refresh_changed(entry, 100, shop.id)
    (stats,) = await rows("select orders_30d from customer_stats where shop_id = $1", shop.id)
    assert stats["orders_30d"] == 0


async def _sweep_to(entry: Entry, shop: Shop, day: date) -> int:
    async with entry.shop(shop.id) as (db, _):
        await db.execute(access.PIN_SHOP, shop=shop.id, pinned_as_of=day)
    entry.shops.forget(shop.id)
    return await sweep_day(entry, shop.id)


async def test_what_was_still_to_come_counts_when_its_day_comes(
    api: Api, entry: Entry, shop: Shop, rows: Rows, work: Work
) -> None:
    customer = await _order(api, "P", "O1", ago=-1)
    await work()
    assert (await api.get(f"/v1/customers/{customer}/scores")).json()["orders"] == 0
    await _sweep_to(entry, shop, clock.live_as_of(shop.zone, pinned=None) + timedelta(days=1))
    await work()
    assert (await api.get(f"/v1/customers/{customer}/scores")).json()["orders"] == 1


async def test_days_nobody_was_there_are_swept_together(
    api: Api, entry: Entry, shop: Shop, rows: Rows, work: Work
) -> None:
    """The workers stood still for a week."""
    people = [await _order(api, f"P{ago}", f"O{ago}", ago) for ago in range(25, 30)]
    await work()
    await _sweep_to(entry, shop, clock.live_as_of(shop.zone, pinned=None) + timedelta(days=7))
    assert set(people) <= await _marked(rows, shop)
    await work()
    found = await rows("select sum(orders_30d)::int as n from customer_stats where shop_id = $1", shop.id)
    assert found == [{"n": 0}]


async def test_the_sweep_reads_ranges_of_indexes(entry: Entry, rows: Rows, shop: Shop) -> None:
    """EXPLAIN as the service's role over 20,000 customers: no table is read from end to end."""
    await rows(
        """
        with people as (
            insert into customers (shop_id, id, created_at, updated_at, told_at)
            select $1, n, timestamptz '2024-01-01' + n * interval '1 hour', now(), now()
            from generate_series(1, 20000) as n returning id
        ),
        counted as (
            insert into customer_stats (shop_id, customer_id, since_on, active_on, orders, first_on, last_on)
            select $1, id, date '2024-01-01' + (id % 900)::int, date '2024-01-01' + (id % 900)::int, 1,
                   date '2024-01-01' + (id % 900)::int, date '2024-01-01' + (id % 900)::int
            from people
        ),
        scored as (
            insert into customer_scores (shop_id, customer_id, created_at, cycle_turns_on)
            select $1, id, now(), date '2024-01-01' + (id % 900)::int from people
        )
        insert into orders
            (shop_id, order_no, customer_id, origin_customer_id, status, paid_at, amount_fen, currency, source_version,
             payload_hash, received_at)
        select $1, 'O' || id, id, id, 'paid', timestamptz '2024-01-01' + (id % 900) * interval '1 day', 100, 'CNY',
               1, '', now()
        from people returning 1
        """,
        shop.id,
    )
    tables = ("customers", "customer_stats", "customer_scores", "orders")
    for table in tables:
        await rows(f"analyze {table}")
    day = date(2026, 1, 1)
    edges: list[datetime] = [datetime(2026, 1, 1, tzinfo=UTC) - timedelta(days=n) for n in (0, 30, 90)]
    values = {
        "shop_id": shop.id,
        "day": day,
        "next_day": day + timedelta(days=1),
        "day_began": edges[0],
        "next_began": edges[0] + timedelta(days=1),
        "moment": clock.now(),
        **{column: [day - timedelta(days=n) for n in (0, 30, 90, 180)] for column in sweep._COLUMNS},
        **{name: edges for name in ("orders_from", "events_from")},
        **{name: [edge + timedelta(days=1) for edge in edges] for name in ("orders_before", "events_before")},
    }
    query = sweep.MARK
    explain = statement(text("select 1"))._replace(
        sql="explain (format text) " + query.sql, names=query.names, defaults=query.defaults
    )
    async with entry.database.transaction(shop.id) as db:
        plan = "\n".join(row["QUERY PLAN"] for row in await db.fetch(explain, **values))
    for table in tables:
        assert f"Seq Scan on {table}" not in plan, plan

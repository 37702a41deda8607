"""How soon scores follow the facts: scattered changes in bulk, orders at a steady pace, and a day that passes."""

import asyncio
import itertools
import os
import signal
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any, Final

import orjson

from app.access import repository as access
from app.access.shops import FRESH_SECONDS
from app.changes import repository as changes
from app.core import clock
from app.core.bell import Bell
from app.main import open_database
from app.refresh.jobs import sweep_day
from benchmarks import client, population
from benchmarks.measure import Figure, Plan, percentile
from benchmarks.population import People
from benchmarks.stage import Stage, Tenant

_SAMPLED: Final = 10  # one order in so many is watched
_WARM_SECONDS: Final = 3  # the processes open their connections and prepare their statements
_LOOK_SECONDS: Final = 0.02
_LOST_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.02

_CHECKED: Final = 5  # so many are read through the API afterwards

_COUNTED: Final = """
    select customer_id, orders from customer_stats where shop_id = $1 and customer_id = any($2::bigint[])
"""
_BUY: Final = """
    insert into orders (shop_id, order_no, customer_id, origin_customer_id, identity_kind, identity_hash, store_id,
                        channel, status, paid_at, amount_fen, currency, source_version, payload_hash, received_at)
    select $1, $3 || customer_id, customer_id, customer_id, 'mobile', ''::bytea, 1, 'store', 'paid', $4, 19900, 'CNY',
           0, ''::bytea, now()
    from unnest($2::bigint[]) as customer_id
"""
_LATER_THAN: Final = """
    select count(distinct customer_id) from (
        select customer_id from customer_stats where shop_id = $1 and xmin::text::bigint >= $2
        union all
        select customer_id from customer_scores where shop_id = $1 and xmin::text::bigint >= $2
        union all
        select customer_id from customer_predictions where shop_id = $1 and xmin::text::bigint >= $2
    ) written
"""


def figures(place: Stage, tenant: Tenant, people: People, port: int, plan: Plan) -> list[Figure]:
    """The three of them, in a shop that has scores, on a service and a worker that are up."""
    return [
        *_scattered(place, tenant, people),
        *_orders(place, tenant, people, port, plan),
        *_day(place, tenant, people),
    ]


async def buy(owner: Any, tenant: Tenant, customer_ids: Sequence[int], name: str) -> None:
    """An order of each of them on the last day that counts, unseen by the refresh."""
    shop = tenant.shop
    at = clock.day_start(shop.live_as_of(), shop.zone) - timedelta(hours=12)
    await owner.execute(_BUY, shop.id, customer_ids, f"{name}-", at)


# --- scattered changes ----------------------------------------------------------------------------------------------


def _scattered(place: Stage, tenant: Tenant, people: People) -> list[Figure]:
    """Everybody marked has a new order, so that their stats, scores and prediction are really written."""
    few = min(people.count // 20, 10_000)
    place.run(lambda: _refreshed(place, tenant, _spread(people, few // 10, 1), "warm"))
    of_few = place.run(lambda: _refreshed(place, tenant, _spread(people, few, 2), "few"))
    of_many = place.run(lambda: _refreshed(place, tenant, _spread(people, 10 * few, 0), "many"))
    form = f"{10 * few:,} of {people.count:,} customers in {of_many:.1f} s, {few:,} in {of_few:.2f} s"
    return [
        Figure(
            "scoring: scattered customers refreshed",
            [10 * few / of_many],
            "per s",
            3000,
            detail=f"one worker, each with a new order; {form}",
        ),
        Figure("scoring: ten times the changes take", [of_many / of_few], "×", 11, higher_is_better=False, detail=form),
    ]


def _spread(people: People, count: int, start: int) -> list[int]:
    """So many customers from one end of the shop to the other."""
    step = people.count // count
    return list(range(people.first + start % step, people.first + people.count, step))[:count]


async def _refreshed(place: Stage, tenant: Tenant, customer_ids: list[int], name: str) -> float:
    """Seconds from the commit of the marks until the queue is empty."""
    async with place.owner() as owner:
        await buy(owner, tenant, customer_ids, name)
        await owner.execute("checkpoint")
        bell = Bell(place.settings.redis_url.get_secret_value(), queue=place.settings.worker_queue)
        database = open_database(place.settings, bell)
        bell.start()
        try:
            async with database.transaction(tenant.shop.id) as db:
                await changes.mark_changed(db, tenant.shop.id, customer_ids, clock.now())
            begun = time.perf_counter()
            await _until_done(owner, tenant)
            return time.perf_counter() - begun
        finally:
            await bell.close()
            await database.close()


async def _until_done(owner: Any, tenant: Tenant) -> None:
    left = "select exists (select from customer_changes where shop_id = $1)"
    while await owner.fetchval(left, tenant.shop.id):  # noqa: ASYNC110 another process does the work
        await asyncio.sleep(_POLL_SECONDS)


# --- orders ---------------------------------------------------------------------------------------------------------


def _orders(place: Stage, tenant: Tenant, people: People, port: int, plan: Plan) -> list[Figure]:
    per_second, seconds = 200, 10 if plan.quick else 30
    waits, answers, lost = place.run(lambda: _readable(place, tenant, people, port, per_second, per_second * seconds))
    milliseconds = [wait * 1000 for wait in waits] or [float("inf")]
    form = (
        f"{per_second} orders/s for {seconds} s, one in {_SAMPLED} watched, {lost} lost; answered in "
        f"{median(answers) * 1000:,.0f} ms (p99 {percentile(answers, 0.99) * 1000:,.0f})"
    )
    return [
        Figure(
            f"scoring: order in to score readable, {name}",
            [min(milliseconds), max(milliseconds)],
            "ms",
            target,
            higher_is_better=False,
            value=percentile(milliseconds, share),
            detail=form,
        )
        for name, share, target in (("p50", 0.5, 300), ("p99", 0.99, 1000))
    ]


async def _readable(
    place: Stage, tenant: Tenant, people: People, port: int, per_second: int, count: int
) -> tuple[list[float], list[float], int]:
    """Returns: seconds from when an order was due until its customer's scores count it, and to its answer; the lost."""
    numbered = (people.first + number for number in range(people.count - 1, -1, -1))
    known = ((number, people.mobile_of(number)) for number in numbered)
    first = _WARM_SECONDS * per_second
    buyers = list(itertools.islice(((number, digits) for number, digits in known if digits), first + count))
    if len(buyers) < first + count:
        raise client.WrongAnswer(f"there are {len(buyers)} customers with a mobile; {first + count} must buy")
    await population.settle(place)
    requests = [_order(tenant, digits) for _, digits in buyers]
    await client.pace(port, requests[:first], per_second, b'"created"')
    watched = [buyers[index][0] for index in range(first, len(buyers), _SAMPLED)]
    async with place.owner() as owner:
        await _until_done(owner, tenant)
        rows = await owner.fetch(_COUNTED, tenant.shop.id, watched)
        before = {row["customer_id"]: row["orders"] for row in rows}
        sending = asyncio.create_task(client.pace(port, requests[first:], per_second, b'"created"'))
        moments = await _moments(owner, tenant, before, len(requests) / per_second + _LOST_SECONDS)
        sent = await sending
    due = dict(zip(watched, (moment for moment, _ in sent[::_SAMPLED]), strict=True))
    for number in list(moments)[:_CHECKED]:
        scores = await client.call(port, "GET", f"/v1/customers/{number}/scores", bearer=tenant.api_key)
        if scores["orders"] <= before[number]:
            raise client.WrongAnswer(f"the database counts an order of customer {number}, the API does not")
    waits = [moment - due[number] for number, moment in moments.items()]
    return waits, [took for _, took in sent], len(watched) - len(waits)


async def _moments(owner: Any, tenant: Tenant, before: dict[int, int], seconds: float) -> dict[int, float]:
    """When each customer's stats, which are committed with their scores, counted one order more.

    By one connection and one question for all of them: asked through the API of each, the looking would be the load.
    """
    seen: dict[int, float] = {}
    deadline = time.perf_counter() + seconds
    while len(seen) < len(before) and time.perf_counter() < deadline:
        rows = await owner.fetch(_COUNTED, tenant.shop.id, list(before.keys() - seen.keys()))
        moment = time.perf_counter()
        seen |= {row["customer_id"]: moment for row in rows if row["orders"] > before[row["customer_id"]]}
        await asyncio.sleep(_LOOK_SECONDS)
    return seen


def _order(tenant: Tenant, digits: str) -> bytes:
    body: dict[str, Any] = {
        "order_no": f"FRESH-{digits}",
        "identities": [{"kind": "mobile", "value": digits}],
        "paid_at": datetime.now(UTC).isoformat(),
        "amount_fen": 19900,
        "items": [{"sku": "SKU001", "category": "category 1", "quantity": 1, "price_fen": 19900}],
    }
    return client.request("POST", "/v1/orders", orjson.dumps(body), bearer=tenant.api_key)


# --- a day that passes ----------------------------------------------------------------------------------------------


def _day(place: Stage, tenant: Tenant, people: People) -> list[Figure]:
    """The shop's day moves on by one; the worker stands still until nobody knows the old one any more."""
    os.kill(place.pid("worker"), signal.SIGSTOP)
    try:
        marked, sweeping, since = place.run(lambda: _sweep(place, tenant))
    finally:
        os.kill(place.pid("worker"), signal.SIGCONT)
    refreshing, changed = place.run(lambda: _follow(place, tenant, since))
    return [
        Figure(
            "scoring: sweeping a new day",
            [sweeping],
            "s",
            higher_is_better=False,
            detail=f"{marked:,} of {people.count:,} customers marked, {changed:,} really changed; "
            f"refreshed in {refreshing:.1f} s",
        )
    ]


async def _sweep(place: Stage, tenant: Tenant) -> tuple[int, float, int]:
    """Returns: how many were marked, the seconds it took, and the first transaction after it."""
    async with place.entry() as entry:
        async with entry.shop(tenant.shop.id) as (db, shop):
            day = shop.live_as_of() + timedelta(days=1)
            await db.execute(access.PIN_SHOP, shop=shop.id, pinned_as_of=day)
        entry.shops.forget(tenant.shop.id)
        begun = time.perf_counter()
        marked = await sweep_day(entry, tenant.shop.id)
        seconds = time.perf_counter() - begun
    async with place.owner() as owner:
        since = int(await owner.fetchval("select pg_current_xact_id()::text"))
    await asyncio.sleep(FRESH_SECONDS + 1)
    return marked, seconds, since


async def _follow(place: Stage, tenant: Tenant, since: int) -> tuple[float, int]:
    """Seconds that the worker takes for whoever was marked, and how many of them changed."""
    async with place.owner() as owner:
        begun = time.perf_counter()
        await _until_done(owner, tenant)
        return time.perf_counter() - begun, await owner.fetchval(_LATER_THAN, tenant.shop.id, since)

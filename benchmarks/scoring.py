"""Scores of a large shop: the full run beside SQL written by hand, the model, and how soon scores follow the facts."""

import asyncio
import os
import signal
import time
from collections.abc import Sequence
from datetime import datetime
from statistics import median
from typing import Any, Final, NamedTuple

from app.cli.console import say
from app.scoring.facts import STATS
from app.scoring.judging import SCORED
from benchmarks import client, freshness, handwritten, modelling, population, stage
from benchmarks.measure import Figure, Plan, peak_memory_mb
from benchmarks.population import People
from benchmarks.stage import Stage, Tenant

ORDERS_EACH: Final = 5
EVENTS_EACH: Final = 2
DAYS: Final = 730
_CHANGED: Final = 100  # every hundredth customer buys again before the second run
_LARGE: Final = 300_000  # from here on one round is long enough to be told from noise
_TABLES: Final = ("customer_stats", "customer_scores", "customer_predictions")
_RUNS: Final = ("score_runs", "score_models", "tier_changes", "stage_changes", "customer_totals")

# Rows as texts, with customers counted from the shop's first. Predictions are compared apart: they are rounded, and a
# value on the edge may fall to either side in other company.
_DIGEST: Final = f"""
    select (select md5(string_agg(md5((s.customer_id - $2, {", ".join(f"s.{name}" for name in STATS)})::text), ''
                                  order by s.customer_id))
            from customer_stats s where s.shop_id = $1) as stats,
           (select md5(string_agg(md5((k.customer_id - $2, k.created_at,
                                       {", ".join(f"k.{name}" for name in SCORED)})::text), ''
                                  order by k.customer_id))
            from customer_scores k where k.shop_id = $1) as scores,
           (select md5(string_agg(md5((h.customer_id - $2, from_tier, to_tier, cause, as_of)::text), ''
                                  order by h.customer_id, h.id))
            from tier_changes h where h.shop_id = $1) as tier_changes,
           (select md5(string_agg(md5((h.customer_id - $2, from_stage, to_stage, cause, as_of)::text), ''
                                  order by h.customer_id, h.id))
            from stage_changes h where h.shop_id = $1) as stage_changes,
           (select string_agg((to_jsonb(r) - array['shop_id', 'id', 'created_at', 'published_at'])::text, ' '
                              order by r.created_at)
            from score_runs r where r.shop_id = $1) as runs,
           (select string_agg((to_jsonb(m) -> 'fit')::text, ' ' order by m.created_at)
            from score_models m where m.shop_id = $1) as fits,
           (select customers from customer_totals where shop_id = $1) as total
"""  # noqa: S608 column names
_PREDICTED_APART: Final = """
    select count(*)
    from (select *, customer_id - $2 as number from customer_predictions where shop_id = $1) a
    full join (select *, customer_id - $4 as number from customer_predictions where shop_id = $3) b using (number)
    where a.number is null or b.number is null
        or abs(a.p_alive - b.p_alive) > 1.5e-6
        or abs(a.expected_purchases_90d - b.expected_purchases_90d) > 1.5e-6
        or abs(a.expected_purchases_365d - b.expected_purchases_365d) > 1.5e-6
        or abs(a.expected_spend_fen - b.expected_spend_fen) > 1
        or abs(a.clv_predicted_fen - b.clv_predicted_fen) > 1
"""
_WRITTEN: Final = """
    select count(*), count(*) filter (where xmin::text::bigint >= $2) as written from {table} where shop_id = $1
"""

Shop = tuple[Tenant, People]


class Round(NamedTuple):
    """Seconds of our first and second run and of the hand-written ones, and the share of rows that our second wrote."""

    first: float
    again: float
    by_hand: float
    by_hand_again: float
    written: dict[str, float]


def run(plan: Plan) -> list[Figure]:
    """First and second run of each side in turns, then the model, then what the worker does between runs."""
    count = plan.population(20_000, 100_000)
    rounds = 1 if count >= _LARGE or plan.quick else 3
    with stage.up(plan) as place:
        ours, bare = place.run(lambda: _prepare(place, count))
        port = place.serve()
        place.work()
        taken = []
        for _ in range(rounds):
            taken.append(place.run(lambda: _round(place, ours, bare, port)))
            say(f"  {taken[-1]}")
        memory = peak_memory_mb(place.pid("worker"))
        form = f"{count:,} customers, {ORDERS_EACH * count:,} orders, {EVENTS_EACH * count:,} events"
        figures = [*_full_runs(taken, form), _memory(memory, form), *modelling.figures(place, ours[0])]
        return figures + freshness.figures(place, *ours, port, plan)


def _full_runs(taken: Sequence[Round], form: str) -> list[Figure]:
    first, again, by_hand, by_hand_again = (
        [getattr(each, name) for each in taken] for name in ("first", "again", "by_hand", "by_hand_again")
    )
    shares = {name: [each.written[name] for each in taken] for name in taken[0].written}
    return [
        Figure(
            "scoring: first run beside hand-written SQL",
            [a / b for a, b in zip(first, by_hand, strict=True)],
            "×",
            1.5,
            higher_is_better=False,
            detail=f"{median(first):.1f} s, by hand {median(by_hand):.1f} s; {form}",
        ),
        Figure(
            "scoring: second run beside the first",
            [a / b for a, b in zip(again, first, strict=True)],
            "×",
            0.8,
            higher_is_better=False,
            detail=f"{median(again):.1f} s after {median(first):.1f} s; by hand {median(by_hand_again):.1f} s; "
            f"one customer in {_CHANGED} had bought",
        ),
        Figure(
            "scoring: rows that the second run wrote",
            shares["all"],
            "%",
            2,
            higher_is_better=False,
            detail=", ".join(f"{name} {median(shares[name]):.1f} %" for name in _TABLES),
        ),
    ]


def _memory(megabytes: float, form: str) -> Figure:
    return Figure("scoring: worker's peak memory", [megabytes], "MB", 600, higher_is_better=False, detail=form)


async def _prepare(place: Stage, count: int) -> tuple[Shop, Shop]:
    ours, bare = await place.open_shop("service"), await place.open_shop("by hand")
    people = await population.people(place, ours, count)
    same = await population.people(place, bare, count, writer=population.plain())
    await population.orders(place, ours, people, ORDERS_EACH * count, DAYS)
    await population.same_orders(place, (ours, people), (bare, same))
    for tenant in (ours, bare):
        await population.lines(place, tenant)
    await population.events(place, ours, people, EVENTS_EACH * count)
    await population.same_events(place, (ours, people), (bare, same))
    return (ours, people), (bare, same)


async def _round(place: Stage, ours: Shop, bare: Shop, port: int) -> Round:
    await _forget(place, ours, bare)
    first = await _run_ours(place, ours[0], port)
    await _until_told(place, ours[0])
    by_hand = await _run_by_hand(place, bare)
    for shop in (ours, bare):
        await _buy_again(place, shop)
    async with place.owner() as owner:
        begun = int(await owner.fetchval("select pg_current_xact_id()::text"))
    again = await _run_ours(place, ours[0], port)
    written = await _written(place, ours[0], begun)
    await _until_told(place, ours[0])
    by_hand_again = await _run_by_hand(place, bare)
    await _compare(place, ours, bare)
    return Round(first, again, by_hand, by_hand_again, written)


async def _run_ours(place: Stage, tenant: Tenant, port: int) -> float:
    """From the moment the job was asked for to its end, by the database's clock."""
    accepted = await client.call(port, "POST", "/v1/triggers/rescore", {}, bearer=tenant.api_key)
    while True:
        job: dict[str, Any] = await client.call(port, "GET", f"/v1/jobs/{accepted['job_id']}", bearer=tenant.api_key)
        if job["state"] not in ("queued", "running"):
            break
        await asyncio.sleep(0.2)
    if job["state"] != "done":
        raise client.WrongAnswer(f"the job ended as {job['state']}: {job['error']}\n{place.tail('worker')}")
    return (datetime.fromisoformat(job["finished_at"]) - datetime.fromisoformat(job["created_at"])).total_seconds()


async def _run_by_hand(place: Stage, bare: Shop) -> float:
    """The events that it writes must not be carried off by the worker meanwhile."""
    tenant, _ = bare
    os.kill(place.pid("worker"), signal.SIGSTOP)
    try:
        async with place.owner() as owner:
            before = await owner.fetchval("select count(*) from tier_changes where shop_id = $1", tenant.shop.id)
            begun = time.perf_counter()
            await handwritten.rescore(owner, tenant.shop.id, tenant.shop.live_as_of(), tenant.shop.zone.key)
            seconds = time.perf_counter() - begun
            moved = await owner.fetchval("select count(*) from tier_changes where shop_id = $1", tenant.shop.id)
            told = await owner.fetchval("select count(*) from domain_events where shop_id = $1", tenant.shop.id)
            if told != moved - before:
                raise client.WrongAnswer(f"the hand-written run told of {told} of {moved - before} changes of tier")
            await owner.execute("delete from domain_events where shop_id = $1", tenant.shop.id)
            await owner.execute("checkpoint")
    finally:
        os.kill(place.pid("worker"), signal.SIGCONT)
    return seconds


async def _buy_again(place: Stage, shop: Shop) -> None:
    """An order of every hundredth customer on the last day that counts; nobody asks the refresh to look at them."""
    tenant, people = shop
    async with place.owner() as owner:
        await freshness.buy(owner, tenant, list(range(people.first, people.first + people.count, _CHANGED)), "again")


async def _written(place: Stage, tenant: Tenant, since: int) -> dict[str, float]:
    """The share of rows, in per cent, that transactions from `since` on wrote; by table, and of all three together."""
    async with place.owner() as owner:
        rows = {name: await owner.fetchrow(_WRITTEN.format(table=name), tenant.shop.id, since) for name in _TABLES}
    shares = {name: 100 * row["written"] / row["count"] for name, row in rows.items()}
    return shares | {"all": 100 * sum(r["written"] for r in rows.values()) / sum(r["count"] for r in rows.values())}


async def _compare(place: Stage, ours: Shop, bare: Shop) -> None:
    async with place.owner() as owner:
        a, b = [dict(await owner.fetchrow(_DIGEST, tenant.shop.id, people.first)) for tenant, people in (ours, bare)]
        for name in a:
            if a[name] != b[name]:
                raise client.WrongAnswer(f"the two sides have different {name}:\n{a[name]}\n{b[name]}")
        sides = [number for tenant, people in (ours, bare) for number in (tenant.shop.id, people.first)]
        if apart := await owner.fetchval(_PREDICTED_APART, *sides):
            raise client.WrongAnswer(f"the two sides predict {apart} customers differently")
        if not await owner.fetchval("select exists (select from customer_predictions)"):
            reason = await owner.fetchval("select declined::text from score_models where shop_id = $1", ours[0].shop.id)
            raise client.WrongAnswer(f"nobody was predicted: {reason}")


async def _until_told(place: Stage, tenant: Tenant) -> None:
    """Until the worker has carried off the events of the run."""
    async with place.owner() as owner:
        left = "select exists (select from domain_events where shop_id = $1)"
        while await owner.fetchval(left, tenant.shop.id):  # noqa: ASYNC110 another process does the work
            await asyncio.sleep(0.2)
        await owner.execute("checkpoint")


async def _forget(place: Stage, *shops: Shop) -> None:
    """Both shops as they were before their first run, in tables without dead rows."""
    async with place.owner() as owner:
        for tenant, _ in shops:
            for table in (*_TABLES, *_RUNS):
                await owner.execute(f"delete from {table} where shop_id = $1", tenant.shop.id)  # noqa: S608 ours
            await owner.execute("delete from orders where shop_id = $1 and order_no like 'again%'", tenant.shop.id)
        await owner.execute(f"vacuum full {', '.join((*_TABLES, 'tier_changes', 'stage_changes', 'domain_events'))}")
    await population.settle(place)

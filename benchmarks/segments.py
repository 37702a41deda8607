"""Segments of a large shop: builds beside SQL written by hand, previews, and what keeping many of them costs."""

import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from statistics import median
from typing import Any, Final, NamedTuple

import orjson

from app.access.entry import Entry
from app.cli.console import say
from app.core import clock
from app.core.db import Statement
from app.segments.membership.building import PATIENCE_SECONDS
from app.segments.patience import PLAN
from benchmarks import client, segment_keeping, segment_latency, segment_sets, segment_shop, stage
from benchmarks.client import WrongAnswer
from benchmarks.measure import RATIO, Figure, Plan, percentile
from benchmarks.segment_rules import TYPICAL, by_hand, variants
from benchmarks.segment_shop import SegmentShop
from benchmarks.stage import Stage

_LARGE: Final = 300_000  # from here on two rounds are long enough to be told from noise
_BESIDE_HAND: Final = 1.5
_PREVIEW_MS: Final = 1_000

_MEMBERS: Final = """
    select count(*) as customers, md5(string_agg(customer_id::text, ' ' order by customer_id)) as digest
    from segment_members where shop_id = $1 and segment_id = $2
"""
_LOGGED: Final = "select count(*) from segment_changes where shop_id = $1 and segment_id = $2 and entered"


class Builds(NamedTuple):
    """Seconds of one rule's builds round by round, and how many customers meet it."""

    ours: list[float]
    by_hand: list[float]
    customers: int


def run(plan: Plan) -> list[Figure]:
    """Builds, previews, refreshes and sweeps of one shop, then calls and events through the processes."""
    count = plan.population(20_000, 100_000)
    rounds = 1 if plan.quick else 2 if count >= _LARGE else 3
    with stage.up(plan) as place:
        began = time.monotonic()
        where = place.run(lambda: segment_shop.fill(place, count))
        say(f"  filled in {time.monotonic() - began:.0f} s: {where.form}")
        ids = place.run(lambda: segment_sets.define(place, where, variants()[: len(TYPICAL)]))
        built = place.run(lambda: _builds(place, where, ids, rounds))
        figures = _build_figures(built, where)
        port = place.serve()
        figures.append(place.run(lambda: _previews(where, port, 3 if plan.quick else 5)))
        ids += place.run(lambda: segment_sets.define(place, where, variants()[len(TYPICAL) :]))
        seconds = place.run(lambda: segment_sets.build_all(place, where, ids))
        say(f"  {len(ids)} segments built in {seconds:.0f} s")
        figures += segment_keeping.figures(place, where, ids, plan)
        figures += segment_latency.figures(place, where, ids, port, plan)
        return figures


# --- builds ---------------------------------------------------------------------------------------------------------


async def _builds(place: Stage, where: SegmentShop, ids: Sequence[int], rounds: int) -> list[Builds]:
    """Both sides of each rule in turns, into empty tables; who goes first changes each time."""
    # Rules are asked at the latest moment that has been swept to: so both sides ask at the same one.
    moment = clock.now() + timedelta(hours=1)
    await segment_sets.swept_to(place, where, moment)
    built = [Builds([], [], 0) for _ in TYPICAL]
    async with place.entry() as entry, place.owner() as owner:
        for number in range(rounds):
            for index, segment_id in enumerate(ids):
                found = {}
                for ours in (True, False) if (number + index) % 2 == 0 else (False, True):
                    await owner.execute("truncate segment_members, segment_changes, segment_moves, domain_events")
                    if ours:
                        built[index].ours.append(await segment_sets.build(entry, where.id, segment_id))
                    else:
                        built[index].by_hand.append(await _by_hand(entry, where, index, segment_id, moment))
                    found[ours] = await _found(owner, where, segment_id)
                if found[True] != found[False] or not found[True]["customers"]:
                    raise WrongAnswer(f"{TYPICAL[index].name}: built {found[True]}, by hand {found[False]}")
                built[index] = built[index]._replace(customers=found[True]["customers"])
    await segment_sets.swept_to(place, where, clock.now())
    return built


async def _by_hand(entry: Entry, where: SegmentShop, index: int, segment_id: int, moment: datetime) -> float:
    """Behind row security, as the service's role and with the memory that builds have."""
    shop = where.tenant.shop
    sql = by_hand(TYPICAL[index], shop.id, segment_id, moment, shop.zone)
    began = time.perf_counter()
    async with entry.shop(shop.id) as (db, _):
        await db.execute(PLAN)
        db.patience = PATIENCE_SECONDS
        await db.execute(Statement(sql, (), {}))
    return time.perf_counter() - began


async def _found(owner: Any, where: SegmentShop, segment_id: int) -> dict[str, Any]:
    found = dict(await owner.fetchrow(_MEMBERS, where.id, segment_id))
    return found | {"logged": await owner.fetchval(_LOGGED, where.id, segment_id)}


def _build_figures(built: Sequence[Builds], where: SegmentShop) -> list[Figure]:
    figures = [
        Figure(
            f"segments: build of “{typical.name}” beside SQL by hand",
            [ours / hand for ours, hand in zip(one.ours, one.by_hand, strict=True)],
            RATIO,
            _BESIDE_HAND,
            higher_is_better=False,
            detail=f"{1000 * median(one.ours):,.0f} ms, by hand {1000 * median(one.by_hand):,.0f} ms; "
            f"{one.customers:,} customers",
        )
        for typical, one in zip(TYPICAL, built, strict=True)
    ]
    ours, hand = (
        [sum(seconds) for seconds in zip(*sides, strict=True)] for sides in zip(*map(_sides, built), strict=True)
    )
    form = f"{median(ours):.1f} s, by hand {median(hand):.1f} s; {where.form}"
    ratios = [a / b for a, b in zip(ours, hand, strict=True)]
    name = f"segments: builds of all {len(TYPICAL)} rules beside SQL by hand"
    return [Figure(name, ratios, RATIO, _BESIDE_HAND, higher_is_better=False, detail=form), *figures]


def _sides(one: Builds) -> tuple[list[float], list[float]]:
    return one.ours, one.by_hand


# --- previews -------------------------------------------------------------------------------------------------------


async def _previews(where: SegmentShop, port: int, times: int) -> Figure:
    """Each rule's number through the API, one call at a time; the first of each makes the statement, and counts."""
    taken: dict[str, list[float]] = {typical.name: [] for typical in TYPICAL}
    async with client.connected(port, 1) as (connection,):
        for _ in range(times):
            for typical in TYPICAL:
                body = orjson.dumps({"rule": typical.rule(0), "sample": 0})
                ready = client.request("POST", "/v1/segments/preview", body, bearer=where.tenant.api_key)
                began = time.perf_counter()
                client.checked(await connection.ask(ready), b'"customers":')
                taken[typical.name].append((time.perf_counter() - began) * 1000)
    every = [one for many in taken.values() for one in many]
    slowest = sorted(taken, key=lambda name: -median(taken[name]))[:3]
    told = ", ".join(f"{name} {median(taken[name]):,.0f} ms" for name in slowest)
    return Figure(
        "segments: a rule's number of customers, p95",
        [min(every), max(every)],
        "ms",
        _PREVIEW_MS,
        higher_is_better=False,
        value=percentile(every, 0.95),
        detail=f"median {median(every):,.0f} ms of {len(every)} calls; slowest {told}; {where.form}",
    )

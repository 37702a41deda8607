"""What keeping many segments costs: a refresh of changed customers, and the sweep of those whom time has turned."""

import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import count as numbers
from statistics import median
from typing import Any, Final

from app.access.entry import Entry, in_shop
from app.access.shops import Shop
from app.changes import repository as changes
from app.cli.console import say
from app.core import clock
from app.core.db import Connection
from app.refresh.jobs import refresh_changed
from app.scoring import measuring
from app.scoring import repository as scores
from app.segments.membership import keeping, sweeping
from app.segments.membership.plan import moment_of
from app.segments.membership.sweeping import Turned
from benchmarks import segment_sets
from benchmarks.client import WrongAnswer
from benchmarks.measure import RATIO, Figure, Plan
from benchmarks.segment_rules import TYPICAL, burst
from benchmarks.segment_shop import BURST, BURST_SECONDS, BURSTS, SegmentShop
from benchmarks.stage import Stage

CHANGED: Final = 1_000
_CHUNK: Final = 5_000  # as the worker sweeps
_REFRESH_SECONDS: Final = 2.0
_SWEEP_MS: Final = 200
_PER_RULE: Final = 1.2

_FACTS: Final[tuple[changes.What, ...]] = ("order", "event")
# Each has bought and looked just now.
_BUY: Final = """
    insert into orders (shop_id, order_no, customer_id, origin_customer_id, identity_kind, identity_hash, store_id,
                        channel, status, paid_at, amount_fen, currency, source_version, payload_hash, received_at)
    select $1, $3 || customer_id, customer_id, customer_id, 'mobile', ''::bytea, 1, 'store', 'paid', now(), 19900,
           'CNY', 0, ''::bytea, now()
    from unnest($2::bigint[]) as customer_id
"""
_LOOK: Final = """
    insert into events (shop_id, id, occurred_at, received_at, customer_id, origin_customer_id, identity_kind,
                        identity_hash, type, properties, store_id, source)
    select $1, gen_random_uuid(), now(), now(), customer_id, customer_id, 'mobile', ''::bytea, 'view',
           '{"product": "P001", "price": 5900}', 1, 'mini-program'
    from unnest($2::bigint[]) as customer_id
"""
_PUT_BACK: Final = """
    insert into segment_members (shop_id, segment_id, customer_id, version, entered_at)
    select $1, one.segment_id, e.customer_id, 1, $4
    from unnest($2::bigint[], $3::text[]) as one (segment_id, product)
    join events e on e.shop_id = $1 and e.type = 'campaign_response'
        and e.properties ->> 'product' = one.product
    on conflict do nothing
"""


def figures(place: Stage, where: SegmentShop, ids: Sequence[int], plan: Plan) -> list[Figure]:
    """Refreshes with few and with all of these segments; sweeps of bursts, of nothing, and of a day's turn."""
    rounds = 1 if plan.quick else 3
    kept = place.run(lambda: _refreshes(place, where, ids, rounds))
    bursts = place.run(lambda: segment_sets.define(place, where, [(f"burst {n}", burst(n)) for n in _days()]))
    place.run(lambda: segment_sets.build_all(place, where, bursts))
    return kept + place.run(lambda: _sweeps(place, where, ids, bursts, rounds))


# --- refreshes ------------------------------------------------------------------------------------------------------


async def _refreshes(place: Stage, where: SegmentShop, ids: Sequence[int], rounds: int) -> list[Figure]:
    few, names = list(ids[: len(TYPICAL)]), numbers()
    kept: dict[int, list[float]] = {len(few): [], len(ids): []}
    whole: dict[int, list[float]] = {len(few): [], len(ids): []}
    cold: dict[int, float] = {}
    async with place.entry() as entry, place.owner() as owner:
        for _ in range(rounds):
            for some in (few, ids):
                await segment_sets.keep_only(place, where, some)
                # The first one checks the rules and prepares the statements of this connection.
                took = await _keep(entry, where, await _change(owner, where, next(names)))
                cold.setdefault(len(some), took)
                kept[len(some)].append(await _keep(entry, where, await _change(owner, where, next(names))))
                whole[len(some)].append(await _refresh(entry, where, await _change(owner, where, next(names))))
            say(f"  kept {kept}, refreshed {whole}")
        await owner.execute("truncate domain_events")
    per_rule = {size: [1000 * seconds / size for seconds in taken] for size, taken in kept.items()}
    form = f"{CHANGED:,} customers, each with a new order and a view; {where.form}"
    return [
        Figure(
            f"segments: membership of {CHANGED:,} changed customers in {len(ids)} segments",
            kept[len(ids)],
            "s",
            _REFRESH_SECONDS,
            higher_is_better=False,
            detail=f"the first time on a connection {cold[len(ids)]:.2f} s; {form}",
        ),
        Figure(
            f"segments: the whole refresh of {CHANGED:,} customers, {len(ids)} segments",
            whole[len(ids)],
            "s",
            _REFRESH_SECONDS,
            higher_is_better=False,
            detail=f"stats, predictions, scores and membership; with {len(few)} segments "
            f"{median(whole[len(few)]):.2f} s; {form}",
        ),
        Figure(
            f"segments: a rule among {len(ids)} beside one among {len(few)}",
            [a / b for a, b in zip(per_rule[len(ids)], per_rule[len(few)], strict=True)],
            RATIO,
            _PER_RULE,
            higher_is_better=False,
            detail=f"{median(per_rule[len(ids)]):.2f} ms a rule, {median(per_rule[len(few)]):.2f} ms; {form}",
        ),
    ]


async def _change(owner: Any, where: SegmentShop, number: int) -> list[int]:
    """New facts of so many others, whom nobody has been asked to look at yet."""
    customer_ids = where.some(CHANGED, number)
    await owner.execute(_BUY, where.id, customer_ids, f"keep-{number}-")
    await owner.execute(_LOOK, where.id, customer_ids)
    return customer_ids


async def _keep(entry: Entry, where: SegmentShop, customer_ids: list[int]) -> float:
    """Membership alone, within what a refresh holds and asks of the planner."""

    async def step(db: Connection, shop: Shop) -> float:
        await db.execute(scores.PLAN_FOR_MANY)
        held = await scores.lock(db, shop.id, customer_ids, wait=True)
        await measuring.hold_published(db, shop)
        began = time.perf_counter()
        await keeping.keep(db, shop, held, {}, {}, what=dict.fromkeys(held, _FACTS))
        return time.perf_counter() - began

    return await in_shop(entry, where.id, step)


async def _refresh(entry: Entry, where: SegmentShop, customer_ids: list[int]) -> float:
    async with entry.shop(where.id) as (db, shop):
        for what in _FACTS:
            await changes.mark_changed(db, shop.id, customer_ids, clock.now(), what=what)
    began = time.perf_counter()
    done = await refresh_changed(entry, len(_FACTS) * CHANGED, where.id)
    seconds = time.perf_counter() - began
    if done != len(_FACTS) * len(customer_ids):
        raise WrongAnswer(f"the refresh did with {done} of {len(customer_ids)} customers")
    return seconds


# --- sweeps ---------------------------------------------------------------------------------------------------------


async def _sweeps(
    place: Stage, where: SegmentShop, ids: Sequence[int], bursts: Sequence[int], rounds: int
) -> list[Figure]:
    """From the newest fact of the filling on: within a minute each burst has left its window."""
    begin, end = where.end, where.end + timedelta(seconds=BURST_SECONDS)
    hour = end + timedelta(hours=1)
    one = await _burst_swept(place, where, bursts[:1], begin, end, rounds)
    many = await _burst_swept(place, where, bursts, begin, end, rounds)
    still = {}
    for some in (bursts[:1], bursts, ids):
        await segment_sets.keep_only(place, where, some)
        async with place.entry() as entry:
            await _swept(place, entry, where, end, hour)
            still[len(some)] = [
                (await _swept(place, entry, where, hour, hour + timedelta(seconds=60)))[0] for _ in range(rounds)
            ]
    late = ids[len(ids) // 4 :]
    midnight = moment_of(where.tenant.shop, begin).today + timedelta(days=1)
    turn = clock.day_start(midnight, where.tenant.shop.zone)
    await segment_sets.keep_only(place, where, late)
    async with place.entry() as entry:
        await _swept(place, entry, where, turn - timedelta(seconds=90), turn - timedelta(seconds=60))
        day, moved = await _swept(place, entry, where, turn - timedelta(seconds=60), turn + timedelta(seconds=1))
    await segment_sets.swept_to(place, where, clock.now())
    form = f"a minute in which {BURST:,} customers leave each of them; {where.form}"
    return [
        Figure(
            f"segments: sweep of {BURST:,} flips, one segment",
            [1000 * seconds for seconds in one],
            "ms",
            _SWEEP_MS,
            higher_is_better=False,
            detail=form,
        ),
        Figure(
            f"segments: sweep of {BURST:,} flips each, {len(bursts)} segments, per segment",
            [1000 * seconds / len(bursts) for seconds in many],
            "ms",
            _SWEEP_MS,
            higher_is_better=False,
            detail=form,
        ),
        *(
            Figure(
                f"segments: sweep of a quiet minute, {size} segment{'s' * (size > 1)}",
                [1000 * seconds for seconds in taken],
                "ms",
                higher_is_better=False,
                detail=f"of {'all kinds' if size == len(ids) else 'bursts'}, hardly anybody flips; "
                f"{median(taken) * 1000 / size:.2f} ms a segment; {where.form}",
            )
            for size, taken in still.items()
        ),
        Figure(
            f"segments: sweep across midnight, {len(late)} segments of all kinds",
            [day],
            "s",
            higher_is_better=False,
            detail=f"{moved:,} flips; {where.form}",
        ),
    ]


async def _burst_swept(
    place: Stage, where: SegmentShop, ids: Sequence[int], begin: datetime, end: datetime, rounds: int
) -> list[float]:
    await segment_sets.keep_only(place, where, ids)
    products = [f"B{day:02}" for day in _days()][: len(ids)]
    taken = []
    async with place.entry() as entry:
        await _swept(place, entry, where, begin - timedelta(seconds=1), begin)  # prepares the statements
        for _ in range(rounds):
            async with place.owner() as owner:
                await owner.execute(_PUT_BACK, where.id, list(ids), products, begin)
                await owner.execute("vacuum (analyze) segment_members")
            seconds, moved = await _swept(place, entry, where, begin, end)
            if moved != BURST * len(ids):
                raise WrongAnswer(f"{moved} customers left {len(ids)} segments; {BURST} must leave each of them")
            taken.append(seconds)
    return taken


async def _swept(place: Stage, entry: Entry, where: SegmentShop, begin: datetime, end: datetime) -> tuple[float, int]:
    """The worker's steps of a sweep from one moment to another, which need not be now. Returns seconds and flips."""
    await segment_sets.swept_to(place, where, begin)
    began = time.perf_counter()
    turned = await in_shop(entry, where.id, partial(sweeping.look, to=end))
    if turned is None:
        raise WrongAnswer("there is nothing to be swept")
    everybody, moved = turned.everybody(), 0
    for start in range(0, len(everybody), _CHUNK):
        step = partial(_ask, turned=turned, customer_ids=everybody[start : start + _CHUNK], end=end)
        moved += await in_shop(entry, where.id, step)
    await in_shop(entry, where.id, partial(sweeping.finish, turned=turned))
    return time.perf_counter() - began, moved


async def _ask(db: Connection, shop: Shop, *, turned: Turned, customer_ids: list[int], end: datetime) -> int:
    held = await scores.lock(db, shop.id, customer_ids, wait=True)
    await measuring.hold_published(db, shop)
    return await sweeping.sweep(db, shop, turned, held, moment=moment_of(shop, end))


def _days() -> range:
    return range(1, BURSTS + 1)

"""The full run: everybody's stats, what the run measures, everybody's scores, in chunks that can be resumed."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import date, timedelta
from typing import Any, Final
from uuid import UUID

from app.access.entry import in_shop
from app.access.shops import Shop
from app.changes import jobs
from app.core import clock
from app.core.db import Connection, Row
from app.core.errors import DatabaseUnavailable
from app.core.races import RETRIABLE
from app.scoring import fitting, measures, measuring, runs
from app.scoring import repository as scores
from app.scoring import service as scoring
from app.scoring.facts import EVENT_DAYS
from app.scoring.fitting import Answer, Question
from app.scoring.measuring import Yardstick
from app.scoring.tiers import service as tiers
from app.segments.membership import after_runs as segments

CHUNK: Final = 10_000

Step = Callable[[Connection, Shop, list[int]], Awaitable[object]]


async def run(lease: jobs.Lease) -> dict[str, Any]:
    """The job: stats, then what the run measures, then scores. Resumes at the chunk where a dead worker stopped.

    Raises: LeaseLost.
    """
    try:
        return await _run(lease)
    except (jobs.LeaseLost, DatabaseUnavailable, *RETRIABLE):
        raise
    except Exception:
        run_id = UUID(lease.arguments["run_id"])
        await in_shop(lease.entry, lease.shop_id, lambda db, of: db.execute(runs.FAIL, shop_id=of.id, id=run_id))
        raise


async def _run(lease: jobs.Lease) -> dict[str, Any]:
    entry, arguments = lease.entry, lease.arguments
    run_id = UUID(arguments["run_id"])
    as_of = date.fromisoformat(arguments["as_of"]) if arguments["as_of"] else None
    live = as_of is None
    async with entry.shop(lease.shop_id) as (db, shop):
        count = int(await db.fetch_value(scores.COUNT_CUSTOMERS, shop_id=shop.id))
        opened = await open_run(db, shop, run_id, as_of)
        told = arguments.get("told") or await _beside_former(db, shop, opened)
    yardstick = measuring.of_run(opened, None, told["cause"])
    steps = _live_steps(yardstick, restate=told["restate"]) if live else _as_of_steps(yardstick)

    if live:
        await in_shop(entry, shop.id, lambda db, of: scores.forget_merged(db, of.id))
    phase, after, done = arguments.get("phase", 0), arguments.get("after", 0), arguments.get("done", 0)
    while phase < len(steps):
        if phase == 1 and after == 0:
            await _measure_everybody(lease, yardstick, live=live)
        while True:
            reached = {"told": told, "phase": phase, "after": after, "done": done}
            chunk = await _chunk(lease, steps[phase], reached, 2 * count)
            if not chunk:
                break
            after, done = chunk[-1], done + len(chunk)
        if live and phase == 0:
            # Whoever was merged while their chunk was measured: a refresh may have looked before it was done.
            await in_shop(entry, shop.id, lambda db, of: scores.forget_merged(db, of.id))
        phase, after = phase + 1, 0
    if live:
        await in_shop(entry, shop.id, segments.build_shares)
    count_tiers = runs.COUNT_TIERS if live else runs.COUNT_SNAPSHOT_TIERS
    await in_shop(entry, shop.id, lambda db, of: db.execute(count_tiers, shop_id=of.id, id=run_id))
    return {"run_id": str(run_id), "as_of": yardstick.as_of.isoformat(), "customers": count}


async def open_run(db: Connection, shop: Shop, run_id: UUID, as_of: date | None) -> Row:
    """The run's row, with the settings and the definition of tiers of this moment; again, as it was opened first."""
    published = await tiers.current(db, shop.id)
    await db.execute(
        runs.OPEN_RUN,
        shop_id=shop.id,
        id=run_id,
        kind="as_of" if as_of else "live",
        as_of=as_of or await scoring.stands_at(db, shop),
        settings=shop.settings.scoring.model_dump(mode="json"),
        tiers=published.definition.stored(),
        tiers_version=published.version,
        moment=clock.now(),
    )
    opened = await db.fetch_one(runs.GET_RUN, shop_id=shop.id, id=run_id)
    assert opened is not None  # noqa: S101 opened above, or by the attempt before
    return opened


async def _beside_former(db: Connection, shop: Shop, opened: Row) -> dict[str, Any]:
    """What the changes of this run come from; and whether a refresh that measures meanwhile counts events otherwise."""
    former = await db.fetch_one(runs.PUBLISHED, shop_id=shop.id)
    if former is None:
        return {"cause": "run", "restate": False}
    return {
        "cause": "definition" if former["tiers"] != opened["tiers"] else "run",
        "restate": former["settings"]["interactions"] != opened["settings"]["interactions"],
    }


def _live_steps(yardstick: Yardstick, *, restate: bool) -> list[Step]:
    """Where segments ask for what is written, whoever differs is looked at again.

    Each chunk looks for segments behind the clock, as builds publish: the first may be built meanwhile.
    """

    async def stats(db: Connection, shop: Shop, chunk: list[int]) -> None:
        known = await scores.known(db, shop.id, chunk)
        # Rows before the clock, as in the refresh. The shop's day may have passed since the run began, or a run that
        # was opened later have been published.
        held = await scores.lock(db, shop.id, sorted(known), wait=True)
        published = await measuring.hold_published(db, shop)
        today = published if published.is_newer(yardstick.opened_at) else replace(yardstick, as_of=published.as_of)
        today = replace(today, marks=await segments.any_kept(db, shop))
        if new := [customer_id for customer_id in chunk if customer_id not in known]:
            await measuring.add_stats(db, shop, new, today)
        if held:
            await measuring.update_stats(db, shop, held, today)

    async def score(db: Connection, shop: Shop, chunk: list[int]) -> None:
        held = await scores.lock(db, shop.id, chunk, wait=True)
        # A newer run may have been published meanwhile; whatever is published now is what counts.
        published = await measuring.hold_published(db, shop, yardstick.cause)
        published = replace(published, marks=await segments.any_kept(db, shop))
        if restate:
            await measuring.update_stats(db, shop, held, published)
        await measuring.score(db, shop, held, published)

    return [stats, score]


def _as_of_steps(yardstick: Yardstick) -> list[Step]:
    async def stats(db: Connection, shop: Shop, chunk: list[int]) -> None:
        await measuring.snapshot_stats(db, shop, chunk, yardstick)

    async def score(db: Connection, shop: Shop, chunk: list[int]) -> None:
        row = await db.fetch_one(runs.GET_RUN, shop_id=shop.id, id=yardstick.run_id)
        model = await db.fetch_one(runs.MODEL_OF, shop_id=shop.id, id=yardstick.run_id)
        assert row is not None  # noqa: S101 opened at the start
        await measuring.snapshot_scores(db, shop, chunk, measuring.of_run(row, model))

    return [stats, score]


async def _chunk(lease: jobs.Lease, step: Step, reached: dict[str, Any], total: int) -> list[int]:
    """One chunk in one transaction with its progress. Returns its customers, none at the end."""

    async def work(db: Connection, shop: Shop) -> list[int]:
        rows = await db.fetch(scores.NEXT_CUSTOMERS, shop_id=shop.id, after=reached["after"], limit=CHUNK)
        chunk = [row["id"] for row in rows]
        if chunk:
            await db.execute(scores.PLAN_FOR_MANY)
            await step(db, shop, chunk)
            now = reached | {"after": chunk[-1], "done": reached["done"] + len(chunk)}
            await lease.report_in(db, now["done"], total, now)
        return chunk

    return await in_shop(lease.entry, lease.shop_id, work)


async def _measure_everybody(lease: jobs.Lease, yardstick: Yardstick, *, live: bool) -> None:
    """Measure what the run compares with; a live run is published then, once no refresh holds the one before."""
    async with lease.kept():
        found, question = await in_shop(
            lease.entry, lease.shop_id, lambda db, shop: ask(db, shop, yardstick, live=live)
        )
        answer = await asyncio.to_thread(fitting.answer, question)

    await in_shop(lease.entry, lease.shop_id, lambda db, shop: publish(db, shop, yardstick, found, answer, live=live))


async def publish(
    db: Connection, shop: Shop, yardstick: Yardstick, found: dict[str, Any], answer: Answer, *, live: bool
) -> None:
    """Write down what the run has measured and what its model is; a live run takes the former one's place.

    Unless one that was opened later, with newer settings, has been published already: then that one stays.
    """
    moment = clock.now()
    await db.execute(runs.PUT_MODEL, shop_id=shop.id, id=yardstick.run_id, moment=moment, **answer.row)
    state = "done"
    if live:
        await runs.take_clock(db, shop.id, yardstick.as_of)
        late = (await measuring.hold_published(db, shop)).is_newer(yardstick.opened_at)
        state = "superseded" if late else "published"
        if not late:
            await db.execute(runs.RETIRE, shop_id=shop.id, id=yardstick.run_id)
    await runs.close(db, shop.id, yardstick.run_id, state, moment, found)


async def ask(db: Connection, shop: Shop, yardstick: Yardstick, *, live: bool) -> tuple[dict[str, Any], Question]:
    """What the run measures, and what its model is made of."""
    settings, as_of, run_id = yardstick.settings, yardstick.as_of, None if live else yardstick.run_id
    source = measures.LIVE if live else measures.SNAPSHOT
    scope: dict[str, Any] = {"shop_id": shop.id, "as_of": as_of} | ({} if live else {"run_id": run_id})
    await db.execute(scores.PLAN_FOR_MANY)
    former = await db.fetch_one(runs.PUBLISHED, shop_id=shop.id) if live else None
    found = await measures.cuts(
        db,
        source,
        method=settings.rfm.method,
        types_by=settings.rfm.types_by,
        quality_share=settings.preferences.quality_share,
        **scope,
    )
    found["tier_values"] = await measures.tier_values(db, source, yardstick.tiers, **scope)
    by_category = await measures.category_cycles(
        db, source, category_customers=settings.cycle.category_customers, **scope
    )
    found |= measures.steady(former, found["cycle_days"], by_category)
    found["cycle_ratios"] = await measures.cycle_ratios(
        db,
        source,
        own_purchase_days=settings.cycle.own_purchase_days,
        zone=shop.zone.key,
        before=clock.day_start(as_of, shop.zone),
        **scope,
    )
    within = found["second_within_days"]
    then = as_of - timedelta(days=within)
    found |= await measures.second_purchases(
        db,
        source,
        within,
        then=then,
        events_from=clock.day_start(then - timedelta(days=min(within, EVENT_DAYS)), shop.zone),
        events_before=clock.day_start(then, shop.zone),
        zone=shop.zone.key,
        kinds=settings.interactions.kinds(),
        **scope,
    )
    model = await db.fetch_one(runs.MODEL_OF, shop_id=shop.id, id=former["id"]) if former else None
    return found, await fitting.ask(db, shop, settings.clv, as_of, model, run_id)

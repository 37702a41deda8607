"""The full run: everybody's stats, new cut points, everybody's scores, in chunks that commit and can be resumed."""

from collections.abc import Awaitable, Callable
from datetime import date
from typing import Any, Final
from uuid import UUID

from app.access.entry import Entry, in_shop
from app.access.settings import TierSettings
from app.access.shops import Shop
from app.changes import jobs
from app.core import clock
from app.core.db import Connection, Row
from app.core.ids import new_id
from app.scoring import repository as scores
from app.scoring import service as scoring
from app.scoring.service import Yardstick

KIND: Final = "rescore"
CHUNK: Final = 10_000

Step = Callable[[Connection, Shop, list[int]], Awaitable[object]]


async def request(db: Connection, shop: Shop, *, as_of: date | None = None, key: str | None = None) -> Row:
    """Queue a full run; with `as_of`, one of its own that leaves the live scores alone. Returns the job's row."""
    arguments = {"run_id": str(new_id()), "as_of": as_of.isoformat() if as_of else None}
    return await jobs.enqueue(db, shop.id, KIND, arguments, key=key)


async def run(lease: jobs.Lease) -> dict[str, Any]:
    """The job: stats, then cut points, then scores. Resumes at the chunk where a dead worker stopped.

    Raises: LeaseLost.
    """
    entry, arguments = lease.entry, lease.arguments
    shop = await entry.shops.get(lease.shop_id)
    run_id = UUID(arguments["run_id"])
    as_of = date.fromisoformat(arguments["as_of"]) if arguments["as_of"] else None
    kind = "as_of" if as_of else "live"

    async with entry.shop(shop.id) as (db, shop):
        count = int(await db.fetch_value(scores.COUNT_CUSTOMERS, shop_id=shop.id))
        await db.execute(
            scores.OPEN_RUN,
            shop_id=shop.id,
            id=run_id,
            kind=kind,
            as_of=as_of or shop.live_as_of(),
            settings=shop.settings.tiers.model_dump(mode="json"),
            moment=clock.now(),
        )
        opened = await db.fetch_one(scores.GET_RUN, shop_id=shop.id, id=run_id)
        assert opened is not None  # noqa: S101 opened above, or by the attempt before
    yardstick = Yardstick(opened["as_of"], run_id, TierSettings.model_validate(opened["settings"]))
    steps = _as_of_steps(yardstick) if as_of else _live_steps(yardstick)

    if as_of is None:
        await in_shop(entry, shop.id, lambda db, of: scores.forget_merged(db, of.id))

    phase, after, done = arguments.get("phase", 0), arguments.get("after", 0), arguments.get("done", 0)
    while phase < len(steps):
        if phase == 1 and after == 0:
            await _set_cut_points(entry, shop.id, yardstick, live=as_of is None)
        while True:
            chunk = await _chunk(lease, steps[phase], phase, after, done, 2 * count)
            if not chunk:
                break
            after, done = chunk[-1], done + len(chunk)
        if as_of is None and phase == 0:
            # Whoever was merged while their chunk was measured: a refresh may have looked before it was done.
            await in_shop(entry, shop.id, lambda db, of: scores.forget_merged(db, of.id))
        phase, after = phase + 1, 0
    return {"run_id": str(run_id), "as_of": yardstick.as_of.isoformat(), "customers": count}


def _live_steps(yardstick: Yardstick) -> list[Step]:
    async def stats(db: Connection, shop: Shop, chunk: list[int]) -> None:
        known = await scores.known(db, shop.id, chunk)
        if new := [customer_id for customer_id in chunk if customer_id not in known]:
            await scoring.add_stats(db, shop, new, yardstick.as_of)
        if held := await scores.lock(db, shop.id, sorted(known), wait=True):
            await scoring.update_stats(db, shop, held, yardstick.as_of)

    async def score(db: Connection, shop: Shop, chunk: list[int]) -> None:
        held = await scores.lock(db, shop.id, chunk, wait=True)
        # A newer run may have been published meanwhile; whatever is published now is what counts.
        await scoring.score(db, shop, held, await scoring.hold_published(db, shop))

    return [stats, score]


def _as_of_steps(yardstick: Yardstick) -> list[Step]:
    async def stats(db: Connection, shop: Shop, chunk: list[int]) -> None:
        await db.execute(
            scores.SNAPSHOT_STATS,
            shop_id=shop.id,
            run_id=yardstick.run_id,
            as_of=yardstick.as_of,
            **scoring.scope(chunk),
            **scoring.fact_window(shop, yardstick.as_of),
        )

    async def score(db: Connection, shop: Shop, chunk: list[int]) -> None:
        await db.execute(
            scores.SNAPSHOT_SCORES,
            shop_id=shop.id,
            run_id=yardstick.run_id,
            as_of=yardstick.as_of,
            **scoring.scope(chunk),
            potential_days=yardstick.tiers.potential_days,
            at_risk_days=yardstick.tiers.at_risk_days,
        )

    return [stats, score]


async def _chunk(lease: jobs.Lease, step: Step, phase: int, after: int, done: int, total: int) -> list[int]:
    """One chunk in one transaction with its progress. Returns its customers, none at the end."""

    async def work(db: Connection, shop: Shop) -> list[int]:
        rows = await db.fetch(scores.NEXT_CUSTOMERS, shop_id=shop.id, after=after, limit=CHUNK)
        chunk = [row["id"] for row in rows]
        if chunk:
            await db.execute(scores.PLAN_FOR_MANY)
            await step(db, shop, chunk)
            reached = {"phase": phase, "after": chunk[-1], "done": done + len(chunk)}
            await lease.report_in(db, reached["done"], total, reached)
        return chunk

    return await in_shop(lease.entry, lease.shop_id, work)


async def _set_cut_points(entry: Entry, shop_id: int, yardstick: Yardstick, *, live: bool) -> None:
    """Compute the run's cut points; a live run becomes the published one, once no refresh holds the one before."""

    async def publish(db: Connection, shop: Shop) -> None:
        if live:
            await db.execute(scores.RETIRE, shop_id=shop_id, id=yardstick.run_id)
        await db.execute(
            scores.PUBLISH if live else scores.FINISH_AS_OF,
            shop_id=shop_id,
            id=yardstick.run_id,
            as_of=yardstick.as_of,
            vip_cut=1 - yardstick.tiers.vip_share,
            potential_cut=yardstick.tiers.potential_share,
            moment=clock.now(),
        )

    await in_shop(entry, shop_id, publish)

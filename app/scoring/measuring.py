"""Stats, predictions and scores of a set of customers on a day under a published run: what every pass is made of."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

import orjson

from app.access.settings import ScoringSettings
from app.access.shops import Shop
from app.changes import repository as changes
from app.core import clock
from app.core.db import Connection, Row
from app.scoring import facts, judging, predictions, repository, runs
from app.scoring.prediction.fitted import Fit
from app.scoring.tiers import compiling
from app.scoring.tiers import service as tiers
from app.scoring.tiers.definition import Definition

TIER_CHANGED: Final = "tier.changed"


@dataclass(frozen=True, slots=True)
class Yardstick:
    """What customers are measured with: a day, and a run with its settings, definition of tiers, cut points and fit.

    Before anything has been published there is no run: `run_id` is None, and so are the thresholds that it measures.
    """

    as_of: date
    run_id: UUID | None
    settings: ScoringSettings
    tiers: Definition
    tier_values: tuple[float | None, ...]
    fit: Fit | None
    model_to: date  # the day that the model's clock stands at
    opened_at: datetime | None = None  # when the run was opened: later ones have newer settings
    cause: str = "fact"
    marks: bool = False  # who differs is to be looked at again, because rules ask for what this pass writes

    def is_newer(self, opened_at: datetime | None) -> bool:
        """Whether its run was opened later than that."""
        return self.opened_at is not None and (opened_at is None or self.opened_at > opened_at)


async def hold_published(db: Connection, shop: Shop, cause: str = "fact") -> Yardstick:
    """The live yardstick; its day cannot be swept past and its run not be superseded while this transaction lasts."""
    as_of: date | None = await db.fetch_value(runs.CLOCK_SHARED, shop_id=shop.id)
    if as_of is None:
        await db.execute(runs.START_CLOCK, shop_id=shop.id, day=shop.live_as_of())
        as_of = await db.fetch_value(runs.CLOCK_SHARED, shop_id=shop.id)
        assert as_of is not None  # noqa: S101 there is a clock now
    run = await db.fetch_one(runs.PUBLISHED_SHARED, shop_id=shop.id)
    if run is not None:
        return replace(_of_run(run, run["fit"]), as_of=as_of, cause=cause)
    definition = (await tiers.current(db, shop.id)).definition
    values = tuple(compiling.without_shares(definition))
    model_to = as_of - timedelta(days=1)
    return Yardstick(as_of, None, shop.settings.scoring, definition, values, None, model_to, cause=cause)


def of_run(run: Row, model: Row | None, cause: str = "run") -> Yardstick:
    """The yardstick that a run is on its own day, with the fit of its model's row once there is one."""
    return replace(_of_run(run, model["fit"] if model else None), cause=cause)


def _of_run(run: Row, fit: dict[str, Any] | None) -> Yardstick:
    return Yardstick(
        as_of=run["as_of"],
        run_id=run["id"],
        settings=_settings(orjson.dumps(run["settings"])),
        tiers=_definition(orjson.dumps(run["tiers"])),
        tier_values=tuple(run["tier_values"] or ()),
        fit=_fit(orjson.dumps(fit)) if fit else None,
        model_to=run["as_of"] - timedelta(days=1),
        opened_at=run["created_at"],
    )


@lru_cache(maxsize=1000)
def _settings(stored: bytes) -> ScoringSettings:
    return ScoringSettings.model_validate_json(stored)


@lru_cache(maxsize=1000)
def _definition(stored: bytes) -> Definition:
    return Definition.model_validate_json(stored)


@lru_cache(maxsize=1000)
def _fit(stored: bytes) -> Fit:
    return Fit.from_dict(orjson.loads(stored))


async def measure(
    db: Connection, shop: Shop, customer_ids: Sequence[int], yardstick: Yardstick, by_time: Sequence[int] = ()
) -> int:
    """Recompute stats from facts, then scores, of customers whose stats rows are held. Returns how many changed tier.

    Args:
        by_time: those of them of whom nothing but time has changed.
    """
    await update_stats(db, shop, customer_ids, yardstick)
    return await score(db, shop, customer_ids, yardstick, by_time)


async def add_stats(db: Connection, shop: Shop, customer_ids: Sequence[int], yardstick: Yardstick) -> None:
    """Stats from the facts before the yardstick's day for customers who have none yet."""
    window = facts.window(shop, yardstick.settings, yardstick.as_of)
    await repository.add_stats(db, shop.id, **scope(customer_ids), **window)


async def update_stats(db: Connection, shop: Shop, customer_ids: Sequence[int], yardstick: Yardstick) -> int:
    """Recompute stats from the facts before the yardstick's day. Returns how many rows changed."""
    window = facts.window(shop, yardstick.settings, yardstick.as_of)
    changed: int = await db.fetch_value(
        repository.UPDATE_STATS, shop_id=shop.id, **scope(customer_ids), **window, **_marking(yardstick)
    )
    return changed


async def score(
    db: Connection, shop: Shop, customer_ids: Sequence[int], yardstick: Yardstick, by_time: Sequence[int] = ()
) -> int:
    """Recompute predictions and scores from stats. Returns how many changed tier; each change is a row and a fact."""
    if not customer_ids:
        return 0
    who = scope(customer_ids)
    if yardstick.run_id is not None:
        await predictions.renew(
            db, shop.id, who, yardstick.run_id, yardstick.fit, _marking(yardstick), **_model(yardstick)
        )
    moved: int = await db.fetch_value(
        repository.update_scores(compiling.tier_sql(yardstick.tiers)),
        shop_id=shop.id,
        customer_ids=who["customer_ids"],
        **_judging(yardstick),
        run_id=yardstick.run_id,
        kind=TIER_CHANGED,
        cause=yardstick.cause,
        by_time=list(by_time),
        **_marking(yardstick),
    )
    if moved:
        db.ring(changes.EVENTS_BELL)
    return moved


async def snapshot_stats(db: Connection, shop: Shop, customer_ids: Sequence[int], yardstick: Yardstick) -> None:
    """Rows of an as-of run of its own, with the stats of its day."""
    window = facts.window(shop, yardstick.settings, yardstick.as_of)
    await db.execute(
        repository.SNAPSHOT_STATS, shop_id=shop.id, run_id=yardstick.run_id, **scope(customer_ids), **window
    )


async def snapshot_scores(db: Connection, shop: Shop, customer_ids: Sequence[int], yardstick: Yardstick) -> None:
    """Predictions and scores into an as-of run's rows."""
    who = scope(customer_ids)
    await predictions.predict_snapshot(db, shop.id, who, yardstick.run_id, yardstick.fit, **_model(yardstick))
    query = repository.snapshot_scores(compiling.tier_sql(yardstick.tiers))
    await db.execute(query, shop_id=shop.id, run_id=yardstick.run_id, **who, **_judging(yardstick))


def scope(customer_ids: Sequence[int]) -> dict[str, Any]:
    """The parameters that say whose facts are looked at; never of nobody."""
    return {"customer_ids": list(customer_ids), "first_id": min(customer_ids), "last_id": max(customer_ids)}


def _marking(yardstick: Yardstick) -> dict[str, Any]:
    return {"mark": yardstick.marks, "moment": clock.now()}


def _model(yardstick: Yardstick) -> dict[str, Any]:
    return {"clock": yardstick.model_to, "monthly_discount_rate": yardstick.settings.clv.monthly_discount}


def _judging(yardstick: Yardstick) -> dict[str, Any]:
    return {
        "as_of": yardstick.as_of,
        **judging.parameters(yardstick.settings),
        "tier_names": compiling.names(yardstick.tiers),
        "tier_values": list(yardstick.tier_values),
    }

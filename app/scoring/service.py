"""Stats and scores of a set of customers on a day under a published run: what every kind of pass is made of."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final
from uuid import UUID

from app.access.settings import TierSettings
from app.access.shops import Shop
from app.changes import repository as changes
from app.core import clock
from app.core.db import Connection, Row
from app.customers import service as customers
from app.customers.errors import CustomerNotFound
from app.scoring import repository
from app.scoring.formulas import YEAR_DAYS
from app.scoring.schemas import Scores, TierChange

TIER_CHANGED: Final = "tier.changed"
_CHANGES_SHOWN: Final = 100


@dataclass(frozen=True, slots=True)
class Yardstick:
    """What customers are measured with: a day, and a run's cut points (None: nothing has been published yet)."""

    as_of: date
    run_id: UUID | None
    tiers: TierSettings


async def hold_published(db: Connection, shop: Shop) -> Yardstick:
    """The live yardstick; its run cannot be superseded while this transaction lasts."""
    run = await db.fetch_one(repository.PUBLISHED_SHARED, shop_id=shop.id)
    settings = TierSettings.model_validate(run["settings"]) if run else shop.settings.tiers
    return Yardstick(shop.live_as_of(), run["id"] if run else None, settings)


async def measure(db: Connection, shop: Shop, customer_ids: Sequence[int], yardstick: Yardstick) -> int:
    """Recompute stats from facts, then scores, of customers whose stats rows are held. Returns how many moved."""
    await update_stats(db, shop, customer_ids, yardstick.as_of)
    return await score(db, shop, customer_ids, yardstick)


async def add_stats(db: Connection, shop: Shop, customer_ids: Sequence[int], as_of: date) -> None:
    """Stats from the facts before `as_of` for customers who have none yet."""
    await repository.add_stats(db, shop.id, **scope(customer_ids), **fact_window(shop, as_of))


async def update_stats(db: Connection, shop: Shop, customer_ids: Sequence[int], as_of: date) -> int:
    """Recompute stats from the facts before `as_of`. Returns how many rows changed."""
    return await db.execute(repository.UPDATE_STATS, shop_id=shop.id, **scope(customer_ids), **fact_window(shop, as_of))


async def score(db: Connection, shop: Shop, customer_ids: Sequence[int], yardstick: Yardstick) -> int:
    """Recompute scores from stats. Returns how many customers changed tier; each change is a row and a fact."""
    if not customer_ids:
        return 0
    moved: int = await db.fetch_value(
        repository.UPDATE_SCORES,
        shop_id=shop.id,
        **scope(customer_ids),
        run_id=yardstick.run_id,
        as_of=yardstick.as_of,
        potential_days=yardstick.tiers.potential_days,
        at_risk_days=yardstick.tiers.at_risk_days,
        kind=TIER_CHANGED,
        moment=clock.now(),
    )
    if moved:
        db.ring(changes.EVENTS_BELL)
    return moved


def scope(customer_ids: Sequence[int]) -> dict[str, Any]:
    """The parameters that say whose facts are looked at; never of nobody."""
    return {"customer_ids": list(customer_ids), "first_id": min(customer_ids), "last_id": max(customer_ids)}


def fact_window(shop: Shop, as_of: date) -> dict[str, Any]:
    """The parameters that say which facts count on a day."""
    return {
        "zone": shop.zone.key,
        "before": clock.day_start(as_of, shop.zone),
        "year_from": as_of - timedelta(days=YEAR_DAYS),
    }


async def scores_of(db: Connection, shop: Shop, customer_id: int) -> Scores:
    """What one customer scores now, and the tiers they came through, newest first. Raises CustomerNotFound."""
    customer_id = await customers.answering(db, shop, customer_id)
    row = await db.fetch_one(repository.SCORES_OF, shop_id=shop.id, customer_id=customer_id)
    if row is None:
        raise CustomerNotFound(field="customer_id")
    history = await db.fetch(repository.TIER_HISTORY, shop_id=shop.id, customer_id=customer_id, limit=_CHANGES_SHOWN)
    as_of = shop.live_as_of()
    counts = ("orders", "purchase_days", "gross_fen", "refund_fen", "net_fen", "year_net_fen")
    figures = dict(row) | {name: row[name] or 0 for name in counts}
    return Scores(**figures, **ages(row, as_of), as_of=as_of, tier_changes=[TierChange(**change) for change in history])


def ages(row: Row, as_of: date) -> dict[str, int | None]:
    """Whole days from the last and the first order to `as_of`: an order the day before gives 1."""
    return {
        "recency_days": (as_of - row["last_on"]).days if row["last_on"] else None,
        "tenure_days": (as_of - row["first_on"]).days if row["first_on"] else None,
    }

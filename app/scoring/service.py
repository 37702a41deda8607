"""Scores as callers read them."""

from collections.abc import Mapping
from datetime import date
from typing import Any, Final, NamedTuple

from app.access.settings import ScoringSettings
from app.access.shops import Shop
from app.core.db import Connection, Row
from app.customers import service as customers
from app.customers.errors import CustomerNotFound
from app.scoring import reading, runs
from app.scoring.derived import figures, next_order
from app.scoring.explaining import explain
from app.scoring.grid import grid_name
from app.scoring.models import customer_stats
from app.scoring.schemas import Explained, NextOrder, Scores, StageChange, TierChange
from app.scoring.tiers import compiling
from app.scoring.tiers import service as tiers
from app.scoring.tiers.definition import Definition

_CHANGES_SHOWN: Final = 100
# Of a customer whom no refresh has seen yet: nothing has happened, as far as that is known.
_NOTHING: Final = {
    column.name: [0] * 6 if column.name == "interactions_by_month" else 0
    for column in customer_stats.c
    if column.server_default is not None
}


async def scores_of(db: Connection, shop: Shop, customer_id: int, *, explained: bool = False) -> Scores:
    """What one customer scores now, and the tiers and stages they came through, newest first.

    Raises: CustomerNotFound.
    """
    customer_id = await customers.answering(db, shop, customer_id)
    found = await db.fetch_one(reading.SCORES_OF, shop_id=shop.id, customer_id=customer_id)
    if found is None:
        raise CustomerNotFound(field="customer_id")
    row = dict(found) | {name: value for name, value in _NOTHING.items() if found[name] is None}
    who = {"shop_id": shop.id, "customer_id": customer_id, "limit": _CHANGES_SHOWN}
    tier_changes = await db.fetch(reading.TIER_HISTORY, **who)
    stage_changes = await db.fetch(reading.STAGE_HISTORY, **who)
    as_of, settings, run = await standing(db, shop)
    row |= figures(row, as_of, settings.clv)
    upcoming = next_order(row, run, settings)
    return Scores(
        **{name: row[name] for name in Scores.model_fields if name in row},
        as_of=as_of,
        rfm_segment=grid_name(row["r"], row["f"]) if row["r"] else None,
        next_order=NextOrder(**upcoming) if upcoming else None,
        tier_changes=[TierChange(**change) for change in tier_changes],
        stage_changes=[StageChange(**change) for change in stage_changes],
        explained=await _explained(db, shop, row, run, settings, as_of) if explained else None,
    )


async def _explained(
    db: Connection, shop: Shop, row: Row, run: Row | None, settings: ScoringSettings, as_of: date
) -> Explained | None:
    if row["since_on"] is None:
        return None
    if run is not None:
        definition, version = Definition.model_validate(run["tiers"]), run["tiers_version"]
        values = list(run["tier_values"])
    else:
        published = await tiers.current(db, shop.id)
        definition, version = published.definition, published.version
        values = compiling.without_shares(definition)
    return Explained(
        run_id=run["id"] if run else None,
        tiers_version=version,
        scores=explain(row, run, settings, definition, values, as_of),
    )


async def stands_at(db: Connection, shop: Shop) -> date:
    """The exclusive day that live scores stand at: what has been swept to; before anything has been, the live day."""
    swept_to: date | None = await db.fetch_value(runs.CLOCK, shop_id=shop.id)
    return swept_to or shop.live_as_of()


class Standing(NamedTuple):
    """What live scores are to be read with: their day, the settings they were made with, the published run."""

    as_of: date
    settings: ScoringSettings
    run: Row | None


async def standing(db: Connection, shop: Shop) -> Standing:
    """As of now; before a run has been published, by the shop's settings."""
    run = await db.fetch_one(runs.PUBLISHED, shop_id=shop.id)
    settings = ScoringSettings.model_validate(run["settings"]) if run else shop.settings.scoring
    return Standing(await stands_at(db, shop), settings, run)


def line(row: Mapping[str, Any], as_of: date, settings: ScoringSettings) -> dict[str, Any]:
    """A row of a whole run as it is exported: what is stored, and what is computed where it is read."""
    return dict(row) | figures(row, as_of, settings.clv)

"""What a run's predictions rest on: the fit as it was stored."""

from typing import Final
from uuid import UUID

from app.core.db import Connection
from app.core.errors import NotFound
from app.scoring.reports import repository
from app.scoring.reports.runs import run_of
from app.scoring.reports.schemas import Models

_IN_USE: Final = ("purchases", "spend")
_OPTIMA: Final = ("purchases_optimum", "spend_optimum")
_UNIT: Final = "week"


async def models(db: Connection, shop_id: int, run_id: UUID | None) -> Models:
    """Of the run, or the published one. Raises NotFound where there is no such run, or it fitted nothing."""
    run = await run_of(db, shop_id, run_id)
    row = await db.fetch_one(repository.MODEL_OF, shop_id=shop_id, run_id=run["id"])
    if row is None:
        raise NotFound("The run made no predictions; a new one does: POST /v1/triggers/rescore", field="run")
    fit, optimum = row["fit"] or {}, row["optimum"] or {}
    # A run whose model declines may still tell an optimum; what is in use stands in the fit alone.
    told = optimum | fit
    return Models.model_validate(
        {
            "run_id": run["id"],
            "as_of": run["as_of"],
            "fitted_to": row["fitted_to"],
            "unit": told.get("unit", _UNIT),
            "customers": told.get("customers"),
            "repeaters": told.get("repeaters"),
            **{name: fit.get(name) for name in _IN_USE},
            **{name: told.get(name) for name in _OPTIMA},
            "declined": row["declined"],
            "backtest": row["backtest"],
        }
    )

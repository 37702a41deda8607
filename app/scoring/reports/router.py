"""GET /v1/scores/distribution, /migration and /models: reports on everybody, without a word on anybody."""

from datetime import date
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from app.access.door import DoorRoute, door
from app.access.entry import Call
from app.core.errors import Forbidden, NotFound, Unauthorized, Unprocessable
from app.core.problems import problems
from app.scoring.reports import distribution, migration, predicting
from app.scoring.reports.schemas import Distribution, Migration, Models, Of

router = APIRouter(
    prefix="/v1/scores", tags=["scores"], route_class=DoorRoute, responses=problems(Unauthorized, Forbidden)
)

Reader = Annotated[Call, door("scores:read")]
Run = Annotated[UUID | None, Query(description="An as-of run; default: live, under the published one")]


@router.get("/distribution", responses=problems(NotFound))
async def get_distribution(call: Reader, run: Run = None) -> Distribution:
    """How customers are distributed over tiers, RFM, stages, cycles, churn bands, flags and predicted value."""
    return await distribution.distribution(call.db, call.shop, run)


@router.get("/migration", responses=problems(Unprocessable))
async def get_migration(
    call: Reader,
    from_: Annotated[date, Query(alias="from", description="Exclusive, in the shop's zone; before `to`")],
    to: Annotated[date, Query(description="Exclusive; at most tomorrow in the shop")],
    of: Annotated[Of, Query(description="What to follow")] = "tier",
) -> Migration:
    """How many customers went from which tier (or stage) to which between two days, stayed, came and left."""
    return await migration.migration(call.db, call.shop, of, from_, to)


@router.get("/models", responses=problems(NotFound))
async def get_models(
    call: Reader, run: Annotated[UUID | None, Query(description="Default: the published one")] = None
) -> Models:
    """What a run's predictions rest on: parameters in use, the day's optimum, how far they can be trusted."""
    return await predicting.models(call.db, call.shop.id, run)

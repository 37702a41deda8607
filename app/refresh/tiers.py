"""PUT /v1/scores/tiers: publishes a definition and asks for the full run that applies it, in one transaction."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import BaseModel

from app.access.door import DoorRoute, door
from app.access.entry import Call
from app.core.errors import Forbidden, Unauthorized
from app.core.problems import problems
from app.refresh import requests
from app.scoring.tiers import service
from app.scoring.tiers.schemas import TierChoice
from app.uses.errors import StillUsed

router = APIRouter(
    prefix="/v1/scores/tiers", tags=["scores"], route_class=DoorRoute, responses=problems(Unauthorized, Forbidden)
)


class TiersPublished(BaseModel):
    """The version that counts now. Follow the run that applies it at GET /v1/jobs/{job_id}."""

    version: int
    job_id: UUID | None = None
    run_id: UUID | None = None


_UNCHANGED: dict[int | str, dict[str, Any]] = {
    200: {"model": TiersPublished, "description": "It is the one that counts already: nothing was done"}
}


@router.put("", status_code=202, response_model_exclude_none=True, responses=_UNCHANGED | problems(StillUsed))
async def publish_tiers(call: Annotated[Call, door("admin")], body: TierChoice, response: Response) -> TiersPublished:
    """Publish a definition as the next version. Customers move when the run that it starts has scored them."""
    version, added = await service.publish(call.db, call.shop.id, body.chosen(), call.caller.client_id)
    if not added:
        response.status_code = 200
        return TiersPublished(version=version)
    job = await requests.rescore(call.db, call.shop, key=f"tiers:{version}")
    return TiersPublished(version=version, job_id=job["id"], run_id=UUID(job["arguments"]["run_id"]))

"""POST /v1/triggers/rescore."""

from datetime import date
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header
from pydantic import BaseModel, ConfigDict, Field

from app.access.door import DoorRoute, door
from app.access.entry import Call
from app.core.errors import Forbidden, Unauthorized
from app.core.problems import problems
from app.refresh import requests

router = APIRouter(
    prefix="/v1/triggers", tags=["triggers"], route_class=DoorRoute, responses=problems(Unauthorized, Forbidden)
)


class RescoreRequest(BaseModel):
    """A full run over everybody."""

    model_config = ConfigDict(extra="forbid")

    as_of: date | None = Field(
        default=None,
        ge=date(1900, 1, 1),
        lt=date(2200, 1, 1),
        description="Count only facts before 00:00 of this day in the shop, in a run of its own that leaves live "
        "scores alone; absent: compute and publish the live scores",
    )


class RescoreAccepted(BaseModel):
    """Follow the job at GET /v1/jobs/{job_id}; read the run at GET /v1/scores/export?run={run_id}."""

    job_id: UUID
    run_id: UUID


@router.post("/rescore", status_code=202)
async def start_rescore(
    call: Annotated[Call, door("triggers")],
    body: RescoreRequest,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=128)] = None,
) -> RescoreAccepted:
    """Start a full run; the same `Idempotency-Key` starts it once."""
    key = f"key:{idempotency_key}" if idempotency_key else None
    job = await requests.rescore(call.db, call.shop, as_of=body.as_of, key=key)
    return RescoreAccepted(job_id=job["id"], run_id=UUID(job["arguments"]["run_id"]))

"""/v1/jobs."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter

from app.access.door import DoorRoute, door
from app.access.entry import Call
from app.changes import jobs
from app.core.errors import Forbidden, NotFound, Unauthorized
from app.core.problems import problems

router = APIRouter(
    prefix="/v1/jobs", tags=["jobs"], route_class=DoorRoute, responses=problems(Unauthorized, Forbidden, NotFound)
)


@router.get("/{job_id}")
async def get_job(call: Annotated[Call, door("triggers")], job_id: UUID) -> jobs.JobRead:
    """How far a job is."""
    return await jobs.get_job(call.db, call.shop.id, job_id)

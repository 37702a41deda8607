"""/v1/jobs."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter

from app.access.entry import Call, door
from app.changes import jobs
from app.core.errors import Forbidden, NotFound, Unauthorized
from app.core.problems import problems
from app.core.wire import SafeRoute

router = APIRouter(
    prefix="/v1/jobs", tags=["jobs"], route_class=SafeRoute, responses=problems(Unauthorized, Forbidden, NotFound)
)


@router.get("/{job_id}")
async def get_job(call: Annotated[Call, door("triggers")], job_id: UUID) -> jobs.JobRead:
    """How far a job is."""
    return await jobs.get_job(call.db, call.shop.id, job_id)

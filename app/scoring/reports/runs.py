"""The run that a report is about."""

from uuid import UUID

from app.core.db import Connection, Row
from app.core.errors import NotFound
from app.scoring.reports import repository


async def run_of(db: Connection, shop_id: int, run_id: UUID | None) -> Row:
    """The run, or the published one: id, kind, as_of, tiers. Raises NotFound for one that is not finished, or none."""
    if run_id is None:
        run = await db.fetch_one(repository.PUBLISHED_RUN, shop_id=shop_id)
        remedy = "No run has been published yet; start one: POST /v1/triggers/rescore"
    else:
        run = await db.fetch_one(repository.FINISHED_RUN, shop_id=shop_id, id=run_id)
        remedy = "There is no such run, it is not finished, or a newer one has been published: see GET /v1/scores/runs"
    if run is None:
        raise NotFound(remedy, field="run")
    return run

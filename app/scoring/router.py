"""Scores read: one customer's, a run's cut points, and a whole run as a stream."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse

from app.access.door import DoorRoute, door
from app.access.entry import Call, Entry
from app.access.settings import ScoringSettings
from app.access.shops import Shop
from app.core import clock
from app.core.db import Row
from app.core.errors import Forbidden, NotFound, Unauthorized
from app.core.masking import mask
from app.core.problems import problems
from app.customers.errors import CustomerNotFound
from app.customers.records import person_key
from app.customers.schemas import CustomerId
from app.scoring import reading, runs, service
from app.scoring.schemas import Run, Scores
from app.scoring.tiers.definition import Definition
from app.scoring.tiers.shares import share_warnings

router = APIRouter(prefix="/v1", tags=["scores"], route_class=DoorRoute, responses=problems(Unauthorized, Forbidden))


@router.get("/customers/{customer_id}/scores", responses=problems(CustomerNotFound))
async def get_scores(
    call: Annotated[Call, door("scores:read")],
    customer_id: CustomerId,
    explain: Annotated[bool, Query(description="Say of each score what it was made of")] = False,
) -> Scores:
    """What one customer scores now, and the tiers and stages they came through, newest first."""
    scores = await service.scores_of(call.db, call.shop, customer_id, explained=explain)
    call.visit.concerns([customer_id])
    return scores


@router.get("/scores/runs", responses=problems(NotFound))
async def list_runs(
    call: Annotated[Call, door("scores:read")],
    before: clock.Moment | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> list[Run]:
    """Full runs, newest first; page on with `before` = the last one's `created_at`."""
    rows = await call.db.fetch(
        runs.LIST_RUNS, shop_id=call.shop.id, before=before or datetime.max.replace(tzinfo=UTC), limit=limit
    )
    return [_run(row) for row in rows]


def _run(row: Row) -> Run:
    definition = Definition.model_validate(row["tiers"])
    warnings = [warning.text for warning in share_warnings(definition, row["shares"] or {})]
    fields = {name: row[name] for name in Run.model_fields if name in row}
    return Run(run_id=row["id"], warnings=warnings, **fields)


@router.get(
    "/scores/export",
    response_class=StreamingResponse,
    responses={
        **problems(NotFound),
        200: {"content": {"application/x-ndjson": {}}, "description": "One JSON object per customer and line"},
    },
)
async def export_scores(
    request: Request, call: Annotated[Call, door("scores:read")], run: UUID | None = None
) -> StreamingResponse:
    """Everyone's scores as NDJSON, streamed in the order of customer numbers: live, or those of an as-of run."""
    found = await call.db.fetch_one(
        runs.GET_RUN if run else runs.PUBLISHED, shop_id=call.shop.id, **({"id": run} if run else {})
    )
    if found is None or found["state"] not in ("published", "done"):
        raise NotFound(
            "There is no such run, it is not finished, its rows are over, or a newer one has been published",
            field="run",
        )
    call.visit.objects = sum((found["shares"] or {}).values())
    entry: Entry = request.app.state.entry
    return StreamingResponse(
        _lines(entry, call, found), media_type="application/x-ndjson", headers={"Cache-Control": "no-store"}
    )


async def _lines(entry: Entry, call: Call, run: Row) -> AsyncIterator[bytes]:
    """A stream outlives its request's transaction, so it opens its own, which asks again whether the caller may."""
    live = run["kind"] == "live"
    query = reading.EXPORT_LIVE if live else reading.EXPORT_RUN
    settings = ScoringSettings.model_validate(run["settings"])
    async with entry.database.transaction(call.shop.id, admit=call.caller.admission) as db:
        as_of = await service.stands_at(db, call.shop) if live else run["as_of"]
        values = {"as_of": as_of} if live else {"run_id": run["id"]}
        lines: list[bytes] = []
        async for row in db.stream(query, shop_id=call.shop.id, **values):
            lines.append(orjson.dumps(_line(call.shop, row, run["id"], as_of, settings, call.caller.unmasked)))
            if len(lines) == 500:
                yield b"\n".join(lines) + b"\n"
                lines.clear()
        if lines:
            yield b"\n".join(lines) + b"\n"


def _line(shop: Shop, row: Row, run_id: UUID, as_of: date, settings: ScoringSettings, unmasked: bool) -> dict[str, Any]:
    line = {name: value for name, value in row.items() if name not in ("value", "origin_customer_id", "wrapped")}
    external = person_key(shop, row).open("identities.value", row["value"]) if row["value"] else None
    line["external_id"] = external if unmasked or external is None else mask("identifier", external)
    return service.line(line, as_of, settings) | {"as_of": as_of, "run_id": str(run_id)}

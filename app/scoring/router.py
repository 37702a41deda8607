"""Scores read: one customer's, a run's cut points, and a whole run as a stream."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from app.access.door import DoorRoute, door
from app.access.entry import Call, Entry
from app.access.shops import Shop
from app.core import clock
from app.core.db import Row
from app.core.errors import Forbidden, NotFound, Unauthorized
from app.core.masking import mask
from app.core.problems import problems
from app.customers.errors import CustomerNotFound
from app.customers.records import person_key
from app.customers.schemas import CustomerId
from app.scoring import repository

router = APIRouter(prefix="/v1", tags=["scores"], route_class=DoorRoute, responses=problems(Unauthorized, Forbidden))


class TierChange(BaseModel):
    """A move between tiers."""

    from_tier: str | None
    to_tier: str | None
    run_id: UUID | None
    as_of: date
    changed_at: datetime


class Scores(BaseModel):
    """One customer's live stats and scores. Money in fen, days in the shop's zone; no orders, no r, f, m."""

    customer_id: int
    as_of: date
    orders: int
    purchase_days: int
    gross_fen: int
    refund_fen: int
    net_fen: int
    year_net_fen: int
    first_on: date | None
    last_on: date | None
    recency_days: int | None
    tenure_days: int | None
    r: int | None
    f: int | None
    m: int | None
    rfm_type: str | None
    tier: str | None
    run_id: UUID | None
    tier_changes: list[TierChange]


class Run(BaseModel):
    """A full run and what it measured with. Cut points are q20, q40, q60 and q80 of customers with orders."""

    run_id: UUID
    kind: str
    state: str
    as_of: date
    recency_cuts: list[float] | None
    orders_cuts: list[float] | None
    amount_cuts: list[float] | None
    recency_mean: float | None
    orders_mean: float | None
    amount_mean: float | None
    vip_from_fen: float | None
    potential_from_fen: float | None
    scored: int | None
    created_at: datetime
    published_at: datetime | None


@router.get("/customers/{customer_id}/scores", responses=problems(CustomerNotFound))
async def get_scores(call: Annotated[Call, door("scores:read")], customer_id: CustomerId) -> Scores:
    """What one customer scores now, and the tiers they came through, newest first."""
    row = await call.db.fetch_one(repository.SCORES_OF, shop_id=call.shop.id, customer_id=customer_id)
    if row is None:
        raise CustomerNotFound(field="customer_id")
    call.visit.concerns([customer_id])
    history = await call.db.fetch(repository.TIER_HISTORY, shop_id=call.shop.id, customer_id=customer_id, limit=100)
    as_of = call.shop.live_as_of()
    counts = ("orders", "purchase_days", "gross_fen", "refund_fen", "net_fen", "year_net_fen")
    figures = dict(row) | {name: row[name] or 0 for name in counts}
    return Scores(
        **figures,
        **_ages(row, as_of),
        as_of=as_of,
        tier_changes=[TierChange(**change) for change in history],
    )


@router.get("/scores/runs", responses=problems(NotFound))
async def list_runs(
    call: Annotated[Call, door("scores:read")],
    before: clock.Moment | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> list[Run]:
    """Full runs, newest first; page on with `before` = the last one's `created_at`."""
    rows = await call.db.fetch(
        repository.LIST_RUNS, shop_id=call.shop.id, before=before or datetime.max.replace(tzinfo=UTC), limit=limit
    )
    return [Run(run_id=row["id"], **{name: row[name] for name in Run.model_fields if name != "run_id"}) for row in rows]


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
        repository.GET_RUN if run else repository.PUBLISHED, shop_id=call.shop.id, **({"id": run} if run else {})
    )
    if found is None or found["state"] not in ("published", "done"):
        raise NotFound("There is no such run, it is not finished, or a newer one has been published", field="run")
    call.visit.objects = await call.db.fetch_value(repository.COUNT_STATS, shop_id=call.shop.id)
    entry: Entry = request.app.state.entry
    return StreamingResponse(
        _lines(entry, call, found), media_type="application/x-ndjson", headers={"Cache-Control": "no-store"}
    )


async def _lines(entry: Entry, call: Call, run: Row) -> AsyncIterator[bytes]:
    """A stream outlives its request's transaction, so it opens its own, which asks again whether the caller may."""
    live = run["kind"] == "live"
    as_of = call.shop.live_as_of() if live else run["as_of"]
    query = repository.EXPORT_LIVE if live else repository.EXPORT_RUN
    values = {"as_of": as_of} if live else {"run_id": run["id"]}
    async with entry.database.transaction(call.shop.id, admit=call.caller.admission) as db:
        lines: list[bytes] = []
        async for row in db.stream(query, shop_id=call.shop.id, **values):
            lines.append(orjson.dumps(_line(call.shop, row, run["id"], as_of, call.caller.unmasked)))
            if len(lines) == 500:
                yield b"\n".join(lines) + b"\n"
                lines.clear()
        if lines:
            yield b"\n".join(lines) + b"\n"


def _line(shop: Shop, row: Row, run_id: UUID, as_of: date, unmasked: bool) -> dict[str, Any]:
    line = {name: value for name, value in row.items() if name not in ("value", "origin_customer_id", "wrapped")}
    external = person_key(shop, row).open("identities.value", row["value"]) if row["value"] else None
    line["external_id"] = external if unmasked or external is None else mask("identifier", external)
    return line | _ages(row, as_of) | {"as_of": as_of, "run_id": str(run_id)}


def _ages(row: Row, as_of: date) -> dict[str, int | None]:
    """Whole days from the last and the first order to `as_of`: an order the day before gives 1."""
    return {
        "recency_days": (as_of - row["last_on"]).days if row["last_on"] else None,
        "tenure_days": (as_of - row["first_on"]).days if row["first_on"] else None,
    }

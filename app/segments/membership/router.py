"""Who is in a segment, and what a customer is in: what other services ask all day."""

from collections.abc import AsyncIterator
from datetime import date, datetime, timedelta
from typing import Annotated

import orjson
from fastapi import APIRouter, Header, Path, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import Field

from app.access.door import DoorRoute, door
from app.access.entry import Call, Entry
from app.core import clock
from app.core.errors import Forbidden, Unauthorized
from app.core.pagination import Cursor, InvalidCursor, decode_cursor, encode_cursor
from app.core.problems import problems
from app.customers import service as customers
from app.customers.errors import CustomerNotFound
from app.customers.schemas import CustomerId
from app.segments.errors import SegmentNotFound
from app.segments.membership import reading, tagging
from app.segments.membership.schemas import (
    ChangePage,
    ChangeRead,
    JobAccepted,
    MemberCount,
    MemberPage,
    MemberRead,
    Membership,
    SegmentOfCustomer,
    SegmentsOfCustomer,
    TagMembers,
)
from app.segments.rules.windows import Day
from app.tags import service as tags
from app.tags.errors import TagDisabled, TagIsAutomatic, TagNotFound

router = APIRouter(prefix="/v1", tags=["segments"], route_class=DoorRoute, responses=problems(Unauthorized, Forbidden))

SegmentId = Annotated[int, Path(ge=1, lt=2**53)]
Reader = Annotated[Call, door("segments:read")]
PageSize = Annotated[int, Query(ge=1, le=1_000)]
AsOf = Annotated[
    Day | clock.Moment | None,
    Field(union_mode="left_to_right"),
    Query(description="Who was in it then: at a moment, or at the end of a day in the shop"),
]
_LINES = 5_000


@router.get("/segments/{segment_id}/members", responses=problems(SegmentNotFound, InvalidCursor))
async def list_members(
    call: Reader, segment_id: SegmentId, as_of: AsOf = None, limit: PageSize = 100, cursor: Cursor = None
) -> MemberPage:
    """Who is in it, or was, in the order of their numbers."""
    after = decode_cursor(cursor, int)[0] if cursor else 0
    rows = await reading.members(call.db, call.shop.id, segment_id, after, limit, _moment(call, as_of))
    if not rows:
        await _refuse_unknown(call, segment_id)
    call.visit.objects = len(rows)
    return MemberPage(
        items=[MemberRead(**row) for row in rows],
        next_cursor=encode_cursor(rows[-1]["customer_id"]) if len(rows) == limit else None,
    )


@router.get("/segments/{segment_id}/count", responses=problems(SegmentNotFound))
async def count_members(call: Reader, segment_id: SegmentId, as_of: AsOf = None) -> MemberCount:
    """How many are in it, or were."""
    found = await reading.count(call.db, call.shop.id, segment_id, _moment(call, as_of))
    if not found:
        await _refuse_unknown(call, segment_id)
    return MemberCount(customers=found)


@router.get("/segments/{segment_id}/members/{customer_id}", responses=problems(SegmentNotFound, CustomerNotFound))
async def is_member(call: Reader, segment_id: SegmentId, customer_id: CustomerId) -> Membership:
    """Whether a customer is in it."""
    row = await call.db.fetch_one(
        reading.IS_MEMBER, shop_id=call.shop.id, segment_id=segment_id, customer_id=customer_id
    )
    if row is None:
        raise CustomerNotFound(field="customer_id")
    if not row["known"]:
        raise SegmentNotFound(field="segment_id")
    call.visit.concerns([customer_id])
    return Membership(
        customer_id=row["customer_id"],
        member=row["entered_at"] is not None,
        entered_at=row["entered_at"],
        version=row["version"],
    )


@router.get("/segments/{segment_id}/changes", responses=problems(SegmentNotFound, InvalidCursor))
async def list_changes(call: Reader, segment_id: SegmentId, limit: PageSize = 100, cursor: Cursor = None) -> ChangePage:
    """Who came and went, newest first."""
    before_at, before_id = _position(cursor) if cursor else (datetime.max.replace(tzinfo=clock.now().tzinfo), 2**62)
    page = {"segment_id": segment_id, "before_at": before_at, "before_id": before_id, "limit": limit}
    rows = await call.db.fetch(reading.CHANGES, shop_id=call.shop.id, **page)
    if not rows:
        await _refuse_unknown(call, segment_id)
    call.visit.objects = len(rows)
    more = encode_cursor(rows[-1]["changed_at"].isoformat(), rows[-1]["id"]) if len(rows) == limit else None
    items = [ChangeRead(**row, change="entered" if row["entered"] else "left") for row in rows]
    return ChangePage(items=items, next_cursor=more)


@router.get(
    "/segments/{segment_id}/export",
    response_class=StreamingResponse,
    responses={
        **problems(SegmentNotFound),
        200: {"content": {"application/x-ndjson": {}}, "description": "One JSON object per member and line"},
    },
)
async def export_members(request: Request, call: Reader, segment_id: SegmentId) -> StreamingResponse:
    """Everybody who is in it as NDJSON, streamed in the order of their numbers."""
    await _refuse_unknown(call, segment_id)
    call.visit.objects = await reading.count(call.db, call.shop.id, segment_id, None)
    entry: Entry = request.app.state.entry
    return StreamingResponse(
        _lines(entry, call, segment_id), media_type="application/x-ndjson", headers={"Cache-Control": "no-store"}
    )


async def _lines(entry: Entry, call: Call, segment_id: int) -> AsyncIterator[bytes]:
    """A stream outlives its request's transaction, so it opens its own, which asks again whether the caller may."""
    async with entry.database.transaction(call.shop.id, admit=call.caller.admission) as db:
        lines: list[bytes] = []
        async for row in db.stream(reading.EXPORT, prefetch=_LINES, shop_id=call.shop.id, segment_id=segment_id):
            lines.append(orjson.dumps(dict(row)))
            if len(lines) == _LINES:
                yield b"\n".join(lines) + b"\n"
                lines.clear()
        if lines:
            yield b"\n".join(lines) + b"\n"


@router.get("/customers/{customer_id}/segments", responses=problems(CustomerNotFound))
async def segments_of_customer(call: Reader, customer_id: CustomerId) -> SegmentsOfCustomer:
    """What a customer is in now."""
    owner = await customers.answering(call.db, call.shop, customer_id)
    rows = await call.db.fetch(reading.OF_CUSTOMER, shop_id=call.shop.id, customer_id=owner)
    call.visit.concerns([owner])
    return SegmentsOfCustomer(customer_id=owner, items=[SegmentOfCustomer(**row) for row in rows])


@router.post(
    "/segments/{segment_id}/tags",
    status_code=202,
    responses=problems(SegmentNotFound, TagNotFound, TagIsAutomatic, TagDisabled),
)
async def tag_members(
    call: Annotated[Call, door("segments:read", "tags:write")],
    segment_id: SegmentId,
    body: TagMembers,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=128)] = None,
) -> JobAccepted:
    """Put tags on whoever is in it now, and take others off: once, as if by hand. For tags that follow, see `tag`."""
    await _refuse_unknown(call, segment_id)
    job = await tagging.ask(
        call.db,
        call.shop,
        segment_id,
        add=body.add,
        remove=body.remove,
        actor=call.caller.client_id,
        reason=body.reason,
        valid_until=tags.until(call.shop, body.valid_until),
        key=f"key:{segment_id}:{idempotency_key}" if idempotency_key else None,
    )
    return JobAccepted(job_id=job["id"])


async def _refuse_unknown(call: Call, segment_id: int) -> None:
    if not await reading.exists(call.db, call.shop.id, segment_id):
        raise SegmentNotFound(field="segment_id")


def _moment(call: Call, as_of: date | datetime | None) -> datetime | None:
    if as_of is None:
        return None
    if isinstance(as_of, datetime):
        return clock.localise(as_of, call.shop.zone)
    return clock.day_start(as_of + timedelta(days=1), call.shop.zone) - timedelta(microseconds=1)


def _position(cursor: str) -> tuple[datetime, int]:
    at, number = decode_cursor(cursor, str, int)
    try:
        return clock.of_our_time(datetime.fromisoformat(at)), number
    except ValueError:
        raise InvalidCursor from None

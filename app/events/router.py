"""/v1/events and /v1/event-types."""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any, Final
from uuid import UUID

import orjson
from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, TypeAdapter

from app.access.answers import rendered
from app.access.door import DoorRoute, door
from app.access.entry import Call
from app.core.db import Row
from app.core.errors import Forbidden, Unauthorized
from app.core.pagination import Cursor, InvalidCursor, Limit, decode_cursor, encode_cursor
from app.core.problems import problems
from app.customers import service as customers
from app.customers.batches import RowError, valid_rows
from app.customers.errors import IdentityBlocked, IdentityLimit
from app.events import repository, service
from app.events.declarations import BUILT_IN, NAME
from app.events.errors import EventNotFound, EventTypeBuiltIn, EventTypeNotFound
from app.events.schemas import (
    EventBatch,
    EventBatchResult,
    EventResult,
    EventTypePage,
    EventTypeRead,
    EventTypeWrite,
    EventWrite,
    InvalidEventPage,
    InvalidEventRead,
    ReplayResult,
)
from app.events.service import Result
from app.uses import service as uses
from app.uses.errors import StillUsed
from app.uses.schemas import used_by

router = APIRouter(prefix="/v1", tags=["events"], route_class=DoorRoute, responses=problems(Unauthorized, Forbidden))

# Tokens that send events sit in shops and apps; what events may say is for whoever runs the shop.
Sender = Annotated[Call, door("events:write")]
Reader = Annotated[Call, door("events:read")]
Declarer = Annotated[Call, door("admin")]
Type = Annotated[str, Path(pattern=NAME, max_length=64)]

_MANY: TypeAdapter[list[EventWrite]] = TypeAdapter(list[EventWrite])
_ONE: TypeAdapter[EventWrite] = TypeAdapter(EventWrite)
_NEWEST: Final = UUID(int=2**128 - 1)


@router.post("/events", responses=problems(IdentityLimit, IdentityBlocked))
async def put_event(call: Sender, body: EventWrite) -> EventResult:
    """Tell of an event; telling it again, with whatever time, is harmless."""
    if error := customers.refusal(call.shop, body.identities):
        raise error
    results, owners = await service.put_events(call.db, call.shop, call.ids, [body], source=call.caller.client_id)
    call.visit.concerns(owners)
    return EventResult(**_told(results[0]))


@router.post("/events/batch", response_model=EventBatchResult)
async def put_events(call: Sender, body: EventBatch) -> Response:
    """Tell of up to 1,000 events; each row answers for itself."""
    rows, refused = valid_rows(_MANY, _ONE, body.events, {})
    events = [row for _, row in rows]
    results, owners = await service.put_events(call.db, call.shop, call.ids, events, source=call.caller.client_id)
    call.visit.concerns(owners)
    return _batch_response(len(body.events), [index for index, _ in rows], results, refused)


@router.get("/events/invalid", response_model=InvalidEventPage)
async def list_invalid_events(call: Reader, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """Events that do not fit what is declared, newest first, each with the reason and the remedy."""
    before = _position(cursor) if cursor else _NEWEST
    rows = await call.db.fetch(repository.LIST_INVALID, shop_id=call.shop.id, before=before, limit=limit)
    call.visit.concerns([row["customer_id"] for row in rows])
    items = [InvalidEventRead(**dict(row) | {"properties": service.opened(call.shop, row)}) for row in rows]
    more = encode_cursor(str(rows[-1]["id"])) if len(rows) == limit else None
    return rendered(InvalidEventPage(items=items, next_cursor=more), call)


@router.post("/events/invalid/{invalid_event_id}/replay", responses=problems(EventNotFound))
async def replay_invalid_event(
    call: Annotated[Call, door("events:read", "events:write")], invalid_event_id: UUID
) -> ReplayResult:
    """Look at an event again after the declaration was mended; doing so twice is harmless."""
    result, owner = await service.replay(call.db, call.shop, invalid_event_id)
    call.visit.concerns([owner])
    return result


@router.put("/event-types/{type}", responses=problems(EventTypeBuiltIn, StillUsed))
async def put_event_type(call: Declarer, type: Type, body: EventTypeWrite) -> EventTypeRead:
    """Declare a type of event, or declare it anew. Events that are kept stay; invalid ones can be replayed."""
    (declared,) = await _read(call, [await service.put_type(call.db, call.shop, type, body)])
    return declared


@router.get("/event-types")
async def list_event_types(call: Reader, limit: Limit = 50, cursor: Cursor = None) -> EventTypePage:
    """Declared types in the order of their names."""
    after = decode_cursor(cursor, str)[0].replace("\0", "") if cursor else ""
    rows = await call.db.fetch(repository.LIST_TYPES, shop_id=call.shop.id, after=after, limit=limit)
    return EventTypePage(
        items=await _read(call, rows),
        built_in=sorted(BUILT_IN),
        next_cursor=encode_cursor(rows[-1]["type"]) if len(rows) == limit else None,
    )


@router.get("/event-types/{type}", responses=problems(EventTypeNotFound))
async def get_event_type(call: Reader, type: Type) -> EventTypeRead:
    """One declared type."""
    row = await call.db.fetch_one(repository.GET_TYPE, shop_id=call.shop.id, type=type)
    if row is None:
        raise EventTypeNotFound(field="type")
    (declared,) = await _read(call, [row])
    return declared


@router.delete("/event-types/{type}", status_code=204, responses=problems(EventTypeNotFound, StillUsed))
async def remove_event_type(call: Declarer, type: Type) -> None:
    """Declare a type no longer: its events stay, and new ones of it are kept aside."""
    await service.drop_type(call.db, call.shop, type)


async def _read(call: Call, rows: Sequence[Row]) -> list[EventTypeRead]:
    users = await uses.of_many(call.db, call.shop.id, "event_type", [row["type"] for row in rows])
    return [EventTypeRead(**row, used_by=used_by(users[row["type"]])) for row in rows]


def _batch_response(count: int, places: list[int], results: list[Result], refused: dict[int, RowError]) -> Response:
    # Plain dicts in the shape of EventBatchResult: a model for each row costs more than all else that is written of it.
    told: list[dict[str, Any]] = [{}] * count
    for place, error in refused.items():
        told[place] = {"status": "refused", "id": None, "error": error, "index": place}
    for place, result in zip(places, results, strict=True):
        told[place] = row = _told(result)
        row["index"] = place
    counts = Counter(row["status"] for row in told)
    body = {"results": told} | {status: counts[status] for status in ("created", "duplicate", "invalid", "refused")}
    return Response(orjson.dumps(body, default=BaseModel.model_dump), 200, media_type="application/json")


def _told(result: Result) -> dict[str, Any]:
    """A result in the shape of EventResult."""
    error = None if result.problem is None else result.problem._asdict()
    return {"status": result.status, "id": None if result.id is None else str(result.id), "error": error}


def _position(cursor: str) -> UUID:
    try:
        return UUID(decode_cursor(cursor, str)[0])
    except ValueError:
        raise InvalidCursor from None

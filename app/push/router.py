"""/v1/push-sources and /v1/push-messages: whose messages a shop takes, and what became of them."""

from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Path

from app.access.door import DoorRoute, door
from app.access.entry import Call
from app.core.db import Row
from app.core.errors import Forbidden, Unauthorized, Unprocessable
from app.core.pagination import Cursor, Limit, decode_cursor, encode_cursor
from app.core.problems import problems
from app.push import repository, service
from app.push.errors import MessageNotFound, SourceNotFound
from app.push.schemas import (
    MessageState,
    PushMessagePage,
    PushMessageRead,
    PushSourcePage,
    PushSourceRead,
    PushSourceWrite,
)

router = APIRouter(prefix="/v1", tags=["push"], route_class=DoorRoute, responses=problems(Unauthorized, Forbidden))

Caller = Annotated[Call, door("webhooks")]
# Whoever knows a source's secret can sign customers and orders.
SourceSetter = Annotated[Call, door("webhooks", "customers:write", "orders:write")]
_NEWEST: Final = UUID(int=2**128 - 1)


@router.get("/push-sources")
async def list_sources(call: Caller) -> PushSourcePage:
    """The Youzan app whose messages the shop takes, if there is one."""
    row = await call.db.fetch_one(repository.GET_SOURCE, shop_id=call.shop.id)
    return PushSourcePage(items=[_source(call, row)] if row else [], next_cursor=None)


@router.post("/push-sources", status_code=201)
async def put_source(call: SourceSetter, body: PushSourceWrite) -> PushSourceRead:
    """Take messages from this app, in place of the one before."""
    return _source(call, await service.put_source(call.db, call.shop, body))


@router.delete("/push-sources/{client_id}", status_code=204, responses=problems(SourceNotFound))
async def remove_source(call: Caller, client_id: Annotated[str, Path(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]) -> None:
    """Take nothing more from this app. What was taken stays, and is applied."""
    await service.drop_source(call.db, call.shop, client_id)


@router.get("/push-messages")
async def list_messages(
    call: Caller, state: MessageState | None = None, limit: Limit = 50, cursor: Cursor = None
) -> PushMessagePage:
    """Messages that were taken, newest first: what is waiting, what failed, what was ignored and why."""
    before = _position(cursor) if cursor else _NEWEST
    rows = await repository.list_messages(call.db, call.shop.id, state=state, before=before, limit=limit)
    more = encode_cursor(str(rows[-1]["id"])) if len(rows) == limit else None
    return PushMessagePage(items=[PushMessageRead(**row) for row in rows], next_cursor=more)


@router.post("/push-messages/{message_id}/replay", status_code=202, responses=problems(MessageNotFound))
async def replay_message(call: Caller, message_id: UUID) -> PushMessageRead:
    """Apply a message again, whatever became of it; doing so twice is harmless."""
    return PushMessageRead(**await service.replay(call.db, call.shop, message_id))


def _source(call: Call, row: Row) -> PushSourceRead:
    return PushSourceRead(
        client_id=row["client_id"],
        enabled=row["state"] == "enabled",
        path=f"/youzan/push/{call.shop.id}",
        created_at=row["created_at"],
    )


def _position(cursor: str) -> UUID:
    try:
        return UUID(decode_cursor(cursor, str)[0])
    except ValueError:
        raise Unprocessable("Send back `next_cursor` exactly as it was given", field="cursor") from None

"""/v1/consents and /v1/suppressions."""

from datetime import UTC, datetime
from typing import Annotated, Final

from fastapi import APIRouter, Path

from app.access.door import DoorRoute, door
from app.access.entry import Call
from app.consent import repository, service
from app.consent.schemas import (
    ConsentPage,
    ConsentRead,
    ConsentState,
    ConsentWrite,
    Suppressed,
    SuppressionRemoval,
    SuppressionWrite,
)
from app.core.errors import Forbidden, Unauthorized, Unprocessable
from app.core.pagination import Cursor, Limit, decode_cursor, encode_cursor
from app.core.problems import problems
from app.customers import service as customers
from app.customers.errors import CustomerNotFound

router = APIRouter(
    prefix="/v1",
    tags=["consent"],
    route_class=DoorRoute,
    responses=problems(Unauthorized, Forbidden, CustomerNotFound),
)

_NEWEST: Final = datetime(9999, 1, 1, tzinfo=UTC), 2**63 - 1


@router.post("/consents", status_code=201)
async def record_consent(call: Annotated[Call, door("customers:write")], body: ConsentWrite) -> ConsentRead:
    """Record that a customer granted or withdrew consent. Entries are never changed: a change of mind is another one.

    A channel withdrawn by name comes back only by name; a withdrawal of every channel (`*`) ends earlier grants of all.
    """
    return ConsentRead(**await service.record(call.db, call.shop, body))


@router.get("/customers/{customer_id}/consents")
async def list_consents(
    call: Annotated[Call, door("customers:read")],
    customer_id: Annotated[int, Path(ge=1, lt=2**53)],
    limit: Limit = 50,
    cursor: Cursor = None,
) -> ConsentPage:
    """What a customer allows now, and the ledger behind it, newest first."""
    owner = await customers.answering(call.db, call.shop, customer_id)
    current = await repository.current(call.db, call.shop.id, owner)
    rows = await repository.history(
        call.db, call.shop.id, owner, before=_position(cursor) if cursor else _NEWEST, limit=limit
    )
    more = encode_cursor(rows[-1]["occurred_at"].isoformat(), rows[-1]["id"]) if len(rows) == limit else None
    return ConsentPage(
        current=[ConsentState(**row) for row in current],
        history=[ConsentRead(**row) for row in rows],
        next_cursor=more,
    )


@router.post("/suppressions", status_code=201)
async def suppress(call: Annotated[Call, door("admin")], body: SuppressionWrite) -> Suppressed:
    """Never contact a person again on a channel, or on any (`*`), whatever consent they gave."""
    return Suppressed(identities=await service.suppress(call.db, call.shop, body))


@router.post("/suppressions/removals")
async def lift_suppression(call: Annotated[Call, door("admin")], body: SuppressionRemoval) -> Suppressed:
    """Take a person off the list. A POST, so that no phone number stands in a URL."""
    return Suppressed(identities=await service.lift(call.db, call.shop, body))


def _position(cursor: str) -> tuple[datetime, int]:
    moment, number = decode_cursor(cursor, str, int)
    try:
        return datetime.fromisoformat(moment).astimezone(UTC), max(0, min(number, 2**63 - 1))
    except (ValueError, OverflowError):
        raise Unprocessable("Send back `next_cursor` exactly as it was given", field="cursor") from None

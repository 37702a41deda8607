"""GET /v1/customers."""

from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel

from app.access.answers import rendered
from app.access.door import DoorRoute, door
from app.access.entry import Call, Entry
from app.core import clock
from app.core.errors import Forbidden, Unauthorized
from app.core.pagination import Cursor, InvalidCursor, Limit, decode_cursor, encode_cursor
from app.core.problems import problems
from app.customers.records import read_fields
from app.customers.schemas import CustomerRead
from app.directory import repository
from app.directory.filters import Filters

router = APIRouter(
    prefix="/v1/customers", tags=["customers"], route_class=DoorRoute, responses=problems(Unauthorized, Forbidden)
)


class CustomerRow(CustomerRead):
    """A customer in a list."""

    tier: str | None
    orders: int
    net_fen: int


class CustomerPage(BaseModel):
    """Newest first: by change when `updated_from` or `updated_before` is given, else by creation."""

    items: list[CustomerRow]
    next_cursor: str | None


@router.get("", response_model=CustomerPage)
async def list_customers(
    request: Request,
    call: Annotated[Call, door("customers:read")],
    limit: Limit = 50,
    cursor: Cursor = None,
    created_from: clock.Moment | None = None,
    created_before: clock.Moment | None = None,
    updated_from: clock.Moment | None = None,
    updated_before: clock.Moment | None = None,
    tier: Annotated[Literal["vip", "high_potential", "regular", "at_risk"] | None, Query()] = None,
    store_id: Annotated[int | None, Query(ge=1, lt=2**53)] = None,
    has_mobile: bool | None = None,
    member: bool | None = None,
) -> Response:
    """Customers, filtered; times without a zone are in the shop's."""
    zone = call.shop.zone
    filters = Filters(
        created_from=clock.localise(created_from, zone) if created_from else None,
        created_before=clock.localise(created_before, zone) if created_before else None,
        updated_from=clock.localise(updated_from, zone) if updated_from else None,
        updated_before=clock.localise(updated_before, zone) if updated_before else None,
        tier=tier,
        store_id=store_id,
        has_mobile=has_mobile,
        member=member,
    )
    rows = await repository.keyset(call.db, call.shop, filters=filters, after=_position(cursor), limit=limit)
    call.visit.concerns([row.customer.id for row in rows])
    entry: Entry = request.app.state.entry
    items = [
        CustomerRow(
            **read_fields(entry.root, call.shop, row.customer), tier=row.tier, orders=row.orders, net_fen=row.net_fen
        )
        for row in rows
    ]
    full = len(rows) == limit
    last = encode_cursor(rows[-1].position[0].isoformat(), rows[-1].position[1]) if full else None
    return rendered(CustomerPage(items=items, next_cursor=last), call)


def _position(cursor: str | None) -> tuple[datetime, int] | None:
    if cursor is None:
        return None
    instant, number = decode_cursor(cursor, str, int)
    try:
        return datetime.fromisoformat(instant).astimezone(UTC), number
    except (ValueError, OverflowError):
        raise InvalidCursor from None

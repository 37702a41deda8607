"""GET /v1/customers, and the same by POST for what must not stand in a URL."""

from datetime import UTC, datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from app.access.answers import rendered
from app.access.door import DoorRoute, door
from app.access.entry import Call, Entry
from app.access.schemas import StoreId
from app.attributes import service as attributes
from app.attributes.conditions import Asked, Condition, read
from app.attributes.errors import AttributeFilter, AttributeInUrl, AttributeUndeclared
from app.attributes.schemas import AttributeCondition
from app.core import clock
from app.core.errors import Forbidden, Unauthorized
from app.core.pagination import Cursor, InvalidCursor, Limit, decode_cursor, encode_cursor
from app.core.problems import problems
from app.customers.records import read_fields
from app.customers.schemas import CustomerRead
from app.directory import repository
from app.directory.filters import Filters
from app.scoring.tiers import service as tiers
from app.scoring.tiers.definition import TierName

router = APIRouter(
    prefix="/v1/customers", tags=["customers"], route_class=DoorRoute, responses=problems(Unauthorized, Forbidden)
)

Reader = Annotated[Call, door("customers:read")]
CONDITIONS_LIMIT: Final = 10
_ATTRIBUTE = (
    "A condition on a public or personal attribute: name:value, and for numbers and days also name>=value, <=, >, <; "
    "given several times, all hold"
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


class CustomerSearch(BaseModel):
    """The filters of a list; all given ones must hold. Times without a zone are in the shop's."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=200, description="Rows per page")] = 50
    cursor: Annotated[str | None, Field(max_length=512, description="`next_cursor` of the page before")] = None
    created_from: clock.Moment | None = None
    created_before: clock.Moment | None = None
    updated_from: clock.Moment | None = None
    updated_before: clock.Moment | None = None
    tier: TierName | None = None
    store_id: StoreId | None = None
    has_mobile: bool | None = None
    member: bool | None = None
    conditions: Annotated[
        list[AttributeCondition], Field(max_length=CONDITIONS_LIMIT, description="On attributes of every class")
    ] = []


@router.get("", response_model=CustomerPage, responses=problems(AttributeUndeclared, AttributeFilter, AttributeInUrl))
async def list_customers(
    request: Request,
    call: Reader,
    limit: Limit = 50,
    cursor: Cursor = None,
    created_from: clock.Moment | None = None,
    created_before: clock.Moment | None = None,
    updated_from: clock.Moment | None = None,
    updated_before: clock.Moment | None = None,
    tier: Annotated[TierName | None, Query(description="A tier of the published definition")] = None,
    store_id: Annotated[int | None, Query(ge=1, lt=2**53)] = None,
    has_mobile: bool | None = None,
    member: bool | None = None,
    attribute: Annotated[list[str], Query(max_length=CONDITIONS_LIMIT, description=_ATTRIBUTE)] = [],  # noqa: B006
) -> Response:
    """Customers, filtered; times without a zone are in the shop's."""
    conditions = await attributes.conditions(
        call.db, call.shop, [read(text) for text in attribute], unmasked=call.caller.unmasked, in_url=True
    )
    filters = _filters(
        call,
        conditions,
        created_from=created_from,
        created_before=created_before,
        updated_from=updated_from,
        updated_before=updated_before,
        tier=tier,
        store_id=store_id,
        has_mobile=has_mobile,
        member=member,
    )
    return await _page(request, call, filters, cursor, limit)


@router.post("/search", response_model=CustomerPage, responses=problems(AttributeUndeclared, AttributeFilter))
async def search_customers(request: Request, call: Reader, body: CustomerSearch) -> Response:
    """The same list. A POST, so that no personal value of an attribute stands in a URL."""
    asked = [Asked(one.name, one.operator, one.value) for one in body.conditions]
    conditions = await attributes.conditions(call.db, call.shop, asked, unmasked=call.caller.unmasked, at="conditions")
    given = body.model_dump(exclude={"limit", "cursor", "conditions"})
    return await _page(request, call, _filters(call, conditions, **given), body.cursor, body.limit)


def _filters(call: Call, conditions: tuple[Condition, ...], **given: Any) -> Filters:
    moments = {
        name: clock.localise(value, call.shop.zone) for name, value in given.items() if isinstance(value, datetime)
    }
    return Filters(**given | moments, attributes=conditions or None)


async def _page(request: Request, call: Call, filters: Filters, cursor: str | None, limit: int) -> Response:
    if filters.tier is not None:
        await tiers.check_name(call.db, call.shop.id, filters.tier, field="tier")
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

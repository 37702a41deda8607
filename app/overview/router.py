"""/v1/customers/{id}/profile and /timeline: one customer as the house knows them."""

from datetime import UTC, datetime
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response

from app.access.answers import rendered
from app.access.door import DoorRoute, door
from app.access.entry import Call, Entry
from app.attributes import service as attributes
from app.consent import repository as consent
from app.consent.schemas import ConsentState
from app.core.errors import Forbidden, Unauthorized
from app.core.pagination import Cursor, InvalidCursor, decode_cursor, encode_cursor
from app.core.problems import problems
from app.customers import repository as customers
from app.customers import service as people
from app.customers.errors import CustomerNotFound
from app.customers.merging import service as merging
from app.customers.merging.schemas import MergeRead
from app.customers.records import open_customer, open_identities, provenance, read_fields
from app.customers.schemas import CustomerDetail, CustomerId
from app.overview import repository
from app.overview.schemas import Kinds, Profile, StoreVisited, TagHeld, Timeline, TimelineEntry
from app.scoring import service as scoring
from app.tags import repository as tags
from app.touches.schemas import TouchRead

router = APIRouter(
    prefix="/v1/customers",
    tags=["customers"],
    route_class=DoorRoute,
    responses=problems(Unauthorized, Forbidden, CustomerNotFound),
)

Caller = Annotated[Call, door("customers:read", "scores:read")]
_NEWEST: Final = datetime(9999, 1, 1, tzinfo=UTC), "", ""
_STORES: Final = 20
_TOUCHES: Final = 5


@router.get("/{customer_id}/profile", response_model=Profile)
async def get_profile(request: Request, call: Caller, customer_id: CustomerId) -> Response:
    """One customer with identities, attributes, scores, stores, tags, consent and the last touches."""
    db, shop = call.db, call.shop
    entry: Entry = request.app.state.entry
    row = await customers.get(db, shop.id, customer_id)
    if row is None:
        raise CustomerNotFound(field="customer_id")
    customer, customer_id = open_customer(shop, row), row["id"]
    call.visit.concerns([customer_id])
    identities = open_identities(shop, await customers.identities_of(db, shop.id, customer_id), customer.mobile)
    held = await tags.of_customers(db, shop.id, [customer_id])
    visited = await repository.stores(db, shop.id, customer_id, limit=_STORES)
    touched = await repository.last_touches(db, shop.id, customer_id, limit=_TOUCHES)
    profile = Profile(
        customer=CustomerDetail(
            **read_fields(entry.root, shop, customer),
            identities=identities,
            attributes=await attributes.of_customer(db, shop, customer_id),
        ),
        provenance=provenance(row),
        merges=[MergeRead(**edge) for edge in await merging.merges_of(db, shop, customer_id)],
        scores=await scoring.scores_of(db, shop, customer_id),
        stores=[StoreVisited(**row) for row in visited],
        tags=[TagHeld(**dict(row) | {"category": row["category_name"]}) for row in held],
        consents=[ConsentState(**row) for row in await consent.current(db, shop.id, customer_id)],
        touches=[TouchRead(**row) for row in touched],
    )
    return rendered(profile, call)


@router.get("/{customer_id}/timeline")
async def get_timeline(
    call: Caller,
    customer_id: CustomerId,
    kind: Kinds = [],  # noqa: B006 FastAPI copies it
    limit: Annotated[int, Query(ge=1, le=100, description="Entries per page")] = 50,
    cursor: Cursor = None,
) -> Timeline:
    """What happened to one customer and what they did, newest first."""
    customer_id = await people.answering(call.db, call.shop, customer_id)
    call.visit.concerns([customer_id])
    before = _place(cursor) if cursor else _NEWEST
    rows = await repository.timeline(call.db, call.shop.id, customer_id, kind, before=before, limit=limit)
    items = [TimelineEntry(**row) for row in rows]
    more = encode_cursor(items[-1].at.isoformat(), items[-1].kind, items[-1].id) if len(items) == limit else None
    return Timeline(items=items, next_cursor=more)


def _place(cursor: str) -> tuple[datetime, str, str]:
    at, kind, entry_id = decode_cursor(cursor, str, str, str)
    try:
        moment = datetime.fromisoformat(at)
        moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise InvalidCursor from None
    if "\0" in kind + entry_id:
        raise InvalidCursor
    return moment, kind, entry_id

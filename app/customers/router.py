"""/v1/customers: create or find, read, change, look up, in ones and in thousands."""

from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import TypeAdapter

from app.access.answers import rendered
from app.access.door import DoorRoute, door
from app.access.entry import Call, Entry
from app.attributes import service as attributes
from app.attributes.errors import AttributeUndeclared, AttributeValue, SensitiveOff
from app.attributes.service import Told
from app.core.errors import Forbidden, Unauthorized
from app.core.problems import problems
from app.customers import records, repository, service
from app.customers.batches import BatchResult, batch_response, valid_rows
from app.customers.errors import CustomerNotFound, IdentityConflict
from app.customers.schemas import (
    CustomerBatch,
    CustomerCreate,
    CustomerDetail,
    CustomerId,
    CustomerPatch,
    CustomerRead,
    Lookup,
)
from app.customers.service import Write

router = APIRouter(
    prefix="/v1/customers", tags=["customers"], route_class=DoorRoute, responses=problems(Unauthorized, Forbidden)
)

_MANY: TypeAdapter[list[CustomerCreate]] = TypeAdapter(list[CustomerCreate])
_ONE: TypeAdapter[CustomerCreate] = TypeAdapter(CustomerCreate)


@router.post(
    "",
    status_code=201,
    response_model=CustomerRead,
    responses={
        **problems(IdentityConflict, SensitiveOff, AttributeUndeclared, AttributeValue),
        200: {"description": "Found, and changed where a sent field differed", "model": CustomerRead},
    },
)
async def create_customer(
    request: Request, call: Annotated[Call, door("customers:write")], body: CustomerCreate
) -> Response:
    """Create a customer, or find the one who holds any of the identities and apply what was sent."""
    outcome = (await service.upsert(call.db, call.shop, call.ids, [_write(call, body)]))[0]
    if outcome.error is not None or outcome.customer_id is None:
        raise outcome.error or CustomerNotFound
    call.visit.concerns([outcome.customer_id])
    status = 201 if outcome.status == service.CREATED else 200
    return await _read(request, call, outcome.customer_id, status)


@router.post("/batch", response_model=BatchResult)
async def write_customers(
    request: Request, call: Annotated[Call, door("customers:write")], body: CustomerBatch
) -> Response:
    """Create or change up to 1,000 customers; each row answers for itself."""
    rows, refused = valid_rows(_MANY, _ONE, body.customers)
    outcomes = await service.upsert(call.db, call.shop, call.ids, [_write(call, row) for _, row in rows])
    call.visit.concerns([outcome.customer_id for outcome in outcomes])
    return batch_response(len(body.customers), [index for index, _ in rows], outcomes, refused)


@router.post("/lookup", response_model=CustomerDetail, responses=problems(CustomerNotFound))
async def look_up_customer(request: Request, call: Annotated[Call, door("customers:read")], body: Lookup) -> Response:
    """The customer who holds an identity. A POST, so that no phone number stands in a URL."""
    customer_id = await service.find(call.db, call.shop, body.identity)
    if customer_id is None:
        raise CustomerNotFound(field="identity")
    return await _detail(request, call, customer_id)


@router.get("/{customer_id}", response_model=CustomerDetail, responses=problems(CustomerNotFound))
async def get_customer(
    request: Request, call: Annotated[Call, door("customers:read")], customer_id: CustomerId
) -> Response:
    """One customer with what identifies them."""
    return await _detail(request, call, customer_id)


@router.patch(
    "/{customer_id}",
    response_model=CustomerRead,
    responses=problems(CustomerNotFound, IdentityConflict, SensitiveOff, AttributeUndeclared, AttributeValue),
)
async def change_customer(
    request: Request, call: Annotated[Call, door("customers:write")], customer_id: CustomerId, body: CustomerPatch
) -> Response:
    """Change what was sent: absent keeps, null clears."""
    call.visit.concerns([customer_id])
    told = _told(call, body)
    await service.patch(call.db, call.shop, customer_id, body.given(), body.identities, attributes=told)
    return await _read(request, call, customer_id, 200)


def _write(call: Call, body: CustomerCreate) -> Write:
    return Write(body.identities, body.given(), body.created_at, attributes=_told(call, body))


def _told(call: Call, body: CustomerCreate | CustomerPatch) -> Told | None:
    return Told(body.attributes, call.caller.client_id) if body.attributes else None


async def _read(request: Request, call: Call, customer_id: int, status: int) -> Response:
    entry: Entry = request.app.state.entry
    customer = await service.get(call.db, call.shop, customer_id)
    return rendered(records.read_model(entry.root, call.shop, customer), call, status)


async def _detail(request: Request, call: Call, customer_id: int) -> Response:
    entry: Entry = request.app.state.entry
    call.visit.concerns([customer_id])
    customer = await service.get(call.db, call.shop, customer_id)
    known = await repository.identities_of(call.db, call.shop.id, customer_id)
    detail = CustomerDetail(
        **records.read_fields(entry.root, call.shop, customer),
        identities=records.open_identities(call.shop, known),
        attributes=await attributes.of_customer(call.db, call.shop, customer_id),
    )
    return rendered(detail, call)

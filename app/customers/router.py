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
from app.core.problems import problem_response, problems
from app.customers import records, repository, service
from app.customers.batches import BatchResult, batch_response, valid_rows
from app.customers.errors import (
    CustomerNotFound,
    IdentityBlocked,
    IdentityConflict,
    IdentityLimit,
    IdentityNotFound,
)
from app.customers.schemas import (
    CustomerBatch,
    CustomerCreate,
    CustomerDetail,
    CustomerId,
    CustomerIdentities,
    CustomerPatch,
    CustomerWritten,
    IdentitiesWrite,
    IdentityRemoval,
    Lookup,
)
from app.customers.service import Outcome, Write

router = APIRouter(
    prefix="/v1/customers", tags=["customers"], route_class=DoorRoute, responses=problems(Unauthorized, Forbidden)
)

_MANY: TypeAdapter[list[CustomerCreate]] = TypeAdapter(list[CustomerCreate])
_ONE: TypeAdapter[CustomerCreate] = TypeAdapter(CustomerCreate)


@router.post(
    "",
    status_code=201,
    response_model=CustomerWritten,
    responses={
        **problems(IdentityLimit, IdentityBlocked, SensitiveOff, AttributeUndeclared, AttributeValue),
        200: {"description": "Found, and changed where a sent field differed", "model": CustomerWritten},
    },
)
async def create_customer(
    request: Request, call: Annotated[Call, door("customers:write")], body: CustomerCreate
) -> Response:
    """Create a customer, or find the one who holds any of the identities and apply what was sent.

    Identities of two customers make them one where the shop's policy lets them; else the strongest identity decides
    whom the write is for, and the pair waits at GET /v1/merge-conflicts.
    """
    outcome = (await service.upsert(call.db, call.shop, call.ids, [_write(call, body)], source=call.caller.client_id))[
        0
    ]
    if outcome.error is not None or outcome.customer_id is None:
        raise outcome.error or CustomerNotFound
    call.visit.concerns([outcome.customer_id])
    return await _written(request, call, outcome, 201 if outcome.status == service.CREATED else 200)


@router.post("/batch", response_model=BatchResult)
async def write_customers(
    request: Request, call: Annotated[Call, door("customers:write")], body: CustomerBatch
) -> Response:
    """Create or change up to 1,000 customers; each row answers for itself."""
    rows, refused = valid_rows(_MANY, _ONE, body.customers)
    writes = [_write(call, row) for _, row in rows]
    outcomes = await service.upsert(call.db, call.shop, call.ids, writes, source=call.caller.client_id)
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
    response_model=CustomerWritten,
    responses=problems(
        CustomerNotFound, IdentityLimit, IdentityBlocked, SensitiveOff, AttributeUndeclared, AttributeValue
    ),
)
async def change_customer(
    request: Request, call: Annotated[Call, door("customers:write")], customer_id: CustomerId, body: CustomerPatch
) -> Response:
    """Change what was sent: absent keeps, null clears."""
    call.visit.concerns([customer_id])
    outcome = await service.patch(
        call.db,
        call.shop,
        customer_id,
        body.given(),
        body.identities,
        attributes=_told(call, body),
        source=call.caller.client_id,
    )
    return await _written(request, call, outcome, 200)


@router.get("/{customer_id}/identities", response_model=CustomerIdentities, responses=problems(CustomerNotFound))
async def list_identities(call: Annotated[Call, door("customers:read")], customer_id: CustomerId) -> Response:
    """What identifies a customer, with where each came from, and the former ones."""
    call.visit.concerns([customer_id])
    return await _identities(call, customer_id)


@router.post(
    "/{customer_id}/identities",
    response_model=CustomerIdentities,
    responses=problems(CustomerNotFound, IdentityConflict, IdentityBlocked, IdentityLimit),
)
async def add_identities(
    call: Annotated[Call, door("customers:write")], customer_id: CustomerId, body: IdentitiesWrite
) -> Response:
    """Add identities, or say of some that they are verified.

    One that someone else holds makes the two one customer where the shop's policy lets it; else nothing of theirs is
    taken, and the pair waits at GET /v1/merge-conflicts.
    """
    call.visit.concerns([customer_id])
    outcome = await service.patch(call.db, call.shop, customer_id, {}, body.identities, source=call.caller.client_id)
    if outcome.conflicts:
        # Answered, not raised: what waits for a decision is kept.
        return problem_response(IdentityConflict(field="identities", merge_conflicts=outcome.conflicts))
    return await _identities(call, customer_id)


@router.delete(
    "/{customer_id}/identities",
    response_model=CustomerIdentities,
    responses=problems(CustomerNotFound, IdentityNotFound),
)
async def remove_identity(
    call: Annotated[Call, door("customers:write")], customer_id: CustomerId, body: IdentityRemoval
) -> Response:
    """Let an identity be nobody's; what it brought stays. Named in the body, so that it stands in no URL."""
    call.visit.concerns([customer_id])
    await service.drop_identity(call.db, call.shop, customer_id, body.identity, source=call.caller.client_id)
    return await _identities(call, customer_id)


async def _identities(call: Call, customer_id: int) -> Response:
    customer = await service.get(call.db, call.shop, customer_id)
    known = await repository.identities_of(call.db, call.shop.id, customer.id)
    items = records.open_identities(call.shop, known, customer.mobile)
    return rendered(CustomerIdentities(customer_id=customer.id, items=items), call)


def _write(call: Call, body: CustomerCreate) -> Write:
    return Write(body.identities, body.given(), body.created_at, attributes=_told(call, body))


def _told(call: Call, body: CustomerCreate | CustomerPatch) -> Told | None:
    return Told(body.attributes, call.caller.client_id) if body.attributes else None


async def _written(request: Request, call: Call, outcome: Outcome, status: int) -> Response:
    entry: Entry = request.app.state.entry
    customer = await service.get(call.db, call.shop, outcome.customer_id or 0)
    fields = records.read_fields(entry.root, call.shop, customer)
    return rendered(CustomerWritten(**fields, merge_conflicts=outcome.conflicts), call, status)


async def _detail(request: Request, call: Call, customer_id: int) -> Response:
    entry: Entry = request.app.state.entry
    call.visit.concerns([customer_id])
    customer = await service.get(call.db, call.shop, customer_id)
    known = await repository.identities_of(call.db, call.shop.id, customer.id)
    detail = CustomerDetail(
        **records.read_fields(entry.root, call.shop, customer),
        identities=records.open_identities(call.shop, known, customer.mobile),
        attributes=await attributes.of_customer(call.db, call.shop, customer.id),
    )
    return rendered(detail, call)

"""/v1/customers: create or find, read, change, look up, in ones and in thousands."""

from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, TypeAdapter, ValidationError

from app.access.door import DoorRoute, door
from app.access.entry import Call, Entry
from app.core.errors import AppError, Forbidden, Unauthorized
from app.core.ids import CustomerIds
from app.core.problems import field_problems, problems
from app.customers import records, repository, service
from app.customers.errors import CustomerNotFound, IdentityConflict
from app.customers.schemas import (
    BatchResult,
    CustomerBatch,
    CustomerCreate,
    CustomerDetail,
    CustomerPatch,
    CustomerRead,
    Lookup,
    RowError,
    RowResult,
)
from app.customers.service import Outcome, Write

router = APIRouter(
    prefix="/v1/customers", tags=["customers"], route_class=DoorRoute, responses=problems(Unauthorized, Forbidden)
)

M = TypeVar("M", bound=BaseModel)

CustomerId = Annotated[int, Path(ge=1, lt=2**53)]
_TOO_MANY = 1000  # listing a row's faults takes longer than finding them
_MANY: TypeAdapter[list[CustomerCreate]] = TypeAdapter(list[CustomerCreate])
_ONE: TypeAdapter[CustomerCreate] = TypeAdapter(CustomerCreate)


@router.post(
    "",
    status_code=201,
    response_model=CustomerRead,
    responses={
        **problems(IdentityConflict),
        200: {"description": "Found, and changed where a sent field differed", "model": CustomerRead},
    },
)
async def create_customer(
    request: Request, call: Annotated[Call, door("customers:write")], body: CustomerCreate
) -> Response:
    """Create a customer, or find the one who holds any of the identities and apply what was sent."""
    outcome = (await service.upsert(call.db, call.shop, customer_ids(request), [_write(body)]))[0]
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
    outcomes = await service.upsert(call.db, call.shop, customer_ids(request), [_write(row) for _, row in rows])
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


@router.patch("/{customer_id}", response_model=CustomerRead, responses=problems(CustomerNotFound, IdentityConflict))
async def change_customer(
    request: Request, call: Annotated[Call, door("customers:write")], customer_id: CustomerId, body: CustomerPatch
) -> Response:
    """Change what was sent: absent keeps, null clears."""
    call.visit.concerns([customer_id])
    await service.patch(call.db, call.shop, customer_id, body.given(), body.identities)
    return await _read(request, call, customer_id, 200)


def customer_ids(request: Request) -> CustomerIds:
    """The process's block of unused customer numbers."""
    ids: CustomerIds = request.app.state.customer_ids
    return ids


def rendered(model: BaseModel, call: Call, status: int = 200) -> Response:
    """A model as JSON, personal fields masked unless the caller may see them."""
    content = model.model_dump_json(context={"unmask": call.caller.unmasked})
    return Response(content, status, {"Cache-Control": "no-store"}, "application/json")


def valid_rows(
    many: TypeAdapter[list[M]], one: TypeAdapter[M], rows: Sequence[Any]
) -> tuple[list[tuple[int, M]], dict[int, RowError]]:
    """The rows that validate with their places, and why the others do not."""
    try:
        return list(enumerate(many.validate_python(rows))), {}
    except ValidationError:
        pass  # find out which: the usual batch is all good and never comes here
    good: list[tuple[int, M]] = []
    bad: dict[int, RowError] = {}
    for index, row in enumerate(rows):
        try:
            good.append((index, one.validate_python(row)))
        except ValidationError as error:
            if error.error_count() > _TOO_MANY:
                bad[index] = RowError(code="invalid", detail=f"{error.error_count()} values are not acceptable")
                continue
            first = field_problems(error.errors(include_input=False, include_url=False, include_context=False))[0]
            bad[index] = RowError(code="invalid", detail=first["message"], field=first["field"])
    return good, bad


def batch_response(count: int, places: list[int], outcomes: list[Outcome], refused: dict[int, RowError]) -> Response:
    """The answer of a batch: a result per row in the order sent, and the counts."""
    results: list[RowResult] = [RowResult(index=i, status=service.REFUSED, error=refused.get(i)) for i in range(count)]
    for place, outcome in zip(places, outcomes, strict=True):
        results[place] = RowResult(
            index=place,
            status=outcome.status,
            customer_id=outcome.customer_id,
            error=row_error(outcome.error) if outcome.error else None,
        )
    statuses = [result.status for result in results]
    counts = {status: statuses.count(status) for status in ("created", "updated", "unchanged", "refused")}
    return Response(BatchResult(results=results, **counts).model_dump_json(), 200, media_type="application/json")


def row_error(error: AppError) -> RowError:
    """A refusal as one row's reason."""
    return RowError(code=error.code, detail=error.detail or error.title, field=error.field)


def _write(body: CustomerCreate) -> Write:
    return Write(body.identities, body.given(), body.created_at)


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
    )
    return rendered(detail, call)

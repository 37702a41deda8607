"""/v1/orders and /v1/refunds."""

from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import TypeAdapter

from app.access.door import DoorRoute, door
from app.access.entry import Call
from app.core.errors import Forbidden, Unauthorized
from app.core.problems import problems
from app.customers.batches import BatchResult, batch_response, valid_rows
from app.customers.errors import IdentityBlocked, IdentityLimit
from app.orders import service
from app.orders.schemas import OrderBatch, OrderResult, OrderWrite, RefundResult, RefundWrite

router = APIRouter(prefix="/v1", tags=["orders"], route_class=DoorRoute, responses=problems(Unauthorized, Forbidden))

_MANY: TypeAdapter[list[OrderWrite]] = TypeAdapter(list[OrderWrite])
_ONE: TypeAdapter[OrderWrite] = TypeAdapter(OrderWrite)


@router.post("/orders", responses=problems(IdentityLimit, IdentityBlocked))
async def put_order(request: Request, call: Annotated[Call, door("orders:write")], body: OrderWrite) -> OrderResult:
    """Tell of an order; telling it again, or late, is harmless."""
    outcome = (await service.put_orders(call.db, call.shop, call.ids, [body], source=call.caller.client_id))[0]
    if outcome.error is not None:
        raise outcome.error
    call.visit.concerns([outcome.customer_id])
    return OrderResult(order_no=body.order_no, status=outcome.status, customer_id=outcome.customer_id or 0)


@router.post("/orders/batch", response_model=BatchResult)
async def put_orders(request: Request, call: Annotated[Call, door("orders:write")], body: OrderBatch) -> Response:
    """Tell of up to 1,000 orders; each row answers for itself."""
    rows, refused = valid_rows(_MANY, _ONE, body.orders)
    orders = [row for _, row in rows]
    outcomes = await service.put_orders(call.db, call.shop, call.ids, orders, source=call.caller.client_id)
    call.visit.concerns([outcome.customer_id for outcome in outcomes])
    return batch_response(len(body.orders), [index for index, _ in rows], outcomes, refused)


@router.post("/refunds")
async def put_refund(call: Annotated[Call, door("orders:write")], body: RefundWrite) -> RefundResult:
    """Tell of a refund, before or after its order."""
    return (await service.put_refunds(call.db, call.shop, [body]))[0]

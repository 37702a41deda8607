"""Messages about orders and refunds. An order is what all that was told of it says together."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from app.customers.schemas import IdentityWrite
from app.orders.schemas import MOST_FEN, PAID_STATUSES, OrderWrite, RefundWrite, StatusWrite
from app.push.errors import Invalid
from app.push.people import ACCOUNT_SCOPE, OPEN_ID_SCOPE, OUTER_SCOPE, identity, known
from app.push.reading import Json, Told, china_moment, fen, struct, structs, words

M = TypeVar("M", bound=BaseModel)

ORDER_STATE: Final = "TRADE_ORDER_STATE"
_STATUS_OF_TYPE: Final = {
    "trade_TradeCreate": "created",
    "trade_TradePaid": "paid",
    "trade_TradeBuyerPay": "paid",
    "trade_TradePartlySellerShip": "paid",  # something is still to be shipped
    "trade_TradeSellerShip": "shipped",
    "trade_TradeSuccess": "completed",
    "trade_TradeClose": "closed",
}
_STATUS_OF_STATE: Final = {
    "TRADE_NO_CREATE_PAY": "created",
    "WAIT_BUYER_PAY": "created",
    "WAIT_PAY_RETURN": "created",
    "TRADE_PAID": "paid",
    "WAIT_GROUP": "paid",
    "WAIT_CONFIRM": "paid",
    "WAIT_SELLER_SEND_GOODS": "paid",
    "WAIT_BUYER_CONFIRM_GOODS": "shipped",
    "TRADE_BUYER_SIGNED": "completed",
    "TRADE_SUCCESS": "completed",
    "TRADE_CLOSED": "closed",
    "TRADE_CLOSED_BY_USER": "closed",
}
TRADE_TYPES: Final = (*_STATUS_OF_TYPE, ORDER_STATE)
REFUNDED_TYPES: Final = ("trade_refund_RefundSuccess", "trade_refund_SysRefund", "youzan_trade_RefundSuccess")
REFUND_PREFIXES: Final = ("trade_refund_", "youzan_trade_Refund", "youzan_trade_refund_")
CHANNEL: Final = "youzan"

_FURTHER: Final = {"created": 0, "paid": 1, "shipped": 2, "completed": 3, "closed": 4}
_PAYING: Final = ("trade_TradePaid", "trade_TradeBuyerPay", ORDER_STATE)
_MOST_ITEMS: Final = 2000
_MOST_TELLINGS: Final = 999


@dataclass(frozen=True, slots=True)
class Folded:
    """An order as all its messages have it. `unpaid`: it is said to be further than an unpaid order can be."""

    order: OrderWrite | StatusWrite | None
    unpaid: bool = False
    ignored: str | None = None


def status_of(told: Told) -> str | None:
    """The order's status by one message, or None when the message names none that we know."""
    if told.type == ORDER_STATE:
        return _STATUS_OF_STATE.get(words(told.msg.get("status")) or told.status)
    return _STATUS_OF_TYPE.get(told.type)


def needs_payment(told: Told) -> bool:
    """Whether the message says that the order is further than an unpaid one can be."""
    return status_of(told) in PAID_STATUSES


def check(told: Told) -> None:
    """Whether what one message says of an order can be kept at all. Raises Invalid."""
    order_no_of(told)
    info = struct(told.msg.get("full_order_info"))
    _amount(info)
    _items(info)


def order_no_of(told: Told) -> str:
    """The order that a message is about. Raises Invalid."""
    info = struct(struct(told.msg.get("full_order_info")).get("order_info"))
    found = words(told.msg.get("tid")) or words(info.get("tid")) or words(told.body.get("id"))
    if not found:
        raise Invalid("order_no")
    return found


def folded(order_no: str, all_told: Sequence[Told], shop_id: int) -> Folded:
    """The order as everything that was told of it has it: the newest facts, and the newest status.

    The version is the newest message's in microseconds plus how many messages there are, so that whoever knows more
    wins: an old message that comes late completes what a newer one began.

    Raises: Invalid.
    """
    told = sorted(
        (one for one in all_told if status_of(one) is not None),
        key=lambda one: (one.version, _FURTHER[str(status_of(one))], one.msg_id),
    )
    version = told[-1].version * 1000 + min(len(told), _MOST_TELLINGS)
    status = str(status_of(told[-1]))
    infos = [(one, struct(one.msg.get("full_order_info"))) for one in reversed(told)]
    full = [(one, info, amount) for one, info in infos if (amount := _amount(info)) is not None]
    if not full:
        return Folded(_checked(StatusWrite, order_no=order_no, status=status, version=version))
    identities = next((found for _, info in infos if (found := _buyer(info))), [])
    if not identities:
        return Folded(None, ignored="anonymous_buyer")
    paid_at = _paid_at(told, [info for _, info in infos])
    unpaid = status in PAID_STATUSES and paid_at is None
    if unpaid:
        status = "created"
    elif status == "created" and paid_at is not None:
        status = "paid"
    newest, info, amount = full[0]
    order = _checked(
        OrderWrite,
        order_no=order_no,
        identities=identities,
        store_id=_store(newest, shop_id),
        channel=CHANNEL,
        status=status,
        paid_at=paid_at,
        amount_fen=amount,
        discount_fen=_discount(info, amount),
        items=_items(info),
        version=version,
    )
    return Folded(order, unpaid=unpaid)


def refund_of(told: Told) -> RefundWrite:
    """Money that was given back. Raises Invalid."""
    try:
        amount = fen(told.msg.get("refunded_fee"))
    except ValueError:
        raise Invalid("amount_fen") from None
    return _checked(
        RefundWrite,
        refund_no=words(told.msg.get("refund_id")) or words(told.body.get("id")),
        order_no=words(told.msg.get("tid")),
        amount_fen=amount,
        refunded_at=told.moment,
        version=told.version,
    )


def _buyer(info: Json) -> list[IdentityWrite]:
    buyer = struct(info.get("buyer_info"))
    return known(
        identity("external_id", buyer.get("yz_open_id"), OPEN_ID_SCOPE),
        identity("external_id", buyer.get("buyer_id"), ACCOUNT_SCOPE),
        identity("mobile", buyer.get("buyer_phone")),
        identity("fans_id", buyer.get("fans_id")),
        identity("external_id", buyer.get("outer_user_id"), OUTER_SCOPE),
    )


def _paid_at(told: Sequence[Told], infos: Sequence[Json]) -> datetime | None:
    """When it was paid: by the newest facts that say so, else by the message that tells of the payment."""
    for info in infos:
        if (moment := china_moment(struct(info.get("order_info")).get("pay_time"))) is not None:
            return moment
    return next((one.moment for one in told if one.type in _PAYING and status_of(one) == "paid"), None)


def _amount(info: Json) -> int | None:
    pay = struct(info.get("pay_info"))
    try:
        amount = fen(pay.get("payment"))
        if amount is None:
            amount = fen(pay.get("real_payment"))
        if amount is None:
            parts = [fen(line.get("payment")) for line in structs(info.get("orders"))]
            amount = sum(part or 0 for part in parts) if any(part is not None for part in parts) else None
    except ValueError:
        raise Invalid("amount_fen") from None
    return amount


def _discount(info: Json, amount: int) -> int:
    """What was taken off: the lines at their prices, less what is paid for them.

    Only where that is certain: every line says its number, price and payment, and the payments with the postage are
    the order's amount. Else 0, for no field that we know of names it.
    """
    lines = structs(info.get("orders"))
    try:
        postage = fen(struct(info.get("pay_info")).get("post_fee")) or 0
        told = [(words(line.get("num")), fen(line.get("price")), fen(line.get("payment"))) for line in lines]
    except ValueError:
        return 0
    listed = paid = 0
    for number, price, payment in told:
        if not number.isdecimal() or price is None or payment is None:
            return 0
        listed, paid = listed + int(number[:9]) * price, paid + payment
    certain = paid + postage == amount and paid <= listed <= MOST_FEN
    return listed - paid if certain else 0


def _items(info: Json) -> list[dict[str, Any]]:
    """Lines with a quantity and a price; the price of a piece is the one before the order's own discounts."""
    items: list[dict[str, Any]] = []
    for line in structs(info.get("orders"))[:_MOST_ITEMS]:
        quantity = words(line.get("num"))
        try:
            price = fen(line.get("price"))
        except ValueError:
            raise Invalid("items") from None
        if not quantity.isdecimal() or not int(quantity[:9]) or price is None:
            continue
        codes = (words(line.get(name)) for name in ("outer_sku_id", "sku_id", "item_id"))
        sku = next((code for code in codes if code not in ("", "0")), None)
        items.append(
            {
                "sku": sku[:64] if sku else None,
                "name": words(line.get("title"))[:200] or None,
                "quantity": int(quantity[:9]),
                "price_fen": price,
            }
        )
    return items


def _store(told: Told, shop_id: int) -> int | None:
    """The branch, where the message was sent for one of the shop's branches."""
    number = words(told.body.get("kdt_id"))
    return int(number) if number.isdecimal() and len(number) < 16 and int(number) not in (0, shop_id) else None


def _checked(model: type[M], **values: Any) -> M:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        place = error.errors(include_input=False, include_url=False, include_context=False)[0]["loc"]
        raise Invalid(str(place[0]) if place else "order") from None

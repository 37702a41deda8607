"""Rows of an order file become orders: the lines of one order are gathered from anywhere in the file."""

import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import TypeVar
from zoneinfo import ZoneInfo

from pydantic import TypeAdapter

from app.imports import identities
from app.imports.asked import Asked
from app.imports.header import IDENTITY_COLUMNS, SCOPE_COLUMNS, STORE_ALIASES, Layout
from app.imports.rows import (
    EXACT,
    Outgoing,
    Payload,
    Row,
    RowError,
    RowRefused,
    Unit,
    checked,
    moment,
    money,
    read,
    rfc3339,
    text_cell,
    to_fen,
    whole,
)
from app.orders.schemas import OrderWrite, RefundWrite

T = TypeVar("T")
MAX_ORDER_NO = 64
MAX_LINES = 2000
_PULSE = 5000  # rows between two signs of life
_ORDER: TypeAdapter[OrderWrite] = TypeAdapter(OrderWrite)
_REFUND: TypeAdapter[RefundWrite] = TypeAdapter(RefundWrite)

LAYOUT = Layout(
    columns={
        "order_no": ("订单号", "订单编号", "交易编号", "order_number", "order_id", "invoice_no", "tid"),
        **IDENTITY_COLUMNS,
        **SCOPE_COLUMNS,
        "paid_at": (
            "付款时间",
            "支付时间",
            "买家付款时间",
            "下单时间",
            "订单时间",
            "pay_time",
            "paid_time",
            "order_time",
        ),
        "amount": ("订单金额", "实付金额", "实收金额", "支付金额", "金额", "订单实付金额", "total", "order_amount"),
        "discount": (
            "优惠金额",
            "折扣金额",
            "优惠",
            "订单优惠",
            "订单优惠金额",
            "优惠总额",
            "discount_amount",
            "discount_fee",
            "order_discount",
        ),
        "line_amount": ("行金额", "小计", "商品小计", "商品实付金额", "line_total", "subtotal"),
        "store_id": STORE_ALIASES,
        "channel": ("渠道", "销售渠道", "订单渠道", "订单来源"),
        "status": ("状态", "订单状态", "order_status"),
        "sku": ("商品编码", "商品编号", "规格编码", "货号", "条码", "sku_id", "stock_code", "product_id"),
        "name": ("商品名称", "商品", "品名", "商品标题", "product_name", "item_name", "description"),
        "category": (
            "商品类目",
            "类目",
            "商品品类",
            "品类",
            "商品分类",
            "分类",
            "product_category",
            "item_category",
        ),
        "quantity": ("数量", "商品数量", "购买数量", "件数", "qty"),
        "unit_price": ("单价", "商品单价", "价格", "商品价格", "price"),
        "refund_no": ("退款编号", "退款单号", "refund_id"),
        "refund_amount": ("退款金额", "实退金额"),
        "refunded_at": ("退款时间", "退款成功时间", "refund_time"),
        "version": ("版本", "版本号"),
        "updated_at": ("更新时间", "修改时间", "update_time", "updated_time"),
    },
    required={
        "the order number": (("order_no",),),
        "who ordered": (*((column,) for column in IDENTITY_COLUMNS), ("refund_no",)),
        "the time of payment": (("paid_at",), ("refunded_at",)),
        "the amount": (("amount",), ("line_amount",), ("quantity", "unit_price"), ("refund_amount",)),
    },
)

HELP = """\
Columns, in English or Chinese, in any order:
  order_no, paid_at, at least one of external_id, mobile, email, wechat_openid (with
  wechat_appid), wechat_unionid, wecom_external_userid, fans_id, open_user_id, card_no, device
  the amount, in yuan: amount, or line_amount, or quantity and unit_price
  optional: discount, store_id, channel, status, sku, name, category, version, updated_at
A file may have one line per order or one per item: lines with the same order_no are one
order, wherever they stand. Its amount, in whole fen, half a fen rounded up, is
  amount       when given. It is the order's total: every line that fills it must agree;
  line_amount  otherwise, added up over all lines, exactly, then rounded once;
  quantity x unit_price  otherwise, added up over all lines, exactly, then rounded once.
Its discount, in yuan too, is what was taken off the price; it is not taken off the amount.
It is the order's, as amount is: every line that fills it must agree. A category is an item's.
The earliest paid_at and the latest version count, or without versions the latest
updated_at; everything else that describes the order must agree where it is filled. Times
without a zone are in the shop's zone. Status is created, paid, shipped, completed or
closed, or its Chinese name; without one the order is paid. An order with one bad line is
left out whole, so no total is wrong. An order has at most 2,000 lines. A line that
fills refund_no is a refund of its order: refund_no, order_no, refund_amount, refunded_at."""

_STATUSES = {status: status for status in ("created", "paid", "shipped", "completed", "closed")}
_STATUSES |= {"待付款": "created", "等待买家付款": "created", "已付款": "paid", "待发货": "paid", "买家已付款": "paid"}
_STATUSES |= {
    "已发货": "shipped",
    "待收货": "shipped",
    "卖家已发货": "shipped",
    "已完成": "completed",
    "交易完成": "completed",
}
_STATUSES |= {"交易成功": "completed", "已关闭": "closed", "交易关闭": "closed", "已取消": "closed"}
_UNPAID = ("created", "closed")
_HINTS = {
    "amount": ": amount is the order's total, put a line's own into line_amount",
    "discount": ": discount is the order's total, add up what was taken off its lines",
}


def read_orders(rows: Iterable[Row], asked: Asked) -> Iterator[Unit]:
    """An order or a refusal for each order number, in order of first appearance, after the whole file has been read.

    Memory stays under about 32 MiB plus the lines of one order, at most 2,000; the file's lines wait on disk, see
    `scratch`. Refunds go out as they are read: they wait for their orders in the database.
    """
    for count, row in enumerate(rows, 1):
        order_no = row.cells.get("order_no")
        if "refund_no" in row.cells:
            yield _refund(row, asked)
        elif order_no:
            asked.memory.add(order_no, row)
        else:
            yield RowError(row.line, "" if row.fault else "order_no", row.fault or "the order number is missing")
        if count % _PULSE == 0:
            yield None
    for lines in asked.memory.groups(MAX_LINES + 1):
        try:
            payload = to_order(lines, source=asked.source, zone=asked.zone)
            yield Outgoing(lines[0].line, checked(_ORDER, lines[0].line, payload))
        except RowRefused as refused:
            yield _whole_order(refused.error, lines)


def to_told(line: int, payload: Payload, asked: Asked) -> OrderWrite | RefundWrite:
    """An order in the form of the calls; an object with a `refund_no` is a refund. Raises RowRefused."""
    return checked(_REFUND, line, payload) if "refund_no" in payload else checked(_ORDER, line, payload)


def _refund(row: Row, asked: Asked) -> Unit:
    try:
        if row.fault:
            raise RowRefused(row.line, "", row.fault)
        amount = read(row, "refund_amount", money)
        refunded = read(row, "refunded_at", lambda text: rfc3339(moment(text, asked.zone)))
        if amount is None or refunded is None:
            missing = "refund_amount" if amount is None else "refunded_at"
            raise RowRefused(row.line, missing, "a refund needs an amount and a time")
        fields: Payload = {
            "refund_no": row.cells["refund_no"],
            "order_no": row.cells.get("order_no"),
            "amount_fen": to_fen(amount),
            "refunded_at": refunded,
            "version": read(row, "version", whole),
        }
        payload = {name: value for name, value in fields.items() if value is not None}
        return Outgoing(row.line, checked(_REFUND, row.line, payload))
    except RowRefused as refused:
        return refused.error


def to_order(lines: Sequence[Row], *, source: str, zone: ZoneInfo) -> Payload:
    """The order that all its lines describe together; the rules are in `HELP`. Raises RowRefused."""
    if len(lines) > MAX_LINES:
        raise RowRefused(lines[0].line, "order_no", f"the order has more than {MAX_LINES:,} lines")
    for row in lines:
        if row.fault:
            raise RowRefused(row.line, "", row.fault)
    status = _agreed(lines, "status", _status) or "paid"
    times = _distinct(lines, "paid_at", lambda text: moment(text, zone))
    if not times and status not in _UNPAID:
        raise RowRefused(lines[0].line, "paid_at", "the time of payment is missing")
    versions = _distinct(lines, "version", whole)
    updates = _distinct(lines, "updated_at", lambda text: moment(text, zone))
    discount = _agreed(lines, "discount", money)
    fields: Payload = {
        "store_id": _agreed(lines, "store_id", whole),
        "channel": _agreed(lines, "channel", text_cell),
        "status": status,
        "paid_at": rfc3339(min(times)) if times and status != "created" else None,
        "amount_fen": _amount_fen(lines),
        "discount_fen": None if discount is None else to_fen(discount),
        "currency": "CNY",
        "items": [item for row in lines if (item := _item(row))],
        "version": max(versions, default=None),
        "updated_at": rfc3339(max(updates)) if updates and not versions else None,
    }
    return {
        "order_no": _order_no(lines[0]),
        "identities": _buyer(lines, source),
        **{name: value for name, value in fields.items() if value is not None},
    }


def _order_no(row: Row) -> str:
    order_no = row.cells["order_no"]
    if len(order_no) > MAX_ORDER_NO:
        raise RowRefused(row.line, "order_no", f"the order number is longer than {MAX_ORDER_NO} characters")
    return order_no


def _buyer(lines: Sequence[Row], source: str) -> list[Payload]:
    values = {column: _agreed(lines, column, parse) for column, parse in identities.PARSERS.items()}
    appid = _agreed(lines, "wechat_appid", text_cell)
    buyer = identities.identities(values, appid=appid, source=source)
    if not buyer:
        raise RowRefused(lines[0].line, "", "no cell of this order says who ordered")
    return buyer


def _amount_fen(lines: Sequence[Row]) -> int:
    total = _agreed(lines, "amount", money)
    if total is None:
        by_line = any("line_amount" in row.cells for row in lines)
        total = Decimal(0)
        for row in lines:
            total = EXACT.add(total, _line_amount(row) if by_line else _priced(row))
    return to_fen(total)


def _line_amount(row: Row) -> Decimal:
    amount = read(row, "line_amount", money)
    if amount is None:
        raise RowRefused(row.line, "line_amount", "other lines of this order have a line amount, this one has none")
    return amount


def _priced(row: Row) -> Decimal:
    quantity, price = read(row, "quantity", whole), read(row, "unit_price", money)
    if quantity is None or price is None:
        raise RowRefused(row.line, "amount", "there is no amount, no line amount, and no quantity with unit price")
    return EXACT.multiply(quantity, price)


def _item(row: Row) -> Payload | None:
    """What this line sold, or None when it names nothing.

    Without a unit price it is the line amount per piece, and 0 fen when that is missing too: a price is never made up
    from the order's total.
    """
    quantity = read(row, "quantity", whole)
    price, line_amount = read(row, "unit_price", money), read(row, "line_amount", money)
    sold = {name: cell for name in ("sku", "name", "category") if (cell := row.cells.get(name))}
    if quantity == 0:
        raise RowRefused(row.line, "quantity", "the quantity is zero")
    if not sold:
        return None
    quantity = quantity or 1
    if price is None:
        price = EXACT.divide(line_amount, Decimal(quantity)) if line_amount is not None else Decimal(0)
    return {**sold, "quantity": quantity, "price_fen": to_fen(price)}


def _agreed(lines: Sequence[Row], field: str, parse: Callable[[str], T]) -> T | None:
    """The one value of a field over the lines that fill it, or None. Raises RowRefused when two differ."""
    agreed: tuple[str, T, int] | None = None
    for row in lines:
        text = row.cells.get(field)
        if text is None or (agreed and text == agreed[0]):
            continue
        value = read(row, field, parse)
        if agreed and value is not None and value != agreed[1]:
            hint = _HINTS.get(field, "")
            raise RowRefused(row.line, field, f"differs from line {agreed[2]} of the same order{hint}")
        if agreed is None and value is not None:
            agreed = (text, value, row.line)
    return agreed[1] if agreed else None


def _distinct(lines: Sequence[Row], field: str, parse: Callable[[str], T]) -> list[T]:
    """The values of a field over the lines, each spelling once."""
    first_with = {text: row for row in reversed(lines) if (text := row.cells.get(field))}
    return [value for row in first_with.values() if (value := read(row, field, parse)) is not None]


def _status(text: str) -> str:
    status = _STATUSES.get(unicodedata.normalize("NFKC", text).casefold())
    if status is None:
        raise ValueError("this is not one of created, paid, shipped, completed, closed")
    return status


def _whole_order(error: RowError, lines: Sequence[Row]) -> RowError:
    """Refused with all its lines, so that no total is wrong."""
    if len(lines) == 1:
        return error
    return replace(error, reason=f"{error.reason} (the other lines of this order are left out too)")

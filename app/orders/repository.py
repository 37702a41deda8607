"""The orders room's SQL. The newest telling wins, whatever order they arrive in."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import text

from app.changes.repository import EVENTS_BELL
from app.core.db import Connection, Row, Rows, columns, statement, unnest

REFUNDS_BELL: Final = "refunds"

ORDER_ARRAYS: Final = {
    "order_no": "text",
    "origin_customer_id": "bigint",
    "identity_kind": "text",
    "identity_hash": "bytea",
    "store_id": "bigint",
    "channel": "text",
    "status": "text",
    "paid_at": "timestamptz",
    "amount_fen": "bigint",
    "discount_fen": "bigint",
    "currency": "text",
    "source_version": "bigint",
    "payload_hash": "bytea",
}
ITEM_ARRAYS: Final = {
    "order_no": "text",
    "line_no": "integer",
    "sku": "text",
    "name": "text",
    "category": "text",
    "quantity": "integer",
    "price_fen": "bigint",
}
REFUND_ARRAYS: Final = {
    "refund_no": "text",
    "order_no": "text",
    "amount_fen": "bigint",
    "refunded_at": "timestamptz",
    "source_version": "bigint",
    "payload_hash": "bytea",
}


_CHANGING = [name for name in ORDER_ARRAYS if name != "order_no"]

# The row lock that the upsert takes also covers the order's items; sorted, so that two batches wait in one order. The
# people are held first, so that an order belongs to who answers for them when this commits. What was there is looked up
# once: a planner that knows the table as it was when small would read it again for each order.
PUT_ORDERS = statement(
    text(
        f"""
        with before as materialized (
            select order_no, customer_id, paid_at, status from orders
            where shop_id = :shop_id and order_no = any(cast(:order_no as text[]))
        ),
        known as (
            select id, coalesce(merged_into, id) as owner from customers
            where shop_id = :shop_id and id = any(cast(:origin_customer_id as bigint[])) order by id for key share
        ),
        written as (
            insert into orders as o (shop_id, customer_id, received_at, {", ".join(ORDER_ARRAYS)})
            select :shop_id, known.owner, :moment, {", ".join(ORDER_ARRAYS)}
            from {unnest(ORDER_ARRAYS)} join known on known.id = t.origin_customer_id order by order_no
            on conflict (shop_id, order_no) do update set
                customer_id = excluded.customer_id,
                {", ".join(f"{name} = excluded.{name}" for name in _CHANGING)}
            where (excluded.source_version, excluded.payload_hash) > (o.source_version, o.payload_hash)
            returning o.order_no, o.customer_id
        )
        select w.order_no, w.customer_id, b.order_no is null as inserted, b.customer_id as before_customer_id,
               coalesce(b.paid_at is not null and b.status <> 'closed', false) as was_paid
        from written w left join before b on b.order_no = w.order_no
        """  # noqa: S608 column names of our own
    )
)
DROP_ITEMS = statement(
    text("delete from order_items where shop_id = :shop_id and order_no = any(cast(:order_nos as text[]))")
)
ADD_ITEMS = statement(
    text(
        f"""
        insert into order_items (shop_id, {", ".join(ITEM_ARRAYS)})
        select :shop_id, {", ".join(ITEM_ARRAYS)} from {unnest(ITEM_ARRAYS)}
        """  # noqa: S608 column names of our own
    )
)
# The id is made of the order: two who write it at the same moment tell of it once.
TELL_PAID = statement(
    text(
        """
        insert into domain_events (shop_id, id, kind, customer_id, data, occurred_at)
        select shop_id, md5(shop_id || '|order.paid|' || order_no)::uuid, 'order.paid', customer_id,
               jsonb_build_object('order_no', order_no, 'customer_id', customer_id, 'amount_fen', amount_fen,
                                  'currency', currency, 'store_id', store_id), :moment
        from orders where shop_id = :shop_id and order_no = any(cast(:order_nos as text[]))
        on conflict do nothing
        """
    )
)
ORDER_CUSTOMERS = statement(
    text(
        "select order_no, customer_id from orders "
        "where shop_id = :shop_id and order_no = any(cast(:order_nos as text[]))"
    )
)

# Only what the order can be: further than created needs a payment, and a paid order does not go back.
SET_STATUS = statement(
    text(
        """
        with written as (
            update orders o set
                status = t.status, source_version = t.source_version, payload_hash = t.payload_hash
            from unnest(cast(:order_nos as text[]), cast(:statuses as text[]), cast(:versions as bigint[]),
                        cast(:hashes as bytea[])) as t (order_no, status, source_version, payload_hash)
            where o.shop_id = :shop_id and o.order_no = any(cast(:order_nos as text[])) and o.order_no = t.order_no
                and (t.source_version, t.payload_hash) > (o.source_version, o.payload_hash)
                and (t.status = 'closed' or (t.status = 'created') = (o.paid_at is null))
            returning o.order_no
        )
        select o.order_no, o.customer_id, o.paid_at is not null as paid, w.order_no is not null as written
        from orders o left join written w on w.order_no = o.order_no
        where o.shop_id = :shop_id and o.order_no = any(cast(:order_nos as text[]))
        """
    )
)

PUT_REFUNDS = statement(
    text(
        f"""
        with told as (
            select * from {unnest(REFUND_ARRAYS)}
        ),
        before as (
            select r.refund_no, o.customer_id
            from told t
            join refunds r on r.shop_id = :shop_id and r.refund_no = t.refund_no
            left join orders o on o.shop_id = :shop_id and o.order_no = r.order_no
        ),
        written as (
            insert into refunds as r
                (shop_id, refund_no, order_no, amount_fen, refunded_at, source_version, payload_hash, settled,
                 received_at)
            select :shop_id, refund_no, order_no, amount_fen, refunded_at, source_version, payload_hash,
                   exists (select from orders o where o.shop_id = :shop_id and o.order_no = t.order_no), :moment
            from told t order by refund_no
            on conflict (shop_id, refund_no) do update set
                order_no = excluded.order_no, amount_fen = excluded.amount_fen, refunded_at = excluded.refunded_at,
                source_version = excluded.source_version, payload_hash = excluded.payload_hash,
                settled = excluded.settled
            where (excluded.source_version, excluded.payload_hash) > (r.source_version, r.payload_hash)
            returning refund_no
        )
        select t.refund_no, w.refund_no is not null as written, b.refund_no is not null as known, o.customer_id,
               b.customer_id as before_customer_id
        from told t
        left join written w on w.refund_no = t.refund_no
        left join before b on b.refund_no = t.refund_no
        left join orders o on o.shop_id = :shop_id and o.order_no = t.order_no
        """  # noqa: S608 column names of our own
    )
)
# A refund and its order written at the same moment do not see each other; afterwards both are seen here.
HAS_WAITING = statement(
    text(
        """
        select exists (
            select from refunds r join orders o on o.shop_id = r.shop_id and o.order_no = r.order_no
            where r.shop_id = :shop_id and not r.settled
        )
        """
    )
)
SETTLE = statement(
    text(
        """
        with waiting as (
            select r.refund_no, o.customer_id
            from refunds r join orders o on o.shop_id = r.shop_id and o.order_no = r.order_no
            where r.shop_id = :shop_id and not r.settled
            order by r.refund_no limit :limit for update of r skip locked
        ),
        settled as (
            update refunds r set settled = true
            where r.shop_id = :shop_id and r.refund_no = any(array(select refund_no from waiting))
        )
        select customer_id from waiting
        """
    )
)


async def put_orders(db: Connection, shop_id: int, moment: datetime, orders: Rows) -> list[Row]:
    """Write the orders (rows of ORDER_ARRAYS) that are new or newer.

    Returns: what was written, with what stood there before.
    """
    return await db.fetch(PUT_ORDERS, shop_id=shop_id, moment=moment, **columns(ORDER_ARRAYS, orders))


async def replace_items(db: Connection, shop_id: int, replaced: Sequence[str], items: Rows) -> None:
    """Items (rows of ITEM_ARRAYS) of orders that this transaction has written.

    Args:
        replaced: those that had items before.
    """
    if replaced:
        await db.execute(DROP_ITEMS, shop_id=shop_id, order_nos=list(replaced))
    if items:
        await db.execute(ADD_ITEMS, shop_id=shop_id, **columns(ITEM_ARRAYS, items))


async def put_refunds(db: Connection, shop_id: int, moment: datetime, refunds: Rows) -> list[Row]:
    """Write the refunds (rows of REFUND_ARRAYS) that are new or newer. Returns a row for each, written or not."""
    return await db.fetch(PUT_REFUNDS, shop_id=shop_id, moment=moment, **columns(REFUND_ARRAYS, refunds))


async def tell_paid(db: Connection, shop_id: int, moment: datetime, order_nos: Sequence[str]) -> None:
    """Say which of the orders that this transaction has written are paid now."""
    if order_nos:
        await db.execute(TELL_PAID, shop_id=shop_id, order_nos=order_nos, moment=moment)
        db.ring(EVENTS_BELL)


async def order_customers(db: Connection, shop_id: int, order_nos: Sequence[str]) -> dict[str, int]:
    """Who owns each order now."""
    rows = await db.fetch(ORDER_CUSTOMERS, shop_id=shop_id, order_nos=list(order_nos))
    return {row["order_no"]: row["customer_id"] for row in rows}

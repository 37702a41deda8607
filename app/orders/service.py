"""Orders and refunds in: the person is found or made, the newest telling is kept, and the refresh is asked to look."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from app.access.shops import Shop
from app.changes import repository as changes
from app.core import clock
from app.core.crypto import fingerprint
from app.core.db import Connection, Row
from app.core.ids import CustomerIds
from app.customers import service as customers
from app.customers.schemas import names
from app.customers.service import CREATED, UNCHANGED, UPDATED, Outcome, Write
from app.orders import repository
from app.orders.schemas import OrderWrite, RefundResult, RefundWrite, StatusWrite, Versioned

_SETTLE_LIMIT: Final = 1000


async def put_orders(
    db: Connection, shop: Shop, ids: CustomerIds, orders: Sequence[OrderWrite], *, source: str = ""
) -> list[Outcome]:
    """Write orders as told now; each row's outcome stands in its place. `source`: who tells of them.

    The same deliveries in any order and repetition end in the same rows: the higher version wins, and between equal
    versions the larger payload hash.

    Raises: StartOver when another writer took an identity meanwhile: run the whole transaction again.
    """
    people = await _people(db, shop, ids, orders, source)
    outcomes = [Outcome(UNCHANGED, person.customer_id, person.error, conflicts=person.conflicts) for person in people]
    ranks = [(source_version(order, shop), fingerprint(order.model_dump_json().encode())) for order in orders]
    newest: dict[str, int] = {}
    for index, order in enumerate(orders):
        if people[index].error is not None:
            outcomes[index].status = customers.REFUSED
        elif order.order_no not in newest or ranks[index] > ranks[newest[order.order_no]]:
            newest[order.order_no] = index
    if not newest:
        return outcomes
    moment = clock.now()
    told = [_order_row(shop, orders[i], ranks[i], people[i]) for i in newest.values()]
    written = {row["order_no"]: row for row in await repository.put_orders(db, shop.id, moment, told)}
    for order_no, row in written.items():
        outcomes[newest[order_no]].status = CREATED if row["inserted"] else UPDATED
        outcomes[newest[order_no]].customer_id = row["customer_id"]
    items = [
        (order_no, line_no, item.sku, item.name, item.category, item.quantity, item.price_fen)
        for order_no in written
        for line_no, item in enumerate(orders[newest[order_no]].items, 1)
    ]
    replaced = [order_no for order_no, row in written.items() if not row["inserted"]]
    await repository.replace_items(db, shop.id, replaced, items)
    await _tell(db, shop, moment, {order_no: orders[newest[order_no]] for order_no in written}, written)
    return outcomes


async def put_refunds(db: Connection, shop: Shop, refunds: Sequence[RefundWrite]) -> list[RefundResult]:
    """Write refunds as told now, each in its place; one waits for its order when that has not come.

    The same rule as for orders: the higher version wins, and between equal versions the larger payload hash.
    """
    ranks = [(source_version(one, shop), fingerprint(one.model_dump_json().encode())) for one in refunds]
    newest: dict[str, int] = {}
    for index, refund in enumerate(refunds):
        if refund.refund_no not in newest or ranks[index] > ranks[newest[refund.refund_no]]:
            newest[refund.refund_no] = index
    told = [
        (one.refund_no, one.order_no, one.amount_fen, clock.localise(one.refunded_at, shop.zone), *ranks[index])
        for index, one in ((index, refunds[index]) for index in newest.values())
    ]
    moment = clock.now()
    found = {row["refund_no"]: row for row in await repository.put_refunds(db, shop.id, moment, told)}
    written = [row for row in found.values() if row["written"]]
    if written:
        owners = {row[name] for row in written for name in ("customer_id", "before_customer_id")} - {None}
        await changes.mark_changed(db, shop.id, sorted(owners), moment, what="order")
        db.ring(repository.REFUNDS_BELL)
    results = []
    for index, refund in enumerate(refunds):
        row = found[refund.refund_no]
        changed = row["written"] and newest[refund.refund_no] == index
        status = UNCHANGED if not changed else UPDATED if row["known"] else CREATED
        results.append(RefundResult(refund_no=refund.refund_no, status=status, waiting=row["customer_id"] is None))
    return results


async def set_statuses(db: Connection, shop: Shop, moves: Sequence[StatusWrite]) -> dict[str, Row]:
    """Say how far orders are that are known; newer versions win, as for whole orders. One move for each order.

    Returns: by order number the orders that are there: customer_id, paid, and written (false: what is kept is newer,
        or the order is not paid and cannot be that far).
    """
    moment = clock.now()
    rows = await db.fetch(
        repository.SET_STATUS,
        shop_id=shop.id,
        order_nos=[move.order_no for move in moves],
        statuses=[move.status for move in moves],
        versions=[source_version(move, shop) for move in moves],
        hashes=[fingerprint(move.model_dump_json().encode()) for move in moves],
    )
    await changes.mark_changed(
        db, shop.id, sorted({row["customer_id"] for row in rows if row["written"]}), moment, what="order"
    )
    return {row["order_no"]: row for row in rows}


async def settle_refunds(db: Connection, shop: Shop) -> int:
    """Mark the customers of refunds whose order has come since. Returns how many refunds."""
    rows = await db.fetch(repository.SETTLE, shop_id=shop.id, limit=_SETTLE_LIMIT)
    await changes.mark_changed(db, shop.id, sorted({row["customer_id"] for row in rows}), clock.now(), what="order")
    return len(rows)


def source_version(told: Versioned, shop: Shop) -> int:
    """One number to compare tellings by: the source's version, or its `updated_at` in microseconds; else 0."""
    if told.version is not None:
        return told.version
    if told.updated_at is not None:
        return int(clock.localise(told.updated_at, shop.zone).timestamp() * 1_000_000)
    return 0


async def _people(
    db: Connection, shop: Shop, ids: CustomerIds, orders: Sequence[OrderWrite], source: str
) -> list[Outcome]:
    """Each order's customer. Orders of one person name the same identities, and are one write."""
    named = [names(order.identities) for order in orders]
    wanted = {key: order.identities for key, order in zip(named, orders, strict=True)}
    writes = [Write(identities) for identities in wanted.values()]
    found = dict(zip(wanted, await customers.upsert(db, shop, ids, writes, source=source), strict=True))
    return [found[key] for key in named]


def _order_row(shop: Shop, order: OrderWrite, rank: tuple[int, bytes], person: Outcome) -> tuple[Any, ...]:
    return (
        order.order_no,
        person.origin,
        *(person.brought_by or (None, None)),
        order.store_id,
        order.channel,
        order.status,
        clock.zoned(order.paid_at, shop.zone) if order.paid_at else None,
        order.amount_fen,
        order.discount_fen,
        order.currency,
        *rank,
    )


async def _tell(
    db: Connection, shop: Shop, moment: datetime, orders: dict[str, OrderWrite], written: dict[str, Row]
) -> None:
    """Ask for a refresh of everyone concerned, and say which orders have now been paid."""
    owners = {row["customer_id"] for row in written.values()}
    before = {row["before_customer_id"] for row in written.values()} - {None}
    await changes.mark_changed(db, shop.id, sorted(owners | before), moment, what="order")
    paid = [
        order_no
        for order_no, order in orders.items()
        if order.paid_at is not None and order.status != "closed" and not written[order_no]["was_paid"]
    ]
    await repository.tell_paid(db, shop.id, moment, paid)

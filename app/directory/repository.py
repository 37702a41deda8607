"""Lists of customers: the keys of a page by one index walk, then the page's rows."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import text

from app.access.shops import Shop
from app.core.db import Connection, Row, Statement, statement
from app.customers.records import Customer, open_customer
from app.directory.filters import Filters, bound, conditions, order_of

COUNTED_TO: Final = 10_000
SMALL_SHOP: Final = 2_000


@dataclass(frozen=True, slots=True)
class ListRow:
    """A customer in a list, with the figures that lists show."""

    customer: Customer
    orders: int
    net_fen: int
    last_on: Any
    tier: str | None
    position: tuple[datetime, int]


@dataclass(frozen=True, slots=True)
class OrderFigures:
    """What one customer bought and gave back, read from the facts themselves."""

    orders: int
    gross_fen: int
    refund_orders: int
    refund_fen: int
    last_paid_at: datetime | None


def figures_of(shop_id: str, customer_id: str) -> str:
    """SQL of one row with the columns of OrderFigures, for a customer that these terms name."""
    return f"""
        select count(*) as orders, coalesce(sum(o.amount_fen), 0)::bigint as gross_fen, max(o.paid_at) as last_paid_at,
               count(b.fen) as refund_orders, coalesce(sum(b.fen), 0)::bigint as refund_fen
        from orders o
        left join lateral (
            select sum(r.amount_fen) as fen from refunds r where r.shop_id = o.shop_id and r.order_no = o.order_no
        ) b on true
        where o.shop_id = {shop_id} and o.customer_id = {customer_id} and o.paid_at is not null and o.status <> 'closed'
    """  # noqa: S608 terms of our own


FIGURES = statement(text(figures_of(":shop_id", ":customer_id")))
# The refresh has counted everyone it has seen; those still waiting are few, and are not waited for.
KEPT_TOTAL = statement(text("select customers from customer_totals where shop_id = :shop_id"))


async def keyset(
    db: Connection, shop: Shop, *, filters: Filters, after: tuple[datetime, int] | None, limit: int
) -> list[ListRow]:
    """The page that follows the position `after`, newest first."""
    values = {"after_instant": after[0], "after_number": after[1]} if after else {}
    query = _page(filters, after=after is not None, numbered=False)
    rows = await db.fetch(query, shop_id=shop.id, limit=limit, **values, **bound(filters))
    return _opened(shop, rows)


async def page_numbered(db: Connection, shop: Shop, *, filters: Filters, offset: int, limit: int) -> list[ListRow]:
    """The page at an offset, newest first: only keys are skipped, and callers cap how many.

    Who carries a tag comes by number, the highest first, which is how the tag's index has them.
    """
    query = _page(filters, after=False, numbered=True)
    rows = await db.fetch(query, shop_id=shop.id, limit=limit, offset=offset, **bound(filters))
    return _opened(shop, rows)


async def total(db: Connection, shop_id: int, filters: Filters) -> int:
    """How many customers match: filtered, exact to 10,000 and no more; unfiltered, as the refresh keeps it.

    A small shop is counted, so that it sees its newest customer at once.
    """
    if filters.given():
        return int(await db.fetch_value(_count(filters), shop_id=shop_id, limit=COUNTED_TO, **bound(filters)))
    kept = await db.fetch_value(KEPT_TOTAL, shop_id=shop_id) or 0
    if kept < SMALL_SHOP:
        counted = int(await db.fetch_value(_count(filters), shop_id=shop_id, limit=SMALL_SHOP))
        return max(kept, counted)
    return int(kept)


async def order_figures(db: Connection, shop_id: int, customer_id: int) -> OrderFigures:
    """One customer's orders and refunds as they are now."""
    row = await db.fetch_one(FIGURES, shop_id=shop_id, customer_id=customer_id)
    assert row is not None  # noqa: S101 the statement answers one row
    return OrderFigures(**row)


@lru_cache(maxsize=512)
def compiled(sql: str) -> Statement:
    """A list's statement; there is one for each set of filters, and each is compiled once."""
    return statement(text(sql))


def _source(filters: Filters) -> str:
    if filters.tier is None:
        return "customers c"
    return "customer_scores k join customers c on c.shop_id = k.shop_id and c.id = k.customer_id"


def _page(filters: Filters, *, after: bool, numbered: bool) -> Statement:
    offset = "offset :offset" if numbered else ""
    if filters.by_tag and not after:
        reach = "cast(:limit as bigint) + cast(:offset as bigint)" if numbered else ":limit"
        keys = f"select id from ({_carriers(filters, reach)}) as found order by id desc limit :limit {offset}"  # noqa: S608 ours
        return _rows_of(keys, instant="c.created_at", order="page.id desc")
    order = order_of(filters)
    shop = "k.shop_id = :shop_id" if filters.tier else "c.shop_id = :shop_id"
    terms = [shop, *conditions(filters)]
    if after:
        terms.append(f"({order.instant}, {order.number}) < (:after_instant, cast(:after_number as bigint))")
    keys = f"""
        select {order.number} as id, {order.instant} as instant
        from {_source(filters)} where {" and ".join(terms)}
        order by {order.instant} desc, {order.number} desc
        limit :limit {offset}
    """  # noqa: S608 terms of our own, values stay bound
    return _rows_of(keys, instant="page.instant", order="page.instant desc, page.id desc")


def _rows_of(keys: str, *, instant: str, order: str) -> Statement:
    """The rows that a list shows of the customers whose keys this SQL selects."""
    return compiled(
        f"""
        with page as ({keys})
        select c.*, key.wrapped, {instant} as instant, k.tier,
               coalesce(s.orders, 0) as orders, coalesce(s.net_fen, 0) as net_fen, s.last_on
        from page
        join customers c on c.shop_id = :shop_id and c.id = page.id
        join vault.person_keys key on key.shop_id = c.shop_id and key.customer_id = c.id
        left join customer_stats s on s.shop_id = c.shop_id and s.customer_id = c.id
        left join customer_scores k on k.shop_id = c.shop_id and k.customer_id = c.id
        order by {order}
        """  # noqa: S608 terms of our own, values stay bound
    )


def _carriers(filters: Filters, reach: str) -> str:
    """The first so many of each tag, once each: a walk of one tag's index ends where the page does.

    To look for the tag of each customer instead would go through the whole shop for a tag that few carry, and to sort
    the tag's carriers takes longer the more there are.
    """
    rest = replace(filters, any_tag=None)
    join, terms = "", ""
    if rest.given():
        join = "join customers c on c.shop_id = a.shop_id and c.id = a.customer_id"
        terms = " and " + " and ".join(conditions(rest))
    return f"""
        select distinct held.id
        from unnest(cast(:any_tag as bigint[])) as t (tag_id)
        cross join lateral (
            select distinct a.customer_id as id
            from customer_tags a {join}
            where a.shop_id = :shop_id and a.tag_id = t.tag_id
                and (a.valid_until is null or a.valid_until > now()) {terms}
            order by a.customer_id desc
            limit {reach}
        ) as held
    """  # noqa: S608 terms of our own, values stay bound


def _count(filters: Filters) -> Statement:
    if set(filters.given()) == {"tier"}:
        # Without a look at ten thousand customers: who was just merged is counted until the next refresh.
        source, terms = "customer_scores k", ["k.shop_id = :shop_id", "k.tier = :tier"]
    elif filters.by_tag:
        return compiled(f"select count(*) from ({_carriers(filters, ':limit')} limit :limit) as found")  # noqa: S608 ours
    else:
        shop = "k.shop_id = :shop_id" if filters.tier else "c.shop_id = :shop_id"
        source, terms = _source(filters), [shop, *conditions(filters)]
    return compiled(
        f"""
        select count(*) from (select 1 from {source} where {" and ".join(terms)} limit :limit) as found
        """  # noqa: S608 terms of our own, values stay bound
    )


def _opened(shop: Shop, rows: Sequence[Row]) -> list[ListRow]:
    return [
        ListRow(
            customer=open_customer(shop, row),
            orders=row["orders"],
            net_fen=row["net_fen"],
            last_on=row["last_on"],
            tier=row["tier"],
            position=(row["instant"], row["id"]),
        )
        for row in rows
    ]

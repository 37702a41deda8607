"""Customers in either direction by creation or by last trade, as of each customer's last refresh."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from app.access.shops import Shop
from app.core.db import Connection, Row, Statement
from app.customers.records import Customer, open_customer
from app.directory.filters import Filters, bound, conditions
from app.directory.repository import COUNTED_TO, compiled


@dataclass(frozen=True, slots=True)
class Wanted:
    """Whom a list holds, and in which order; `traded_from` is inclusive, `traded_before` exclusive."""

    filters: Filters
    traded_from: datetime | None = None
    traded_before: datetime | None = None
    by_trade: bool = False
    ascending: bool = False

    @property
    def windowed(self) -> bool:
        """Whether only who has traded can be in it."""
        return self.traded_from is not None or self.traded_before is not None

    def bound(self, shop: Shop) -> dict[str, Any]:
        """The values that its statements bind."""
        values: dict[str, Any] = bound(self.filters)
        for name in ("traded_from", "traded_before"):
            moment: datetime | None = getattr(self, name)
            if moment is not None:
                values |= {name: moment, f"{name}_on": _day(moment, shop)}
        return values | ({"zone": shop.zone.key} if self.windowed else {})


@dataclass(frozen=True, slots=True)
class TradedRow:
    """A customer in such a list."""

    customer: Customer
    orders: int
    gross_fen: int
    last_paid_at: datetime | None


# The stats know the day of the last trade and an index walks it; the instant is the newest order up to that day, one
# probe of the customer's own orders.
_LAST_PAID: Final = """
    (select o.paid_at from orders o
     where o.shop_id = s.shop_id and o.customer_id = s.customer_id and o.status <> 'closed'
         and (o.paid_at at time zone :zone)::date <= s.last_on
     order by o.paid_at desc limit 1)
"""
# Only a window's first and last day need the instant.
_WINDOW: Final = {
    "traded_from": f"s.last_on >= :traded_from_on and (s.last_on > :traded_from_on or {_LAST_PAID} >= :traded_from)",
    "traded_before": (
        f"s.last_on <= :traded_before_on and (s.last_on < :traded_before_on or {_LAST_PAID} < :traded_before)"
    ),
}
_STATS: Final = "join customer_stats s on s.shop_id = c.shop_id and s.customer_id = c.id"
_NEVER: Final = """
    not exists (
        select from customer_stats s
        where s.shop_id = :shop_id and s.customer_id = c.id and s.last_on is not null
    )
"""


async def total(db: Connection, shop: Shop, wanted: Wanted) -> int:
    """How many customers traded within the window and match, exact to 10,000 and no more."""
    return await _count(db, shop, wanted, [*_window(wanted), "s.last_on is not null"])


async def page(db: Connection, shop: Shop, wanted: Wanted, *, offset: int, limit: int) -> list[TradedRow]:
    """The page at an offset: only keys are skipped, and callers cap how many.

    By last trade those who never traded come last in either direction, in the order of their creation.
    """
    if not wanted.by_trade:
        return await _fetch(db, shop, wanted, offset=offset, limit=limit)
    rows = await _fetch(db, shop, wanted, traded=True, offset=offset, limit=limit)
    if len(rows) < limit and not wanted.windowed:
        traded = offset + len(rows)
        if not rows:
            traded = await _count(db, shop, wanted, ["s.last_on is not null"])
        rest = limit - len(rows)
        rows += await _fetch(db, shop, wanted, traded=False, offset=max(0, offset - traded), limit=rest)
    return rows


async def _count(db: Connection, shop: Shop, wanted: Wanted, terms: Sequence[str]) -> int:
    where = " and ".join(["c.shop_id = :shop_id", "s.shop_id = :shop_id", *conditions(wanted.filters), *terms])
    query = compiled(
        f"select count(*) from (select 1 from customers c {_STATS} where {where} limit :limit) as found"  # noqa: S608 ours
    )
    return int(await db.fetch_value(query, shop_id=shop.id, limit=COUNTED_TO, **wanted.bound(shop)))


async def _fetch(
    db: Connection, shop: Shop, wanted: Wanted, *, traded: bool | None = None, offset: int, limit: int
) -> list[TradedRow]:
    values = wanted.bound(shop) | {"zone": shop.zone.key}
    rows = await db.fetch(_page(wanted, traded), shop_id=shop.id, offset=offset, limit=limit, **values)
    return [_opened(shop, row) for row in rows]


def _page(wanted: Wanted, traded: bool | None) -> Statement:
    """One walk: of who traded (True), of who never did (False), or of everybody by creation (None)."""
    terms = ["c.shop_id = :shop_id", *conditions(wanted.filters), *_window(wanted)]
    keys = {"instant": "c.created_at"}
    way = "asc" if wanted.ascending else "desc"
    order = [f"instant {way}", f"id {way}"]
    if traded:
        terms += ["s.shop_id = :shop_id", "s.last_on is not null"]
        keys = {"day": "s.last_on", "instant": _LAST_PAID}
        order = [f"day {way}", f"instant {way} nulls last", f"id {way}"]
    elif traded is False:
        terms.append(_NEVER)
    source = f"customers c {_STATS}" if traded or wanted.windowed else "customers c"
    return compiled(
        f"""
        with page as (
            select c.id, {", ".join(f"{key} as {name}" for name, key in keys.items())}
            from {source} where {" and ".join(terms)}
            order by {", ".join(order)} limit :limit offset :offset
        )
        select c.*, key.wrapped, coalesce(s.orders, 0) as orders, coalesce(s.gross_fen, 0) as gross_fen,
               {_LAST_PAID} as last_paid_at
        from page
        join customers c on c.shop_id = :shop_id and c.id = page.id
        join vault.person_keys key on key.shop_id = c.shop_id and key.customer_id = c.id
        left join customer_stats s on s.shop_id = c.shop_id and s.customer_id = c.id
        order by {", ".join(f"page.{term}" for term in order)}
        """  # noqa: S608 terms of our own, values stay bound
    )


def _window(wanted: Wanted) -> list[str]:
    return [term for name, term in _WINDOW.items() if getattr(wanted, name) is not None]


def _day(moment: datetime, shop: Shop) -> date:
    return moment.astimezone(shop.zone).date()


def _opened(shop: Shop, row: Row) -> TradedRow:
    return TradedRow(open_customer(shop, row), row["orders"], row["gross_fen"], row["last_paid_at"])

"""What a condition can ask for: each field once, as SQL over a customer's rows and as the same in Python."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final, Literal

Row = Mapping[str, Any]
Number = int | float
Unit = Literal["fen", "count", "share", "days", "0 or 1"]

AS_OF: Final = "cast(:as_of as date)"


@dataclass(frozen=True, slots=True)
class Field:
    """Something that is known of a customer on the day `as_of`.

    Args:
        sql: over `s`, a row of `customer_stats`, and `c`, the customer's; null where it is not known.
        of: the same of both rows and the day; what is no whole number comes from the same operations on doubles.
        dates: of an age, the columns of `s` whose latest day it counts from, so that it grows as days pass.
    """

    sql: str
    unit: Unit
    meaning: str
    of: Callable[[Row, Row, date], Number | None]
    dates: tuple[str, ...] = ()


def _stat(name: str, unit: Unit, meaning: str) -> Field:
    return Field(f"s.{name}", unit, meaning, lambda stats, customer, as_of: stats[name])


def _age(meaning: str, *dates: str) -> Field:
    columns = [f"s.{name}" for name in dates]
    latest = columns[0] if len(columns) == 1 else f"greatest({', '.join(columns)})"

    def of(stats: Row, customer: Row, as_of: date) -> Number | None:
        days = [stats[name] for name in dates if stats[name] is not None]
        return (as_of - max(days)).days if days else None

    return Field(f"({AS_OF} - {latest})", "days", f"Days since {meaning}; of today, 1", of, dates)


def _interactions(periods: int) -> Field:
    months = " + ".join(f"s.interactions_by_month[{n + 1}]::bigint" for n in range(periods))
    meaning = f"Orders and events of the last {30 * periods} days"
    return Field(f"({months})", "count", meaning, lambda stats, customer, as_of: _sum(stats, periods))


def _sum(stats: Row, periods: int) -> int:
    months: list[int] = stats["interactions_by_month"]
    return sum(months[:periods])


def _average_order(stats: Row, customer: Row, as_of: date) -> Number | None:
    return float(stats["gross_fen"]) / stats["orders"] if stats["orders"] else None


def _repeat_share(stats: Row, customer: Row, as_of: date) -> Number | None:
    return float(stats["purchase_days"] - 1) / stats["purchase_days"] if stats["purchase_days"] else 0.0


def _discount_share(stats: Row, customer: Row, as_of: date) -> Number | None:
    listed = float(stats["gross_fen"]) + float(stats["discount_fen"])
    return float(stats["discount_fen"]) / listed if listed else None


FIELDS: Final[Mapping[str, Field]] = {
    "net_365d_fen": _stat("net_365d_fen", "fen", "Net spend of the last 365 days"),
    "net_180d_fen": _stat("net_180d_fen", "fen", "Net spend of the last 180 days"),
    "net_90d_fen": _stat("net_90d_fen", "fen", "Net spend of the last 90 days"),
    "net_30d_fen": _stat("net_30d_fen", "fen", "Net spend of the last 30 days"),
    "net_fen": _stat("net_fen", "fen", "Net spend of all time: orders less refunds"),
    "gross_fen": _stat("gross_fen", "fen", "Paid for orders of all time, refunds not taken off"),
    "average_order_fen": Field(
        "(s.gross_fen::float8 / nullif(s.orders, 0))", "fen", "Paid for an order on average", _average_order
    ),
    "orders": _stat("orders", "count", "Orders of all time"),
    "orders_30d": _stat("orders_30d", "count", "Orders of the last 30 days"),
    "orders_90d": _stat("orders_90d", "count", "Orders of the last 90 days"),
    "orders_180d": _stat("orders_180d", "count", "Orders of the last 180 days"),
    "orders_365d": _stat("orders_365d", "count", "Orders of the last 365 days"),
    "purchase_days": _stat("purchase_days", "count", "Days with an order"),
    "items": _stat("items", "count", "Items bought"),
    "stores": _stat("stores", "count", "Stores bought in"),
    "interactions_30d": _interactions(1),
    "interactions_90d": _interactions(3),
    "interactions_180d": _interactions(6),
    "repeat_share": Field(
        "coalesce((s.purchase_days - 1)::float8 / nullif(s.purchase_days, 0), 0)",
        "share",
        "Purchase days after the first, of all purchase days (复购率); without orders 0",
        _repeat_share,
    ),
    "discount_share": Field(
        "(s.discount_fen::float8 / nullif(s.gross_fen::float8 + s.discount_fen::float8, 0))",
        "share",
        "Taken off, of what the orders would have cost without",
        _discount_share,
    ),
    "recency_days": _age("the last order", "last_on"),
    "silent_days": _age("the last order, event or registration", "active_on"),
    "since_days": _age("registration or the first order, whichever came first", "since_on"),
    "signal_days": _age(
        "the last view, consultation, cart or favourite within a year",
        "last_view_on",
        "last_consult_on",
        "last_cart_on",
        "last_favourite_on",
    ),
    "contactable": Field(
        "(c.mobile is not null)::int",
        "0 or 1",
        "1 where a mobile number is known",
        lambda stats, customer, as_of: int(customer["mobile"] is not None),
    ),
}

# Of whom a top share is taken: SQL over `s` that says who belongs, None for everybody.
POPULATIONS: Final[Mapping[str, str | None]] = {"spenders": "s.net_365d_fen > 0", "everybody": None}

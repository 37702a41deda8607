"""Stats and scores the slow way, in plain Python, written from the definitions and not from the SQL."""

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

TYPES = {
    "HHH": "重要价值客户",
    "HLH": "重要发展客户",
    "LHH": "重要保持客户",
    "LLH": "重要挽留客户",
    "HHL": "一般价值客户",
    "HLL": "一般发展客户",
    "LHL": "一般保持客户",
    "LLL": "一般挽留客户",
}


@dataclass
class Person:
    """One customer's facts: orders (number, paid at, fen, closed) and refunds (order number, at, fen)."""

    created_at: datetime
    orders: list[tuple[str, datetime, int, bool]] = field(default_factory=list)
    refunds: list[tuple[str, datetime, int]] = field(default_factory=list)


@dataclass(frozen=True)
class Stats:
    """The stats columns."""

    since_on: date
    orders: int
    purchase_days: int
    gross_fen: int
    refund_fen: int
    net_fen: int
    year_net_fen: int
    first_on: date | None
    last_on: date | None


@dataclass(frozen=True)
class Cuts:
    """What a run measures with."""

    recency: list[float]
    orders: list[float]
    amount: list[float]
    recency_mean: float
    orders_mean: float
    amount_mean: float
    vip_from: float | None
    potential_from: float | None


def stats(person: Person, as_of: date, zone: ZoneInfo) -> Stats:
    """One customer before 00:00 of `as_of` in the zone."""
    midnight = datetime(as_of.year, as_of.month, as_of.day, tzinfo=zone)
    paid = {
        number: (at.astimezone(zone).date(), fen)
        for number, at, fen, closed in person.orders
        if at < midnight and not closed
    }
    back = [(paid[number][0], fen) for number, at, fen in person.refunds if number in paid and at < midnight]
    year = as_of - timedelta(days=365)
    days = [day for day, _ in paid.values()]
    gross, refunded = sum(fen for _, fen in paid.values()), sum(fen for _, fen in back)
    return Stats(
        since_on=min([person.created_at.astimezone(zone).date(), *days]),
        orders=len(paid),
        purchase_days=len(set(days)),
        gross_fen=gross,
        refund_fen=refunded,
        net_fen=gross - refunded,
        year_net_fen=sum(fen for day, fen in paid.values() if day >= year)
        - sum(fen for day, fen in back if day >= year),
        first_on=min(days, default=None),
        last_on=max(days, default=None),
    )


def quantile(values: list[int], share: float) -> float:
    """Linear interpolation between order statistics (type 7)."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def cuts(everyone: list[Stats], as_of: date, vip_share: float = 0.1, potential_share: float = 0.5) -> Cuts | None:
    """Cut points of those with orders; None when nobody has one."""
    buyers = [s for s in everyone if s.orders and s.since_on < as_of]
    if not buyers:
        return None
    recencies = [(as_of - s.last_on).days for s in buyers if s.last_on]
    spenders = [s.year_net_fen for s in buyers if s.year_net_fen > 0]
    shares = (0.2, 0.4, 0.6, 0.8)
    return Cuts(
        recency=[quantile(recencies, q) for q in shares],
        orders=[quantile([s.orders for s in buyers], q) for q in shares],
        amount=[quantile([s.net_fen for s in buyers], q) for q in shares],
        recency_mean=sum(recencies) / len(buyers),
        orders_mean=sum(s.orders for s in buyers) / len(buyers),
        amount_mean=sum(s.net_fen for s in buyers) / len(buyers),
        vip_from=quantile(spenders, 1 - vip_share) if spenders else None,
        potential_from=quantile(spenders, potential_share) if spenders else None,
    )


def scores(
    s: Stats, run: Cuts | None, as_of: date
) -> tuple[int | None, int | None, int | None, str | None, str | None]:
    """r, f, m, type and tier of one customer."""
    tier = _tier(s, run, as_of)
    if not s.orders or s.last_on is None or run is None:
        return None, None, None, None, tier
    recency = (as_of - s.last_on).days
    letters = (
        ("H" if recency <= run.recency_mean else "L")
        + ("H" if s.orders >= run.orders_mean else "L")
        + ("H" if s.net_fen >= run.amount_mean else "L")
    )
    return (
        6 - _points(recency, run.recency),
        _points(s.orders, run.orders),
        _points(s.net_fen, run.amount),
        TYPES[letters],
        tier,
    )


def _points(value: int, cut_points: list[float]) -> int:
    return 1 + sum(value > cut for cut in cut_points)


def _tier(s: Stats, run: Cuts | None, as_of: date) -> str | None:
    if s.since_on >= as_of:
        return None
    vip = run.vip_from if run else None
    potential = run.potential_from if run else None
    if vip is not None and 0 < s.year_net_fen >= vip:
        return "vip"
    recent = s.last_on is not None and (as_of - s.last_on).days <= 30
    if potential is not None and 0 < s.year_net_fen >= potential and recent:
        return "high_potential"
    active_on = max(s.last_on, s.since_on) if s.last_on else s.since_on
    return "at_risk" if (as_of - active_on).days > 90 else "regular"

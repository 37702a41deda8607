"""Stats and scores in plain Python, written from docs/scoring.md and not from the SQL; slow and small."""

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

KINDS = ("view", "cart", "favourite", "consult", "visit", "social")
SIGNALS = ("view", "cart", "favourite", "consult")
DEFAULT_KINDS = {kind: kind for kind in KINDS if kind != "social"} | {"campaign_response": "social"}
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
class Item:
    """A line of an order."""

    sku: str | None
    category: str | None
    quantity: int
    price_fen: int


@dataclass
class Order:
    """As its source told it."""

    number: str
    at: datetime
    fen: int
    closed: bool = False
    discount_fen: int = 0
    store: int | None = None
    channel: str | None = None
    items: list[Item] = field(default_factory=list)


@dataclass
class Person:
    """One customer's facts; refunds are (order number, at, fen), events (at, type)."""

    created_at: datetime
    orders: list[Order] = field(default_factory=list)
    refunds: list[tuple[str, datetime, int]] = field(default_factory=list)
    events: list[tuple[datetime, str]] = field(default_factory=list)
    has_mobile: bool = False
    has_source: bool = False

    def joined(self, other: "Person") -> "Person":
        """Both as one; registered when the first of them was."""
        return Person(
            min(self.created_at, other.created_at),
            self.orders + other.orders,
            self.refunds + other.refunds,
            self.events + other.events,
            self.has_mobile or other.has_mobile,
            self.has_source or other.has_source,
        )


def stats(
    person: Person,
    as_of: date,
    zone: ZoneInfo,
    registered: datetime | None = None,
    kinds: Mapping[str, str] = DEFAULT_KINDS,
) -> dict[str, Any]:
    """One customer before 00:00 of `as_of` in the zone; `registered` is when the record that answers was created."""
    midnight = datetime(as_of.year, as_of.month, as_of.day, tzinfo=zone)

    def day(moment: datetime) -> date:
        return moment.astimezone(zone).date()

    orders = sorted((o for o in person.orders if o.at < midnight and not o.closed), key=lambda o: (o.at, o.number))
    back: Counter[str] = Counter()
    for number, at, fen in person.refunds:
        if at < midnight:
            back[number] += fen
    nets = {o.number: o.fen - back[o.number] for o in orders}
    bought = [day(o.at) for o in orders]
    days = sorted(set(bought))
    gaps = [(after - before).days for before, after in itertools.pairwise(days)]
    done = [
        (day(at), kinds.get(type_))
        for at, type_ in person.events
        if at < midnight and day(at) >= as_of - timedelta(days=365)
    ]
    recent = [(on, kind) for on, kind in done if on >= as_of - timedelta(days=180)]
    lines = [(o, item) for o in orders for item in o.items]
    spent_on: dict[str, int] = defaultdict(int)
    for _, item in lines:
        if item.category:
            spent_on[item.category] += item.quantity * item.price_fen
    channels = [o.channel for o in orders if o.channel]
    since = min([day(registered or person.created_at), *bought])
    last_on = max(days, default=None)
    found: dict[str, Any] = {
        "since_on": since,
        "active_on": max([since, *days, *(on for on, _ in done)]),
        "orders": len(orders),
        "purchase_days": len(days),
        "gross_fen": sum(o.fen for o in orders),
        "refund_fen": sum(back[o.number] for o in orders),
        "net_fen": sum(nets.values()),
        "first_on": days[0] if days else None,
        "second_on": days[1] if len(days) > 1 else None,
        "last_on": last_on,
        "first_channel": channels[0] if channels else None,
        "main_channel": _mode(channels),
        "main_hour": _mode([o.at.astimezone(zone).hour for o in orders]),
        "first_day_net_fen": sum(nets[o.number] for o in orders if day(o.at) == days[0]),
        "gap_median_days": quantile(gaps, 0.5) if gaps else None,
        "gap_max_days": max(gaps, default=None),
        "discount_fen": sum(o.discount_fen for o in orders),
        "discounted_orders": sum(o.discount_fen > 0 for o in orders),
        "stores": len({o.store for o in orders if o.store is not None}),
        "items": sum(item.quantity for _, item in lines),
        "products": len({item.sku for _, item in lines if item.sku is not None}),
        "categories": len(spent_on),
        "top_categories": sorted(spent_on, key=lambda name: (-spent_on[name], name))[:3] or None,
        "last_event_on": max((on for on, _ in done), default=None),
        "signals_since_order": sum(kind in SIGNALS and (last_on is None or on > last_on) for on, kind in recent),
        "interactions_by_month": [
            sum(
                as_of - timedelta(days=30 * n) <= on < as_of - timedelta(days=30 * (n - 1))
                for on in [*bought, *(on for on, _ in done)]
            )
            for n in range(1, 7)
        ],
    }
    for length in (30, 90, 180, 365):
        within = [o for o in orders if day(o.at) >= as_of - timedelta(days=length)]
        found[f"orders_{length}d"] = len(within)
        found[f"net_{length}d_fen"] = sum(nets[o.number] for o in within)
    for kind in KINDS:
        found[f"last_{kind}_on"] = max((on for on, what in done if what == kind), default=None)
        found[f"{kind}_180d"] = sum(what == kind for _, what in recent)
    return found


def _mode(values: list[Any]) -> Any:
    counted = Counter(values)
    return min(counted, key=lambda value: (-counted[value], value)) if counted else None


def quantile(values: list[Any], share: float) -> float:
    """Linear interpolation between order statistics (type 7)."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return float(ordered[low] + (ordered[high] - ordered[low]) * (place - low))


@dataclass(frozen=True)
class Cuts:
    """What a run measures with."""

    recency: list[float]
    orders: list[float]
    amount: list[float]
    splits: tuple[float, float, float]
    vip_from: float | None
    potential_from: float | None
    cycle_days: float | None
    second_within: int
    item_price: float | None


def cuts(everyone: list[dict[str, Any]], as_of: date, method: str = "cut_points", types_by: str = "mean") -> Cuts:
    """What a run measures; of nobody with orders it measures nothing but its defaults."""
    buyers = [s for s in everyone if s["orders"] and s["since_on"] < as_of]
    if not buyers:
        return Cuts([], [], [], (0.0, 0.0, 0.0), None, None, None, 90, None)
    recencies = [(as_of - s["last_on"]).days for s in buyers]
    orders, amounts = [s["orders"] for s in buyers], [s["net_fen"] for s in buyers]
    spenders = [s["net_365d_fen"] for s in everyone if s["since_on"] < as_of and s["net_365d_fen"] > 0]
    shares = (0.2, 0.4, 0.6, 0.8)
    prices = [s["gross_fen"] / s["items"] for s in buyers if s["items"]]
    medians = [s["gap_median_days"] for s in buyers if s["gap_median_days"] is not None]
    seconds = [(s["second_on"] - s["first_on"]).days for s in buyers if s["second_on"]]
    if method == "cume_dist":
        cut_points = _fifths_down(recencies), _fifths_up(orders), _fifths_up(amounts)
    else:
        cut_points = tuple([quantile(of, q) for q in shares] for of in (recencies, orders, amounts))  # type: ignore[assignment]
    values = [recencies, orders, amounts]
    if types_by == "median":
        splits = [quantile(of, 0.5) for of in values]
    elif types_by == "score":
        values = [
            [6 - _points(value, cut_points[0]) for value in recencies],
            [_points(value, cut_points[1]) for value in orders],
            [_points(value, cut_points[2]) for value in amounts],
        ]
        splits = [sum(of) / len(of) for of in values]
    else:
        splits = [sum(of) / len(of) for of in values]
    return Cuts(
        *cut_points,
        splits=(splits[0], splits[1], splits[2]),
        vip_from=quantile(spenders, 0.9) if spenders else None,
        potential_from=quantile(spenders, 0.5) if spenders else None,
        cycle_days=quantile(medians, 0.5) if medians else None,
        second_within=90 if len(seconds) < 30 else max(math.ceil(quantile(seconds, 0.8)), 1),
        item_price=quantile(prices, 0.8) if prices else None,
    )


def _fifths_up(values: list[int]) -> list[float]:
    """The largest value that so many fifths of all do not exceed."""
    return [
        max((v for v in values if sum(w <= v for w in values) * 5 <= k * len(values)), default=-math.inf)
        for k in (1, 2, 3, 4)
    ]


def _fifths_down(values: list[int]) -> list[float]:
    """The same from the far end, the more recent being the better; a day less, for "more than"."""
    return [
        min((v - 1 for v in values if sum(w >= v for w in values) * 5 <= k * len(values)), default=math.inf)
        for k in (4, 3, 2, 1)
    ]


def _points(value: float, cut_points: list[float]) -> int:
    return 1 + sum(value > cut for cut in cut_points)


def scores(
    s: dict[str, Any],
    run: Cuts | None,
    as_of: date,
    *,
    has_mobile: bool = False,
    source_points: int = 10,
    types_by: str = "mean",
    tiers: str = "value",
) -> dict[str, Any]:
    """All that is stored of one customer's scores, without a fitted model."""
    recency = (as_of - s["last_on"]).days if s["last_on"] else None
    r = f = m = kind = None
    if recency is not None and run is not None and run.recency:
        r, f, m = 6 - _points(recency, run.recency), _points(s["orders"], run.orders), _points(s["net_fen"], run.amount)
        if types_by == "score":
            high = [value >= split for value, split in zip((r, f, m), run.splits, strict=True)]
        else:
            high = [recency <= run.splits[0], s["orders"] >= run.splits[1], s["net_fen"] >= run.splits[2]]
        kind = TYPES["".join("H" if part else "L" for part in high)]
    tier, top = (_tier(s, run, as_of), "vip") if tiers == "value" else (_plain_tier(s, as_of), "rich")
    cycle = _cycle(s, run)
    state = _cycle_state(recency, cycle)
    months = s["interactions_by_month"]
    declining = months[0] < months[1] < months[2] < months[3]
    lead = _lead(s, as_of, has_mobile, source_points)
    taken_off = s["discount_fen"] / (s["gross_fen"] + s["discount_fen"]) if s["gross_fen"] + s["discount_fen"] else None
    price = s["gross_fen"] / s["items"] if s["items"] else None
    return {
        "r": r,
        "f": f,
        "m": m,
        "rfm_type": kind,
        "tier": tier,
        "stage": _stage(s, as_of, state, declining),
        "cycle_state": state,
        "churn_band": _churn(state, declining),
        "vip_drop": tier == top and sum(months[1:]) >= 5 and months[0] < 0.5 * sum(months[1:]) / 5,
        "price_sensitive": s["orders"] > 1 and taken_off is not None and taken_off >= 0.3,
        "quality_oriented": price is not None
        and run is not None
        and run.item_price is not None
        and price >= run.item_price
        and taken_off is not None
        and taken_off <= 0.1,
        "socially_active": s["social_180d"] >= 3,
        "second_purchase": run is not None
        and recency is not None
        and s["purchase_days"] == 1
        and recency <= run.second_within
        and s["signals_since_order"] >= 1,
        "lead_score": lead,
        "nurture_stage": None if lead is None else "hot" if lead >= 60 else "warm" if lead >= 30 else "cold",
        "cycle_turns_on": _turns_on(s, recency, cycle),
    }


def _tier(s: dict[str, Any], run: Cuts | None, as_of: date) -> str | None:
    if s["since_on"] >= as_of:
        return None
    spend, silent = s["net_365d_fen"], (as_of - s["active_on"]).days
    vip = run.vip_from if run else None
    potential = run.potential_from if run else None
    if vip is not None and 0 < spend >= vip and sum(s["interactions_by_month"]) >= 2:
        return "vip"
    if potential is not None and 0 < spend >= potential and silent <= 30:
        return "high_potential"
    return "at_risk" if silent > 90 else "regular"


def _plain_tier(s: dict[str, Any], as_of: date) -> str | None:
    """By the definition that the story publishes."""
    if s["since_on"] >= as_of:
        return None
    if s["net_fen"] >= 500:
        return "rich"
    return "quiet" if (as_of - s["active_on"]).days > 60 else "rest"


def _cycle(s: dict[str, Any], run: Cuts | None) -> float:
    if s["purchase_days"] >= 3:
        return max(float(s["gap_median_days"]), 7.0)
    return max(run.cycle_days if run and run.cycle_days is not None else 60.0, 7.0)


_FACTORS = {"due": 1.0, "overdue": 1.5, "dormant": 3.0, "lost": 6.0}


def _cycle_state(recency: int | None, cycle: float) -> str | None:
    if recency is None:
        return None
    passed = [name for name, factor in _FACTORS.items() if recency >= math.ceil(cycle * factor)]
    return passed[-1] if passed else "on_track"


def _turns_on(s: dict[str, Any], recency: int | None, cycle: float) -> date | None:
    if recency is None:
        return None
    ahead = [math.ceil(cycle * factor) for factor in _FACTORS.values() if recency < math.ceil(cycle * factor)]
    turns: date | None = s["last_on"] + timedelta(days=ahead[0]) if ahead else None
    return turns


def _stage(s: dict[str, Any], as_of: date, state: str | None, declining: bool) -> str | None:
    if s["since_on"] >= as_of:
        return None
    silent, since = (as_of - s["active_on"]).days, (as_of - s["since_on"]).days
    if silent >= 365:
        return "lost"
    if silent >= 180:
        return "dormant"
    if declining:
        return "declining"
    if s["orders_365d"] >= 3 and state in ("on_track", "due") and sum(s["interactions_by_month"][:3]) > 0:
        return "mature"
    second = s["purchase_days"] > 1 or s["last_event_on"] or (s["first_on"] and s["since_on"] < s["first_on"])
    if s["orders"] and (second or since > 30):
        return "growing"
    return "new" if since <= 30 else "prospect"


def _churn(state: str | None, declining: bool) -> str | None:
    if state is None or state == "lost":
        return state
    points = ["on_track", "due", "overdue", "dormant"].index(state) + declining
    return "high" if points >= 3 else "medium" if points >= 1 else "low"


def _lead(s: dict[str, Any], as_of: date, has_mobile: bool, source_points: int) -> int | None:
    if s["orders"] or s["since_on"] >= as_of:
        return None
    silent = (as_of - s["active_on"]).days
    points: int = (
        source_points
        + 10 * has_mobile
        + 4 * min(s["view_180d"] + s["visit_180d"], 5)
        + 10 * min(s["consult_180d"] + s["cart_180d"], 3)
        + (30 if silent <= 7 else 20 if silent <= 30 else 10 if silent <= 90 else 0)
    )
    return min(100, points)

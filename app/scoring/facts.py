"""How facts become stats: the SQL that the refresh, the full run and as-of runs share.

All of it is as of a day: facts before 00:00 of `as_of` in the shop's zone count. Days are the shop's; a month is a
period of 30 days, so that one length of it is like another.
"""

from collections.abc import Callable, Iterable
from datetime import date, timedelta
from typing import Any, Final

from app.access.settings import ScoringSettings
from app.access.shops import Shop
from app.core import clock
from app.scoring.models import KINDS, customer_stats

WINDOWS: Final = (30, 90, 180, 365)
MONTH_DAYS: Final = 30
MONTHS: Final = 6
SIGNALS: Final = ("view", "cart", "favourite", "consult")  # that somebody thinks of buying
EVENT_DAYS: Final = 365  # older events say nothing any more
COUNTED_DAYS: Final = 180  # of which events are counted by kind

STATS: Final = tuple(column.name for column in customer_stats.c if column.name not in ("shop_id", "customer_id"))

_DAY: Final = "cast(:as_of as date)"


def _commas(terms: Iterable[str]) -> str:
    return ", ".join(terms)


def _months(day: str, name: str) -> str:
    return _commas(
        f"count(*) filter (where {day} >= {_DAY} - {MONTH_DAYS * n} and {day} < {_DAY} - {MONTH_DAYS * (n - 1)}) "
        f"as {name}_{n}"
        for n in range(1, MONTHS + 1)
    )


def _each(of: Iterable[Any], term: Callable[[Any], str]) -> str:
    return _commas(term(item) for item in of)


_NETS: Final = _each(
    WINDOWS,
    lambda n: (
        f"count(*) filter (where paid_on >= {_DAY} - {n})::int as orders_{n}d, "
        f"coalesce(sum(net_fen) filter (where paid_on >= {_DAY} - {n}), 0)::bigint as net_{n}d_fen"
    ),
)
_KINDS: Final = _each(
    KINDS,
    lambda kind: (
        f"max(day) filter (where kind = '{kind}') as last_{kind}_on, "
        f"count(*) filter (where kind = '{kind}' and day >= {_DAY} - {COUNTED_DAYS})::int as {kind}_180d"
    ),
)
_SIGNALS: Final = _commas(f"'{kind}'" for kind in SIGNALS)
# What the last step takes from the ones before it; who did nothing of a kind counts zero.
_FROM: Final = {
    "s": (
        *("orders", "gross_fen", "refund_fen", "net_fen", "discount_fen", "discounted_orders", "stores"),
        *(f"orders_{n}d" for n in WINDOWS),
        *(f"net_{n}d_fen" for n in WINDOWS),
    ),
    "d": ("purchase_days", "first_day_net_fen"),
    "i": ("items", "products", "categories"),
    "e": (*(f"{kind}_180d" for kind in KINDS), "signals_since_order"),
}
_AS_IT_IS: Final = {
    "s": ("first_on", "last_on", "first_channel", "main_channel", "main_hour"),
    "d": ("second_on", "gap_median_days", "gap_max_days"),
    "t": ("top_categories",),
    "e": ("last_event_on", *(f"last_{kind}_on" for kind in KINDS)),
}
_TAKEN: Final = {name: f"coalesce({step}.{name}, 0)" for step, names in _FROM.items() for name in names} | {
    name: f"{step}.{name}" for step, names in _AS_IT_IS.items() for name in names
}
_SINCE: Final = "least((c.created_at at time zone :zone)::date, s.first_on)"
_FOUND: Final = _TAKEN | {
    "since_on": _SINCE,
    "active_on": f"greatest(s.last_on, e.last_event_on, {_SINCE})",
    "interactions_by_month": "array["
    + _each(range(1, MONTHS + 1), lambda n: f"(coalesce(s.month_{n}, 0) + coalesce(e.month_{n}, 0))::int")
    + "]",
}

# One row of stats for each customer of the scope `who`. An order counts once it is paid and not closed; a refund counts
# against its order, in the order's own window. Orders are read once; each asks the index for its refunds and its items,
# so that the work grows with the chunk and not with the shop. `first_id` and `last_id` are the ends of `who`: a chunk
# of the full run is a range of customers, and knowing that, the planner reads the range and not one customer after the
# other. But it takes list and range for independent and expects far too few rows, whose loops would compare all with
# all: so what is one row for each customer is made once (materialized), and found by its key, without the range.
FACTS: Final = f"""
    paid as materialized (
        select o.customer_id, o.order_no, o.paid_at, (o.paid_at at time zone :zone)::date as paid_on, o.amount_fen,
               o.discount_fen, o.store_id, o.channel
        from who join orders o on o.shop_id = :shop_id and o.customer_id = who.customer_id
        where o.customer_id between :first_id and :last_id and o.paid_at < :before and o.status <> 'closed'
    ),
    given_back as materialized (
        select p.order_no, sum(r.amount_fen)::bigint as refund_fen
        from paid p join refunds r on r.shop_id = :shop_id and r.order_no = p.order_no
        where r.refunded_at < :before group by p.order_no
    ),
    bought as materialized (
        select p.*, coalesce(b.refund_fen, 0) as refund_fen, p.amount_fen - coalesce(b.refund_fen, 0) as net_fen
        from paid p left join given_back b on b.order_no = p.order_no
    ),
    spent as materialized (
        select customer_id, count(*)::int as orders, sum(amount_fen)::bigint as gross_fen,
               sum(refund_fen)::bigint as refund_fen, sum(net_fen)::bigint as net_fen,
               min(paid_on) as first_on, max(paid_on) as last_on,
               sum(discount_fen)::bigint as discount_fen,
               count(*) filter (where discount_fen > 0)::int as discounted_orders,
               count(distinct store_id)::int as stores,
               (array_agg(channel order by paid_at, order_no) filter (where channel is not null))[1] as first_channel,
               mode() within group (order by channel) as main_channel,
               mode() within group (order by extract(hour from paid_at at time zone :zone)::smallint) as main_hour,
               {_NETS}, {_months("paid_on", "month")}
        from bought group by customer_id
    ),
    days as (
        select customer_id, paid_on, sum(net_fen)::bigint as net_fen,
               paid_on - lag(paid_on) over (partition by customer_id order by paid_on) as gap
        from bought group by customer_id, paid_on
    ),
    rhythm as materialized (
        select customer_id, count(*)::int as purchase_days, (array_agg(paid_on order by paid_on))[2] as second_on,
               (array_agg(net_fen order by paid_on))[1] as first_day_net_fen,
               percentile_cont(0.5) within group (order by gap) as gap_median_days, max(gap) as gap_max_days
        from days group by customer_id
    ),
    lines as materialized (
        select b.customer_id, i.sku, i.category, i.quantity, i.quantity * i.price_fen as spent_fen
        from bought b join order_items i on i.shop_id = :shop_id and i.order_no = b.order_no
    ),
    things as materialized (
        select customer_id, sum(quantity)::bigint as items, count(distinct sku)::int as products,
               count(distinct category)::int as categories
        from lines group by customer_id
    ),
    tastes as materialized (
        select customer_id, (array_agg(category order by spent_fen desc, category))[1:3] as top_categories
        from (
            select customer_id, category, sum(spent_fen) as spent_fen from lines
            where category is not null group by customer_id, category
        ) by_category
        group by customer_id
    ),
    seen as (
        select e.customer_id, (e.occurred_at at time zone :zone)::date as day, cast(:kinds as jsonb) ->> e.type as kind
        from who join events e on e.shop_id = :shop_id and e.customer_id = who.customer_id
        where e.customer_id between :first_id and :last_id
            and e.occurred_at >= :events_from and e.occurred_at < :before
    ),
    acted as materialized (
        select v.customer_id, max(day) as last_event_on, {_KINDS}, {_months("day", "month")},
               count(*) filter (
                   where kind in ({_SIGNALS}) and day >= {_DAY} - {COUNTED_DAYS}
                       and (s.last_on is null or day > s.last_on)
               )::int as signals_since_order
        from seen v left join spent s on s.customer_id = v.customer_id group by v.customer_id
    ),
    facts as (
        select c.id as customer_id, {_commas(f"{_FOUND[name]} as {name}" for name in STATS)}
        from who join customers c on c.shop_id = :shop_id and c.id = who.customer_id
        left join spent s on s.customer_id = c.id
        left join rhythm d on d.customer_id = c.id
        left join things i on i.customer_id = c.id
        left join tastes t on t.customer_id = c.id
        left join acted e on e.customer_id = c.id
    )
"""  # noqa: S608 terms of our own, values stay bound


def window(shop: Shop, settings: ScoringSettings, as_of: date) -> dict[str, Any]:
    """The parameters that say which facts count on a day, and as what."""
    return {
        "zone": shop.zone.key,
        "as_of": as_of,
        "before": clock.day_start(as_of, shop.zone),
        "events_from": clock.day_start(as_of - timedelta(days=EVENT_DAYS), shop.zone),
        "kinds": settings.interactions.kinds(),
    }

"""Twenty rules as shops write them, each with the SQL that an expert would write for it by hand, and variants."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from app.segments.rules.dates import anniversaries
from app.segments.rules.windows import Moment
from benchmarks.segment_shop import STAFF, TAGS

VARIANTS: Final = 10

Rule = dict[str, Any]


class Typical(NamedTuple):
    """A rule of a kind.

    Args:
        rule: its variants by number; they differ in values only. By hand there is the first.
        by_hand: a term on a row `c` of customers, with literals to be filled in.
    """

    name: str
    rule: Callable[[int], Rule]
    by_hand: str


def _all(*of: Rule) -> Rule:
    return {"kind": "all", "of": list(of)}


def _not(of: Rule) -> Rule:
    return {"kind": "not", "of": of}


def _last(days: int) -> Rule:
    return {"last": {"days": days}}


def _event(event: str, days: int, **more: Any) -> Rule:
    return {"kind": "event", "event": event, "window": _last(days), **more}


def _order(measure: str, **more: Any) -> Rule:
    return {"kind": "order", "measure": measure, **more}


_PAID: Final = "o.shop_id = {shop} and o.status <> 'closed' and o.paid_at <= {now}"
_REFUNDED: Final = """
    left join (
        select r.order_no, sum(r.amount_fen) as fen from refunds r
        where r.shop_id = {shop} and r.refunded_at <= {now} group by r.order_no
    ) back on back.order_no = o.order_no
"""

TYPICAL: Final = (
    Typical(
        "a cart that was left",
        lambda n: {
            "kind": "sequence",
            "first": {"kind": "event", "event": "cart"},
            "without": {"kind": "order"},
            "within": {"hours": 24 + n},
            "window": _last(7 + n),
        },
        f"""c.id in (
            select e.customer_id from events e
            where e.shop_id = {{shop}} and e.type = 'cart'
                and e.occurred_at > {{now}} - interval '168 hours' and e.occurred_at <= {{now}} - interval '24 hours'
                and not exists (
                    select from orders o
                    where {_PAID} and o.customer_id = e.customer_id
                        and o.paid_at > e.occurred_at and o.paid_at <= e.occurred_at + interval '24 hours'
                )
        )""",  # noqa: S608 terms of our own
    ),
    Typical(
        "dormant, may be written to, not of the staff",
        lambda n: _all(
            {"kind": "consent", "purpose": "marketing", "channel": "sms", "state": "granted"},
            {"kind": "date", "field": "last_order", "older_than": {"days": 60 + 10 * n}},
            _not({"kind": "tag", "any_of": [STAFF]}),
        ),
        f"""c.id in (
            select customer_id from (
                select distinct on (customer_id) customer_id, state from consents
                where shop_id = {{shop}} and purpose = 'marketing' and channel in ('sms', '*')
                order by customer_id, occurred_at desc, id desc
            ) newest where state = 'granted'
        ) and c.id in (
            select o.customer_id from orders o where {_PAID}
            group by o.customer_id having max(o.paid_at) <= {{now}} - interval '1440 hours'
        ) and not exists (
            select from customer_tags t join tags n on n.shop_id = {{shop}} and n.id = t.tag_id
            where t.shop_id = {{shop}} and t.customer_id = c.id and n.name = '{STAFF}'
                and (t.valid_until is null or t.valid_until > {{now}})
        )""",  # noqa: S608 terms of our own
    ),
    Typical(
        "a product seen twice in a month",
        lambda n: _event("view", 30, where=[{"property": "product", "equals": f"P{n + 1:03}"}], at_least=2),
        """c.id in (
            select e.customer_id from events e
            where e.shop_id = {shop} and e.type = 'view' and e.properties ->> 'product' = 'P001'
                and e.occurred_at > {now} - interval '720 hours' and e.occurred_at <= {now}
            group by e.customer_id having count(*) >= 2
        )""",
    ),
    Typical(
        "here this week",
        lambda n: _event("view", 7 + n, at_least=1),
        """exists (
            select from events e
            where e.shop_id = {shop} and e.customer_id = c.id and e.type = 'view'
                and e.occurred_at > {now} - interval '168 hours' and e.occurred_at <= {now}
        )""",
    ),
    Typical(
        "three visits in a quarter",
        lambda n: _event("visit", 90 + 5 * n, at_least=3),
        """c.id in (
            select e.customer_id from events e
            where e.shop_id = {shop} and e.type = 'visit'
                and e.occurred_at > {now} - interval '2160 hours' and e.occurred_at <= {now}
            group by e.customer_id having count(*) >= 3
        )""",
    ),
    Typical(
        "buyers who do not look any more",
        lambda n: _all(_event("view", 90 + 5 * n, never=True), {"kind": "stat", "field": "orders", "at_least": 1}),
        """c.id in (select customer_id from customer_stats where shop_id = {shop} and orders >= 1)
        and c.id not in (
            select e.customer_id from events e
            where e.shop_id = {shop} and e.type = 'view'
                and e.occurred_at > {now} - interval '2160 hours' and e.occurred_at <= {now}
        )""",
    ),
    Typical(
        "two orders in a year",
        lambda n: _order("count", window=_last(365 - 20 * n), at_least=2),
        f"""c.id in (
            select o.customer_id from orders o
            where {_PAID} and o.paid_at > {{now}} - interval '8760 hours'
            group by o.customer_id having count(*) >= 2
        )""",  # noqa: S608 terms of our own
    ),
    Typical(
        "net spend of a year",
        lambda n: _order("sum", of="net", window=_last(365), at_least=50_000 + 5_000 * n),
        f"""c.id in (
            select o.customer_id from orders o {_REFUNDED}
            where {_PAID} and o.paid_at > {{now}} - interval '8760 hours'
            group by o.customer_id having sum(o.amount_fen - coalesce(back.fen, 0)) >= 50000
        )""",  # noqa: S608 terms of our own
    ),
    Typical(
        "average order, ever",
        lambda n: _order("average", of="net", at_least=15_000 + 1_000 * n),
        f"""c.id in (
            select o.customer_id from orders o {_REFUNDED} where {_PAID}
            group by o.customer_id having sum(o.amount_fen - coalesce(back.fen, 0))::float8 / count(*) >= 15000
        )""",  # noqa: S608 terms of our own
    ),
    Typical(
        "the top tenth by net spend",
        lambda n: {"kind": "share", "field": "net_fen", "top": (10 + n) / 100, "among": "buyers"},
        """exists (
            select from customer_stats s
            where s.shop_id = {shop} and s.customer_id = c.id and s.orders > 0 and s.net_fen >= (
                select percentile_cont(0.9) within group (order by b.net_fen)
                from customer_stats b join customers p on p.shop_id = {shop} and p.id = b.customer_id
                where b.shop_id = {shop} and b.orders > 0 and p.merged_into is null and p.status = 'active'
            )
        )""",
    ),
    Typical(
        "a high tier, or much spent",
        lambda n: {
            "kind": "any",
            "of": [
                {"kind": "score", "field": "tier", "any_of": ["vip", "high_potential"]},
                {"kind": "stat", "field": "net_fen", "at_least": 100_000 + 10_000 * n},
            ],
        },
        """(
            c.id in (select customer_id from customer_scores
                     where shop_id = {shop} and tier in ('vip', 'high_potential'))
            or c.id in (select customer_id from customer_stats where shop_id = {shop} and net_fen >= 100000)
        )""",
    ),
    Typical(
        "leaving, and worth keeping",
        lambda n: _all(
            {"kind": "score", "field": "churn_band", "any_of": ["medium", "high", "lost"]},
            {"kind": "score", "field": "clv_predicted_fen", "at_least": 2_000 + 200 * n},
        ),
        """exists (
            select from customer_scores k join customer_predictions w
                on w.shop_id = {shop} and w.customer_id = k.customer_id
            where k.shop_id = {shop} and k.customer_id = c.id and k.churn_band in ('medium', 'high', 'lost')
                and w.clv_predicted_fen >= 2000
        )""",
    ),
    Typical(
        "women of three stores, members with a card and a mobile",
        lambda n: _all(
            {"kind": "profile", "field": "store_id", "any_of": [1 + n, 2 + n, 3 + n]},
            {"kind": "profile", "field": "gender", "equals": 2},
            {"kind": "profile", "field": "member", "equals": True},
            {"kind": "profile", "field": "has_mobile", "equals": True},
            {"kind": "identity", "identity": "card_no"},
        ),
        """c.store_id in (1, 2, 3) and c.gender = 2 and c.member_since is not null and c.mobile is not null
        and exists (
            select from identities i where i.shop_id = {shop} and i.customer_id = c.id and i.kind = 'card_no'
        )""",
    ),
    Typical(
        "two attributes",
        lambda n: _all(
            {"kind": "attribute", "name": "skin", "equals": "dry"},
            {"kind": "attribute", "name": "visits", "at_least": 20 + 2 * n},
        ),
        """exists (
            select from customer_attributes a
            where a.shop_id = {shop} and a.customer_id = c.id and a.name = 'skin' and a.text_value = 'dry'
        ) and exists (
            select from customer_attributes a
            where a.shop_id = {shop} and a.customer_id = c.id and a.name = 'visits' and a.number_value >= 20
        )""",
    ),
    Typical(
        "one of two tags",
        lambda n: {"kind": "tag", "any_of": [TAGS[n], TAGS[n + 5]]},
        f"""exists (
            select from customer_tags t join tags n on n.shop_id = {{shop}} and n.id = t.tag_id
            where t.shop_id = {{shop}} and t.customer_id = c.id and n.name in ('{TAGS[0]}', '{TAGS[5]}')
                and (t.valid_until is null or t.valid_until > {{now}})
        )""",
    ),
    Typical(
        "bought of a category this quarter",
        lambda n: _order("count", categories=[f"category {n}"], window={"calendar_days": 90}, at_least=1),
        f"""c.id in (
            select o.customer_id from orders o
            join order_items i on i.shop_id = {{shop}} and i.order_no = o.order_no
            where {_PAID} and o.paid_at >= ({{today}} - 89)::timestamp at time zone '{{zone}}'
                and i.category = 'category 0'
        )""",  # noqa: S608 terms of our own
    ),
    Typical(
        "a birthday within a week",
        lambda n: {"kind": "date", "field": "birthday", "anniversary_in_next": 7 + n},
        "extract(month from c.birthday) * 100 + extract(day from c.birthday) in ({birthdays})",
    ),
    Typical(
        "registered this month, no order",
        lambda n: _all({"kind": "date", "field": "registered", "within": _last(30 + n)}, _order("count", equals=0)),
        f"""c.created_at > {{now}} - interval '720 hours' and c.created_at <= {{now}}
        and not exists (select from orders o where {_PAID} and o.customer_id = c.id)""",
    ),
    Typical(
        "bought soon after a look",
        lambda n: {
            "kind": "sequence",
            "first": {"kind": "event", "event": "view"},
            "then": {"kind": "order"},
            "within": {"days": 3},
            "window": _last(30 + n),
        },
        f"""c.id in (
            select e.customer_id from events e
            join orders o on {_PAID} and o.customer_id = e.customer_id
                and o.paid_at > e.occurred_at and o.paid_at <= e.occurred_at + interval '72 hours'
            where e.shop_id = {{shop}} and e.type = 'view'
                and e.occurred_at > {{now}} - interval '720 hours' and e.occurred_at <= {{now}}
        )""",  # noqa: S608 terms of our own
    ),
    Typical(
        "three products in half a year",
        lambda n: _order("products", window=_last(180 + 5 * n), at_least=3),
        f"""c.id in (
            select o.customer_id from orders o
            join order_items i on i.shop_id = {{shop}} and i.order_no = o.order_no
            where {_PAID} and o.paid_at > {{now}} - interval '4320 hours'
            group by o.customer_id having count(distinct i.sku) >= 3
        )""",  # noqa: S608 terms of our own
    ),
)

_BUILD: Final = """
    with came as (
        insert into segment_members (shop_id, segment_id, customer_id, version, entered_at)
        select {shop}, {segment}, c.id, 1, {now} from customers c
        where c.shop_id = {shop} and c.merged_into is null and c.status = 'active' and ({meets})
        returning customer_id
    )
    insert into segment_changes (shop_id, segment_id, customer_id, entered, version, cause, changed_at)
    select {shop}, {segment}, customer_id, true, 1, 'definition', {now} from came
"""


def by_hand(typical: Typical, shop_id: int, segment_id: int, now: datetime, zone: ZoneInfo) -> str:
    """The whole build as one statement of literals: members and log."""
    moment = Moment(now, zone)
    birthdays = [*anniversaries(moment.today, 7, 0), *anniversaries(moment.today, 7, 1)]
    literals = {
        "shop": shop_id,
        "segment": segment_id,
        "now": f"timestamptz '{now.isoformat()}'",
        "today": f"date '{moment.today.isoformat()}'",
        "zone": zone.key,
        "birthdays": ", ".join(map(str, birthdays)),
    }
    return _BUILD.format(meets=typical.by_hand.format(**literals), **literals)


def burst(day: int) -> Rule:
    """Who answered a burst's campaign within as many days: all of them leave in the same minute."""
    return _event("campaign_response", day, where=[{"property": "product", "equals": f"B{day:02}"}], at_least=1)


def variants() -> list[tuple[str, Rule]]:
    """Every rule with other values again and again, the first ones of all before the second ones."""
    return [(f"{typical.name} {n}", typical.rule(n)) for n in range(VARIANTS) for typical in TYPICAL]

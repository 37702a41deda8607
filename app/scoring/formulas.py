"""How facts become stats and stats become scores: the SQL that the refresh, the full run and as-of runs share.

Definitions: quintiles by value cut points (q20…q80, linear interpolation), score = 1 + cut points strictly below the
value, recency reversed, so equal values always get equal scores. The eight types compare with the means of the run.
"""

from typing import Final

STATS: Final = (
    "since_on",
    "orders",
    "purchase_days",
    "gross_fen",
    "refund_fen",
    "net_fen",
    "year_net_fen",
    "first_on",
    "last_on",
)
SCORES: Final = ("r", "f", "m", "rfm_type", "tier")
TIERS: Final = ("vip", "high_potential", "regular", "at_risk")

YEAR_DAYS: Final = 365

# A customer's facts before 00:00 of `as_of` in the shop's zone, one row for each customer of the scope `who`.
# An order counts once it is paid and not closed; a refund counts against its order, in the order's own year.
# `first_id` and `last_id` are the ends of `who`: a chunk of the full run is a range of customers, and knowing that, the
# planner reads only the range's rows. Orders are read once; each asks the index for its refunds, so that the work grows
# with the chunk and not with the shop.
FACTS: Final = """
    paid as materialized (
        select o.customer_id, o.order_no, (o.paid_at at time zone :zone)::date as paid_on, o.amount_fen
        from who join orders o on o.shop_id = :shop_id and o.customer_id = who.customer_id
        where o.customer_id between :first_id and :last_id and o.paid_at < :before and o.status <> 'closed'
    ),
    happened as (
        select c.id as customer_id, (c.created_at at time zone :zone)::date as since_on,
               null::text as order_no, null::date as paid_on, 0::bigint as amount_fen, 0::bigint as refund_fen
        from who join customers c on c.shop_id = :shop_id and c.id = who.customer_id
        where c.id between :first_id and :last_id
        union all
        select customer_id, null, order_no, paid_on, amount_fen, 0 from paid
        union all
        select p.customer_id, null, null, p.paid_on, 0, r.amount_fen
        from paid p join refunds r on r.shop_id = :shop_id and r.order_no = p.order_no
        where r.refunded_at < :before
    ),
    facts as (
        select customer_id,
               least(min(since_on), min(paid_on)) as since_on,
               count(order_no)::int as orders, count(distinct paid_on)::int as purchase_days,
               sum(amount_fen)::bigint as gross_fen, sum(refund_fen)::bigint as refund_fen,
               (sum(amount_fen) - sum(refund_fen))::bigint as net_fen,
               coalesce(sum(amount_fen - refund_fen) filter (where paid_on >= :year_from), 0)::bigint as year_net_fen,
               min(paid_on) as first_on, max(paid_on) as last_on
        from happened group by customer_id
    )
"""


def _score(value: str, cuts: str) -> str:
    return "1 + " + " + ".join(f"({value} > {cuts}[{i}])::int" for i in range(1, 5))


_DAY: Final = "cast(:as_of as date)"
_RECENCY: Final = f"({_DAY} - s.last_on)"

# One row of stats `s` under the run `run` (all nulls when none has been published) on the day `as_of`. Without orders
# there is no score. Tiers are asked in this order; registering counts as the first interaction.
SCORE_ROW: Final = f"""
    case when s.orders > 0 then 6 - ({_score(_RECENCY, "run.recency_cuts")}) end as r,
    case when s.orders > 0 then {_score("s.orders", "run.orders_cuts")} end as f,
    case when s.orders > 0 then {_score("s.net_fen", "run.amount_cuts")} end as m,
    case when s.orders > 0 and run.scored > 0 then
        case when {_RECENCY} <= run.recency_mean then
            case when s.orders >= run.orders_mean
                then case when s.net_fen >= run.amount_mean then '重要价值客户' else '一般价值客户' end
                else case when s.net_fen >= run.amount_mean then '重要发展客户' else '一般发展客户' end end
        else
            case when s.orders >= run.orders_mean
                then case when s.net_fen >= run.amount_mean then '重要保持客户' else '一般保持客户' end
                else case when s.net_fen >= run.amount_mean then '重要挽留客户' else '一般挽留客户' end end
        end
    end as rfm_type,
    case
        when s.since_on >= {_DAY} then null
        when s.year_net_fen > 0 and s.year_net_fen >= run.vip_from_fen then 'vip'
        when s.year_net_fen > 0 and s.year_net_fen >= run.potential_from_fen
            and s.last_on >= {_DAY} - cast(:potential_days as integer) then 'high_potential'
        when greatest(s.last_on, s.since_on) < {_DAY} - cast(:at_risk_days as integer) then 'at_risk'
        else 'regular'
    end as tier
"""

# Cut points of one population, read from rows `s` with stats.
CUT_POINTS: Final = f"""
    percentile_cont(array[0.2, 0.4, 0.6, 0.8]) within group (order by {_RECENCY}) as recency_cuts,
    percentile_cont(array[0.2, 0.4, 0.6, 0.8]) within group (order by s.orders) as orders_cuts,
    percentile_cont(array[0.2, 0.4, 0.6, 0.8]) within group (order by s.net_fen) as amount_cuts,
    avg{_RECENCY}::float8 as recency_mean, avg(s.orders)::float8 as orders_mean,
    avg(s.net_fen)::float8 as amount_mean,
    percentile_cont(cast(:vip_cut as float8)) within group (order by s.year_net_fen)
        filter (where s.year_net_fen > 0) as vip_from_fen,
    percentile_cont(cast(:potential_cut as float8)) within group (order by s.year_net_fen)
        filter (where s.year_net_fen > 0) as potential_from_fen,
    count(*) as scored
"""
CUTS: Final = (
    "recency_cuts",
    "orders_cuts",
    "amount_cuts",
    "recency_mean",
    "orders_mean",
    "amount_mean",
    "vip_from_fen",
    "potential_from_fen",
    "scored",
)

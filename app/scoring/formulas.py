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
FACTS: Final = """
    paid as (
        select o.customer_id, o.order_no, o.amount_fen, (o.paid_at at time zone :zone)::date as paid_on
        from who join orders o on o.shop_id = :shop_id and o.customer_id = who.customer_id
        where o.paid_at < :before and o.status <> 'closed'
    ),
    bought as (
        select customer_id, count(*)::int as orders, count(distinct paid_on)::int as purchase_days,
               sum(amount_fen)::bigint as gross_fen,
               coalesce(sum(amount_fen) filter (where paid_on >= :year_from), 0)::bigint as year_gross_fen,
               min(paid_on) as first_on, max(paid_on) as last_on
        from paid group by customer_id
    ),
    given_back as (
        select p.customer_id, sum(r.amount_fen)::bigint as refund_fen,
               coalesce(sum(r.amount_fen) filter (where p.paid_on >= :year_from), 0)::bigint as year_refund_fen
        from paid p join refunds r on r.shop_id = :shop_id and r.order_no = p.order_no
        where r.refunded_at < :before group by p.customer_id
    ),
    facts as (
        select c.id as customer_id,
               least((c.created_at at time zone :zone)::date, b.first_on) as since_on,
               coalesce(b.orders, 0) as orders, coalesce(b.purchase_days, 0) as purchase_days,
               coalesce(b.gross_fen, 0) as gross_fen, coalesce(g.refund_fen, 0) as refund_fen,
               coalesce(b.gross_fen, 0) - coalesce(g.refund_fen, 0) as net_fen,
               coalesce(b.year_gross_fen, 0) - coalesce(g.year_refund_fen, 0) as year_net_fen,
               b.first_on, b.last_on
        from who join customers c on c.shop_id = :shop_id and c.id = who.customer_id
        left join bought b on b.customer_id = c.id
        left join given_back g on g.customer_id = c.id
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

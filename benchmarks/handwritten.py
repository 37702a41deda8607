"""A full rescore as a database expert would write it by hand for one shop: four statements over everybody.

It writes the same columns of the same tables as the service's full run (stats, a published run with its cut points,
scores, tier changes and their events), leaves rows alone that would not change, and knows nothing of chunks, locks,
progress, resuming, shops beside it, or row security.
"""

from datetime import date, timedelta
from typing import Any, Final

_STATS: Final = """
    insert into customer_stats as s (shop_id, customer_id, since_on, orders, purchase_days, gross_fen, refund_fen,
                                     net_fen, year_net_fen, first_on, last_on)
    with paid as (
        select customer_id, order_no, amount_fen, (paid_at at time zone $2)::date as paid_on
        from orders where shop_id = $1 and paid_at < $3 and status <> 'closed'
    ),
    bought as (
        select customer_id, count(*)::int as orders, count(distinct paid_on)::int as purchase_days,
               sum(amount_fen)::bigint as gross, min(paid_on) as first_on, max(paid_on) as last_on,
               coalesce(sum(amount_fen) filter (where paid_on >= $4), 0)::bigint as year_gross
        from paid group by customer_id
    ),
    given_back as (
        select p.customer_id, sum(r.amount_fen)::bigint as refund,
               coalesce(sum(r.amount_fen) filter (where p.paid_on >= $4), 0)::bigint as year_refund
        from refunds r join paid p using (order_no)
        where r.shop_id = $1 and r.refunded_at < $3 group by p.customer_id
    )
    select $1, c.id, least((c.created_at at time zone $2)::date, b.first_on), coalesce(b.orders, 0),
           coalesce(b.purchase_days, 0), coalesce(b.gross, 0), coalesce(g.refund, 0),
           coalesce(b.gross, 0) - coalesce(g.refund, 0), coalesce(b.year_gross, 0) - coalesce(g.year_refund, 0),
           b.first_on, b.last_on
    from customers c
    left join bought b on b.customer_id = c.id
    left join given_back g on g.customer_id = c.id
    where c.shop_id = $1
    on conflict (shop_id, customer_id) do update set
        since_on = excluded.since_on, orders = excluded.orders, purchase_days = excluded.purchase_days,
        gross_fen = excluded.gross_fen, refund_fen = excluded.refund_fen, net_fen = excluded.net_fen,
        year_net_fen = excluded.year_net_fen, first_on = excluded.first_on, last_on = excluded.last_on
    where (s.since_on, s.orders, s.purchase_days, s.gross_fen, s.refund_fen, s.net_fen, s.year_net_fen, s.first_on,
           s.last_on)
        is distinct from (excluded.since_on, excluded.orders, excluded.purchase_days, excluded.gross_fen,
           excluded.refund_fen, excluded.net_fen, excluded.year_net_fen, excluded.first_on, excluded.last_on)
"""
_RETIRE: Final = "update score_runs set state = 'superseded' where shop_id = $1 and state = 'published'"
_RUN: Final = """
    insert into score_runs (shop_id, id, kind, state, as_of, settings, recency_cuts, orders_cuts, amount_cuts,
                            recency_mean, orders_mean, amount_mean, vip_from_fen, potential_from_fen, scored,
                            created_at, published_at)
    select $1, gen_random_uuid(), 'live', 'published', $2, $3::text::jsonb,
           percentile_cont(array[0.2, 0.4, 0.6, 0.8]) within group (order by $2::date - last_on),
           percentile_cont(array[0.2, 0.4, 0.6, 0.8]) within group (order by orders),
           percentile_cont(array[0.2, 0.4, 0.6, 0.8]) within group (order by net_fen),
           avg($2::date - last_on), avg(orders), avg(net_fen),
           percentile_cont(0.9) within group (order by year_net_fen) filter (where year_net_fen > 0),
           percentile_cont(0.5) within group (order by year_net_fen) filter (where year_net_fen > 0),
           count(*), now(), now()
    from customer_stats where shop_id = $1 and orders > 0 and since_on < $2
    returning id
"""
_SCORES: Final = """
    with run as (select * from score_runs where shop_id = $1 and id = $2),
    measured as (
        select s.customer_id, s.orders, s.net_fen, s.year_net_fen, s.since_on, s.last_on, c.created_at,
               run.as_of - s.last_on as recency, run.as_of, recency_cuts, orders_cuts, amount_cuts, recency_mean,
               orders_mean, amount_mean, vip_from_fen, potential_from_fen
        from customer_stats s join customers c on c.shop_id = $1 and c.id = s.customer_id cross join run
        where s.shop_id = $1
    ),
    computed as (
        select customer_id, created_at,
            case when orders > 0 then 5 - (recency > recency_cuts[1])::int - (recency > recency_cuts[2])::int
                - (recency > recency_cuts[3])::int - (recency > recency_cuts[4])::int end as r,
            case when orders > 0 then 1 + (orders > orders_cuts[1])::int + (orders > orders_cuts[2])::int
                + (orders > orders_cuts[3])::int + (orders > orders_cuts[4])::int end as f,
            case when orders > 0 then 1 + (net_fen > amount_cuts[1])::int + (net_fen > amount_cuts[2])::int
                + (net_fen > amount_cuts[3])::int + (net_fen > amount_cuts[4])::int end as m,
            case when orders > 0 then
                case when net_fen >= amount_mean then '重要' else '一般' end ||
                case when recency <= recency_mean
                    then case when orders >= orders_mean then '价值' else '发展' end
                    else case when orders >= orders_mean then '保持' else '挽留' end end || '客户'
            end as rfm_type,
            case when since_on >= as_of then null
                when year_net_fen > 0 and year_net_fen >= vip_from_fen then 'vip'
                when year_net_fen > 0 and year_net_fen >= potential_from_fen and last_on >= as_of - 30
                    then 'high_potential'
                when greatest(last_on, since_on) < as_of - 90 then 'at_risk'
                else 'regular' end as tier
        from measured
    ),
    before as (select customer_id, tier from customer_scores where shop_id = $1),
    written as (
        insert into customer_scores as k (shop_id, customer_id, run_id, created_at, r, f, m, rfm_type, tier)
        select $1, customer_id, $2, created_at, r, f, m, rfm_type, tier from computed
        on conflict (shop_id, customer_id) do update set
            run_id = excluded.run_id, r = excluded.r, f = excluded.f, m = excluded.m, rfm_type = excluded.rfm_type,
            tier = excluded.tier
        where (k.r, k.f, k.m, k.rfm_type, k.tier)
            is distinct from (excluded.r, excluded.f, excluded.m, excluded.rfm_type, excluded.tier)
        returning k.customer_id, k.tier
    ),
    moved as (
        select w.customer_id, b.tier as from_tier, w.tier as to_tier
        from written w left join before b using (customer_id) where b.tier is distinct from w.tier
    ),
    logged as (
        insert into tier_changes
            (shop_id, customer_id, origin_customer_id, from_tier, to_tier, run_id, as_of, changed_at)
        select $1, customer_id, customer_id, from_tier, to_tier, $2, $3, now() from moved
    )
    insert into domain_events (shop_id, id, kind, customer_id, data, occurred_at)
    select $1, gen_random_uuid(), 'tier.changed', customer_id,
           jsonb_build_object('customer_id', customer_id, 'from', from_tier, 'to', to_tier, 'as_of', $3::date,
                              'run_id', $2::uuid), now()
    from moved
"""
_TOTAL: Final = """
    insert into customer_totals (shop_id, customers) select $1, count(*) from customers where shop_id = $1
    on conflict (shop_id) do update set customers = excluded.customers
"""


async def rescore(owner: Any, shop_id: int, as_of: date, zone: str) -> None:
    """Everybody's stats, new cut points, everybody's scores, in one transaction."""
    async with owner.transaction():
        await owner.execute("set local work_mem = '32MB'")  # as the service sets it for its chunks
        before = await owner.fetchval("select $1::date::timestamp at time zone $2", as_of, zone)
        await owner.execute("analyze customer_stats")
        await owner.execute(_STATS, shop_id, zone, before, as_of - timedelta(days=365))
        await owner.execute(_RETIRE, shop_id)
        run_id = await owner.fetchval(_RUN, shop_id, as_of, _SETTINGS)
        # Both tables may have been filled a moment ago; planned on the statistics of empty ones, this would never end.
        await owner.execute("analyze customer_stats, customer_scores")
        await owner.execute(_SCORES, shop_id, run_id, as_of)
        await owner.execute(_TOTAL, shop_id)


async def digest(owner: Any, shop_id: int, first: int) -> str:
    """A hash over all stats and scores of a shop, with customers counted from `first`."""
    rows: str = await owner.fetchval(_DIGEST, shop_id, first)
    return rows


_SETTINGS: Final = '{"vip_share": 0.1, "potential_share": 0.5, "potential_days": 30, "at_risk_days": 90}'
_DIGEST: Final = """
    select md5(string_agg(md5((s.customer_id - $2, s.since_on, s.orders, s.purchase_days, s.gross_fen, s.refund_fen,
                               s.net_fen, s.year_net_fen, s.first_on, s.last_on, k.r, k.f, k.m, k.rfm_type,
                               k.tier)::text), '' order by s.customer_id))
    from customer_stats s
    left join customer_scores k on k.shop_id = s.shop_id and k.customer_id = s.customer_id
    where s.shop_id = $1
"""

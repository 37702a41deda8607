"""A full run as a database expert would write it by hand for one shop: a handful of statements over everybody.

It writes the same columns of the same tables as the service's full run (stats, a published run with all that it
measures, the model, predictions, scores, changes of tier and stage and their events), leaves rows alone that would not
change, and knows nothing of chunks, locks, progress, resuming, shops beside it, or row security. The default settings
and tiers stand in the SQL as numbers. The fit and the predictions are computed by the service's own functions.
"""

from datetime import date, datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import numpy as np
import orjson

from app.access.settings import ScoringSettings
from app.scoring.fitting import Answer, Past, Question, answer
from app.scoring.prediction.fit import Floors
from app.scoring.prediction.fitted import Fit
from app.scoring.prediction.histories import Histories
from app.scoring.prediction.predict import predict
from app.scoring.tiers.schemes import VALUE

_STATS: Final = (
    "since_on, active_on, orders, purchase_days, gross_fen, refund_fen, net_fen, first_on, second_on, last_on, "
    "first_channel, main_channel, main_hour, first_day_net_fen, gap_median_days, gap_max_days, orders_30d, orders_90d, "
    "orders_180d, orders_365d, net_30d_fen, net_90d_fen, net_180d_fen, net_365d_fen, discount_fen, discounted_orders, "
    "stores, items, products, categories, top_categories, last_event_on, last_view_on, last_cart_on, "
    "last_favourite_on, last_consult_on, last_visit_on, last_social_on, view_180d, cart_180d, favourite_180d, "
    "consult_180d, visit_180d, social_180d, signals_since_order, interactions_by_month"
)
_SCORES: Final = (
    "r, f, m, rfm_type, tier, stage, cycle_state, churn_band, vip_drop, price_sensitive, quality_oriented, "
    "socially_active, second_purchase, lead_score, nurture_stage, cycle_turns_on"
)
_PREDICTIONS: Final = "p_alive, expected_purchases_90d, expected_purchases_365d, expected_spend_fen, clv_predicted_fen"


def _put(table: str, names: str, source: str) -> str:
    """An insert of what is new and an update of what differs, of one row for each customer."""
    listed = names.split(", ")
    given = ", ".join(f"{name} = excluded.{name}" for name in listed)
    old, new = ", ".join(f"t.{name}" for name in listed), ", ".join(f"excluded.{name}" for name in listed)
    run, kept = ("", "") if table == "customer_stats" else (", run_id", "run_id = excluded.run_id, ")
    created = ", created_at" if table == "customer_scores" else ""
    return f"""
        insert into {table} as t (shop_id, customer_id{run}{created}, {names})
        {source}
        on conflict (shop_id, customer_id) do update set {kept}{given} where ({old}) is distinct from ({new})
    """


_MEASURE_FACTS: Final = _put(
    "customer_stats",
    _STATS,
    """
    with given_back as (
        select order_no, sum(amount_fen)::bigint as fen from refunds
        where shop_id = $1 and refunded_at < $3 group by order_no
    ),
    bought as materialized (
        select o.customer_id, o.order_no, o.paid_at, o.channel, o.store_id, o.amount_fen, o.discount_fen,
               (o.paid_at at time zone $2)::date as paid_on,
               extract(hour from o.paid_at at time zone $2)::smallint as paid_hour,
               coalesce(g.fen, 0) as refund_fen, o.amount_fen - coalesce(g.fen, 0) as net_fen
        from orders o left join given_back g on g.order_no = o.order_no
        where o.shop_id = $1 and o.paid_at < $3 and o.status <> 'closed'
    ),
    spent as (
        select customer_id, count(*)::int as orders, sum(amount_fen)::bigint as gross_fen,
               sum(refund_fen)::bigint as refund_fen, sum(net_fen)::bigint as net_fen,
               min(paid_on) as first_on, max(paid_on) as last_on, sum(discount_fen)::bigint as discount_fen,
               count(*) filter (where discount_fen > 0)::int as discounted_orders,
               count(distinct store_id)::int as stores,
               (array_agg(channel order by paid_at, order_no) filter (where channel is not null))[1] as first_channel,
               mode() within group (order by channel) as main_channel,
               mode() within group (order by paid_hour) as main_hour,
               count(*) filter (where paid_on >= $4::date - 30)::int as orders_30d,
               count(*) filter (where paid_on >= $4::date - 60)::int as orders_60d,
               count(*) filter (where paid_on >= $4::date - 90)::int as orders_90d,
               count(*) filter (where paid_on >= $4::date - 120)::int as orders_120d,
               count(*) filter (where paid_on >= $4::date - 150)::int as orders_150d,
               count(*) filter (where paid_on >= $4::date - 180)::int as orders_180d,
               count(*) filter (where paid_on >= $4::date - 365)::int as orders_365d,
               sum(net_fen) filter (where paid_on >= $4::date - 30)::bigint as net_30d_fen,
               sum(net_fen) filter (where paid_on >= $4::date - 90)::bigint as net_90d_fen,
               sum(net_fen) filter (where paid_on >= $4::date - 180)::bigint as net_180d_fen,
               sum(net_fen) filter (where paid_on >= $4::date - 365)::bigint as net_365d_fen
        from bought group by customer_id
    ),
    days as (
        select customer_id, paid_on, sum(net_fen)::bigint as net_fen,
               paid_on - lag(paid_on) over customer as gap, row_number() over customer as number
        from bought group by customer_id, paid_on window customer as (partition by customer_id order by paid_on)
    ),
    rhythm as (
        select customer_id, count(*)::int as purchase_days, max(paid_on) filter (where number = 2) as second_on,
               max(net_fen) filter (where number = 1) as first_day_net_fen,
               percentile_cont(0.5) within group (order by gap) as gap_median_days, max(gap) as gap_max_days
        from days group by customer_id
    ),
    lines as materialized (
        select b.customer_id, i.sku, i.category, i.quantity, i.quantity * i.price_fen as fen
        from order_items i join bought b on b.order_no = i.order_no where i.shop_id = $1
    ),
    things as (
        select customer_id, sum(quantity)::bigint as items, count(distinct sku)::int as products,
               count(distinct category)::int as categories
        from lines group by customer_id
    ),
    tastes as (
        select customer_id, (array_agg(category order by fen desc, category))[1:3] as top_categories
        from (
            select customer_id, category, sum(fen) as fen from lines
            where category is not null group by customer_id, category
        ) by_category
        group by customer_id
    ),
    seen as (
        select customer_id, (occurred_at at time zone $2)::date as day,
               case when type in ('share', 'comment', 'invite', 'community_join', 'check_in', 'campaign_response')
                    then 'social'
                    when type in ('view', 'cart', 'favourite', 'consult', 'visit') then type end as kind
        from events where shop_id = $1 and occurred_at >= $5 and occurred_at < $3
    ),
    acted as (
        select v.customer_id, max(day) as last_event_on,
               max(day) filter (where kind = 'view') as last_view_on,
               max(day) filter (where kind = 'cart') as last_cart_on,
               max(day) filter (where kind = 'favourite') as last_favourite_on,
               max(day) filter (where kind = 'consult') as last_consult_on,
               max(day) filter (where kind = 'visit') as last_visit_on,
               max(day) filter (where kind = 'social') as last_social_on,
               count(*) filter (where kind = 'view' and day >= $4::date - 180)::int as view_180d,
               count(*) filter (where kind = 'cart' and day >= $4::date - 180)::int as cart_180d,
               count(*) filter (where kind = 'favourite' and day >= $4::date - 180)::int as favourite_180d,
               count(*) filter (where kind = 'consult' and day >= $4::date - 180)::int as consult_180d,
               count(*) filter (where kind = 'visit' and day >= $4::date - 180)::int as visit_180d,
               count(*) filter (where kind = 'social' and day >= $4::date - 180)::int as social_180d,
               count(*) filter (where kind in ('view', 'cart', 'favourite', 'consult') and day >= $4::date - 180
                                and (s.last_on is null or day > s.last_on))::int as signals_since_order,
               count(*) filter (where day >= $4::date - 30)::int as events_30d,
               count(*) filter (where day >= $4::date - 60)::int as events_60d,
               count(*) filter (where day >= $4::date - 90)::int as events_90d,
               count(*) filter (where day >= $4::date - 120)::int as events_120d,
               count(*) filter (where day >= $4::date - 150)::int as events_150d,
               count(*) filter (where day >= $4::date - 180)::int as events_180d
        from seen v left join spent s on s.customer_id = v.customer_id group by v.customer_id
    )
    select $1, c.id, least(c.created_on, s.first_on),
           greatest(s.last_on, e.last_event_on, least(c.created_on, s.first_on)),
           coalesce(s.orders, 0), coalesce(d.purchase_days, 0), coalesce(s.gross_fen, 0), coalesce(s.refund_fen, 0),
           coalesce(s.net_fen, 0), s.first_on, d.second_on, s.last_on, s.first_channel, s.main_channel, s.main_hour,
           coalesce(d.first_day_net_fen, 0), d.gap_median_days, d.gap_max_days, coalesce(s.orders_30d, 0),
           coalesce(s.orders_90d, 0), coalesce(s.orders_180d, 0), coalesce(s.orders_365d, 0),
           coalesce(s.net_30d_fen, 0), coalesce(s.net_90d_fen, 0), coalesce(s.net_180d_fen, 0),
           coalesce(s.net_365d_fen, 0), coalesce(s.discount_fen, 0), coalesce(s.discounted_orders, 0),
           coalesce(s.stores, 0), coalesce(i.items, 0), coalesce(i.products, 0), coalesce(i.categories, 0),
           t.top_categories, e.last_event_on, e.last_view_on, e.last_cart_on, e.last_favourite_on, e.last_consult_on,
           e.last_visit_on, e.last_social_on, coalesce(e.view_180d, 0), coalesce(e.cart_180d, 0),
           coalesce(e.favourite_180d, 0), coalesce(e.consult_180d, 0), coalesce(e.visit_180d, 0),
           coalesce(e.social_180d, 0), coalesce(e.signals_since_order, 0),
           array[coalesce(s.orders_30d, 0) + coalesce(e.events_30d, 0),
                 coalesce(s.orders_60d - s.orders_30d, 0) + coalesce(e.events_60d - e.events_30d, 0),
                 coalesce(s.orders_90d - s.orders_60d, 0) + coalesce(e.events_90d - e.events_60d, 0),
                 coalesce(s.orders_120d - s.orders_90d, 0) + coalesce(e.events_120d - e.events_90d, 0),
                 coalesce(s.orders_150d - s.orders_120d, 0) + coalesce(e.events_150d - e.events_120d, 0),
                 coalesce(s.orders_180d - s.orders_150d, 0) + coalesce(e.events_180d - e.events_150d, 0)]
    from (
        select id, (created_at at time zone $2)::date as created_on from customers
        where shop_id = $1 and merged_into is null
    ) c
    left join spent s on s.customer_id = c.id
    left join rhythm d on d.customer_id = c.id
    left join things i on i.customer_id = c.id
    left join tastes t on t.customer_id = c.id
    left join acted e on e.customer_id = c.id
    """,
)
_MEASURE_STATS: Final = """
    select percentile_cont(array[0.2, 0.4, 0.6, 0.8]) within group (order by $2::date - last_on) as recency_cuts,
           percentile_cont(array[0.2, 0.4, 0.6, 0.8]) within group (order by orders) as orders_cuts,
           percentile_cont(array[0.2, 0.4, 0.6, 0.8]) within group (order by net_fen) as amount_cuts,
           avg($2::date - last_on)::float8 as recency_split, avg(orders)::float8 as orders_split,
           avg(net_fen)::float8 as amount_split,
           percentile_cont(0.8::float8) within group (order by gross_fen / items::float8) filter (where items > 0)
               as item_price_cut_fen,
           percentile_cont(0.5) within group (order by gap_median_days) as cycle_days,
           greatest(ceil(percentile_cont(0.8) within group (order by second_on - first_on)), 1)::int as second_within,
           count(second_on) as seconds, count(*) as scored
    from customer_stats where shop_id = $1 and orders > 0 and since_on < $2
"""
_MEASURE_TIERS: Final = """
    select array[percentile_cont(0.9) within group (order by net_365d_fen), 2,
                 percentile_cont(0.5) within group (order by net_365d_fen), 30, 90]::float8[]
    from customer_stats where shop_id = $1 and since_on < $2 and net_365d_fen > 0
"""
_MEASURE_CATEGORIES: Final = """
    select top_categories[1] as category, percentile_cont(0.5) within group (order by gap_median_days) as days
    from customer_stats
    where shop_id = $1 and since_on < $2 and gap_median_days is not null and top_categories is not null
    group by 1 having count(*) >= 50 order by count(*) desc, 1 limit 200
"""
_MEASURE_RATIOS: Final = """
    with cycles as (
        select customer_id, gap_median_days from customer_stats
        where shop_id = $1 and since_on < $2 and purchase_days >= 3 and gap_median_days > 0
        order by customer_id limit 20000
    ),
    gaps as (
        select customer_id, day - lag(day) over (partition by customer_id order by day) as gap
        from (
            select distinct o.customer_id, (o.paid_at at time zone $3)::date as day
            from orders o join cycles c on c.customer_id = o.customer_id
            where o.shop_id = $1 and o.paid_at < $4 and o.status <> 'closed'
        ) days
    )
    select percentile_cont(array[0.2, 0.5, 0.8]) within group (order by gap / gap_median_days)
    from gaps join cycles using (customer_id) where gap is not null
"""
_MEASURE_SECOND: Final = """
    with once as (
        select customer_id, first_on, coalesce(second_on < $2, false) as came_back
        from customer_stats
        where shop_id = $1 and orders > 0 and first_on >= $3::date - $4::int and first_on < $3::date
            and (second_on is null or second_on >= $3::date)
    ),
    given as (
        select e.customer_id, count(*) as signals
        from events e join once o on o.customer_id = e.customer_id
        where e.shop_id = $1 and e.occurred_at >= $6 and e.occurred_at < $7
            and e.type in ('view', 'cart', 'favourite', 'consult')
            and (e.occurred_at at time zone $5)::date > o.first_on
        group by e.customer_id
    )
    select count(*) as customers, count(*) filter (where came_back) as again,
           array[count(*) filter (where signals >= 1), count(*) filter (where signals >= 2),
                 count(*) filter (where signals >= 3)] as flagged,
           array[count(*) filter (where signals >= 1 and came_back), count(*) filter (where signals >= 2 and came_back),
                 count(*) filter (where signals >= 3 and came_back)] as hits
    from once left join given using (customer_id)
"""
_HISTORIES: Final = """
    select array_agg(customer_id order by customer_id) as customer_id,
           array_agg(purchase_days - 1 order by customer_id) as x,
           array_agg(last_on - first_on order by customer_id) as t_x,
           array_agg($2::date - first_on order by customer_id) as age,
           array_agg(case when purchase_days > 1
                          then greatest(net_fen - first_day_net_fen, 0) / (purchase_days - 1)::float8 else 0 end
                     order by customer_id) as spend
    from customer_stats where shop_id = $1 and orders > 0
"""
_SPAN: Final = """
    select (min(paid_at) at time zone $3)::date as first_on, count(distinct customer_id) as customers
    from orders where shop_id = $1 and paid_at < $2 and status <> 'closed'
"""
_PAST: Final = """
    create temporary table past on commit drop as
    with days as (
        select distinct customer_id, (paid_at at time zone '{zone}')::date as day
        from orders
        where shop_id = {shop_id} and paid_at < '{before}' and status <> 'closed' and customer_id % {step} = 0
    )
    select customer_id, min(day) as first_on, count(*) filter (where day <= '{known_to}') - 1 as x,
           max(day) filter (where day <= '{known_to}') as last_on, count(*) filter (where day > '{known_to}') as bought,
           array_agg(day) as days
    from days group by customer_id having min(day) <= '{known_to}'
"""
_PAST_PEOPLE: Final = """
    select array_agg(x::int order by customer_id) as x, array_agg(last_on - first_on order by customer_id) as t_x,
           array_agg($1::date - first_on order by customer_id) as age,
           array_agg(bought::int order by customer_id) as bought
    from past
"""
_PAST_WEEKS: Final = """
    select (day - (select min(first_on) from past)) / 7 as week, count(*) as n
    from past cross join unnest(days) as day where day > first_on group by 1
"""
_RETIRE: Final = "update score_runs set state = 'superseded' where shop_id = $1 and state = 'published'"
_RUN: Final = """
    insert into score_runs (shop_id, id, kind, state, as_of, settings, tiers, tiers_version, tier_values, recency_cuts,
                            orders_cuts, amount_cuts, recency_split, orders_split, amount_split, cycle_days,
                            category_cycles, cycle_ratios, item_price_cut_fen, second_within_days, second_signals,
                            second_report, scored, created_at, published_at)
    values ($1, $2, 'live', 'published', $3, $4::text::jsonb, $5::text::jsonb, 0, $6, $7, $8, $9, $10, $11, $12, $13,
            $14::text::jsonb, $15, $16, $17, $18, $19::text::jsonb, $20, now(), now())
"""
_MODEL: Final = """
    insert into score_models (shop_id, run_id, fitted_to, fit, optimum, declined, backtest, created_at)
    values ($1, $2, $3, $4::text::jsonb, $5::text::jsonb, $6::text::jsonb, $7::text::jsonb, now())
"""
_PREDICTED: Final = _put(
    "customer_predictions",
    _PREDICTIONS,
    f"select $1, customer_id, $2, {_PREDICTIONS} from predicted",  # noqa: S608 column names
)
_UNPREDICT: Final = """
    delete from customer_predictions g
    where shop_id = $1 and not exists (select from predicted p where p.customer_id = g.customer_id)
"""
_JUDGED: Final = """
    create temporary table judged on commit drop as
    with run as (
        select recency_cuts as rc, orders_cuts as oc, amount_cuts as ac, recency_split, orders_split, amount_split,
               cycle_days, category_cycles, item_price_cut_fen, second_within_days, second_signals,
               tier_values[1] as vip_fen, tier_values[3] as potential_fen
        from score_runs where shop_id = {shop_id} and state = 'published'
    ),
    measured as (
        select s.*, c.created_at, c.mobile is not null as can_be_called, date '{as_of}' - last_on as recency,
               date '{as_of}' - active_on as silent, date '{as_of}' - since_on as age, g.p_alive,
               interactions_by_month as i,
               discount_fen / nullif(gross_fen + discount_fen, 0)::float8 as discount_share,
               gross_fen / nullif(items, 0)::float8 as item_price,
               greatest(coalesce(case when purchase_days >= 3 then gap_median_days end,
                                 (category_cycles ->> top_categories[1])::float8, cycle_days, 180 / 3.0), 7) as cycle
        from customer_stats s
        join customers c on c.shop_id = {shop_id} and c.id = s.customer_id
        left join customer_predictions g on g.shop_id = {shop_id} and g.customer_id = s.customer_id
        cross join run
        where s.shop_id = {shop_id}
    ),
    turned as (
        select *, least(ceil(cycle), 36500)::int as due, least(ceil(cycle * 1.5), 36500)::int as overdue,
               least(ceil(cycle * 3), 36500)::int as dormant, least(ceil(cycle * 6), 36500)::int as lost,
               i[1] < i[2] and i[2] < i[3] and i[3] < i[4] as declining,
               case when orders = 0 and age > 0 then
                   least(100, 10 + 10 * can_be_called::int + 4 * least(view_180d + visit_180d, 5)
                         + 10 * least(consult_180d + cart_180d, 3)
                         + case when silent <= 7 then 30 when silent <= 30 then 20 when silent <= 90 then 10 else 0 end)
               end as lead_score
        from measured
    ),
    staged as (
        select t.*, run.*,
            case when age <= 0 then null
                when net_365d_fen > 0 and net_365d_fen >= vip_fen and i[1] + i[2] + i[3] + i[4] + i[5] + i[6] >= 2
                    then 'vip'
                when net_365d_fen > 0 and net_365d_fen >= potential_fen and silent <= 30 then 'high_potential'
                when silent > 90 then 'at_risk' else 'regular' end as tier,
            case when recency >= lost then 4 when recency >= dormant then 3 when recency >= overdue then 2
                when recency >= due then 1 when recency is not null then 0 end as late
        from turned t cross join run
    )
    select customer_id, created_at,
        (case when orders > 0 then 5 - (recency > rc[1])::int - (recency > rc[2])::int - (recency > rc[3])::int
            - (recency > rc[4])::int end)::smallint as r,
        (case when orders > 0 then 1 + (orders > oc[1])::int + (orders > oc[2])::int + (orders > oc[3])::int
            + (orders > oc[4])::int end)::smallint as f,
        (case when orders > 0 then 1 + (net_fen > ac[1])::int + (net_fen > ac[2])::int + (net_fen > ac[3])::int
            + (net_fen > ac[4])::int end)::smallint as m,
        case when orders > 0 then
            case when net_fen >= amount_split then '重要' else '一般' end ||
            case when recency <= recency_split
                then case when orders >= orders_split then '价值' else '发展' end
                else case when orders >= orders_split then '保持' else '挽留' end end || '客户'
        end as rfm_type,
        tier,
        case when age <= 0 then null when silent >= 365 then 'lost' when silent >= 180 then 'dormant'
            when declining then 'declining'
            when orders_365d >= 3 and late <= 1 and i[1] + i[2] + i[3] > 0 then 'mature'
            when orders > 0 and (purchase_days > 1 or last_event_on is not null or since_on < first_on or age > 30)
                then 'growing'
            when age <= 30 then 'new' else 'prospect' end as stage,
        (array['on_track', 'due', 'overdue', 'dormant', 'lost'])[late + 1] as cycle_state,
        case when late = 4 then 'lost' when late is not null then
            case when late + declining::int + case when p_alive < 0.3 then 1 when p_alive >= 0.8 then -1 else 0 end >= 3
                    then 'high'
                when late + declining::int + case when p_alive < 0.3 then 1 when p_alive >= 0.8 then -1 else 0 end >= 1
                    then 'medium'
                else 'low' end end as churn_band,
        coalesce(tier = 'vip' and i[2] + i[3] + i[4] + i[5] + i[6] >= 5
                 and i[1] < 0.5::float8 * (i[2] + i[3] + i[4] + i[5] + i[6]) / 5, false) as vip_drop,
        coalesce(orders > 1 and discount_share >= 0.3::float8, false) as price_sensitive,
        coalesce(item_price >= item_price_cut_fen and discount_share <= 0.1::float8, false) as quality_oriented,
        social_180d >= 3 as socially_active,
        coalesce(purchase_days = 1 and recency <= second_within_days and signals_since_order >= second_signals, false)
            as second_purchase,
        lead_score::smallint as lead_score,
        case when lead_score >= 60 then 'hot' when lead_score >= 30 then 'warm' when lead_score is not null then 'cold'
            end as nurture_stage,
        case late when 0 then last_on + due when 1 then last_on + overdue when 2 then last_on + dormant
            when 3 then last_on + lost end as cycle_turns_on
    from staged
"""
_MOVED: Final = """
    create temporary table moved on commit drop as
    select j.customer_id, k.tier as from_tier, j.tier as to_tier, k.stage as from_stage, j.stage as to_stage
    from judged j left join customer_scores k on k.shop_id = {shop_id} and k.customer_id = j.customer_id
    where k.tier is distinct from j.tier or k.stage is distinct from j.stage
"""
_SCORED: Final = _put(
    "customer_scores",
    _SCORES,
    f"select $1, customer_id, $2, created_at, {_SCORES} from judged",  # noqa: S608 column names
)
_LOG: Final = """
    insert into {of}_changes
        (shop_id, customer_id, origin_customer_id, from_{of}, to_{of}, cause, run_id, as_of, changed_at)
    select $1, customer_id, customer_id, from_{of}, to_{of}, 'run', $2, $3, now()
    from moved where from_{of} is distinct from to_{of}
"""
_TELL: Final = """
    insert into domain_events (shop_id, id, kind, customer_id, data, occurred_at)
    select $1, gen_random_uuid(), 'tier.changed', customer_id,
           jsonb_build_object('customer_id', customer_id, 'from', from_tier, 'to', to_tier, 'as_of', $3::date,
                              'run_id', $2::uuid), now()
    from moved where from_tier is distinct from to_tier
"""
_SHARES: Final = """
    update score_runs set shares = (
        select jsonb_object_agg(tier, n)
        from (select tier, count(*) as n from customer_scores where shop_id = $1 and tier is not null group by 1) t
    )
    where shop_id = $1 and id = $2
"""
_TOTAL: Final = """
    insert into customer_totals (shop_id, customers) select $1, count(*) from customer_stats where shop_id = $1
    on conflict (shop_id) do update set customers = excluded.customers
"""


async def rescore(owner: Any, shop_id: int, as_of: date, zone: str) -> None:
    """Everybody's stats, what is measured of them, the fit, predictions and scores, in one transaction."""
    run_id = uuid4()
    async with owner.transaction():
        await owner.execute("set local work_mem = '128MB'")
        before = await _day(owner, as_of, zone)
        await owner.execute("analyze customer_stats")
        await owner.execute(
            _MEASURE_FACTS, shop_id, zone, before, as_of, await _day(owner, as_of - timedelta(days=365), zone)
        )
        # A table may have been filled a moment ago; planned on the statistics of an empty one, this would never end.
        await owner.execute("analyze customer_stats")
        former = await owner.fetchrow("select * from score_runs where shop_id = $1 and state = 'published'", shop_id)
        found = await _measured(owner, shop_id, as_of, zone, former)
        customers, question = await _question(owner, shop_id, as_of, zone, former)
        told = answer(question)
        await _publish(owner, shop_id, run_id, as_of, found, told)
        await _predict(owner, shop_id, run_id, customers, question.histories, told.fit)
        await owner.execute("analyze customer_predictions, customer_scores")
        await owner.execute(_JUDGED.format(shop_id=shop_id, as_of=as_of))
        await owner.execute(_MOVED.format(shop_id=shop_id))
        await owner.execute(_SCORED, shop_id, run_id)
        await owner.execute(_LOG.format(of="tier"), shop_id, run_id, as_of)
        await owner.execute(_LOG.format(of="stage"), shop_id, run_id, as_of)
        await owner.execute(_TELL, shop_id, run_id, as_of)
        await owner.execute(_SHARES, shop_id, run_id)
        await owner.execute(_TOTAL, shop_id)


async def _day(owner: Any, day: date, zone: str) -> datetime:
    begun: datetime = await owner.fetchval("select $1::date::timestamp at time zone $2", day, zone)
    return begun


async def _measured(owner: Any, shop_id: int, as_of: date, zone: str, former: Any) -> dict[str, Any]:
    """What the run compares with. A cycle that has hardly moved stays as the former run had it."""
    found = dict(await owner.fetchrow(_MEASURE_STATS, shop_id, as_of))
    found["tier_values"] = await owner.fetchval(_MEASURE_TIERS, shop_id, as_of)
    kept = orjson.loads(former["category_cycles"]) if former else {}
    found["category_cycles"] = {
        row["category"]: _near(kept.get(row["category"]), row["days"])
        for row in await owner.fetch(_MEASURE_CATEGORIES, shop_id, as_of)
    }
    found["cycle_days"] = _near(former["cycle_days"] if former else None, found["cycle_days"])
    found["cycle_ratios"] = await owner.fetchval(_MEASURE_RATIOS, shop_id, as_of, zone, await _day(owner, as_of, zone))
    within = found["second_within"] if found.pop("seconds") >= 30 else 90
    found["second_within"] = within
    then = as_of - timedelta(days=within)
    began = await _day(owner, then - timedelta(days=min(within, 365)), zone)
    row = await owner.fetchrow(
        _MEASURE_SECOND, shop_id, as_of, then, within, zone, began, await _day(owner, then, zone)
    )
    rates = [hit / count if count else None for count, hit in zip(row["flagged"], row["hits"], strict=True)]
    sure = [(rates[n], -n) for n in range(3) if row["flagged"][n] >= 30]
    found["second_signals"] = 1 - max(sure)[1] if sure else 1
    found["second_report"] = {
        "as_of": then.isoformat(),
        "within_days": within,
        "customers": row["customers"],
        "bought_again": row["again"],
        "base_rate": row["again"] / row["customers"] if row["customers"] else None,
        "by_signals": [
            {"signals": n + 1, "flagged": row["flagged"][n], "bought_again": row["hits"][n], "hit_rate": rates[n]}
            for n in range(3)
        ],
    }
    return found


def _near(former: float | None, now: float | None) -> float | None:
    return former if former and now and abs(now - former) <= 0.05 * former else now


async def _question(owner: Any, shop_id: int, as_of: date, zone: str, former: Any) -> tuple[list[int], Question]:
    """Whose histories there are, and everything that the model is made of."""
    fitted_to = as_of - timedelta(days=1)
    row = await owner.fetchrow(_HISTORIES, shop_id, fitted_to)
    model = former and await owner.fetchval(
        "select fit from score_models where shop_id = $1 and run_id = $2", shop_id, former["id"]
    )
    x, t_x, age = (np.array(row[name] or (), "i4") for name in ("x", "t_x", "age"))
    question = Question(
        fitted_to=fitted_to,
        floors=Floors(),
        histories=Histories.of(x, t_x, age, np.array(row["spend"] or (), "f8")),
        former=Fit.from_dict(orjson.loads(model)) if model else None,
        past=await _past(owner, shop_id, as_of, zone),
    )
    return row["customer_id"] or [], question


async def _past(owner: Any, shop_id: int, as_of: date, zone: str) -> Past | None:
    """The first half of the shop's time, and what came after it."""
    span = await owner.fetchrow(_SPAN, shop_id, await _day(owner, as_of, zone), zone)
    weeks = (as_of - span["first_on"]).days // 7 if span["first_on"] else 0
    held_out = min(weeks // 2, 52)
    if held_out == 0:
        return None
    known_to = span["first_on"] + timedelta(days=(weeks - held_out) * 7 - 1)
    await owner.execute(
        _PAST.format(
            shop_id=shop_id,
            zone=zone,
            step=-(-span["customers"] // 50_000),
            known_to=known_to,
            before=await _day(owner, known_to + timedelta(days=held_out * 7 + 1), zone),
        )
    )
    people = await owner.fetchrow(_PAST_PEOPLE, known_to)
    x, t_x, age, bought = (np.array(people[name], dtype="i4") for name in ("x", "t_x", "age", "bought"))
    weekly = np.zeros(-(-(int(age.max()) + 1 + held_out * 7) // 7), dtype=np.int64)
    for row in await owner.fetch(_PAST_WEEKS):
        weekly[row["week"]] = row["n"]
    return Past(known_to, held_out * 7, Histories.of(x, t_x, age, np.zeros(len(x))), bought, weekly, len(x))


async def _publish(owner: Any, shop_id: int, run_id: UUID, as_of: date, found: dict[str, Any], told: Answer) -> None:
    await owner.execute(_RETIRE, shop_id)
    await owner.execute(
        _RUN,
        shop_id,
        run_id,
        as_of,
        ScoringSettings().model_dump_json(),
        _json(VALUE.stored()),
        found["tier_values"],
        found["recency_cuts"],
        found["orders_cuts"],
        found["amount_cuts"],
        found["recency_split"],
        found["orders_split"],
        found["amount_split"],
        found["cycle_days"],
        _json(found["category_cycles"]),
        found["cycle_ratios"],
        found["item_price_cut_fen"],
        found["second_within"],
        found["second_signals"],
        _json(found["second_report"]),
        found["scored"],
    )
    row = [_json(told.row[name]) for name in ("fit", "optimum", "declined", "backtest")]
    await owner.execute(_MODEL, shop_id, run_id, told.row["fitted_to"], *row)


def _json(value: Any) -> str | None:
    return None if value is None else orjson.dumps(value).decode()


async def _predict(
    owner: Any, shop_id: int, run_id: UUID, customers: list[int], known: Histories, fit: Fit | None
) -> None:
    """Everybody's predictions by COPY into a table beside, and from there what differs."""
    await owner.execute(
        "create temporary table predicted (customer_id bigint, p_alive float8, expected_purchases_90d float8, "
        "expected_purchases_365d float8, expected_spend_fen bigint, clv_predicted_fen bigint) on commit drop"
    )
    if fit is not None:
        found = predict(fit, known.x, known.t_x_days, known.age_days, known.mean_spend_fen)
        columns = [getattr(found, name).tolist() for name in _PREDICTIONS.split(", ")]
        await owner.copy_records_to_table("predicted", records=zip(customers, *columns, strict=True))
    await owner.execute("analyze predicted")
    await owner.execute(_UNPREDICT, shop_id)
    await owner.execute(_PREDICTED, shop_id, run_id)

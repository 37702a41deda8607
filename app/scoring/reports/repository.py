"""The reports' SQL: everybody is looked at, as few times as possible, and only counts and sums come back."""

from typing import Final

from sqlalchemy import bindparam as p
from sqlalchemy import or_, select, text

from app.core.db import Statement, statement
from app.scoring.grid import grid_sql
from app.scoring.models import score_models, score_runs

PARTS: Final = ("tier", "stage", "cycle_state", "churn_band", "nurture_stage", "rfm_type")
FLAGS: Final = ("price_sensitive", "quality_oriented", "socially_active", "second_purchase", "vip_drop")

_RUN: Final = select(score_runs.c.id, score_runs.c.kind, score_runs.c.as_of, score_runs.c.tiers)
PUBLISHED_RUN = statement(_RUN.where(score_runs.c.shop_id == p("shop_id"), score_runs.c.state == "published"))
FINISHED_RUN = statement(
    _RUN.where(
        score_runs.c.shop_id == p("shop_id"),
        score_runs.c.id == p("id"),
        or_(score_runs.c.state == "published", score_runs.c.state == "done"),
    )
)
MODEL_OF = statement(
    select(
        score_models.c.fitted_to,
        score_models.c.fit,
        score_models.c.optimum,
        score_models.c.declined,
        score_models.c.backtest,
    ).where(score_models.c.shop_id == p("shop_id"), score_models.c.run_id == p("run_id"))
)


def _spread(scored: str, everybody: str) -> Statement:
    """Customers, and their net spend, by every value of every part; flags and everybody have the one value 'all'.

    Customers who are alike in all parts are counted first, in the one pass over everybody: they are thousands where
    customers are millions. Gaps between purchases are counted in the same pass; their values are few as well.

    Args:
        scored: the alias of the table that holds the scores; `s` is that of the stats.
        everybody: what follows FROM.
    """
    parts = ", ".join(f"{scored}.{name}" for name in PARTS)
    flags = ", ".join(f"count(*) filter (where {scored}.{name}) as {name}" for name in FLAGS)
    rows = [f"('{name}', {name}, customers, net_fen)" for name in PARTS]
    rows += [f"('{name}', everybody, {name}, null)" for name in FLAGS]
    return statement(
        text(
            f"""
            with alike as (
                select {parts}, {scored}.r, {scored}.f, s.gap_median_days,
                       case when grouping(s.gap_median_days) = 1 then 'all' end as everybody,
                       count(*) as customers, sum(s.net_fen)::bigint as net_fen, {flags}
                from {everybody}
                group by grouping sets (({parts}, {scored}.r, {scored}.f), (s.gap_median_days))
            )
            select t.part, t.value, sum(t.customers)::bigint as customers, sum(t.net_fen)::bigint as net_fen
            from alike cross join lateral (values
                ('all', everybody, customers, net_fen),
                {", ".join(rows)},
                ('r_f', r::text || f::text, customers, net_fen),
                ('grid', {grid_sql("r", "f")}, customers, net_fen),
                ('gap_days', gap_median_days::text, customers, null)
            ) as t (part, value, customers, net_fen)
            where t.value is not null
            group by t.part, t.value
            """  # noqa: S608 names of our own
        )
    )


def _deciles(predicted: str) -> Statement:
    return statement(
        text(
            f"""
            select decile, count(*) as customers, min(fen) as from_fen, max(fen) as to_fen, sum(fen)::bigint as sum_fen
            from (
                select s.clv_predicted_fen as fen, ntile(10) over (order by s.clv_predicted_fen desc) as decile
                from {predicted} and s.clv_predicted_fen is not null
            ) t
            group by decile order by decile
            """  # noqa: S608 names of our own
        )
    )


_OF_RUN: Final = "score_snapshots s where s.shop_id = :shop_id and s.run_id = :run_id"
LIVE_SPREAD = _spread(
    "k",
    "customer_stats s left join customer_scores k on k.shop_id = s.shop_id and k.customer_id = s.customer_id "
    "where s.shop_id = :shop_id and s.since_on < :as_of",
)
RUN_SPREAD = _spread("s", _OF_RUN)
LIVE_DECILES = _deciles("customer_predictions s where s.shop_id = :shop_id")
RUN_DECILES = _deciles(_OF_RUN)


def _migration(table: str, to: str) -> Statement:
    """From where to where customers went between two days, and the first day that anything is known of.

    The last change before a day is the one with the highest number: a customer's changes are written one after the
    other, while their stats are held. Of a merged person the changes of the record that answers count, and those that
    came with other records only where that one had none yet.
    """
    own = "origin_customer_id = customer_id"
    last = "coalesce(max(id) filter (where as_of <= :{0} and {1}), max(id) filter (where as_of <= :{0}))"
    return statement(
        text(
            f"""
            with last as (
                select min(as_of) as first_as_of,
                       {last.format("from_as_of", own)} as before_id, {last.format("to_as_of", own)} as after_id
                from {table} where shop_id = :shop_id group by customer_id
            )
            select b.{to} as from_name, a.{to} as to_name, count(*) as customers, min(first_as_of) as first_as_of
            from last
            left join {table} b on b.shop_id = :shop_id and b.id = last.before_id
            left join {table} a on a.shop_id = :shop_id and a.id = last.after_id
            group by b.{to}, a.{to}
            """  # noqa: S608 names of our own
        )
    )


MIGRATION: Final = {
    "tier": _migration("tier_changes", "to_tier"),
    "stage": _migration("stage_changes", "to_stage"),
}

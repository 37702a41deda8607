"""How stats become scores: SQL over one row of stats, the run that is published, and the settings of that run.

Sources and reasons stand in docs/scoring.md. Whatever here changes because time passes is named in `boundaries.py`.
"""

from typing import Any, Final

from app.access.settings import ScoringSettings
from app.scoring.models import customer_predictions, customer_scores

_KEYS: Final = ("shop_id", "customer_id", "run_id", "created_at")
PREDICTIONS: Final = tuple(column.name for column in customer_predictions.c if column.name not in _KEYS)
# What can be told from facts, run and settings; with `cycle_turns_on`, which says when that changes of itself.
SCORED: Final = tuple(column.name for column in customer_scores.c if column.name not in _KEYS)
SCORES: Final = tuple(name for name in SCORED if name != "cycle_turns_on")

SOON_DAYS: Final = (7, 30, 90)  # how recent a lead's last interaction is
_FAR_DAYS: Final = 36_500  # a cycle's multiple stays within the calendar

_DAY: Final = "cast(:as_of as date)"
RECENCY: Final = f"({_DAY} - s.last_on)"
_SILENT: Final = f"({_DAY} - s.active_on)"
_SINCE: Final = f"({_DAY} - s.since_on)"


def _score(value: str, cuts: str) -> str:
    return "1 + " + " + ".join(f"({value} > {cuts}[{i}])::int" for i in range(1, 5))


# r, f and m of a row of stats with orders, under the cut points of `run`.
R: Final = f"6 - ({_score(RECENCY, 'run.recency_cuts')})"
F: Final = _score("s.orders", "run.orders_cuts")
M: Final = _score("s.net_fen", "run.amount_cuts")

DISCOUNT_SHARE: Final = "s.discount_fen / nullif(s.gross_fen + s.discount_fen, 0)::float8"
ITEM_PRICE: Final = "s.gross_fen / nullif(s.items, 0)::float8"

_HIGH: Final = """
    case when cast(:types_by as text) = 'score' then r >= run.recency_split else recency <= run.recency_split end
        as recent,
    case when cast(:types_by as text) = 'score' then f >= run.orders_split else s.orders >= run.orders_split end
        as frequent,
    case when cast(:types_by as text) = 'score' then m >= run.amount_split else s.net_fen >= run.amount_split end
        as valuable
"""


def _turn(factor: str) -> str:
    return f"least(ceil(measured.cycle_days * cast(:cycle_{factor} as float8)), {_FAR_DAYS})::int"


_STATES: Final = ("due", "overdue", "dormant", "lost")
_CYCLE_STATE: Final = (
    "case when recency is null then null "
    + " ".join(f"when recency >= {_turn(state)} then '{state}'" for state in reversed(_STATES))
    + " else 'on_track' end"
)
_CYCLE_TURNS: Final = (
    "case " + " ".join(f"when recency < {_turn(state)} then s.last_on + {_turn(state)}" for state in _STATES) + " end"
)
_DECLINING: Final = """
    (s.interactions_by_month[1] < s.interactions_by_month[2] and s.interactions_by_month[2] < s.interactions_by_month[3]
     and s.interactions_by_month[3] < s.interactions_by_month[4])
"""
_STAGE: Final = f"""
    case
        when s.since_on >= {_DAY} then null
        when {_SILENT} >= cast(:lost_days as integer) then 'lost'
        when {_SILENT} >= cast(:dormant_days as integer) then 'dormant'
        when {_DECLINING} then 'declining'
        when s.orders_365d >= cast(:mature_orders as integer) and cycle_state in ('on_track', 'due')
            and s.interactions_by_month[1] + s.interactions_by_month[2] + s.interactions_by_month[3] > 0 then 'mature'
        when s.orders > 0 and (s.purchase_days > 1 or s.last_event_on is not null or s.since_on < s.first_on
                               or {_SINCE} > cast(:new_days as integer)) then 'growing'
        when {_SINCE} <= cast(:new_days as integer) then 'new'
        else 'prospect'
    end
"""
_CHURN_POINTS: Final = f"""
    array_position(array['on_track', 'due', 'overdue', 'dormant'], cycle_state) - 1 + ({_DECLINING})::int
    + case when g.p_alive < 0.3 then 1 when g.p_alive >= 0.8 then -1 else 0 end
"""
_CHURN: Final = """
    case when cycle_state is null or cycle_state = 'lost' then cycle_state
         when churn_points >= 3 then 'high' when churn_points >= 1 then 'medium' else 'low' end
"""
# This month beside the five before it, of who is of the definition's first tier.
_VIP_DROP: Final = """
    (tier = (cast(:tier_names as text[]))[1]
     and s.interactions_by_month[2] + s.interactions_by_month[3] + s.interactions_by_month[4]
         + s.interactions_by_month[5] + s.interactions_by_month[6] >= 5
     and s.interactions_by_month[1] < cast(:vip_drop_share as float8)
         * (s.interactions_by_month[2] + s.interactions_by_month[3] + s.interactions_by_month[4]
            + s.interactions_by_month[5] + s.interactions_by_month[6]) / 5)
"""
_LEAD: Final = f"""
    case when s.orders = 0 and s.since_on < {_DAY} then least(100,
        coalesce((cast(:lead_sources as jsonb) ->> c.source_channel::text)::int, cast(:lead_other_source as integer))
        + case when c.mobile is not null then 10 else 0 end
        + 4 * least(s.view_180d + s.visit_180d, 5)
        + 10 * least(s.consult_180d + s.cart_180d, 3)
        + case when {_SILENT} <= {SOON_DAYS[0]} then 30 when {_SILENT} <= {SOON_DAYS[1]} then 20
               when {_SILENT} <= {SOON_DAYS[2]} then 10 else 0 end)
    end::smallint
"""
_SECOND: Final = """
    (s.purchase_days = 1 and recency <= run.second_within_days and s.signals_since_order >= run.second_signals)
"""


def computed(tier: str, *, stats: str, kept: str = "") -> str:
    """A SELECT of everybody's scores.

    Args:
        tier: the definition's SQL.
        stats: FROM terms that give rows of stats `s`, customers `c`, the run `run` or nulls, and predictions `g` or
            nulls.
        kept: columns that are selected beside the scores, each followed by a comma.
    """
    return f"""
        select {kept} r::smallint as r, f::smallint as f, m::smallint as m, rfm_type, tier, stage, cycle_state,
            {_CHURN} as churn_band, coalesce({_VIP_DROP}, false) as vip_drop,
            coalesce(s.orders > 1 and {DISCOUNT_SHARE} >= cast(:discount_share as float8), false) as price_sensitive,
            coalesce({ITEM_PRICE} >= run.item_price_cut_fen
                     and {DISCOUNT_SHARE} <= cast(:quality_discount_share as float8), false) as quality_oriented,
            s.social_180d >= cast(:social_events as integer) as socially_active,
            coalesce({_SECOND}, false) as second_purchase,
            lead_score,
            case when lead_score >= cast(:hot_from as integer) then 'hot'
                 when lead_score >= cast(:warm_from as integer) then 'warm'
                 when lead_score is not null then 'cold' end as nurture_stage,
            {_CYCLE_TURNS} as cycle_turns_on
        from {stats}
        cross join lateral (
            select {RECENCY} as recency,
                case when s.orders > 0 then {R} end as r,
                case when s.orders > 0 then {F} end as f,
                case when s.orders > 0 then {M} end as m,
                greatest(
                    coalesce(
                        case when s.purchase_days >= cast(:own_purchase_days as integer) then s.gap_median_days end,
                        (run.category_cycles ->> s.top_categories[1])::float8,
                        run.cycle_days,
                        cast(:dormant_days as integer) / cast(:cycle_dormant as float8)
                    ),
                    cast(:least_cycle_days as integer)
                ) as cycle_days
        ) measured
        cross join lateral (select {_HIGH}) high
        cross join lateral (
            select
                case when s.orders > 0 and run.scored > 0 then
                    case when valuable then '重要' else '一般' end
                    || case when recent then case when frequent then '价值' else '发展' end
                            else case when frequent then '保持' else '挽留' end end
                    || '客户'
                end as rfm_type,
                {tier} as tier,
                {_CYCLE_STATE} as cycle_state,
                {_LEAD} as lead_score
        ) judged
        cross join lateral (select {_STAGE} as stage, {_CHURN_POINTS} as churn_points) staged
    """  # noqa: S608 terms of our own, values stay bound


def parameters(settings: ScoringSettings) -> dict[str, Any]:
    """What `computed` asks for beside the tier definition's parameters and `as_of`."""
    stages, cycle, wants, leads = settings.stages, settings.cycle, settings.preferences, settings.leads
    return {
        "types_by": settings.rfm.types_by,
        "new_days": stages.new_days,
        "mature_orders": stages.mature_orders,
        "dormant_days": stages.dormant_days,
        "lost_days": stages.lost_days,
        "own_purchase_days": cycle.own_purchase_days,
        "least_cycle_days": cycle.least_days,
        **{f"cycle_{state}": getattr(cycle, state) for state in _STATES},
        "discount_share": wants.discount_share,
        "quality_discount_share": wants.quality_discount_share,
        "social_events": wants.social_events,
        "vip_drop_share": wants.vip_drop_share,
        "lead_sources": leads.sources,
        "lead_other_source": leads.other_source,
        "warm_from": leads.warm_from,
        "hot_from": leads.hot_from,
    }

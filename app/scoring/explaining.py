"""Why a customer scores what they score: the inputs, what they were compared with, and the rule in one sentence."""

from collections.abc import Iterator
from datetime import date
from typing import Any

from app.access.settings import ScoringSettings
from app.core.db import Row
from app.scoring.derived import cycle_days
from app.scoring.judging import SOON_DAYS
from app.scoring.schemas import Explanation
from app.scoring.tiers import compiling
from app.scoring.tiers.definition import Definition


def explain(
    row: Row, run: Row | None, settings: ScoringSettings, tiers: Definition, values: list[float | None], as_of: date
) -> list[Explanation]:
    """Each score of a row of stats with scores and predictions.

    Args:
        run: the published run; None before there is one.
        values: what the tier definition's conditions compare with.
    """
    told = [*_stages(row, settings, as_of), *_wants(row, run, settings), *_leads(row, settings, as_of)]
    if row["orders"]:
        told += [*_rfm(row, run, settings, as_of), *_cycle(row, run, settings, as_of), *_values(row, settings, as_of)]
    return [_tier(row, tiers, values, as_of), *told]


def _days(until: date, since: date | None) -> int | None:
    return (until - since).days if since else None


def _tier(row: Row, tiers: Definition, values: list[float | None], as_of: date) -> Explanation:
    customer = {"mobile": row["contactable"] or None}
    _, evidence = compiling.judge(tiers, values, compiling.facts_of(row, customer, as_of))
    return Explanation(
        score="tier",
        value=row["tier"],
        rule="The first tier of the definition all of whose conditions are met; the last takes everybody else.",
        inputs={one.field: one.value for one in evidence},
        thresholds={"conditions": [one._asdict() for one in evidence]},
    )


def _rfm(row: Row, run: Row | None, settings: ScoringSettings, as_of: date) -> Iterator[Explanation]:
    if run is None:
        return
    inputs = {"r": ("recency_days", _days(as_of, row["last_on"])), "f": ("orders", row["orders"])}
    inputs["m"] = ("net_fen", row["net_fen"])
    cuts = {"r": "recency_cuts", "f": "orders_cuts", "m": "amount_cuts"}
    for score, (name, value) in inputs.items():
        rule = "1 and one more for each cut point below the value"
        yield Explanation(
            score=score,
            value=row[score],
            rule=f"{rule}, taken from 6." if score == "r" else f"{rule}.",
            inputs={name: value},
            thresholds={"cut_points": run[cuts[score]]},
        )
    of = dict(row) if settings.rfm.types_by == "score" else {name: value for name, value in inputs.values()}
    names = ("r", "f", "m") if settings.rfm.types_by == "score" else ("recency_days", "orders", "net_fen")
    splits = (run["recency_split"], run["orders_split"], run["amount_split"])
    yield Explanation(
        score="rfm_type",
        value=row["rfm_type"],
        rule=f"High or low beside the {settings.rfm.types_by} of everybody; recently is high.",
        inputs={name: of[name] for name in names},
        thresholds=dict(zip(names, splits, strict=True)),
    )


def _stages(row: Row, settings: ScoringSettings, as_of: date) -> Iterator[Explanation]:
    yield Explanation(
        score="stage",
        value=row["stage"],
        rule="The first that holds of lost, dormant (so many days without anything), declining (less and less for "
        "three months), mature (regular orders within the cycle), growing (an order and more), new, prospect.",
        inputs={
            "silent_days": _days(as_of, row["active_on"]),
            "since_days": _days(as_of, row["since_on"]),
            "interactions_by_month": row["interactions_by_month"],
            "orders": row["orders"],
            "orders_365d": row["orders_365d"],
            "cycle_state": row["cycle_state"],
        },
        thresholds=settings.stages.model_dump(),
    )


def _cycle(row: Row, run: Row | None, settings: ScoringSettings, as_of: date) -> Iterator[Explanation]:
    days, source = cycle_days(row, run, settings)
    inputs: dict[str, Any] = {"recency_days": _days(as_of, row["last_on"]), "cycle_days": days, "cycle_of": source}
    factors = {name: getattr(settings.cycle, name) for name in ("due", "overdue", "dormant", "lost")}
    yield Explanation(
        score="cycle_state",
        value=row["cycle_state"],
        rule="Days since the last order beside multiples of the cycle, rounded up.",
        inputs=inputs,
        thresholds=factors,
    )
    yield Explanation(
        score="churn_band",
        value=row["churn_band"],
        rule="A point for each step from on_track to dormant, one for three months of decline, one for a probability "
        "of being alive below 0.3, one less from 0.8 on: 3 are high, 1 is medium. Lost is lost.",
        inputs=inputs
        | {
            "cycle_state": row["cycle_state"],
            "p_alive": row["p_alive"],
            "interactions_by_month": row["interactions_by_month"],
        },
        thresholds={"high_from": 3, "medium_from": 1},
    )


def _values(row: Row, settings: ScoringSettings, as_of: date) -> Iterator[Explanation]:
    yield Explanation(
        score="clv_simple_fen",
        value=row["clv_simple_fen"],
        rule="Average order × orders a year × years kept; a shorter tenure counts as the floor.",
        inputs={
            "net_fen": row["net_fen"],
            "orders": row["orders"],
            "tenure_days": _days(as_of, row["first_on"]),
        },
        thresholds={
            "years_kept": settings.clv.years_kept,
            "tenure_floor_days": settings.clv.tenure_floor_days,
        },
    )
    yield Explanation(
        score="clv_predicted_fen",
        value=row["clv_predicted_fen"],
        rule="BG/NBD's expected purchases of 365 days × Gamma-Gamma's expected spend of one; "
        "without a fit there is none, and clv_simple_fen serves.",
        inputs={
            "purchase_days": row["purchase_days"],
            "first_on": row["first_on"].isoformat(),
            "last_on": row["last_on"].isoformat(),
            "repeat_net_fen": row["net_fen"] - row["first_day_net_fen"],
            "p_alive": row["p_alive"],
            "expected_purchases_90d": row["expected_purchases_90d"],
            "expected_purchases_365d": row["expected_purchases_365d"],
            "expected_spend_fen": row["expected_spend_fen"],
        },
        thresholds={"parameters": "GET /v1/scores/models"},
    )


def _wants(row: Row, run: Row | None, settings: ScoringSettings) -> Iterator[Explanation]:
    wants = settings.preferences
    listed = row["gross_fen"] + row["discount_fen"]
    share = row["discount_fen"] / listed if listed else None
    yield Explanation(
        score="price_sensitive",
        value=row["price_sensitive"],
        rule="Two orders or more, and a share taken off from the threshold on.",
        inputs={"orders": row["orders"], "discount_share": share},
        thresholds={"discount_share": wants.discount_share},
    )
    yield Explanation(
        score="quality_oriented",
        value=row["quality_oriented"],
        rule="An average price of an item from the shop's cut on, and hardly anything taken off.",
        inputs={"item_price_fen": row["gross_fen"] / row["items"] if row["items"] else None, "discount_share": share},
        thresholds={
            "item_price_fen": run["item_price_cut_fen"] if run else None,
            "discount_share": wants.quality_discount_share,
        },
    )
    yield Explanation(
        score="socially_active",
        value=row["socially_active"],
        rule="So many social events within 180 days.",
        inputs={"social_180d": row["social_180d"]},
        thresholds={"social_events": wants.social_events},
    )
    months = row["interactions_by_month"]
    yield Explanation(
        score="vip_drop",
        value=row["vip_drop"],
        rule="Of the highest tier, with five interactions or more in the five months before this one, and this month's "
        "below a share of their mean.",
        inputs={"tier": row["tier"], "this_month": months[0], "five_months_before": sum(months[1:])},
        thresholds={"share": wants.vip_drop_share},
    )
    yield Explanation(
        score="second_purchase",
        value=row["second_purchase"],
        rule="One purchase day, not longer ago than second purchases take, and as many signals since as told it.",
        inputs={
            "purchase_days": row["purchase_days"],
            "last_on": row["last_on"].isoformat() if row["last_on"] else None,
            "signals_since_order": row["signals_since_order"],
        },
        thresholds={
            "within_days": run["second_within_days"] if run else None,
            "signals": run["second_signals"] if run else None,
            "report": run["second_report"] if run else None,
        },
    )


def _leads(row: Row, settings: ScoringSettings, as_of: date) -> Iterator[Explanation]:
    leads = settings.leads
    if not row["orders"]:
        yield Explanation(
            score="lead_score",
            value=row["lead_score"],
            rule="Points of the source, 10 for a mobile, 4 for each of up to 5 views and visits, 10 for each of up "
            f"to 3 consultations and carts, and 30, 20 or 10 for something within {SOON_DAYS[0]}, {SOON_DAYS[1]} "
            f"or {SOON_DAYS[2]} days; at most 100.",
            inputs={
                "source_channel": row["source_channel"],
                "contactable": row["contactable"],
                "views_and_visits": row["view_180d"] + row["visit_180d"],
                "consultations_and_carts": row["consult_180d"] + row["cart_180d"],
                "silent_days": _days(as_of, row["active_on"]),
            },
            thresholds=leads.model_dump(),
        )

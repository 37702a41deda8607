"""What crosses the wire about scores."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, Field


class _Change(BaseModel):
    cause: str = Field(description="fact; time that passed; a run; a new definition of tiers")
    run_id: UUID | None
    as_of: date
    changed_at: datetime


class TierChange(_Change):
    """A move between tiers."""

    from_tier: str | None
    to_tier: str | None


class StageChange(_Change):
    """A move between stages of the lifecycle."""

    from_stage: str | None
    to_stage: str | None


class Stats(BaseModel):
    """What the facts before a day come to. Money in fen, days in the shop's zone."""

    since_on: date | None = Field(description="registered or first paid; null while nothing has been computed")
    active_on: date | None
    orders: int
    purchase_days: int
    gross_fen: int
    refund_fen: int
    net_fen: int
    first_on: date | None
    second_on: date | None
    last_on: date | None
    recency_days: int | None
    tenure_days: int | None
    average_order_fen: int | None
    first_channel: str | None
    main_channel: str | None
    main_hour: int | None
    first_day_net_fen: int
    gap_mean_days: float | None
    gap_median_days: float | None
    gap_max_days: int | None
    orders_30d: int
    orders_90d: int
    orders_180d: int
    orders_365d: int
    net_30d_fen: int
    net_90d_fen: int
    net_180d_fen: int
    net_365d_fen: int
    discount_fen: int
    discounted_orders: int
    stores: int
    items: int
    products: int
    categories: int
    top_categories: list[str] | None
    last_event_on: date | None
    last_view_on: date | None
    last_cart_on: date | None
    last_favourite_on: date | None
    last_consult_on: date | None
    last_visit_on: date | None
    last_social_on: date | None
    view_180d: int
    cart_180d: int
    favourite_180d: int
    consult_180d: int
    visit_180d: int
    social_180d: int
    signals_since_order: int
    interactions_by_month: list[int] = Field(description="orders and events of six periods of 30 days, newest first")


class Judged(BaseModel):
    """What the stats make of a customer. Without orders there is no r, f, m, cycle, churn or value."""

    r: int | None
    f: int | None
    m: int | None
    rfm_type: str | None
    tier: str | None
    stage: str | None
    cycle_state: str | None
    churn_band: str | None
    vip_drop: bool | None
    price_sensitive: bool | None
    quality_oriented: bool | None
    socially_active: bool | None
    second_purchase: bool | None
    lead_score: int | None
    nurture_stage: str | None
    clv_simple_fen: int | None
    p_alive: float | None
    expected_purchases_90d: float | None
    expected_purchases_365d: float | None
    expected_spend_fen: int | None
    clv_predicted_fen: int | None


class NextOrder(BaseModel):
    """When the next order is expected: in the middle, and from when to when for the middle 60 %."""

    early_on: date
    expected_on: date
    late_on: date


class Explanation(BaseModel):
    """A score with what it was made of."""

    score: str
    value: Any
    rule: str
    inputs: dict[str, Any]
    thresholds: dict[str, Any]


class Explained(BaseModel):
    """Every score with its inputs and thresholds."""

    run_id: UUID | None
    tiers_version: int
    scores: list[Explanation]


class Scores(Stats, Judged):
    """One customer's live stats and scores."""

    customer_id: int
    as_of: date = Field(description="exclusive: facts before this day count")
    run_id: UUID | None = Field(description="the run that last changed the scores")
    rfm_segment: str | None
    next_order: NextOrder | None
    tier_changes: list[TierChange]
    stage_changes: list[StageChange]
    explained: Explained | None = None


class Run(BaseModel):
    """A full run and what it measured with. Cut points are q20, q40, q60 and q80 of customers with orders."""

    run_id: UUID
    kind: str
    state: str
    as_of: date
    tiers_version: int
    tier_values: list[float | None] | None
    recency_cuts: list[float | None] | None = Field(
        description="q20…q80; with cume_dist, null stands for a cut point that everybody is above, or nobody"
    )
    orders_cuts: list[float | None] | None
    amount_cuts: list[float | None] | None
    recency_split: float | None
    orders_split: float | None
    amount_split: float | None
    cycle_days: float | None
    category_cycles: dict[str, float] | None
    cycle_ratios: list[float] | None
    item_price_cut_fen: float | None
    second_within_days: int | None
    second_signals: int | None
    second_report: dict[str, Any] | None
    shares: dict[str, int] | None
    warnings: list[str] = Field(default=[], description="tiers whose share is outside of what their definition expects")
    scored: int | None
    created_at: datetime
    published_at: datetime | None

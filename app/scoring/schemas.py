"""What crosses the wire about scores."""

from datetime import date, datetime
from uuid import UUID

from pydantic import BaseModel


class TierChange(BaseModel):
    """A move between tiers."""

    from_tier: str | None
    to_tier: str | None
    run_id: UUID | None
    as_of: date
    changed_at: datetime


class Scores(BaseModel):
    """One customer's live stats and scores. Money in fen, days in the shop's zone; no orders, no r, f, m."""

    customer_id: int
    as_of: date
    orders: int
    purchase_days: int
    gross_fen: int
    refund_fen: int
    net_fen: int
    year_net_fen: int
    first_on: date | None
    last_on: date | None
    recency_days: int | None
    tenure_days: int | None
    r: int | None
    f: int | None
    m: int | None
    rfm_type: str | None
    tier: str | None
    run_id: UUID | None
    tier_changes: list[TierChange]


class Run(BaseModel):
    """A full run and what it measured with. Cut points are q20, q40, q60 and q80 of customers with orders."""

    run_id: UUID
    kind: str
    state: str
    as_of: date
    recency_cuts: list[float] | None
    orders_cuts: list[float] | None
    amount_cuts: list[float] | None
    recency_mean: float | None
    orders_mean: float | None
    amount_mean: float | None
    vip_from_fen: float | None
    potential_from_fen: float | None
    scored: int | None
    created_at: datetime
    published_at: datetime | None

"""What crosses the wire about one customer as a whole."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Query
from pydantic import BaseModel, Field

from app.consent.schemas import ConsentState
from app.customers.merging.schemas import MergeRead
from app.customers.schemas import CustomerDetail, FieldProvenance
from app.scoring.schemas import Scores
from app.touches.schemas import TouchRead

EntryKind = Literal[
    "registered", "order", "refund", "event", "tier", "tag", "segment", "consent", "touch", "merge", "reversal"
]
Kinds = Annotated[list[EntryKind], Query(description="Only these; all where none is named")]


class TagHeld(BaseModel):
    """A tag that the customer carries now."""

    id: int
    name: str
    category: str | None
    source: str
    actor: str
    reason: str | None
    assigned_at: datetime
    valid_until: datetime | None


class StoreVisited(BaseModel):
    """A store where the customer bought; `name` is null for one that is not registered, `store_id` for none."""

    store_id: int | None
    name: str | None
    orders: int
    amount_fen: int
    last_paid_at: datetime


class Profile(BaseModel):
    """Everything that is known of one customer now. Personal fields are masked unless the caller holds `pii:read`."""

    customer: CustomerDetail
    provenance: dict[str, FieldProvenance] = Field(description="Of each field that is not empty")
    merges: list[MergeRead] = Field(description="Of all records that are, or were, this person, newest first")
    scores: Scores
    stores: list[StoreVisited] = Field(description="The last first, at most 20")
    tags: list[TagHeld] = Field(description="In the order they were assigned")
    consents: list[ConsentState] = Field(description="The newest word for each purpose and channel")
    touches: list[TouchRead] = Field(description="The last five, newest first")


class TimelineEntry(BaseModel):
    """Something that happened; `data` depends on the kind, money in fen."""

    at: datetime
    kind: EntryKind
    id: str
    data: dict[str, Any]


class Timeline(BaseModel):
    """What happened, newest first."""

    items: list[TimelineEntry]
    next_cursor: str | None

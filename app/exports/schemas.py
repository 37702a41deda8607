"""What crosses the wire about exports."""

from datetime import date, datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from app.access.schemas import StoreId
from app.core.clock import Moment
from app.core.masking import IdentifierField
from app.customers.normalise import IdentityKind
from app.customers.schemas import CustomerRead
from app.scoring.schemas import Judged, Stats
from app.scoring.tiers.definition import TierName

Kind = Literal["customers", "identities", "tags", "consents", "orders", "order_items", "refunds", "events", "scores"]
Format = Literal["ndjson", "csv"]
State = Literal["queued", "running", "done", "failed", "cancelled", "expired"]
Word = Annotated[str, StringConstraints(min_length=1, max_length=64)]


class ExportFilters(BaseModel):
    """All given ones must hold; which of them a kind takes is in docs/exports.md. Times without a zone: the shop's."""

    model_config = ConfigDict(extra="forbid")

    created_from: Moment | None = None
    created_before: Moment | None = None
    updated_from: Moment | None = None
    updated_before: Moment | None = None
    tier: TierName | None = None
    store_id: StoreId | None = None
    has_mobile: bool | None = None
    member: bool | None = None
    identity_kind: IdentityKind | None = None
    tag: Word | None = None
    purpose: Word | None = None
    channel: Word | None = None
    type: Word | None = None
    paid_from: Moment | None = None
    paid_before: Moment | None = None
    occurred_from: Moment | None = None
    occurred_before: Moment | None = None

    @field_validator("tag", "purpose", "channel", "type")
    @classmethod
    def _printable(cls, value: str | None) -> str | None:
        if value is not None and not value.isprintable():
            raise ValueError("control characters are not allowed here")
        return value

    def given(self) -> dict[str, Any]:
        """Those that are set."""
        return {name: value for name, value in self if value is not None}


class CustomerLine(CustomerRead):
    """A customer, as lists show them."""

    tier: str | None
    orders: int
    net_fen: int


class IdentityLine(BaseModel):
    """One way to recognise a customer."""

    customer_id: int
    kind: str
    value: IdentifierField
    scope: str
    first_seen_at: datetime


class TagLine(BaseModel):
    """A tag that a customer carries."""

    customer_id: int
    tag: str
    category: str | None
    source: str
    actor: str
    assigned_at: datetime
    valid_until: datetime | None


class ConsentLine(BaseModel):
    """An entry of the consent ledger."""

    id: int
    customer_id: int
    purpose: str
    channel: str
    state: str
    source: str
    occurred_at: datetime
    recorded_at: datetime


class OrderLine(BaseModel):
    """An order, with what was refunded of it."""

    order_no: str
    customer_id: int
    status: str
    paid_at: datetime | None
    amount_fen: int
    discount_fen: int
    refund_fen: int
    currency: str
    store_id: int | None
    channel: str | None
    received_at: datetime


class OrderItemLine(BaseModel):
    """A line of an order."""

    order_no: str
    line_no: int
    customer_id: int
    paid_at: datetime | None
    sku: str | None
    name: str | None
    category: str | None
    quantity: int
    price_fen: int


class RefundLine(BaseModel):
    """A refund; without a customer while its order has not come."""

    refund_no: str
    order_no: str
    customer_id: int | None
    amount_fen: int
    refunded_at: datetime
    received_at: datetime


class EventLine(BaseModel):
    """Something that a customer did."""

    id: UUID
    customer_id: int
    type: str
    occurred_at: datetime
    received_at: datetime
    properties: dict[str, Any]
    store_id: int | None
    source: str | None


class ScoreLine(Stats, Judged):
    """A customer's stats and live scores."""

    customer_id: int
    external_id: IdentifierField
    as_of: date
    run_id: UUID | None


class ExportCreate(BaseModel):
    """What to export. Personal fields are masked, unless that is asked for with a reason and `pii:read`."""

    model_config = ConfigDict(extra="forbid")

    kind: Kind
    format: Format = "ndjson"
    filters: ExportFilters = ExportFilters()
    columns: Annotated[list[Word], Field(min_length=1, max_length=64)] | None = Field(
        default=None, description="these, in this order; default: all"
    )
    unmasked: bool = False
    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=3, max_length=200)] | None = Field(
        default=None, description="why unmasked; kept with the export. Do not name people in it"
    )

    @field_validator("columns")
    @classmethod
    def _once(cls, columns: list[str] | None) -> list[str] | None:
        if columns is not None and len(set(columns)) < len(columns):
            raise ValueError("a column is named twice")
        return columns

    @model_validator(mode="after")
    def _with_reason(self) -> Self:
        if self.unmasked and self.reason is None:
            raise ValueError("an unmasked export needs a reason")
        return self


class ExportRead(BaseModel):
    """An export and how far it is."""

    id: UUID
    kind: Kind
    format: Format
    filters: ExportFilters
    columns: list[str]
    unmasked: bool
    reason: str | None
    client_id: str = Field(description="who asked")
    state: State
    rows: int = Field(description="written so far")
    bytes: int
    scanned: int = Field(description="rows looked at, whether they match or not")
    total: int | None = Field(description="rows to look at; null until it begins, and where they are too many to count")
    rows_per_second: float | None
    seconds_left: float | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    expires_at: datetime = Field(description="the content is removed then")


class ExportPage(BaseModel):
    """Exports, the last first."""

    items: list[ExportRead]
    next_cursor: str | None

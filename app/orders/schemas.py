"""What crosses the wire about orders and refunds."""

from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, WithJsonSchema, model_validator

from app.access.schemas import StoreId
from app.core.clock import Moment
from app.customers.schemas import BATCH_LIMIT, Identities

MOST_FEN: Final = 10**12  # nine million of these still add up to what a bigint holds
Fen = Annotated[int, Field(ge=0, le=MOST_FEN, description="fen, a hundredth of the currency")]
Number = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[\x21-\x7e]+$")]
Category = Annotated[
    Annotated[str, StringConstraints(strip_whitespace=True, max_length=64)] | None,
    AfterValidator(lambda category: category or None),
]
Status = Literal["created", "paid", "shipped", "completed", "closed"]
PAID_STATUSES = ("paid", "shipped", "completed")


class Versioned(BaseModel):
    """A source tells a thing more than once; `version` or `updated_at` says which telling is the newest."""

    model_config = ConfigDict(extra="forbid")

    version: int | None = Field(default=None, ge=0, le=2**53, description="the source's own counter")
    updated_at: Moment | None = None

    @model_validator(mode="after")
    def _one_clock(self) -> Self:
        if self.version is not None and self.updated_at is not None:
            raise ValueError("send version or updated_at, not both: they cannot be compared")
        return self


class OrderItem(BaseModel):
    """One line."""

    model_config = ConfigDict(extra="forbid")

    sku: str | None = Field(default=None, max_length=64)
    name: str | None = Field(default=None, max_length=200)
    # Left out of what is hashed where it is not said: a telling from before there was one is the same telling now.
    category: Category = Field(
        default=None, exclude_if=lambda category: category is None, description="what kind of product; empty is none"
    )
    quantity: int = Field(ge=1, le=1_000_000)
    price_fen: Fen = Field(description="of one piece")


class OrderWrite(Versioned):
    """An order as its source tells it now. An unknown person becomes a customer."""

    order_no: Number
    identities: Identities
    store_id: StoreId | None = None
    channel: str | None = Field(default=None, max_length=32)
    status: Status = "paid"
    paid_at: Moment | None = Field(default=None, description="without a zone: in the shop's")
    amount_fen: Fen = Field(description="what the order costs, the discount taken off")
    # Left out of what is hashed where there is none, as an item's category is.
    discount_fen: Fen = Field(
        default=0, exclude_if=lambda discount: discount == 0, description="what was taken off the price"
    )
    currency: str = Field(default="CNY", pattern=r"^[A-Z]{3}$")
    items: Annotated[list[OrderItem], Field(max_length=2000)] = []

    @model_validator(mode="after")
    def _paid_when(self) -> Self:
        if self.status in PAID_STATUSES and self.paid_at is None:
            raise ValueError(f"status {self.status} needs paid_at")
        if self.status == "created" and self.paid_at is not None:
            raise ValueError("an order with paid_at is paid: send status paid, shipped or completed")
        return self


class OrderBatch(BaseModel):
    """Up to 1,000 orders; each stands alone: a bad one is refused and the others are kept."""

    model_config = ConfigDict(extra="forbid")

    orders: Annotated[
        list[Any],
        Field(min_length=1, max_length=BATCH_LIMIT),
        WithJsonSchema(
            {
                "type": "array",
                "items": {"$ref": "#/components/schemas/OrderWrite"},
                "minItems": 1,
                "maxItems": BATCH_LIMIT,
            }
        ),
    ]


class OrderResult(BaseModel):
    """What became of an order: created, updated, or unchanged because what is kept is as new or newer."""

    order_no: str
    status: str
    customer_id: int


class RefundWrite(Versioned):
    """Money given back on an order, which may still be on its way."""

    refund_no: Number
    order_no: Number
    amount_fen: Fen
    refunded_at: Moment


class StatusWrite(Versioned):
    """How far an order is now, from a source that tells no more of it."""

    order_no: Number
    status: Status


class RefundResult(BaseModel):
    """What became of a refund. `waiting`: its order has not come yet."""

    refund_no: str
    status: str
    waiting: bool

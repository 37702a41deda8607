"""What crosses the wire about subscriptions and deliveries."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from app.access.schemas import ClientId
from app.touches.schemas import TouchRead

Kind = Literal[
    "customer.created",
    "customer.merged",
    "customer.merge_reversed",
    "customer.updated",
    "order.paid",
    "segment.entered",
    "segment.left",
    "tag.added",
    "tag.removed",
    "tier.changed",
    "touch.requested",
]
Format = Literal["standard", "youzan"]
DeliveryState = Literal["pending", "sending", "delivered", "failed", "cancelled", "quarantined"]
Kinds = Annotated[list[Kind], Field(min_length=1), AfterValidator(lambda kinds: sorted(set(kinds)))]
Url = Annotated[str, Field(min_length=1, max_length=2048)]


class EndpointCreate(BaseModel):
    """Where to send which kinds of facts."""

    model_config = ConfigDict(extra="forbid")

    url: Url
    kinds: Kinds
    format: Format = Field(
        default="standard", description="Standard Webhooks, or Youzan's message push, which tells of customers only"
    )
    client_id: ClientId | None = Field(
        default=None, description="The app that messages in Youzan's form name; by default the caller"
    )


class EndpointUpdate(BaseModel):
    """Absent keeps. Enabling forgets why it was disabled, and lets messages flow that were held back."""

    model_config = ConfigDict(extra="forbid")

    url: Url | None = None
    kinds: Kinds | None = None
    enabled: bool | None = None


class EndpointRead(BaseModel):
    """A subscription; its secret is shown once, when it is made or rotated."""

    id: UUID
    url: str
    kinds: list[str]
    format: Format
    client_id: str | None = Field(description="The app that messages in Youzan's form name")
    enabled: bool
    reason: str | None = Field(description="Why it was disabled")
    failing_since: datetime | None = Field(description="Since when every attempt has failed")
    held_back: bool = Field(description="Too much failed at once: messages wait until a heartbeat is answered")
    previous_secret_until: datetime | None = Field(description="Until then the secret before the last signs too")
    created_at: datetime


class EndpointCreated(EndpointRead):
    """With the signing secret, shown only here."""

    secret: str


class EndpointPage(BaseModel):
    """Subscriptions, oldest first."""

    items: list[EndpointRead]
    next_cursor: str | None


class DeliveryRead(BaseModel):
    """A message owed to one endpoint."""

    id: UUID
    endpoint_id: UUID
    message_id: str = Field(description="The webhook-id header: the same for every attempt")
    touch_id: UUID | None
    kind: str
    state: DeliveryState
    attempt: int = Field(description="Attempts begun so far")
    failures: int = Field(description="Attempts that failed since it was created or sent again")
    last_status: int | None
    last_error: str | None
    due_at: datetime
    created_at: datetime
    finished_at: datetime | None


class AttemptRead(BaseModel):
    """One attempt: the reply's status, or why there was none."""

    attempt: int
    attempted_at: datetime
    seconds: float
    status: int | None
    error: str | None


class DeliveryDetail(DeliveryRead):
    """A delivery with the log of its attempts, oldest first; of very many the newest 100."""

    attempts: list[AttemptRead]


class DeliveryPage(BaseModel):
    """Deliveries, newest first."""

    items: list[DeliveryRead]
    next_cursor: str | None


class TouchDetail(TouchRead):
    """A touch, and its delivery once there is one."""

    delivery: DeliveryDetail | None

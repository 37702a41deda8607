"""What crosses the wire about templates and touches."""

from datetime import datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from app.scoring.tiers.definition import TierName
from app.touches import messages

Category = Literal["marketing", "transactional"]
TouchState = Literal["planned", "sending", "delivered", "suppressed", "failed", "quarantined"]
TemplateCode = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]

AUDIENCE_LIMIT = 10_000


def _braces_pair_up(body: str) -> str:
    messages.names(body)
    return body


class TemplateWrite(BaseModel):
    """A message with variables. The template decides whether it is marketing, not the caller who sends it."""

    model_config = ConfigDict(extra="forbid")

    channel: Literal["webhook"] = "webhook"
    category: Category
    purpose: str = Field(default="marketing", min_length=1, max_length=64, description="Which consent marketing needs")
    body: Annotated[str, Field(min_length=1, max_length=4000), AfterValidator(_braces_pair_up)]


class TemplateRead(BaseModel):
    """A template as kept."""

    code: str
    channel: str
    category: Category
    purpose: str
    body: str
    variables: list[str]
    created_at: datetime
    updated_at: datetime


class TemplatePage(BaseModel):
    """Templates in the order of their codes."""

    items: list[TemplateRead]
    next_cursor: str | None


class Audience(BaseModel):
    """Whom to reach: customers by number, or everyone who is in a tier when the touches are planned."""

    model_config = ConfigDict(extra="forbid")

    customer_ids: (
        Annotated[list[Annotated[int, Field(ge=1, lt=2**53)]], Field(min_length=1, max_length=AUDIENCE_LIMIT)] | None
    ) = None
    tier: TierName | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.customer_ids is None) == (self.tier is None):
            raise ValueError("name the audience by customer_ids or by tier, and by one of them only")
        return self


class TouchRequestWrite(BaseModel):
    """A template, its variables, and whom to reach."""

    model_config = ConfigDict(extra="forbid")

    template: TemplateCode
    variables: Annotated[
        dict[Annotated[str, Field(pattern=f"^{messages.NAME}$")], Annotated[str, Field(max_length=2000)]],
        Field(max_length=50),
    ] = {}
    audience: Audience


class TouchRequestAccepted(BaseModel):
    """Follow it at GET /v1/triggers/touches/{request_id}. The same key and body get the same answer again."""

    request_id: UUID
    job_id: UUID
    template: str
    created_at: datetime
    skipped: int = Field(description="How many customer ids are not customers of this shop")
    skipped_customer_ids: list[int]


class TouchRequestRead(TouchRequestAccepted):
    """A request and how far it is."""

    category: Category
    planning: str = Field(description="State of the job that plans the touches")
    planned: int = Field(description="Touches that the job has planned so far")
    touches: dict[str, int] = Field(description="Touches by state")


class TouchRead(BaseModel):
    """One attempt to reach one customer. `reason` says why it was refused or failed."""

    id: UUID
    request_id: UUID
    customer_id: int
    channel: str
    state: TouchState
    reason: str | None
    attempts: int
    due_at: datetime
    created_at: datetime
    updated_at: datetime


class TouchPage(BaseModel):
    """Touches in the order of their ids."""

    items: list[TouchRead]
    next_cursor: str | None

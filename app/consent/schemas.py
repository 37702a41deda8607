"""What crosses the wire about consent and suppression."""

from datetime import UTC, datetime
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.core.clock import Moment
from app.customers.schemas import IdentityWrite

CustomerId = Annotated[int, Field(ge=1, lt=2**53)]
Channel = Annotated[
    str, Field(pattern=r"^(\*|[a-z][a-z0-9_]{0,31})$", description="webhook, sms, …; * is every channel")
]
Purpose = Annotated[str, Field(min_length=1, max_length=64)]
State = Literal["granted", "withdrawn"]

_EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)


class Person(BaseModel):
    """A person by our number or by one identity."""

    model_config = ConfigDict(extra="forbid")

    customer_id: CustomerId | None = None
    identity: IdentityWrite | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.customer_id is None) == (self.identity is None):
            raise ValueError("name the person by customer_id or by identity, and by one of them only")
        return self


class ConsentWrite(Person):
    """What a customer said, where and when."""

    purpose: Purpose = "marketing"
    channel: Channel
    state: State
    source: str = Field(min_length=1, max_length=200, description="Where it was given: a form, a till, an import")
    occurred_at: Moment | None = Field(default=None, description="When it was said; default now")

    @model_validator(mode="after")
    def _of_our_time(self) -> Self:
        if self.occurred_at is not None and self.occurred_at.replace(tzinfo=UTC) < _EARLIEST:
            raise ValueError("occurred_at lies before 1990")
        return self


class ConsentRead(BaseModel):
    """One entry of the ledger."""

    id: int
    customer_id: int
    purpose: str
    channel: str
    state: State
    source: str
    occurred_at: datetime
    recorded_at: datetime


class ConsentState(BaseModel):
    """The newest entry for one purpose and channel."""

    purpose: str
    channel: str
    state: State
    source: str
    occurred_at: datetime


class ConsentPage(BaseModel):
    """What holds now, and how it came about, newest first."""

    current: list[ConsentState]
    history: list[ConsentRead]
    next_cursor: str | None


class SuppressionWrite(Person):
    """Whom never to contact: one identity, or every identity that a customer has now."""

    channel: Channel = "*"
    reason: str = Field(min_length=1, max_length=200)


class SuppressionRemoval(Person):
    """Whom to take off the list: the same person and the same channel as they were put on it."""

    channel: Channel = "*"


class Suppressed(BaseModel):
    """How many entries of the list the call wrote or removed."""

    identities: int

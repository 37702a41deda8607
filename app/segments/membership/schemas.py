"""What crosses the wire about who is in a segment."""

from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.core.clock import Moment
from app.tags.schemas import Reason

Refs = Annotated[
    list[Annotated[int, Field(strict=True, ge=1, lt=2**53)] | Annotated[str, Field(min_length=1, max_length=32)]],
    Field(max_length=20),
]


class MemberRead(BaseModel):
    """Who is in it."""

    customer_id: int
    entered_at: datetime | None = Field(default=None, description="Only of those who are in it now")
    version: int | None = Field(default=None, description="Of the rule that they entered by")


class MemberPage(BaseModel):
    """Members in the order of their numbers."""

    items: list[MemberRead]
    next_cursor: str | None


class MemberCount(BaseModel):
    """How many are in it."""

    customers: int


class Membership(BaseModel):
    """Whether a customer is in it."""

    customer_id: int = Field(description="Who answers for the number that was asked for")
    member: bool
    entered_at: datetime | None
    version: int | None


class TagMembers(BaseModel):
    """Tags for whoever is in it now, by number or by name."""

    model_config = ConfigDict(extra="forbid")

    add: Refs = []
    remove: Refs = []
    reason: Reason | None = Field(default=None, description="Kept with what is added")
    valid_until: Moment | None = Field(default=None, description="When what is added runs out")

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.add and not self.remove:
            raise ValueError("name tags to add, or to remove")
        return self


class JobAccepted(BaseModel):
    """Follow the job at GET /v1/jobs/{job_id}."""

    job_id: UUID


class ChangeRead(BaseModel):
    """Somebody came or went."""

    customer_id: int
    change: str = Field(description="entered or left")
    cause: str = Field(description="fact, time, definition, merge, or run: a full run of scores")
    version: int
    changed_at: datetime


class ChangePage(BaseModel):
    """Who came and went, newest first."""

    items: list[ChangeRead]
    next_cursor: str | None


class SegmentOfCustomer(BaseModel):
    """A segment that a customer is in."""

    segment_id: int
    name: str
    kind: str
    version: int
    entered_at: datetime


class SegmentsOfCustomer(BaseModel):
    """All segments that a customer is in."""

    customer_id: int
    items: list[SegmentOfCustomer]

"""What crosses the wire about tags, their categories and who carries them."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal, Self

from fastapi import Path, Query
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from app.core.clock import Moment
from app.core.db import Row
from app.events.declarations import looks_personal
from app.tags.models import NAME_LIMIT, REASON_LIMIT
from app.uses.schemas import UsedBy

PAIR_LIMIT: Final = 1000
REPORT_LIMIT: Final = 1000
STATUSES: Final = ("normal", "disabled")  # by the number that is kept

Status = Literal["normal", "disabled"]
TagKind = Literal["manual", "automatic"]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=NAME_LIMIT)]
Number = Annotated[int, Field(ge=1, lt=2**53)]
TagId = Annotated[int, Path(ge=1, lt=2**53)]
CategoryId = Annotated[int, Path(ge=1, lt=2**53)]
OfCategory = Annotated[int | None, Query(ge=0, lt=2**53, description="Tags of this category; 0: of none")]
NamePrefix = Annotated[str | None, Query(min_length=1, max_length=NAME_LIMIT, description="How the name begins")]
StaleDays = Annotated[int, Query(ge=1, le=3650, description="Who was given to nobody for so long is stale")]
ReportLimit = Annotated[int, Query(ge=1, le=REPORT_LIMIT, description="Tags per page")]


def _impersonal(reason: str) -> str:
    if looks_personal(reason):
        raise ValueError("a reason is kept and shown as it is: leave mobile numbers and e-mail addresses out")
    return reason


Reason = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=REASON_LIMIT),
    AfterValidator(_impersonal),
]


class _Patch(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: Name | None = None
    status: Status | None = Field(default=None, description="disabled: whoever carries it keeps it, see docs/tags.md")

    @model_validator(mode="after")
    def _not_cleared(self) -> Self:
        for name in ("name", "status"):
            if name in self.model_fields_set and getattr(self, name) is None:
                raise ValueError(f"{name} cannot be cleared: leave it out to keep it")
        return self

    def given(self) -> dict[str, Any]:
        """What was sent, as it is kept."""
        fields = self.model_dump(exclude_unset=True)
        if self.status is not None:
            fields["status"] = STATUSES.index(self.status)
        return fields


# ---- Categories


class CategoryCreate(BaseModel):
    """A category of tags."""

    model_config = ConfigDict(extra="forbid")

    name: Name


class CategoryPatch(_Patch):
    """What changes of a category; what is absent stays."""


class CategoryRead(BaseModel):
    """A category, and how many tags are in it."""

    id: int
    name: str
    status: Status
    tags: int
    created_at: datetime
    updated_at: datetime


class CategoryPage(BaseModel):
    """Categories, oldest first."""

    items: list[CategoryRead]
    next_cursor: str | None


# ---- Tags


class TagCreate(BaseModel):
    """A tag that is given by hand."""

    model_config = ConfigDict(extra="forbid")

    name: Name
    category_id: Number | None = None


class TagPatch(_Patch):
    """What changes of a tag; what is absent stays."""

    category_id: Number | None = Field(default=None, description="null: of no category")


class TagRead(BaseModel):
    """A tag."""

    id: int
    name: str
    category_id: int | None
    category: str | None = Field(description="The category's name")
    status: Status
    kind: TagKind = Field(description="automatic: a rule says who carries it, and nobody else gives it or takes it off")
    created_at: datetime
    updated_at: datetime
    used_by: UsedBy


class TagPage(BaseModel):
    """Tags, oldest first."""

    items: list[TagRead]
    next_cursor: str | None


class TagFigures(BaseModel):
    """What one tag comes to now."""

    id: int
    name: str
    kind: TagKind
    status: Status
    category_id: int | None
    category: str | None
    customers: int = Field(description="Who carry it now")
    share: float | None = Field(description="Of all customers of the shop, 0 to 1; null while there are none")
    added_30d: int = Field(description="Who carry it now, and were given it in the last 30 days")
    last_assigned_at: datetime | None = Field(
        description="Of assignments that are kept: one that was taken off is not, one that has run out is for some days"
    )
    by_source: dict[str, int] = Field(description="Who carry it now, by where that came from")
    stale: bool = Field(description="It is older than `stale_days`, and nobody was given it in that time")
    unused: bool = Field(description="Nobody carries it now")
    used_by: UsedBy


class TagReport(BaseModel):
    """Tags with their figures, oldest first."""

    items: list[TagFigures]
    next_cursor: str | None


# ---- Assignments

Reference = Annotated[Number | Name, Field(description="A tag's number, or its name as text")]
ValidUntil = Annotated[
    Moment | None,
    Field(description="When the assignments run out, without a zone in the shop's; absent: never"),
]


class Pair(BaseModel):
    """A customer and a tag that is there."""

    model_config = ConfigDict(extra="forbid")

    customer_id: Number
    tag: Reference


class AssignmentsWrite(BaseModel):
    """Tags to put on and to take off: up to 1,000 pairs in all. What is taken off goes first."""

    model_config = ConfigDict(extra="forbid")

    add: Annotated[list[Pair], Field(max_length=PAIR_LIMIT)] = []
    remove: Annotated[list[Pair], Field(max_length=PAIR_LIMIT)] = []
    reason: Reason | None = Field(default=None, description="Kept with what is added")
    valid_until: ValidUntil = None

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not 1 <= len(self.add) + len(self.remove) <= PAIR_LIMIT:
            raise ValueError(f"add and remove hold 1 to {PAIR_LIMIT} pairs in all")
        return self


class Added(BaseModel):
    """What became of a pair that was to be added; `gone`: there is no such customer, or not any more."""

    customer_id: int
    tag_id: int
    status: Literal["added", "already", "gone"]


class Removed(BaseModel):
    """What became of a pair that was to be removed; `absent`: it was not carried."""

    customer_id: int
    tag_id: int
    status: Literal["removed", "absent", "gone"]


class AssignmentsResult(BaseModel):
    """What was done, each in the order asked."""

    add: list[Added]
    remove: list[Removed]


CustomerIds = Annotated[list[Number], Field(min_length=1, max_length=PAIR_LIMIT)]


class CarriersWrite(BaseModel):
    """Whom to give the tag to."""

    model_config = ConfigDict(extra="forbid")

    customer_ids: CustomerIds
    reason: Reason | None = None
    valid_until: ValidUntil = None


class CarriersRemoval(BaseModel):
    """Whom to take the tag from."""

    model_config = ConfigDict(extra="forbid")

    customer_ids: CustomerIds


class CarriersAdded(BaseModel):
    """What became of each customer, in the order asked."""

    results: list[Added]


class CarriersRemoved(BaseModel):
    """What became of each customer, in the order asked."""

    results: list[Removed]


class Assignment(BaseModel):
    """By whom, why and until when."""

    source: str = Field(description="facade, manual, rule, import or journey")
    actor: str
    reason: str | None
    rule_version: int | None
    assigned_at: datetime
    valid_until: datetime | None


class Carrier(Assignment):
    """A customer who carries the tag now."""

    customer_id: int


class CarrierPage(BaseModel):
    """Customers by number."""

    items: list[Carrier]
    next_cursor: str | None


class CarriedTag(Assignment):
    """A tag that the customer carries now."""

    id: int
    name: str
    kind: TagKind
    status: Status
    category_id: int | None
    category: str | None


class CarriedTags(BaseModel):
    """In the order they were assigned."""

    items: list[CarriedTag]


def kept_status(status: Status | None) -> int | None:
    """The number that stands for it."""
    return None if status is None else STATUSES.index(status)


def fields(row: Row) -> dict[str, Any]:
    """A row in the words of the wire."""
    return dict(row) | {"status": STATUSES[row["status"]]}

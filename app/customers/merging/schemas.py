"""What crosses the wire about merging."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

Number = Annotated[int, Field(ge=1, lt=2**53)]
ConflictState = Literal["open", "merged", "dismissed"]


class MergeWrite(BaseModel):
    """Another record of the same person."""

    model_config = ConfigDict(extra="forbid")

    other_id: Number
    dry_run: bool = Field(default=False, description="Say what would happen, and change nothing")


class MergeRead(BaseModel):
    """Two records that are, or were, one person."""

    id: UUID
    customer_id: int
    other_id: int
    cause: Literal["write", "request", "conflict"] = Field(
        description="write: identities of both came together; request: somebody asked; conflict: somebody decided"
    )
    identity_kind: str | None = Field(description="Of a write: what the other one was recognised by")
    actor: str
    merged_at: datetime
    reversed_at: datetime | None
    reversed_by: str | None


class MergeDone(MergeRead):
    """A merge with who answers for both now."""

    winner_id: int


class FieldSurvivor(BaseModel):
    """Whose word on a field counts, and by which rule."""

    field: str
    customer_id: int
    told_at: datetime
    told_by: str
    rule: Literal["only", "verified", "newest", "oldest"]


class MergePreview(BaseModel):
    """What a merge would do: nothing has changed."""

    dry_run: Literal[True] = True
    winner_id: int = Field(description="Who would answer for both: the stronger, of equals the older")
    moves: dict[str, int] = Field(description="Rows that would move to the winner, by table")
    fields: list[FieldSurvivor]
    tags: Literal["union"] = "union"
    consent: Literal["strictest"] = "strictest"
    doubts: list[str] = Field(description="Why the policy would not have merged them by itself")


class ReversalDone(BaseModel):
    """A merge that was taken back, with who answers for each of its two records now."""

    merge: MergeRead
    owners: dict[int, int]


class MergePage(BaseModel):
    """The merges of a person's records, newest first, those taken back included."""

    items: list[MergeRead]


class ConflictRead(BaseModel):
    """Two records that a write named as one person."""

    id: UUID
    customer_id: int
    other_id: int
    reason: str = Field(
        description="unverified: by an identity that is not enough; limit: together they hold too many of a kind; "
        "reversed_before: a merge of them was taken back"
    )
    identity_kind: str | None
    state: ConflictState
    first_at: datetime
    last_at: datetime = Field(description="To the day")
    decided_at: datetime | None
    decided_by: str | None


class ConflictPage(BaseModel):
    """A page of conflicts."""

    items: list[ConflictRead]
    next_cursor: str | None


class ConflictDecision(BaseModel):
    """What is to become of a pair."""

    model_config = ConfigDict(extra="forbid")

    action: Literal["merge", "dismiss"] = Field(description="dismiss: two people; writes do not ask again")

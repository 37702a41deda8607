"""What crosses the wire about imports."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import Query
from pydantic import BaseModel, Field

ImportKind = Literal["customers", "orders", "events", "identities", "tags", "segments"]
Format = Literal["csv", "ndjson"]
State = Literal["uploading", "queued", "running", "done", "refused", "failed", "quarantined", "cancelled", "abandoned"]
Source = Annotated[
    str,
    Query(min_length=1, max_length=64, pattern=r"^[!-~]+$", description="Which system the external ids come from"),
]


class ImportRead(BaseModel):
    """An import and how far it is.

    `created`, `updated`, `unchanged` and `refused` count what the file is about: customers, orders and so on. Of a dry
    run they say what would become of them.
    """

    id: UUID
    kind: ImportKind
    format: Format
    policy: str
    dry_run: bool
    source: str
    state: State = Field(
        description="`refused`: the file as a whole, `reason` says why; `failed` and `quarantined` are faults of ours"
    )
    reason: str | None
    bytes: int
    rows: int = Field(description="read so far")
    created: int
    updated: int
    unchanged: int
    refused: int
    unknown_columns: list[str] = Field(description="what was ignored, as the file spells it")
    rows_per_second: float | None
    seconds_left: float | None = Field(description="by how it went so far")
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class ImportPage(BaseModel):
    """Imports, newest first."""

    items: list[ImportRead]
    next_cursor: str | None


class ImportErrorRead(BaseModel):
    """Why a row was left out, and what to do about it. The row's values are never repeated."""

    line: int = Field(description="counted from 1, the header included; of an order the line that is wrong")
    field: str = Field(description="the column; empty when it is the row as a whole")
    code: str
    reason: str
    remedy: str


class ImportErrorPage(BaseModel):
    """Rows that were left out, in the order of their lines; of very many the first hundred thousand that were found."""

    items: list[ImportErrorRead]
    next_cursor: str | None

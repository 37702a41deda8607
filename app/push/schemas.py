"""What crosses /v1 about push sources and messages: ids, types, versions, errors and times, nothing of a person."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from app.access.schemas import ClientId

MessageState = Literal["pending", "applied", "ignored", "failed"]


class PushSourceWrite(BaseModel):
    """The Youzan app whose messages the shop takes."""

    model_config = ConfigDict(extra="forbid")

    client_id: ClientId
    client_secret: Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[\x21-\x7e]+$", repr=False)]
    enabled: bool = Field(default=True, description="While false, its messages are refused like a stranger's")


class PushSourceRead(BaseModel):
    """A push source; its secret is never shown."""

    client_id: str
    enabled: bool
    path: str = Field(description="Where Youzan is to send the shop's messages, below this service's address")
    created_at: datetime


class PushSourcePage(BaseModel):
    """The shop's push source, if it has one."""

    items: list[PushSourceRead]
    next_cursor: str | None


class PushMessageRead(BaseModel):
    """A message that was taken, and what became of it."""

    id: UUID
    msg_id: str = Field(description="The sender's id, by which repeats are dropped")
    type: str
    status: str | None
    version: int = Field(description="In milliseconds, whichever unit was sent")
    state: MessageState
    failures: int
    error: str | None = Field(description="Why it could not be applied, or not yet")
    note: str | None = Field(description="`stale`: something newer had been applied; or why it was ignored")
    received_at: datetime
    applied_at: datetime | None
    due_at: datetime


class PushMessagePage(BaseModel):
    """Messages, newest first."""

    items: list[PushMessageRead]
    next_cursor: str | None

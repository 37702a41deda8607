"""What the door's routes take and give."""

from datetime import date, datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from app.access.settings import ShopSettings

StoreId = Annotated[int, Field(ge=1, lt=2**53)]
# Plain enough for the access log, which names it.
ClientId = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")]


class ShopRead(BaseModel):
    """The shop that the credential belongs to."""

    shop_id: int
    name: str
    timezone: str
    pinned_as_of: date | None = Field(description="Live scores stand at this day; null: they follow the clock")
    settings: ShopSettings


class StoreWrite(BaseModel):
    """A branch."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=100)
    city: str | None = Field(default=None, max_length=60)


class StoreRead(BaseModel):
    """A branch as kept."""

    store_id: int
    name: str
    city: str | None
    created_at: datetime


class StorePage(BaseModel):
    """Branches in the order of their numbers."""

    items: list[StoreRead]
    next_cursor: str | None

"""What crosses the wire about uses."""

from collections.abc import Iterable
from typing import Annotated

from pydantic import BaseModel, Field

from app.uses.service import User


class UserRead(BaseModel):
    """Something that uses a thing."""

    kind: str = Field(description="segment, journey, …")
    id: int
    name: str


UsedBy = Annotated[
    list[UserRead], Field(description="What names it in a rule or a plan: while there is any, it cannot be dropped")
]


def used_by(users: Iterable[User]) -> list[UserRead]:
    """As callers see them."""
    return [UserRead(**user._asdict()) for user in users]

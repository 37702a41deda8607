"""What crosses the wire about tier definitions."""

from datetime import date, datetime
from typing import Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.scoring.tiers.definition import Definition, Operator, Population
from app.scoring.tiers.fields import Unit
from app.scoring.tiers.schemes import SCHEMES
from app.scoring.tiers.shares import Move, ShareWarning, TierShare

Scheme = Literal["value", "growth", "absolute"]


class TierChoice(BaseModel):
    """A definition: one's own, or a built-in one by its name."""

    model_config = ConfigDict(extra="forbid")

    definition: Definition | None = None
    scheme: Scheme | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.definition is None) == (self.scheme is None):
            raise ValueError("send a definition, or the name of a built-in scheme")
        return self

    def chosen(self) -> Definition:
        """The definition itself."""
        if self.scheme is not None:
            return SCHEMES[self.scheme]
        assert self.definition is not None  # noqa: S101 one of them is there
        return self.definition


class FieldRead(BaseModel):
    """What a condition can ask for."""

    name: str
    unit: Unit
    meaning: str
    age: bool = Field(description="Grows as days pass: conditions take whole days, and no top share")


class RunShares(BaseModel):
    """How customers spread over the tiers when the published run ended; by the definition of that run."""

    run_id: UUID
    as_of: date
    version: int
    tiers: list[TierShare]
    warnings: list[ShareWarning]


class TiersRead(BaseModel):
    """The definition that counts (version 0: built in), and what there is to write another one with."""

    version: int
    definition: Definition
    last_run: RunShares | None
    schemes: list[Definition]
    fields: list[FieldRead]


class VersionRead(BaseModel):
    """A published definition. `actor`: the API client that published it."""

    version: int
    definition: Definition
    actor: str | None
    created_at: datetime


class VersionPage(BaseModel):
    """Published definitions, newest first."""

    items: list[VersionRead]
    next_cursor: str | None


class Threshold(BaseModel):
    """What a condition compares with today."""

    tier: str
    field: str
    operator: Operator
    number: float = Field(description="As the definition says it; of a top share, the share")
    among: Population | None
    value: float | None = Field(description="Null: nobody is among whom the share is taken of, and nobody meets it")


class Mover(BaseModel):
    """A customer who would change tier."""

    customer_id: int
    from_tier: str | None
    to_tier: str | None


class Preview(BaseModel):
    """What would become of the customers as they are now; nothing is changed."""

    as_of: date
    customers: int
    moving: int
    tiers: list[TierShare]
    warnings: list[ShareWarning]
    moves: list[Move] = Field(description="From and to each tier, those who stay included; the largest first")
    thresholds: list[Threshold] = Field(description="Of every condition, in the order of the definition")
    sample: list[Mover] = Field(description="Some of those who would move")

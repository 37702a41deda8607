"""What crosses the wire about rules."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.attributes.values import Class
from app.customers.schemas import CustomerRead
from app.segments.rules.catalogue import DateOperator, Unit
from app.segments.rules.comparing import Operator, Type
from app.segments.rules.tree import Rule

SAMPLE_LIMIT = 20


class PreviewAsk(BaseModel):
    """A rule to try."""

    model_config = ConfigDict(extra="forbid")

    rule: Rule
    sample: Annotated[int, Field(ge=0, le=SAMPLE_LIMIT, description="How many of those who meet it are shown")] = 5


class SampleRow(CustomerRead):
    """A customer who meets the rule, as lists show them."""

    tier: str | None
    orders: int
    net_fen: int


class Preview(BaseModel):
    """How many customers meet the rule now, and the newest of them."""

    customers: int
    asked_at: datetime = Field(description="The moment that windows end at")
    took_ms: int
    sample: list[SampleRow]


class ExplainAsk(BaseModel):
    """A rule, and whom to explain it of."""

    model_config = ConfigDict(extra="forbid")

    rule: Rule
    customer_id: Annotated[int, Field(ge=1, lt=2**53)]


class EvidenceRead(BaseModel):
    """One condition, and what the customer has to show for it."""

    path: str = Field(description="Where it stands in the rule, such as rule.all.2")
    kind: str
    holds: bool
    value: str | int | float | bool | None = Field(
        description="What is known or was counted; null: nothing. Of a sequence, when its first happened"
    )
    ids: list[str] = Field(description="Of events, orders or tags that count: the newest, at most five")
    begins: float | None = Field(description="Of a share: the value that it begins or ends at")


class ExplanationRead(BaseModel):
    """Whether the customer meets the rule, and each of its conditions."""

    customer_id: int = Field(description="Who answers for the number that was asked for")
    holds: bool
    present: bool = Field(description="False: locked or erased, and in nothing, whatever the conditions say")
    asked_at: datetime
    conditions: list[EvidenceRead]


class FieldRead(BaseModel):
    """A field, and how it can be compared."""

    field: str
    label: str
    type: Type
    unit: Unit | None
    operators: list[Operator]
    choices: list[str | int] | None
    share: bool = Field(description="A condition of kind share can be put on it")


class DateRead(BaseModel):
    """A date, and what can be asked of it."""

    field: str
    label: str
    operators: list[DateOperator]
    day: bool = Field(description="It has no time of day: write calendar_days")
    masked: bool = Field(description="To ask for it the caller needs `pii:read`")


class AttributeRead(BaseModel):
    """An attribute that the shop declares."""

    name: str
    label: str | None
    type: str
    class_: Class = Field(alias="class")
    operators: list[Operator]
    dates: list[DateOperator] = Field(description="What a condition of kind date can ask of it")
    allowed_values: list[str] | None
    masked: bool = Field(description="To ask for it the caller needs `pii:read`")


class PropertyRead(BaseModel):
    """A declared property of an event."""

    property: str
    type: Type
    operators: list[Operator]


class EventRead(BaseModel):
    """A type of event; of a built-in one any property can be asked for, as what it is compared with."""

    event: str
    built_in: bool
    properties: list[PropertyRead]


class KindRead(BaseModel):
    """A kind of condition."""

    kind: str
    label: str


class TierRead(BaseModel):
    """A tier of the definition that counts."""

    name: str
    label: str


class Limits(BaseModel):
    """How large a rule may be."""

    levels: int
    conditions: int
    values: int


class FieldsRead(BaseModel):
    """What rules can be made of in this shop; of attributes and event types up to 1,000 are listed."""

    kinds: list[KindRead]
    profile: list[FieldRead]
    scores: list[FieldRead]
    stats: list[FieldRead]
    dates: list[DateRead]
    attributes: list[AttributeRead]
    events: list[EventRead]
    tiers: list[TierRead]
    tags: int = Field(description="How many there are")
    calendars: list[str] = Field(description="Periods that a window can name")
    measures: list[Literal["count", "sum", "average", "max", "products", "categories", "stores"]]
    limits: Limits

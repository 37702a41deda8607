"""What crosses the wire about rules."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, model_validator

from app.attributes.values import Class
from app.customers.schemas import CustomerRead
from app.events.schemas import EventTypeWrite
from app.segments.readymade import ReadyMade
from app.segments.rules.catalogue import DateOperator, Unit
from app.segments.rules.comparing import Operator, Type
from app.segments.rules.text.reading import read
from app.segments.rules.text.writing import write
from app.segments.rules.tree import Rule

SAMPLE_LIMIT = 20


class RuleAsk(BaseModel):
    """A rule, as its tree or as a text; whatever asks for one takes either. Raises RuleUnreadable for a text."""

    model_config = ConfigDict(extra="forbid")

    rule: Rule | None = None
    text: Annotated[str, Field(description="In place of `rule`: docs/rules.md, as people write it")] | None = None
    _tree: Any = PrivateAttr(None)

    @model_validator(mode="after")
    def _one_rule(self) -> Self:
        if (self.rule is None) == (self.text is None):
            raise ValueError("write the rule as rule or as text, and as one of them only")
        self._tree = self.rule if self.text is None else read(self.text)
        return self

    @property
    def tree(self) -> Any:
        """The rule, however it was written."""
        return self._tree


class PreviewAsk(RuleAsk):
    """A rule to try."""

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


class ExplainAsk(RuleAsk):
    """A rule, and whom to explain it of."""

    customer_id: Annotated[int, Field(ge=1, lt=2**53)]


class TextAsk(BaseModel):
    """A rule's text to read."""

    model_config = ConfigDict(extra="forbid")

    text: str


class RuleWrite(BaseModel):
    """A rule to write as a text."""

    model_config = ConfigDict(extra="forbid")

    rule: Rule


class RuleRead(BaseModel):
    """A rule as its tree, and as a text in both languages."""

    rule: dict[str, Any] = Field(description="As `rule` is sent, without what is left to its default")
    text_en: str
    text_zh: str

    @classmethod
    def of(cls, rule: Any) -> Self:
        """From its tree."""
        told = rule.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude_none=True)
        return cls(rule=told, text_en=write(rule, "en"), text_zh=write(rule, "zh"))


class NeedRead(BaseModel):
    """An event type that a rule asks for and that no shop has without declaring it."""

    event_type: str
    declaration: EventTypeWrite = Field(description="The body of PUT /v1/event-types/{type}")


class ReadyMadeRead(RuleRead):
    """A rule to begin with."""

    slug: str
    title_en: str
    title_zh: str
    description_en: str
    description_zh: str
    masked: bool = Field(description="To ask it the caller needs `pii:read`")
    needs: list[NeedRead] = Field(description="What is to be declared first")

    @classmethod
    def made(cls, ready: ReadyMade) -> Self:
        """As it is told."""
        names = {name: getattr(ready, name) for name in ("slug", "title_en", "title_zh", "masked")}
        described = {"description_en": ready.description_en, "description_zh": ready.description_zh}
        needs = [
            NeedRead(event_type=type_, declaration=EventTypeWrite.model_validate(declaration))
            for type_, declaration in ready.needs.items()
        ]
        return cls(**RuleRead.of(ready.rule).model_dump(), **names, **described, needs=needs)


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

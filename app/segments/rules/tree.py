"""A rule as it is written: a closed tree of conditions on one customer, told apart by `kind`."""

from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from typing import Annotated, Any, Final, Literal, Self, TypeAlias

from pydantic import (
    AfterValidator,
    Field,
    TypeAdapter,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from app.attributes.schemas import AttributeName
from app.consent.schemas import Channel, Purpose
from app.customers.normalise import IdentityKind
from app.events.declarations import NAME as PROPERTY_NAME
from app.segments.rules.catalogue import DATES, PROFILE, SCORES, SHARED, STATS
from app.segments.rules.catalogue import Field as CatalogueField
from app.segments.rules.comparing import Comparison, Number, Short, Truth, misfit
from app.segments.rules.windows import Age, Ahead, Part, Sliding, Window, one_of

MOST_LEVELS: Final = 10
MOST_NODES: Final = 200
MOST_VALUES: Final = 1_000
MOST_CONDITIONS: Final = 10
MOST_TIMES: Final = 10_000


def _known(words: Mapping[str, Any], what: str) -> Callable[[str], str]:
    def known(text: str) -> str:
        if text not in words:
            near = get_close_matches(text, words, n=1, cutoff=0)
            raise ValueError(f"there is no such {what}; did you mean {near[0]}? GET /v1/segments/fields lists them all")
        return text

    return known


def _enum(words: Mapping[str, Any]) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "enum": [*words]})


_Word = Annotated[str, Field(strict=True, max_length=64)]
ProfileField = Annotated[_Word, AfterValidator(_known(PROFILE, "field of the profile")), _enum(PROFILE)]
ScoreField = Annotated[_Word, AfterValidator(_known(SCORES, "score")), _enum(SCORES)]
StatField = Annotated[_Word, AfterValidator(_known(STATS, "stat")), _enum(STATS)]
SharedField = Annotated[_Word, AfterValidator(_known(SHARED, "score or stat of numbers")), _enum(SHARED)]
DateName = Annotated[_Word, AfterValidator(_known(DATES, "date")), _enum(DATES)]

StoreId = Annotated[int, Field(strict=True, ge=1, lt=2**53)]
EventType = Annotated[str, Field(strict=True, pattern=PROPERTY_NAME, description="A built-in or declared type")]
Texts = Annotated[tuple[Short, ...], Field(min_length=1, max_length=MOST_VALUES)]
SegmentId = Annotated[int, Field(strict=True, ge=1, lt=2**53)]
StoreIds = Annotated[tuple[StoreId, ...], Field(min_length=1, max_length=MOST_VALUES)]
TagName = Annotated[str, Field(strict=True, min_length=1, max_length=32)]
Times = Annotated[int, Field(strict=True, ge=0, le=MOST_TIMES)]
Share = Annotated[float, Field(strict=True, gt=0, lt=1, allow_inf_nan=False)]


# ---- Conditions on what is known of the customer


class ProfileRule(Comparison):
    """A field of the profile."""

    kind: Literal["profile"]
    field: ProfileField

    @model_validator(mode="after")
    def _fits(self) -> Self:
        _check_fit(self, PROFILE[self.field])
        return self


class IdentityRule(Part):
    """There is an identity of the kind."""

    kind: Literal["identity"]
    identity: IdentityKind
    scope: Annotated[str, Field(strict=True, max_length=64)] | None = Field(
        default=None, description="appid of an openid, system of an external id; absent: any"
    )


class ConsentRule(Part):
    """What the consent ledger says of a purpose and channel; `none`: nothing has been said."""

    kind: Literal["consent"]
    purpose: Purpose = "marketing"
    channel: Channel
    state: Literal["granted", "withdrawn", "none"]


class AttributeRule(Comparison):
    """A declared attribute."""

    kind: Literal["attribute"]
    name: AttributeName


class TagRule(Part):
    """One of the tags at least is carried now."""

    kind: Literal["tag"]
    any_of: Annotated[tuple[TagName, ...], Field(min_length=1, max_length=MOST_VALUES)]


class SegmentRule(Part):
    """Is in one of the segments at least, as the last refresh or sweep left it."""

    kind: Literal["segment"]
    any_of: Annotated[tuple[SegmentId, ...], Field(min_length=1, max_length=MOST_VALUES)] = Field(
        description="By number: names can be changed"
    )


class ListRule(Part):
    """Is on the list of a static segment. Nobody writes it: it is what a static segment's membership follows."""

    kind: Literal["list"]
    segment: SegmentId


class ScoreRule(Comparison):
    """A score, as the last refresh or run left it."""

    kind: Literal["score"]
    field: ScoreField

    @model_validator(mode="after")
    def _fits(self) -> Self:
        _check_fit(self, SCORES[self.field])
        return self


class StatRule(Comparison):
    """A figure of all time, as the last refresh left it. Of a window, ask the facts: `order` and `event`."""

    kind: Literal["stat"]
    field: StatField

    @model_validator(mode="after")
    def _fits(self) -> Self:
        _check_fit(self, STATS[self.field])
        return self


class ShareRule(Part):
    """Among the upper or lower part of a population by a score or stat, equal values together."""

    kind: Literal["share"]
    field: SharedField
    top: Share | None = Field(default=None, description="0.1: the highest tenth")
    bottom: Share | None = Field(default=None, description="0.1: the lowest tenth")
    among: Literal["buyers", "everybody"] = Field(description="buyers: who has an order")

    @model_validator(mode="after")
    def _one_end(self) -> Self:
        one_of(self, ("top", "bottom"))
        return self


# ---- Conditions on facts


class PropertyCondition(Comparison):
    """A property of an event. An event without it meets no comparison."""

    property: Annotated[str, Field(strict=True, pattern=PROPERTY_NAME)]


Where = Annotated[tuple[PropertyCondition, ...], Field(max_length=MOST_CONDITIONS)]


class _Events(Part):
    event: EventType
    where: Where = Field(default=(), description="All of these hold of the event")


class _Orders(Part):
    channels: Texts | None = None
    stores: StoreIds | None = None
    skus: Texts | None = Field(default=None, description="One of these was bought")
    categories: Texts | None = Field(default=None, description="Something of one of these was bought")


class EventRule(_Events):
    """How often something was done."""

    kind: Literal["event"]
    window: Window | None = Field(default=None, description="Absent: ever")
    at_least: Annotated[Times, Field(ge=1)] | None = None
    at_most: Times | None = None
    exactly: Times | None = None
    never: Literal[True] | None = None

    @model_validator(mode="after")
    def _one_count(self) -> Self:
        one_of(self, ("at_least", "at_most", "exactly", "never"))
        return self


Measure = Literal["count", "sum", "average", "max", "products", "categories", "stores"]
_NUMBERS: Final = ("equals", "at_least", "more_than", "at_most", "less_than")


class OrderRule(_Orders):
    """What the paid orders that are not closed come to."""

    kind: Literal["order"]
    measure: Measure = Field(description="sum, average and max are of fen; products are distinct skus")
    of: Literal["net", "gross"] | None = Field(
        default=None, description="Of sum, average and max: less refunds, or without regard to them; default net"
    )
    window: Window | None = Field(default=None, description="By when they were paid; absent: ever")
    equals: Number | None = None
    at_least: Number | None = None
    more_than: Number | None = None
    at_most: Number | None = None
    less_than: Number | None = None

    @property
    def operator(self) -> Any:
        """Which comparison it is."""
        return next(name for name in _NUMBERS if getattr(self, name) is not None)

    @model_validator(mode="after")
    def _one_comparison(self) -> Self:
        one_of(self, _NUMBERS)
        if self.of is not None and self.measure not in ("sum", "average", "max"):
            raise ValueError(f"of is for sum, average and max: leave it out of {self.measure}")
        return self


class EventStep(_Events):
    """Something that was done."""

    kind: Literal["event"]


class OrderStep(_Orders):
    """A paid order that is not closed."""

    kind: Literal["order"]


Step: TypeAlias = Annotated[EventStep | OrderStep, Field(discriminator="kind")]


class SequenceRule(Part):
    """After some `first`, a `then` came within the time; or the time has passed `without` one."""

    kind: Literal["sequence"]
    first: Step
    at_least: Annotated[int, Field(strict=True, ge=2, le=MOST_TIMES)] | None = Field(
        default=None, description="So many of the first, within `during`; the last of them begins the time"
    )
    during: Sliding | None = None
    window: Window | None = Field(default=None, description="When the first happened; absent: ever")
    then: Step | None = None
    without: Step | None = None
    within: Sliding

    @model_validator(mode="after")
    def _whole(self) -> Self:
        one_of(self, ("then", "without"))
        if (self.at_least is None) != (self.during is None):
            raise ValueError("at_least and during go together: so many within so long")
        return self


class DateRule(Part):
    """How far a day or an instant lies from now."""

    kind: Literal["date"]
    field: DateName | None = None
    attribute: AttributeName | None = Field(default=None, description="In place of `field`: of type date or datetime")
    older_than: Age | None = Field(default=None, description="It is elapsed: T + d ≤ now")
    within: Window | None = None
    in_next: Ahead | None = None
    anniversary_in_next: Annotated[int, Field(strict=True, ge=0, le=365)] | None = Field(
        default=None, description="Calendar days; 0 is today. 29 February counts on the 28th in common years"
    )
    known: Truth | None = None

    @property
    def operator(self) -> Any:
        """Which of them it asks."""
        return next(name for name in _DATED if getattr(self, name) is not None)

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        one_of(self, ("field", "attribute"))
        one_of(self, _DATED)
        if self.field is not None:
            field = DATES[self.field]
            if self.operator not in field.operators:
                raise ValueError(f"{self.field} takes {', '.join(field.operators)}")
            if field.day and (problem := self.clocked()):
                raise ValueError(f"{self.field} has no time of day: {problem}")
        return self

    def clocked(self) -> str | None:
        """What to write instead where it counts hours, which a day has none of; or None."""
        length = self.older_than or self.in_next
        if length is not None and length.calendar_days is None:
            return "write calendar_days in place of hours or days"
        if self.within is not None and self.within.last is not None:
            return "write calendar_days in place of last"
        return None


_DATED: Final = ("older_than", "within", "in_next", "anniversary_in_next", "known")


# ---- The tree


class AllOf(Part):
    """All of these hold."""

    kind: Literal["all"]
    of: Annotated[tuple["Node", ...], Field(min_length=1, max_length=MOST_NODES)]


class AnyOf(Part):
    """One of these holds at least."""

    kind: Literal["any"]
    of: Annotated[tuple["Node", ...], Field(min_length=1, max_length=MOST_NODES)]


class Not(Part):
    """This does not hold: everybody else, those included of whom nothing is known."""

    kind: Literal["not"]
    of: "Node"


Leaf: TypeAlias = (
    ProfileRule
    | IdentityRule
    | ConsentRule
    | AttributeRule
    | TagRule
    | SegmentRule
    | ScoreRule
    | StatRule
    | ShareRule
    | EventRule
    | OrderRule
    | SequenceRule
    | DateRule
)
Node: TypeAlias = Annotated[AllOf | AnyOf | Not | Leaf, Field(discriminator="kind")]


def _bounded(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    """Looks at the size before anything follows the depth, and gives errors the path that a reader of the rule sees."""
    if isinstance(value, dict):
        _check_size(value)
    try:
        return handler(value)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        # A list whose members are refused is called too short as well.
        refused = {one["loc"][:-1] for one in found}
        problems = [
            InitErrorDetails(
                type=PydanticCustomError("rule", "{message}", {"message": _message(one)}),
                loc=tuple(readable(value, one["loc"])),
                input=None,
            )
            for one in found
            if not (one["type"] == "too_short" and any(place[: len(one["loc"])] == one["loc"] for place in refused))
        ]
        raise ValidationError.from_exception_data("Rule", problems) from None


def _message(error: Mapping[str, Any]) -> str:
    return str(error["msg"]).removeprefix("Value error, ")


def _check_size(value: dict[str, Any]) -> None:
    nodes, level = 0, [value]
    for _ in range(MOST_LEVELS):
        nodes += len(level)
        if nodes > MOST_NODES:
            raise ValueError(f"a rule has up to {MOST_NODES} conditions: write fewer, or any_of in place of many")
        inner = [part for node in level for part in _parts(node)]
        level = [part for part in inner if isinstance(part, dict)]
        if not level:
            return
    raise ValueError(f"a rule is up to {MOST_LEVELS} levels deep: write it flatter")


def _parts(node: dict[str, Any]) -> list[Any]:
    of = node.get("of")
    return [*of] if isinstance(of, list | tuple) else [of]


def readable(value: Any, place: tuple[str | int, ...]) -> Iterator[str | int]:
    """The way to a value as a reader of the rule goes it: `all.2.equals`, without names that the parser adds."""
    added = True  # the parser names the kind that it has chosen
    for number, step in enumerate(place):
        if isinstance(value, dict):
            if added and step == value.get("kind"):
                added = False
                continue
            yield value["kind"] if step == "of" and value.get("kind") in ("all", "any", "not") else step
            value, added = value.get(step), True
        elif isinstance(value, list | tuple) and isinstance(step, int) and step < len(value):
            yield step
            value, added = value[step], True
        elif number == len(place) - 1 and isinstance(step, int):
            yield step


Rule: TypeAlias = Annotated[Node, WrapValidator(_bounded)]
RULE: Final[TypeAdapter[Any]] = TypeAdapter(Rule)

Place = tuple[str | int, ...]


def leaves(node: Any, place: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Every condition of a rule with its place in the tree, such as ("all", 2), in the order of reading."""
    if isinstance(node, AllOf | AnyOf):
        for number, part in enumerate(node.of):
            yield from leaves(part, (*place, node.kind, number))
    elif isinstance(node, Not):
        yield from leaves(node.of, (*place, "not"))
    else:
        yield place, node


def _check_fit(rule: Any, field: CatalogueField) -> None:
    problem = misfit(rule, field.type, rule.field)
    if problem is None and rule.operator not in field.operators:
        problem = rule.operator, f"{rule.field} takes {', '.join(field.operators)}"
    if problem is not None:
        raise ValueError(problem[1])
    if field.choices and any(value not in field.choices for value in rule.values):
        raise ValueError(f"{rule.field} is one of {', '.join(map(str, field.choices))}")

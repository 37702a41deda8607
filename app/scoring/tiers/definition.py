"""A tier definition as it is written: tiers in order, each with the conditions that must all hold."""

import re
from collections import Counter
from difflib import get_close_matches
from typing import Annotated, Any, Final, Literal, Self, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema, model_validator

from app.scoring.tiers.fields import FIELDS

Operator = Literal["at_least", "more_than", "at_most", "less_than", "top_share"]
Population = Literal["spenders", "everybody"]

OPERATORS: Final[tuple[Operator, ...]] = get_args(Operator)
MOST_TIERS: Final = 20
MOST_CONDITIONS: Final = 10
LIMIT: Final = 10**15  # fen; whole numbers up to here are exact as doubles
MOST_DAYS: Final = 36_500
_NAME: Final = "^[a-z][a-z0-9_]{0,31}$"


def _known(field: str) -> str:
    if field not in FIELDS:
        near = get_close_matches(field, FIELDS, n=1, cutoff=0)
        raise ValueError(f"there is no such field; did you mean {near[0]}? GET /v1/scores/tiers lists them all")
    return field


def _slug(name: str) -> str:
    if not re.fullmatch(_NAME.strip("^$"), name):
        raise ValueError("a tier's name begins with a-z and takes up to 32 of a-z, 0-9 and _; the label is for people")
    return name


def _words(label: str) -> str:
    if not 0 < len(label) <= 64 or not label.isprintable() or label.isspace():
        raise ValueError("write 1 to 64 printable characters, in any language")
    return label


def _within_limit(number: float) -> float:
    if not -LIMIT <= number <= LIMIT:  # neither is NaN
        raise ValueError("write a number from -10^15 to 10^15")
    return number


def _proper(share: float) -> float:
    if not 0 < share < 1:
        raise ValueError("a top share lies between 0 and 1, both excluded: write 0.1 for the top 10 %")
    return share


def _share(share: float) -> float:
    if not 0 <= share <= 1:
        raise ValueError("a share lies from 0 to 1: write 0.05 for 5 %")
    return share


_Strict = Annotated[float, Field(strict=True)]  # of texts and booleans no numbers are made
Limit = Annotated[
    _Strict, AfterValidator(_within_limit), WithJsonSchema({"type": "number", "minimum": -LIMIT, "maximum": LIMIT})
]
TopShare = Annotated[
    _Strict,
    AfterValidator(_proper),
    WithJsonSchema({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}),
]
Share = Annotated[_Strict, AfterValidator(_share), WithJsonSchema({"type": "number", "minimum": 0, "maximum": 1})]
FieldName = Annotated[
    str, Field(max_length=64), AfterValidator(_known), WithJsonSchema({"type": "string", "enum": [*FIELDS]})
]
TierName = Annotated[str, AfterValidator(_slug), WithJsonSchema({"type": "string", "pattern": _NAME})]
Words = Annotated[str, AfterValidator(_words), WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 64})]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Condition(_Part):
    """A field and exactly one of the comparisons. A value that is not known meets none."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": [name]} for name in OPERATORS]})

    field: FieldName
    at_least: Limit | None = None
    more_than: Limit | None = None
    at_most: Limit | None = None
    less_than: Limit | None = None
    top_share: TopShare | None = Field(
        default=None, description="Of `among`, and at or above the value that this share of them begins with"
    )
    among: Population | None = Field(
        default=None, description="With top_share; spenders: net spend within 365 days above 0"
    )

    @property
    def operator(self) -> Operator:
        """Which comparison it is."""
        return next(name for name in OPERATORS if getattr(self, name) is not None)

    @property
    def number(self) -> float:
        """What is compared with; of a top share, the share."""
        number: float = getattr(self, self.operator)
        return number

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        said = [name for name in OPERATORS if getattr(self, name) is not None]
        if len(said) != 1:
            raise ValueError(f"a condition on {self.field} has exactly one of {', '.join(OPERATORS)}")
        if (self.among is None) == (self.top_share is not None):
            raise ValueError(
                "top_share and among go together: among is spenders or everybody; leave it out of other comparisons"
            )
        _check_unit(self)
        return self

    def __str__(self) -> str:
        among = f" among {self.among}" if self.among else ""
        return f"{self.field} {self.operator} {self.number:.15g}{among}"


def _check_unit(condition: Condition) -> None:
    field, number = FIELDS[condition.field], condition.number
    if condition.operator == "top_share":
        if field.dates or field.unit == "0 or 1":
            raise ValueError(
                f"{condition.field} has no top share: use at_least or at_most; top_share is for money, counts, shares"
            )
    elif field.dates and not (number == int(number) and 0 <= number <= MOST_DAYS):
        raise ValueError(f"{condition.field} is an age: write whole days from 0 to {MOST_DAYS}")
    elif field.unit == "share" and not 0 <= number <= 1:
        raise ValueError(f"{condition.field} is a share: write 0 to 1, such as 0.6 for 60 %")
    elif field.unit == "0 or 1" and number not in (0, 1):
        raise ValueError(f"{condition.field} is 0 or 1: write at_least 1 for yes, at_most 0 for no")


class Tier(_Part):
    """One tier: who meets all conditions and none of an earlier tier's."""

    name: TierName = Field(description="As it stands in lists, files and events")
    label: Words = Field(description="What people read, in any language")
    when: tuple[Condition, ...] = Field(default=(), max_length=MOST_CONDITIONS, description="The last tier has none")
    expected_share: Annotated[
        tuple[Share, Share] | None,
        WithJsonSchema(
            {
                "anyOf": [
                    {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2},
                    {"type": "null"},
                ]
            }
        ),
    ] = Field(default=None, description="Lowest and highest share of all customers; outside, a warning is given")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.expected_share and self.expected_share[0] > self.expected_share[1]:
            raise ValueError(f"expected_share of {self.name}: write the lower share first")
        return self


class Definition(_Part):
    """Tiers in the order in which they are asked; the last one takes everybody else."""

    name: Words
    tiers: tuple[Tier, ...] = Field(min_length=2, max_length=MOST_TIERS)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        twice = [name for name, count in Counter(tier.name for tier in self.tiers).items() if count > 1]
        if twice:
            raise ValueError(f"two tiers are named {twice[0]}: give each a name of its own")
        *firsts, last = self.tiers
        for tier in firsts:
            if not tier.when:
                raise ValueError(
                    f"{tier.name} has no conditions, so no tier after it would get anybody: add some, or put it last"
                )
        if last.when:
            raise ValueError(
                f"{last.name} is the last tier and takes everybody else: remove its conditions, or add a tier after it"
            )
        if sum(tier.expected_share[0] for tier in self.tiers if tier.expected_share) > 1 + 1e-9:
            raise ValueError("the lower ends of expected_share add up to more than 1: lower some of them")
        return self

    def stored(self) -> dict[str, Any]:
        """As JSON, without what is not said."""
        return self.model_dump(mode="json", exclude_none=True)

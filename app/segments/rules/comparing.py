"""One comparison of a value with what a rule says: as it is written, which values take which, and as SQL."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self, get_args

from pydantic import Field, PlainValidator, WithJsonSchema, model_validator
from sqlalchemy import BigInteger, Boolean, ColumnElement, Date, DateTime, Double, Numeric, Text, all_, any_, func
from sqlalchemy import literal as bind
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import TypeEngine

from app.segments.rules.windows import Part, one_of

Operator = Literal[
    "equals", "any_of", "none_of", "at_least", "more_than", "at_most", "less_than", "contains", "starts_with", "known"
]
Type = Literal["text", "choice", "whole", "number", "boolean", "date", "datetime", "sealed"]

OPERATORS: Final[tuple[Operator, ...]] = get_args(Operator)
LIMIT: Final = 2**53 - 1  # whole numbers up to here are exact as doubles
TEXT_LIMIT: Final = 500
MOST_VALUES: Final = 1_000

_EQUAL: Final[tuple[Operator, ...]] = ("equals", "any_of", "none_of")
_ORDERED: Final[tuple[Operator, ...]] = ("at_least", "more_than", "at_most", "less_than")
TAKES: Final[Mapping[Type, tuple[Operator, ...]]] = {
    "text": (*_EQUAL, "contains", "starts_with", "known"),
    "choice": (*_EQUAL, "known"),
    "whole": (*_EQUAL, *_ORDERED, "known"),
    "number": (*_EQUAL, *_ORDERED, "known"),
    "boolean": ("equals", "known"),
    "date": (*_EQUAL, *_ORDERED, "known"),
    "datetime": (*_EQUAL, *_ORDERED, "known"),
    "sealed": (*_EQUAL, "known"),
}
CALLED: Final[Mapping[Type, str]] = {
    "text": "a text",
    "choice": "a text",
    "whole": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "date": "a day such as 2026-01-31",
    "datetime": "a time such as 2026-01-31T10:00:00+08:00",
    "sealed": "a value",
}
SQL_TYPES: Final[Mapping[Type, TypeEngine[Any]]] = {
    "text": Text(),
    "choice": Text(),
    "whole": BigInteger(),
    "number": Double(),
    "boolean": Boolean(),
    "date": Date(),
    "datetime": DateTime(timezone=True),
}
EXACT: Final = Numeric()  # numbers of JSON


def _text(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= TEXT_LIMIT:
        raise ValueError(f"write a text of 1 to {TEXT_LIMIT} characters")
    if "\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
        raise ValueError("the text has a character that is none; remove it")
    return value


def _number(value: Any) -> int | float:
    if type(value) not in (int, float) or not -LIMIT <= value <= LIMIT:  # neither is NaN
        raise ValueError("write a number between -(2**53) and 2**53")
    number: int | float = value
    return number


def _value(value: Any) -> bool | int | float | str:
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int | float):
        return _number(value)
    raise ValueError("write a text, a number, true or false")


def _ordered(value: Any) -> int | float | str:
    return _text(value) if isinstance(value, str) else _number(value)


_TEXT: Final = {"type": "string", "minLength": 1, "maxLength": TEXT_LIMIT}
_NUMBER: Final = {"type": "number", "minimum": -LIMIT, "maximum": LIMIT}

Short = Annotated[str, PlainValidator(_text), WithJsonSchema(_TEXT)]
Number = Annotated[int | float, PlainValidator(_number), WithJsonSchema(_NUMBER)]
Value = Annotated[
    bool | int | float | str,
    PlainValidator(_value),
    WithJsonSchema({"anyOf": [_TEXT, _NUMBER, {"type": "boolean"}]}),
]
Ordered = Annotated[int | float | str, PlainValidator(_ordered), WithJsonSchema({"anyOf": [_TEXT, _NUMBER]})]
Truth = Annotated[bool, Field(strict=True)]


class Comparison(Part):
    """Exactly one comparison. A value that is not known meets none of them, but `known`: false."""

    equals: Value | None = None
    any_of: Annotated[tuple[Value, ...], Field(min_length=1, max_length=MOST_VALUES)] | None = None
    none_of: Annotated[tuple[Value, ...], Field(min_length=1, max_length=MOST_VALUES)] | None = Field(
        default=None, description="It is known, and none of these"
    )
    at_least: Ordered | None = None
    more_than: Ordered | None = None
    at_most: Ordered | None = None
    less_than: Ordered | None = None
    contains: Short | None = None
    starts_with: Short | None = None
    known: Truth | None = None

    @property
    def operator(self) -> Operator:
        """Which comparison it is."""
        return next(name for name in OPERATORS if getattr(self, name) is not None)

    @property
    def operand(self) -> Any:
        """What is compared with: a value, a tuple of values, or for `known` whether it is."""
        return getattr(self, self.operator)

    @property
    def values(self) -> tuple[Any, ...]:
        """Every value that it compares with, none for `known`."""
        if self.operator == "known":
            return ()
        return self.operand if isinstance(self.operand, tuple) else (self.operand,)

    @model_validator(mode="after")
    def _one_comparison(self) -> Self:
        one_of(self, OPERATORS)
        return self


def misfit(comparison: Comparison, type_: Type, what: str) -> tuple[str, str] | None:
    """Why a value of this type cannot be compared so, as the operator's name and a text; or None.

    Days and times are looked at as texts: whether they can be read depends on who reads them.
    """
    operator = comparison.operator
    if operator not in TAKES[type_]:
        return operator, f"{what} takes {', '.join(TAKES[type_])}; {operator} is for other types"
    if type_ == "sealed":
        return None
    for value in comparison.values:
        if not _FITS[type_](value):
            return operator, f"{what} is compared with {CALLED[type_]}"
    return None


_FITS: Final[Mapping[Type, Any]] = {
    "text": lambda value: isinstance(value, str),
    "choice": lambda value: isinstance(value, str),
    "whole": lambda value: type(value) is int,
    "number": lambda value: type(value) in (int, float),
    "boolean": lambda value: isinstance(value, bool),
    "date": lambda value: isinstance(value, str),
    "datetime": lambda value: isinstance(value, str),
}


def compared(
    column: ColumnElement[Any], operator: Operator, operand: Any, sql_type: TypeEngine[Any]
) -> ColumnElement[bool]:
    """The comparison as SQL, null where the column is, but for `known`; every value is bound.

    Args:
        operand: in the column's own type: a value, a tuple for `any_of` and `none_of`, or the truth of `known`.
    """
    if operator == "known":
        return column.is_not(None) if operand else column.is_(None)
    many = operator in ("any_of", "none_of")
    return against(column, operator, bind(list(operand), ARRAY(sql_type)) if many else bind(operand, sql_type))


def against(column: ColumnElement[Any], operator: Operator, asked: ColumnElement[Any]) -> ColumnElement[bool]:
    """The same with what is bound already: of `any_of` and `none_of` an array."""
    match operator:
        case "any_of":
            return column == any_(asked)
        case "none_of":
            return column != all_(asked)
        case "contains":
            return func.strpos(column, asked) > 0
        case "starts_with":
            return func.starts_with(column, asked)
        case "at_least":
            return column >= asked
        case "more_than":
            return column > asked
        case "at_most":
            return column <= asked
        case "less_than":
            return column < asked
    return column == asked


def holds(value: float, operator: Operator, operand: float) -> bool:
    """The same of a number that is known, for the operators that numbers take."""
    return {
        "equals": value == operand,
        "at_least": value >= operand,
        "more_than": value > operand,
        "at_most": value <= operand,
        "less_than": value < operand,
    }[operator]

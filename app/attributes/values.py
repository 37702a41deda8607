"""What an attribute may be, and one form for each value: as it was sent, as it is kept, as it is shown."""

import math
import re
import unicodedata
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final, Literal, TypeAlias
from zoneinfo import ZoneInfo

from app.core import clock
from app.core.masking import Kind, looks_masked

Type = Literal["text", "choice", "integer", "number", "boolean", "date", "datetime"]
Class = Literal["public", "personal", "contact", "sensitive"]
Plain: TypeAlias = str | float | bool | date | datetime  # an `integer` is a whole float here
Shown: TypeAlias = str | int | float | bool

NAME: Final = r"^[a-z][a-z0-9_]{0,63}$"
TEXT_LIMIT: Final = 500  # so that a value fits into its index, whatever is written in it
SEALED: Final = frozenset(("contact", "sensitive"))
RANGED: Final = frozenset(("integer", "number", "date", "datetime"))
COLUMNS: Final[dict[Type, str]] = {
    "text": "text_value",
    "choice": "text_value",
    "integer": "number_value",
    "number": "number_value",
    "boolean": "boolean_value",
    "date": "date_value",
    "datetime": "instant_value",
}
# The value columns with their types, in the order in which statements carry them as arrays.
KINDS: Final[dict[str, str]] = {
    "text_value": "text",
    "number_value": "double precision",
    "date_value": "date",
    "instant_value": "timestamptz",
    "boolean_value": "boolean",
    "value_hash": "bytea",
}

_WHOLE: Final = 2**53  # what a double holds exactly, and what clients read from JSON without loss
_DIGITS: Final = re.compile(r"-?[0-9]{1,17}")
_NUMBER: Final = re.compile(r"-?[0-9]{1,20}(?:\.[0-9]{1,20})?(?:[eE][+-]?[0-9]{1,3})?")
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}[0-9:.+Z-]{0,24}")


@dataclass(frozen=True, slots=True)
class Declared:
    """One attribute that the shop declares."""

    name: str
    type: Type
    class_: Class
    allowed_values: frozenset[str]

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "Declared":
        """From its row."""
        return cls(row["name"], row["type"], row["class"], frozenset(row["allowed_values"] or ()))

    @property
    def sealed(self) -> bool:
        """Whether its values are kept sealed, and found by their hash only."""
        return self.class_ in SEALED

    @property
    def column(self) -> str:
        """By which its values are found."""
        return "value_hash" if self.sealed else COLUMNS[self.type]

    @property
    def mask(self) -> Kind | None:
        """What is left of a value for who may not see it; None: all of it.

        Personal values are shown like the fields that every customer has: a free text like a remark, a day like the
        birthday, and numbers, choices and booleans like the gender.
        """
        if self.class_ == "personal":
            return _PERSONAL.get(self.type)
        return {"public": None, "contact": "contact", "sensitive": "hidden"}[self.class_]


def fit(declared: Declared, value: Any, zone: ZoneInfo) -> Plain:
    """A value that came as JSON, as it is kept. Raises ValueError with what is wrong and the remedy."""
    return _FIT[declared.type](declared, value, zone)


def read(declared: Declared, text: str) -> Any:
    """A value that was written as text, as JSON would have brought it. What cannot be read stays text, for `fit`."""
    if declared.type == "integer" and _DIGITS.fullmatch(text):
        return int(text)
    if declared.type == "number" and _NUMBER.fullmatch(text):
        return float(text)
    if declared.type == "boolean":
        return {"true": True, "false": False}.get(text, text)
    return text


def written(value: Plain) -> str:
    """The one spelling of a value: what is sealed and hashed."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return value.isoformat() if isinstance(value, date) else str(value)


def reread(type_: Type, text: str) -> Plain:
    """The value of a spelling that `written` made."""
    if type_ in ("integer", "number"):
        return float(text)
    if type_ == "boolean":
        return text == "true"
    if type_ == "date":
        return date.fromisoformat(text)
    return datetime.fromisoformat(text) if type_ == "datetime" else text


def shown(value: Plain) -> Shown:
    """The value as JSON: days and instants as text, whole numbers without a fraction."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < _WHOLE else value


def _text(declared: Declared, value: Any, _: ZoneInfo) -> Plain:
    if not isinstance(value, str):
        raise _another(declared, value)
    text = unicodedata.normalize("NFC", value.strip())
    if not text:
        raise ValueError(f"The attribute {declared.name} came empty; send null to remove it, or leave it out")
    if "\0" in text or len(text) > TEXT_LIMIT:
        raise ValueError(f"The attribute {declared.name} takes up to {TEXT_LIMIT} characters; shorten it")
    if declared.mask is not None and (not text.strip("*") or (declared.class_ == "contact" and looks_masked(text))):
        raise ValueError(f"The attribute {declared.name} came back masked; send the real value or leave it out")
    return text


def _choice(declared: Declared, value: Any, zone: ZoneInfo) -> Plain:
    text = _text(declared, value, zone)
    if text not in declared.allowed_values:
        detail = f"The attribute {declared.name} takes one of its allowed values, see GET /v1/attributes/"
        raise ValueError(f"{detail}{declared.name}; send one of them, or add this one to the declaration")
    return text


def _integer(declared: Declared, value: Any, _: ZoneInfo) -> Plain:
    if type(value) is not int:
        raise _another(declared, value)
    if not -_WHOLE < value < _WHOLE:
        raise ValueError(f"The attribute {declared.name} lies between -(2**53) and 2**53; send it as declared text")
    return float(value)


def _number(declared: Declared, value: Any, _: ZoneInfo) -> Plain:
    if type(value) is int and -_WHOLE < value < _WHOLE:
        return float(value)
    if type(value) is not float or not math.isfinite(value):
        raise _another(declared, value)
    return value + 0.0  # -0.0 becomes 0.0: one spelling


def _boolean(declared: Declared, value: Any, _: ZoneInfo) -> Plain:
    if not isinstance(value, bool):
        raise _another(declared, value)
    return value


def _date(declared: Declared, value: Any, _: ZoneInfo) -> Plain:
    with suppress(ValueError):
        if isinstance(value, str) and _DAY.fullmatch(value):
            day = date.fromisoformat(value)
            clock.of_our_time(datetime(day.year, day.month, day.day, tzinfo=UTC))
            return day
    raise _another(declared, value)


def _datetime(declared: Declared, value: Any, zone: ZoneInfo) -> Plain:
    with suppress(ValueError):
        if isinstance(value, str) and _TIME.fullmatch(value):
            return clock.localise(clock.of_our_time(datetime.fromisoformat(value)), zone)
    raise _another(declared, value)


def _another(declared: Declared, value: Any) -> ValueError:
    came = _CAME.get(type(value), "something else")
    if declared.mask is not None and isinstance(value, str) and looks_masked(value):
        return ValueError(f"The attribute {declared.name} came back masked; send the real value or leave it out")
    return ValueError(f"The attribute {declared.name} takes {_TAKES[declared.type]} and came as {came}; send it so")


_CAME: Final[dict[type, str]] = {
    str: "text",
    bool: "a boolean",
    int: "a whole number",
    float: "a number",
    list: "a list",
    dict: "an object",
}
_TAKES: Final[dict[Type, str]] = {
    "text": "a text",
    "choice": "a text",
    "integer": "a whole number",
    "number": "a number below 2**53",
    "boolean": "true or false",
    "date": "a day such as 2026-01-31, from 1900 to 2199,",
    "datetime": "a time such as 2026-01-31T10:00:00+08:00, from 1900 to 2199,",
}
_PERSONAL: Final[dict[Type, Kind]] = {"text": "remark", "date": "birthday", "datetime": "birthday"}
_FIT: Final[dict[Type, Callable[[Declared, Any, ZoneInfo], Plain]]] = {
    "text": _text,
    "choice": _choice,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "date": _date,
    "datetime": _datetime,
}

"""What an event may say: the types that exist, the properties that a shop declares, and what no property carries."""

import re
import unicodedata
from collections.abc import Callable, Mapping
from datetime import date, datetime
from functools import lru_cache
from typing import Any, Final, Literal, NamedTuple, TypeAlias

Kind = Literal["text", "integer", "number", "boolean", "date", "datetime"]
Declaration: TypeAlias = Mapping[str, Mapping[str, Any]]  # property → its `kind`, and whether it is `required`

BUILT_IN: Final = frozenset(("view", "cart", "favourite", "consult", "visit", "campaign_response"))
NAME: Final = r"^[^\W\d_][\w.-]{0,63}$"

_NAME: Final = re.compile(NAME)
_NAME_LIMIT: Final = 64
# Nearly every value is too short or too small to be a number, and no address without its sign.
_MOBILE_DIGITS: Final = 11
_FIRST_MOBILE: Final = 13_000_000_000
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_DATETIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d.*", re.ASCII)
# Digits that go on to either side are an order number, and those behind a decimal point an amount.
_MOBILE: Final = re.compile(r"(?<!\d)(?<!\d\.)(?:(?:\+|00)?86[-. ]?)?1[3-9]\d(?:[-. ]?\d{4}){2}(?!\d)", re.ASCII)
_EMAIL: Final = re.compile(r"[^\s@]@[\w-]+(?:\.[\w-]+)+")


class Problem(NamedTuple):
    """Why an event does not count; `detail` says the remedy and never repeats a value."""

    code: str
    detail: str
    field: str


def problem(type_: str, properties: Mapping[str, Any], declaration: Declaration | None) -> Problem | None:
    """What keeps an event of this type from counting, or None.

    Args:
        properties: without nulls.
        declaration: what the shop declares for the type; None where it declares nothing.
    """
    for name, value in properties.items():
        if found := _unfit_for_any(name, value):
            return found
    if type_ in BUILT_IN:
        return None
    if declaration is None:
        return Problem(
            "type_undeclared", f"The type {type_} is not declared; PUT /v1/event-types/{type_} and replay", "type"
        )
    for name, value in properties.items():
        if found := _unfit_for_declared(name, value, declaration):
            return found
    for name, wanted in declaration.items():
        if wanted["required"] and name not in properties:
            detail = f"The property {name} is required and is not there; declare it as not required and replay"
            return Problem("property_missing", detail, f"properties.{name}")
    return None


def kind_of(value: Any) -> str:
    """How a JSON value is called in what we say about it."""
    return _NAMES.get(type(value), "text")


def is_tellable(name: str) -> bool:
    """Whether a property's name may be repeated: it is one, and no personal value in its place."""
    return len(name) <= _NAME_LIMIT and _is_tellable(name)


@lru_cache(maxsize=4096)
def _is_tellable(name: str) -> bool:
    return _NAME.fullmatch(name) is not None and not looks_personal(name)


def looks_personal(value: Any) -> bool:
    """Whether there is a Chinese mobile number or an e-mail address in it, however it is written."""
    if type(value) is float and value.is_integer():
        value = int(value)
    if type(value) is int:
        return abs(value) >= _FIRST_MOBILE and _MOBILE.search(str(value)) is not None
    if type(value) is not str:
        return False
    text = value if value.isascii() else unicodedata.normalize("NFKC", value)
    if "@" in text and _EMAIL.search(text) is not None:
        return True
    return len(text) >= _MOBILE_DIGITS and _MOBILE.search(text) is not None


def _unfit_for_any(name: str, value: Any) -> Problem | None:
    if not is_tellable(name):
        detail = "A property's name begins with a letter, takes up to 64 letters, digits, _ . or -, and is no number"
        return Problem(
            "property_name", f"{detail} or address of a person; rename it and send a new event", "properties"
        )
    if type(value) is bool:
        return None
    field = f"properties.{name}"
    if type(value) in (list, dict):
        detail = f"The property {name} is {kind_of(value)}; send a new event with text, a number or a boolean in it"
        return Problem("property_kind", detail, field)
    if looks_personal(value):
        detail = f"The property {name} looks like a mobile number or an e-mail address; send a new event without it,"
        return Problem("property_personal", f"{detail} and whoever it belongs to as one of the identities", field)
    return None


def _unfit_for_declared(name: str, value: Any, declaration: Declaration) -> Problem | None:
    field = f"properties.{name}"
    wanted = declaration.get(name)
    if wanted is None:
        return Problem("property_undeclared", f"The property {name} is not declared; declare it and replay", field)
    if not _FITS[wanted["kind"]](value):
        detail = f"The property {name} is declared as {wanted['kind']} and came as {kind_of(value)}; "
        return Problem("property_kind", f"{detail}declare it as what it is and replay", field)
    return None


def _is_date(value: Any) -> bool:
    return isinstance(value, str) and _DATE.fullmatch(value) is not None and _reads(date.fromisoformat, value)


def _is_datetime(value: Any) -> bool:
    return isinstance(value, str) and _DATETIME.fullmatch(value) is not None and _reads(datetime.fromisoformat, value)


def _reads(parse: Callable[[str], object], value: str) -> bool:
    try:
        parse(value)
    except ValueError:
        return False
    return True


_NAMES: Final = {bool: "boolean", int: "integer", float: "number", list: "a list", dict: "an object"}
_FITS: Final[dict[Kind, Callable[[Any], bool]]] = {
    "text": lambda value: isinstance(value, str),
    "integer": lambda value: type(value) is int,
    "number": lambda value: type(value) in (int, float),
    "boolean": lambda value: isinstance(value, bool),
    "date": _is_date,
    "datetime": _is_datetime,
}

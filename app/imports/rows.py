"""What a row of a file is, how it is refused, and the cells that customer and order files share."""

import itertools
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import ROUND_HALF_UP, Context, Decimal
from functools import lru_cache
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from pydantic import TypeAdapter, ValidationError

from app.core.problems import field_problems

T = TypeVar("T")
Payload = dict[str, Any]

# Sixty digits hold any sum of quantity x price that the cell limits below allow: nothing is rounded before `to_fen`.
EXACT = Context(prec=60, rounding=ROUND_HALF_UP)

_DATE = r"(\d{4})[-/.年](\d{1,2})[-/.月](\d{1,2})日?"
_CLOCK = r"(\d{1,2})[:时](\d{1,2})(?:[:分](\d{1,2})(?:\.(\d{1,9}))?秒?)?分?"
_TIME = re.compile(rf"{_DATE}(?:[Tt\s]+{_CLOCK}\s*([Zz]|[+-]\d{{2}}:?\d{{2}})?)?", re.ASCII)
_DAY = re.compile(rf"{_DATE}|(\d{{4}})(\d{{2}})(\d{{2}})", re.ASCII)
_NUMBER = re.compile(r"-?(?:\d{1,3}(?:,\d{3}){1,4}|\d{1,15})(?:\.\d{0,20})?", re.ASCII)
# No five digits in a row: of those a number of a person could be made.
_NAME = re.compile(r"(?!.*\d{5})[a-z][a-z0-9_]{0,39}", re.ASCII)
_WHOLE = re.compile(r"(?:\d{1,3}(?:,\d{3}){1,5}|\d{1,18})(?:\.0*)?", re.ASCII)
_COLUMNS = {"amount_fen": "amount", "discount_fen": "discount", "price_fen": "unit_price", "body": ""}


@dataclass(frozen=True, slots=True)
class Row:
    """One record: the line it starts on, counted from 1, and its known columns that are not empty.

    A `fault` says why the record cannot be trusted; its cells then only tell what it belonged to.
    """

    line: int
    cells: dict[str, str]
    fault: str = ""


@dataclass(frozen=True, slots=True)
class RowError:
    """Why a row was left out, without its values. `field` is a column or empty."""

    line: int
    field: str
    reason: str
    code: str = "invalid"


class RowRefused(Exception):
    """Carries a `RowError` out of the functions that read one row."""

    def __init__(self, line: int, field: str, reason: str, code: str = "invalid") -> None:
        super().__init__(reason)
        self.error = RowError(line, field, reason, code)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What a row says, ready for its room, with the line it came from (of an order, its first)."""

    line: int
    payload: Any


Unit = Outgoing | RowError | None  # None: nothing yet, a long file is still being read


def checked(adapter: TypeAdapter[T], line: int, payload: Payload) -> T:
    """The payload as the calls would take it. Raises RowRefused with the first thing that is wrong."""
    try:
        return adapter.validate_python(payload)
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False, include_context=False)
        first = field_problems(found)[0]
        raise RowRefused(line, column(first["field"], payload), first["message"]) from None


def column(field: str, payload: Payload) -> str:
    """The file's column for a field of a payload: `items.0.price_fen` is unit_price, an identity its kind.

    A part that is no name is what somebody wrote in a name's place, and perhaps a person's number: it is left out.
    """
    identity = re.match(r"identities\.(\d{1,3})", field)
    named = payload.get("identities")
    if identity and isinstance(named, list):
        found = named[int(identity[1])]
        kind = found.get("kind") if isinstance(found, dict) else None
        return kind if isinstance(kind, str) and _NAME.fullmatch(kind) else "identities"
    name = re.sub(r"^items\.\d+\.", "", field)
    name = re.sub(r"\.\d+$", "", name)
    parts = itertools.takewhile(_NAME.fullmatch, name.split("."))
    name = ".".join(parts)
    return _COLUMNS.get(name, name)[:100]


def read(row: Row, field: str, parse: Callable[[str], T]) -> T | None:
    """The parsed cell, or None when it is empty. Raises RowRefused with the parser's reason."""
    text = row.cells.get(field)
    if text is None:
        return None
    try:
        return parse(text)
    except ValueError as exc:
        raise RowRefused(row.line, field, str(exc)) from None


def text_cell(text: str) -> str:
    return text


@lru_cache(maxsize=4096)
def whole(text: str) -> int:
    """A count or an id, zero or more; `1,200` and a spreadsheet's `12.0` are read as they look."""
    plain = unicodedata.normalize("NFKC", text)
    if not _WHOLE.fullmatch(plain):
        raise ValueError("this is not a whole number")
    return int(plain.partition(".")[0].replace(",", ""))


@lru_cache(maxsize=4096)
def money(text: str) -> Decimal:
    """Yuan, exact, zero or more; a currency sign and thousands separators are allowed, exponents are not."""
    plain = unicodedata.normalize("NFKC", text).strip().removesuffix("元").strip("¥ ")
    if not _NUMBER.fullmatch(plain):
        raise ValueError("this is not an amount")
    amount = Decimal(plain.replace(",", ""))
    if amount < 0:
        raise ValueError("the amount is below zero")
    return amount


def to_fen(yuan: Decimal) -> int:
    """Integer fen, half a fen rounded up."""
    return int(EXACT.multiply(yuan, Decimal(100)).quantize(Decimal(1), context=EXACT))


@lru_cache(maxsize=4096)
def moment(text: str, zone: ZoneInfo) -> datetime:
    """An instant in UTC; without an offset the text is in `zone`, without a clock it is midnight there.

    Of a local time that occurs twice the first is meant; one that a clock change skips has the offset from before it.
    """
    match = _TIME.fullmatch(unicodedata.normalize("NFKC", text).strip())
    if match is None:
        raise ValueError("this is not a time such as 2024-06-18 20:30:00")
    year, month, day, hour, minute, second, fraction, offset = match.groups()
    try:
        local = datetime(
            int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0),
            int((fraction or "0").ljust(6, "0")[:6]), tzinfo=_offset(offset) if offset else zone,
        )  # fmt: skip
        return local.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("this is not a time that exists") from None


def rfc3339(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def calendar_day(text: str) -> str:
    """YYYY-MM-DD from the usual spellings of a date."""
    match = _DAY.fullmatch(unicodedata.normalize("NFKC", text).strip())
    if match is None:
        raise ValueError("this is not a date such as 1990-12-31")
    year, month, day = (int(part) for part in match.groups() if part)
    try:
        return date(year, month, day).isoformat()
    except ValueError:
        raise ValueError("this is not a date that exists") from None


def _offset(text: str) -> timezone:
    if text in "Zz":
        return UTC
    hours, minutes = int(text[1:3]), int(text[-2:])
    span = timedelta(hours=hours, minutes=minutes)
    return timezone(-span if text[0] == "-" else span)

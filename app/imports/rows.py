"""What a row of a file is, how it is refused, and the cells that customer and order files share."""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import ROUND_HALF_UP, Context, Decimal
from functools import lru_cache
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

T = TypeVar("T")
Payload = dict[str, Any]

# Sixty digits hold any sum of quantity x price that the cell limits below allow: nothing is rounded before `to_fen`.
EXACT = Context(prec=60, rounding=ROUND_HALF_UP)

_DATE = r"(\d{4})[-/.年](\d{1,2})[-/.月](\d{1,2})日?"
_CLOCK = r"(\d{1,2})[:时](\d{1,2})(?:[:分](\d{1,2})(?:\.(\d{1,9}))?秒?)?分?"
_TIME = re.compile(rf"{_DATE}(?:[Tt\s]+{_CLOCK}\s*([Zz]|[+-]\d{{2}}:?\d{{2}})?)?", re.ASCII)
_DAY = re.compile(rf"{_DATE}|(\d{{4}})(\d{{2}})(\d{{2}})", re.ASCII)
_NUMBER = re.compile(r"-?(?:\d{1,3}(?:,\d{3}){1,4}|\d{1,15})(?:\.\d{0,20})?", re.ASCII)
_WHOLE = re.compile(r"(?:\d{1,3}(?:,\d{3}){1,5}|\d{1,18})(?:\.0*)?", re.ASCII)


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
    """Why a row was left out. `field` is a column or empty; `code` is the server's, when the server refused it."""

    line: int
    field: str
    reason: str
    code: str = ""


class RowRefused(Exception):
    """Carries a `RowError` out of the functions that read one row."""

    def __init__(self, line: int, field: str, reason: str) -> None:
        super().__init__(reason)
        self.error = RowError(line, field, reason)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A payload ready to send, with the line it came from (of an order, its first)."""

    line: int
    payload: Payload


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
        raise ValueError(f"{_quote(text)} is not a whole number")
    return int(plain.partition(".")[0].replace(",", ""))


@lru_cache(maxsize=4096)
def money(text: str) -> Decimal:
    """Yuan, exact, zero or more; a currency sign and thousands separators are allowed, exponents are not."""
    plain = unicodedata.normalize("NFKC", text).strip().removesuffix("元").strip("¥ ")
    if not _NUMBER.fullmatch(plain):
        raise ValueError(f"{_quote(text)} is not an amount")
    amount = Decimal(plain.replace(",", ""))
    if amount < 0:
        raise ValueError(f"{_quote(text)} is below zero")
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
        raise ValueError(f"{_quote(text)} is not a time such as 2024-06-18 20:30:00")
    year, month, day, hour, minute, second, fraction, offset = match.groups()
    try:
        local = datetime(
            int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0),
            int((fraction or "0").ljust(6, "0")[:6]), tzinfo=_offset(offset) if offset else zone,
        )  # fmt: skip
        return local.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"{_quote(text)} is not a time that exists") from None


def rfc3339(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def calendar_day(text: str) -> str:
    """YYYY-MM-DD from the usual spellings of a date."""
    match = _DAY.fullmatch(unicodedata.normalize("NFKC", text).strip())
    if match is None:
        raise ValueError(f"{_quote(text)} is not a date such as 1990-12-31")
    year, month, day = (int(part) for part in match.groups() if part)
    try:
        return date(year, month, day).isoformat()
    except ValueError:
        raise ValueError(f"{_quote(text)} is not a date that exists") from None


def _offset(text: str) -> timezone:
    if text in "Zz":
        return UTC
    hours, minutes = int(text[1:3]), int(text[-2:])
    span = timedelta(hours=hours, minutes=minutes)
    return timezone(-span if text[0] == "-" else span)


def _quote(text: str) -> str:
    """The cell as the report shows it: short, so that a wrong column does not flood it."""
    return f'"{text[:40]}…"' if len(text) > 40 else f'"{text}"'

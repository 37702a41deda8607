"""Customer rows that look as they mostly do, read at a glance: ten times as fast as checking them in every way.

Whatever is the least unusual is left to the careful reading of `customer_rows`; a test holds the two together.
"""

import re
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo

from app.core import clock
from app.customers.schemas import IdentityWrite
from app.imports.asked import Asked
from app.imports.header import IDENTITY_COLUMNS
from app.imports.rows import Row

Fields = dict[str, Any]

_MOBILE: Final = re.compile(r"(?:\+?86)?(1[3-9]\d{9})", re.ASCII)
_EMAIL: Final = re.compile(r"[a-z0-9._+-]{1,64}@(?:[a-z0-9-]{1,60}\.){1,3}[a-z]{2,20}", re.ASCII)
_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?(?:[+-]\d\d:\d\d|Z)?", re.ASCII)
_EARLIEST: Final = date(1900, 1, 1)
_GENDERS: Final = {"0": 0, "1": 1, "2": 2, "男": 1, "女": 2}
_TEXTS: Final = (("name", 100), ("address", 500), ("remark", 2000))
_ALL: Final = ("kind", "value", "scope")
_set: Final = object.__setattr__
_NUMBERS: Final = (("store_id", 1, 10**15), ("source_channel", 0, 99_999))


class _Unusual(Exception):
    """Needs the careful reading."""


def at_a_glance(row: Row, asked: Asked) -> tuple[list[IdentityWrite], Fields, datetime | None] | None:
    """Identities, fields and `created_at` of a customer, or None for a row that needs the careful reading."""
    if row.fault:
        return None
    cells = row.cells
    try:
        identities = _identities(cells, asked.source)
        fields = _fields(cells, asked.zone)
        created = cells.get("created_at")
        return identities, fields, None if created is None else _time(created, asked.zone)
    except (_Unusual, ValueError, OverflowError):  # a zone can carry a year 1 beyond the calendar
        return None


def _identities(cells: dict[str, str], source: str) -> list[IdentityWrite]:
    found = []
    for kind in IDENTITY_COLUMNS:
        text = cells.get(kind)
        if text is None:
            continue
        scope = ""
        if kind == "mobile":
            number = _MOBILE.fullmatch(text)
            if number is None:
                raise _Unusual
            text = f"+86{number[1]}"
        elif not (text.isascii() and text.isprintable() and len(text) <= 256):
            raise _Unusual
        elif kind == "external_id":
            scope = source
        elif kind == "wechat_openid":
            scope = cells.get("wechat_appid", "")
            if len(scope) > 64:
                raise _Unusual
        elif (kind == "email" and not _EMAIL.fullmatch(text)) or (kind == "fans_id" and not text.isdigit()):
            raise _Unusual
        found.append(_identity(kind, text, scope))
    if not found:
        raise _Unusual
    return found


def _identity(kind: str, value: str, scope: str) -> IdentityWrite:
    """What `model_construct` makes, in a quarter of the time: two of these are made for each row."""
    made = IdentityWrite.__new__(IdentityWrite)
    _set(made, "__dict__", {"kind": kind, "value": value, "scope": scope, "verified": False})
    _set(made, "__pydantic_fields_set__", set(_ALL))
    _set(made, "__pydantic_extra__", None)
    _set(made, "__pydantic_private__", None)
    return made


def _fields(cells: dict[str, str], zone: ZoneInfo) -> Fields:
    fields: Fields = {}
    for name, most in _TEXTS:
        if (text := cells.get(name)) is not None:
            if len(text) > most or "*" in text:
                raise _Unusual
            fields[name] = text
    for name, least, highest in _NUMBERS:
        if (text := cells.get(name)) is not None:
            if not (text.isascii() and text.isdigit() and len(text) < 16 and least <= (number := int(text)) <= highest):
                raise _Unusual
            fields[name] = number
    if (text := cells.get("gender")) is not None:
        if (gender := _GENDERS.get(text)) is None:
            raise _Unusual
        fields["gender"] = gender
    if (text := cells.get("birthday")) is not None:
        fields["birthday"] = day = _day(text)
        if not _EARLIEST <= day <= datetime.now(UTC).date():
            raise _Unusual
    if (text := cells.get("area_code")) is not None:
        if not (len(text) == 6 and text.isascii() and text.isdigit()):
            raise _Unusual
        fields["area_code"] = text
    if (text := cells.get("member_since")) is not None:
        fields["member_since"] = _time(text, zone)
    return fields


@lru_cache(maxsize=4096)
def _day(text: str) -> date:
    if not _DAY.fullmatch(text):
        raise _Unusual
    return date.fromisoformat(text)


@lru_cache(maxsize=4096)
def _time(text: str, zone: ZoneInfo) -> datetime:
    if not _TIME.fullmatch(text):
        raise _Unusual
    return clock.of_our_time(clock.localise(datetime.fromisoformat(text), zone))

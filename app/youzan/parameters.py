"""How a call's parameters are read: lenient in form, strict in meaning."""

import re
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from app.core.clock import of_our_time
from app.core.errors import AppError
from app.core.wire import parse_json

CHINA: Final = timezone(timedelta(hours=8))  # what every date-time text of these calls is in
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}( \d{2}:\d{2}:\d{2})?", re.ASCII)
_MILLISECONDS_FROM: Final = 10**11  # ten digits are seconds, thirteen are milliseconds
_LATEST_SECOND: Final = 253_402_300_799


class Parameters(BaseModel):
    """A call's parameters, or a struct among them: an object or its JSON text; null is absent, extras are ignored."""

    model_config = ConfigDict(
        extra="ignore", coerce_numbers_to_str=True, str_strip_whitespace=True, hide_input_in_errors=True
    )

    @model_validator(mode="before")
    @classmethod
    def _as_sent(cls, data: Any) -> Any:
        if isinstance(data, str):
            data = _json_text(data)
        if isinstance(data, list) and not data:  # PHP's empty array
            return {}
        if isinstance(data, dict):
            return {name: value for name, value in data.items() if value is not None}
        return data


def _json_text(text: str) -> Any:
    if not text.strip():
        return {}
    try:
        value = parse_json(text.encode())
    except AppError:
        raise PydanticCustomError("json_type", "neither the value expected nor its JSON text") from None
    return {} if value is None else value


def blank_is_absent(value: Any) -> Any:
    """Typed clients send an empty text for a number or a choice that they do not set."""
    return None if isinstance(value, str) and not value.strip() else value


def _local_moment(value: Any) -> datetime | None:
    if value == "":
        return None
    if not isinstance(value, str) or not _DATE.fullmatch(value.strip()):
        raise ValueError("expected yyyy-MM-dd HH:mm:ss or yyyy-MM-dd")
    return of_our_time(datetime.fromisoformat(value.strip())).replace(tzinfo=CHINA)


def _local_date(value: Any) -> date | None:
    moment = _local_moment(value)
    return moment.date() if moment else None


def _instant(value: Any) -> datetime | None:
    number = _unix(value)
    return _from_unix(number) if number else None


def _instant_after(value: Any) -> datetime | None:
    number = _unix(value)
    if not number:
        return None
    return _from_unix(number) + timedelta(milliseconds=1 if number >= _MILLISECONDS_FROM else 1000)


def _unix(value: Any) -> int:
    if isinstance(value, str) and (not value.strip() or value.strip().isdecimal()) and len(value) <= 16:
        value = int(value.strip() or 0)
    if isinstance(value, bool) or not isinstance(value, int):
        raise PydanticCustomError("time_type", "expected a Unix time in seconds or milliseconds")
    return value


def _from_unix(number: int) -> datetime:
    seconds = number / 1000 if number >= _MILLISECONDS_FROM else number
    if not 0 < seconds < _LATEST_SECOND:
        raise ValueError("expected a Unix time in seconds or milliseconds")
    return datetime.fromtimestamp(seconds, UTC)


def _listed(value: Any) -> Any:
    """A list as an array, its JSON text, items with commas, or one item."""
    if isinstance(value, str):
        if value.lstrip().startswith("["):
            return _json_text(value)
        return [part for part in value.split(",") if part.strip()]
    return [value] if isinstance(value, int) else value


def array(value: Any) -> Any:
    """A list, or its JSON text; an empty text is an empty list."""
    if isinstance(value, str):
        return _json_text(value) or []
    return value


Text = str | None
Texts = Annotated[list[str], Field(max_length=50), BeforeValidator(_listed)]  # what one call of a batch takes
Number = Annotated[int | None, BeforeValidator(blank_is_absent)]
Count = Annotated[Annotated[int, Field(ge=0)] | None, BeforeValidator(blank_is_absent)]
Flag = Annotated[bool | None, BeforeValidator(blank_is_absent)]
Numbers = Annotated[list[int] | None, BeforeValidator(_listed)]
LocalDate = Annotated[date | None, BeforeValidator(_local_date)]
LocalMoment = Annotated[datetime | None, BeforeValidator(_local_moment)]
Instant = Annotated[datetime | None, BeforeValidator(_instant)]
# The first instant behind an inclusive end, so that a window ending at a time that a call showed holds that row.
InstantAfter = Annotated[datetime | None, BeforeValidator(_instant_after)]

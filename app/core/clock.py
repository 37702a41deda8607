"""Instants are aware UTC; days belong to the shop's zone."""

from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Final
from zoneinfo import ZoneInfo

from pydantic import AfterValidator

_EARLIEST: Final = 1900
_LATEST: Final = 2199


def of_our_time(moment: datetime) -> datetime:
    """The moment itself. Raises ValueError for one that a zone or a sum could carry beyond the calendar."""
    if not _EARLIEST <= moment.year <= _LATEST:
        raise ValueError("a time lies between 1900 and 2200")
    return moment


Moment = Annotated[datetime, AfterValidator(of_our_time)]  # what callers may send


def now() -> datetime:
    """This instant, aware, UTC."""
    return datetime.now(UTC)


def zoned(moment: datetime, zone: ZoneInfo) -> datetime:
    """A moment without a zone is in the shop's zone. For what only the database reads, which makes UTC of it anyway."""
    return moment if moment.tzinfo else moment.replace(tzinfo=zone)


def localise(moment: datetime, zone: ZoneInfo) -> datetime:
    """A moment without a zone is in the shop's zone; one with a zone keeps it. Returns UTC."""
    return zoned(moment, zone).astimezone(UTC)


def live_as_of(zone: ZoneInfo, *, pinned: date | None, moment: datetime | None = None) -> date:
    """The exclusive day that live scores stand at: tomorrow in the shop, so that today's facts count.

    Args:
        pinned: a shop that shows history (a demo on old data) stands still at this day instead.
    """
    return pinned or ((moment or now()).astimezone(zone).date() + timedelta(days=1))


def day_start(day: date, zone: ZoneInfo) -> datetime:
    """00:00 of a day in the shop, as UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)

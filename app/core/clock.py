"""Instants are aware UTC; days belong to the shop's zone."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo


def now() -> datetime:
    """This instant, aware, UTC."""
    return datetime.now(UTC)


def localise(moment: datetime, zone: ZoneInfo) -> datetime:
    """A moment without a zone is in the shop's zone; one with a zone keeps it. Returns UTC."""
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)


def live_as_of(zone: ZoneInfo, *, pinned: date | None, moment: datetime | None = None) -> date:
    """The exclusive day that live scores stand at: tomorrow in the shop, so that today's facts count.

    Args:
        pinned: a shop that shows history (a demo on old data) stands still at this day instead.
    """
    return pinned or ((moment or now()).astimezone(zone).date() + timedelta(days=1))


def day_start(day: date, zone: ZoneInfo) -> datetime:
    """00:00 of a day in the shop, as UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)

"""Spans of time as a rule writes them: sliding ones are counted in hours from now, calendar ones in the shop's days."""

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Final, Literal, NamedTuple, Self
from zoneinfo import ZoneInfo

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from app.core import clock

MOST_DAYS: Final = 36_500
MOST_HOURS: Final = 24 * MOST_DAYS
TICK: Final = timedelta(microseconds=1)  # the database's

_FIRST: Final = datetime(1, 1, 2, tzinfo=UTC)
_LAST: Final = datetime(9998, 12, 31, tzinfo=UTC)
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

Calendar = Literal["today", "yesterday", "this_week", "last_week", "this_month", "last_month", "this_year", "last_year"]


def _written(value: object) -> object:
    """Of numbers no days are made."""
    if isinstance(value, str):
        if not _DAY.fullmatch(value):
            raise ValueError("write a day such as 2026-01-31")
        day = date.fromisoformat(value)
        clock.of_our_time(datetime.combine(day, time(), UTC))
        return day
    if type(value) is not date:
        raise ValueError("write a day such as 2026-01-31")
    return value


Day = Annotated[date, BeforeValidator(_written)]
Hours = Annotated[int, Field(strict=True, ge=1, le=MOST_HOURS)]
Days = Annotated[int, Field(strict=True, ge=1, le=MOST_DAYS)]
DaysAhead = Annotated[int, Field(strict=True, ge=0, le=MOST_DAYS)]


class Moment(NamedTuple):
    """When a rule is asked, and in which zone the shop's days begin."""

    now: datetime
    zone: ZoneInfo

    @property
    def today(self) -> date:
        """The shop's day."""
        return self.now.astimezone(self.zone).date()

    def start_of(self, day: date) -> datetime:
        """00:00 of a day in the shop."""
        return clock.day_start(day, self.zone)


class Span(NamedTuple):
    """Instants from the first on and before the second."""

    start: datetime
    before: datetime


class DaySpan(NamedTuple):
    """Days from the first to the last, both included."""

    first: date
    last: date


class Part(BaseModel):
    """A piece of a rule: it says what it says, and nothing beside."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


def one_of(part: BaseModel, names: tuple[str, ...]) -> str:
    """The name of the one that is said. Raises ValueError for none, or several."""
    said = [name for name in names if getattr(part, name) is not None]
    if len(said) != 1:
        raise ValueError(f"write exactly one of {', '.join(names)}")
    return said[0]


class Sliding(Part):
    """A length of time by the clock; a day is 24 hours."""

    hours: Hours | None = None
    days: Days | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        one_of(self, ("hours", "days"))
        return self

    @property
    def length(self) -> timedelta:
        """As a duration."""
        return timedelta(hours=self.hours or 0, days=self.days or 0)


class Age(Part):
    """How long ago: by the clock, or in days of the shop's calendar."""

    hours: Hours | None = None
    days: Days | None = None
    calendar_days: Days | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        one_of(self, ("hours", "days", "calendar_days"))
        return self

    def latest(self, moment: Moment) -> datetime:
        """What happened before this instant is as old: T + d ≤ now, or so many days lie between the two days."""
        if self.calendar_days is not None:
            return moment.start_of(moment.today - timedelta(days=self.calendar_days - 1))
        return moment.now - timedelta(hours=self.hours or 0, days=self.days or 0) + TICK

    def latest_day(self, moment: Moment) -> date:
        """The last day that is as old."""
        return moment.today - timedelta(days=self.calendar_days or 0)


class Ahead(Part):
    """How far ahead: by the clock, or in days of the shop's calendar, of which 0 is today."""

    hours: Hours | None = None
    days: Days | None = None
    calendar_days: DaysAhead | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        one_of(self, ("hours", "days", "calendar_days"))
        return self

    def span(self, moment: Moment) -> Span:
        """After now, and no further ahead."""
        if self.calendar_days is not None:
            return Span(moment.now + TICK, moment.start_of(moment.today + timedelta(days=self.calendar_days + 1)))
        return Span(moment.now + TICK, moment.now + timedelta(hours=self.hours or 0, days=self.days or 0) + TICK)

    def days_span(self, moment: Moment) -> DaySpan:
        """From today on."""
        return DaySpan(moment.today, moment.today + timedelta(days=self.calendar_days or 0))


class Window(Part):
    """One of: the last hours or days up to now, calendar days with today, a calendar period, dates.

    The sliding window is (now - length, now]: what is in it leaves it when T + length ≤ now, which is when it is
    elapsed. The others are whole days of the shop.
    """

    last: Sliding | None = None
    calendar_days: Days | None = None
    calendar: Calendar | None = None
    from_: Day | None = Field(default=None, alias="from", description="With `to`, or alone; the day is included")
    to: Day | None = Field(default=None, description="With `from`, or alone; the day is included")

    @model_validator(mode="after")
    def _one(self) -> Self:
        dated = self.from_ is not None or self.to is not None
        if [self.last is not None, self.calendar_days is not None, self.calendar is not None, dated].count(True) != 1:
            raise ValueError("write exactly one of last, calendar_days, calendar, or from and to")
        if self.from_ is not None and self.to is not None and self.from_ > self.to:
            raise ValueError("from lies after to: write the earlier day first")
        return self

    @property
    def is_over(self) -> bool:
        """Whether it always ends before now, and where it ends moves on."""
        return self.calendar is not None and (self.calendar == "yesterday" or self.calendar.startswith("last_"))

    def span(self, moment: Moment) -> Span:
        """Its instants; a period of the calendar may go on after now."""
        if self.last is not None:
            return Span(moment.now - self.last.length + TICK, moment.now + TICK)
        days = self.days_span(moment)
        start = _FIRST if days.first == date.min else moment.start_of(days.first)
        return Span(start, _LAST if days.last == date.max else moment.start_of(days.last + timedelta(days=1)))

    def days_span(self, moment: Moment) -> DaySpan:
        """Its days. Not for a sliding one, which is made of hours."""
        today = moment.today
        if self.calendar_days is not None:
            return DaySpan(today - timedelta(days=self.calendar_days - 1), today)
        if self.calendar is not None:
            return _period(self.calendar, today)
        return DaySpan(self.from_ or date.min, self.to or date.max)


def _period(name: Calendar, today: date) -> DaySpan:
    one = timedelta(days=1)
    monday, first, new_year = today - today.weekday() * one, today.replace(day=1), today.replace(month=1, day=1)
    match name:
        case "today":
            return DaySpan(today, today)
        case "yesterday":
            return DaySpan(today - one, today - one)
        case "this_week":
            return DaySpan(monday, monday + 6 * one)
        case "last_week":
            return DaySpan(monday - 7 * one, monday - one)
        case "this_month":
            return DaySpan(first, (first + 31 * one).replace(day=1) - one)
        case "last_month":
            return DaySpan((first - one).replace(day=1), first - one)
        case "this_year":
            return DaySpan(new_year, new_year.replace(month=12, day=31))
        case "last_year":
            return DaySpan(new_year.replace(year=today.year - 1), new_year - one)

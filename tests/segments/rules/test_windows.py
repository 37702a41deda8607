"""Where windows begin and end, and which anniversaries are near."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from app.segments.rules.dates import anniversaries
from app.segments.rules.windows import Age, Ahead, Moment, Window

SHANGHAI, NEW_YORK = ZoneInfo("Asia/Shanghai"), ZoneInfo("America/New_York")
TICK = timedelta(microseconds=1)
# 01:30 of Tuesday 10 March in Shanghai, where Monday is still yesterday.
NOW = Moment(datetime(2026, 3, 9, 17, 30, tzinfo=UTC), SHANGHAI)


def day(text: str, zone: ZoneInfo = SHANGHAI) -> datetime:
    """00:00 of a day in the shop."""
    return datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(UTC)


@pytest.mark.parametrize(
    ("window", "start", "before"),
    [
        ({"last": {"hours": 24}}, NOW.now - timedelta(hours=24) + TICK, NOW.now + TICK),
        ({"last": {"days": 1}}, NOW.now - timedelta(hours=24) + TICK, NOW.now + TICK),
        ({"calendar_days": 1}, day("2026-03-10"), day("2026-03-11")),
        ({"calendar_days": 7}, day("2026-03-04"), day("2026-03-11")),
        ({"from": "2026-03-01", "to": "2026-03-01"}, day("2026-03-01"), day("2026-03-02")),
        ({"calendar": "today"}, day("2026-03-10"), day("2026-03-11")),
        ({"calendar": "yesterday"}, day("2026-03-09"), day("2026-03-10")),
        ({"calendar": "this_week"}, day("2026-03-09"), day("2026-03-16")),
        ({"calendar": "last_week"}, day("2026-03-02"), day("2026-03-09")),
        ({"calendar": "this_month"}, day("2026-03-01"), day("2026-04-01")),
        ({"calendar": "last_month"}, day("2026-02-01"), day("2026-03-01")),
        ({"calendar": "this_year"}, day("2026-01-01"), day("2027-01-01")),
        ({"calendar": "last_year"}, day("2025-01-01"), day("2026-01-01")),
    ],
)
def test_windows(window: Any, start: datetime, before: datetime) -> None:
    assert Window.model_validate(window).span(NOW) == (start, before)


def test_an_open_window_has_an_end_that_the_database_can_read() -> None:
    since, until = Window.model_validate({"from": "2026-03-01"}), Window.model_validate({"to": "2026-03-01"})
    assert since.span(NOW).start == day("2026-03-01")
    assert since.span(NOW).before.year > 9000
    assert until.span(NOW).start.year == 1
    assert until.span(NOW).before == day("2026-03-02")


def test_a_calendar_day_is_as_long_as_the_zone_makes_it_and_a_sliding_one_is_24_hours() -> None:
    spring = Moment(datetime(2026, 3, 8, 20, tzinfo=UTC), NEW_YORK)  # clocks went forward that morning
    whole = Window.model_validate({"calendar_days": 1}).span(spring)
    assert whole.before - whole.start == timedelta(hours=23)
    sliding = Window.model_validate({"last": {"days": 1}}).span(spring)
    assert sliding.before - sliding.start == timedelta(hours=24)


def test_what_leaves_the_window_is_elapsed_at_that_moment() -> None:
    window, age = Window.model_validate({"last": {"hours": 24}}), Age(hours=24)
    edge = NOW.now - timedelta(hours=24)
    for at in (edge - TICK, edge, edge + TICK):
        assert (at >= window.span(NOW).start) is not (at < age.latest(NOW))
    calendar, days = Window(calendar_days=3), Age(calendar_days=3)
    assert calendar.span(NOW).start == days.latest(NOW)
    assert days.latest_day(NOW) == date(2026, 3, 7)


def test_how_far_ahead() -> None:
    assert Ahead(hours=2).span(NOW) == (NOW.now + TICK, NOW.now + timedelta(hours=2) + TICK)
    assert Ahead(calendar_days=0).span(NOW) == (NOW.now + TICK, day("2026-03-11"))
    assert Ahead(calendar_days=0).days_span(NOW) == (date(2026, 3, 10), date(2026, 3, 10))
    assert Ahead(calendar_days=2).days_span(NOW) == (date(2026, 3, 10), date(2026, 3, 12))


@pytest.mark.parametrize(
    ("today", "days", "this", "next_year"),
    [
        (date(2027, 2, 28), 0, [228, 229], []),
        (date(2028, 2, 28), 0, [228], []),
        (date(2028, 2, 29), 0, [229], []),
        (date(2100, 2, 28), 0, [228, 229], []),
        (date(2027, 2, 27), 2, [227, 228, 301, 229], []),
        (date(2026, 12, 30), 3, [1230, 1231], [101, 102]),
        (date(2026, 12, 31), 59, [1231], [*range(101, 132), *range(201, 229), 229]),
    ],
)
def test_anniversaries(today: date, days: int, this: list[int], next_year: list[int]) -> None:
    assert (anniversaries(today, days, 0), anniversaries(today, days, 1)) == (this, next_year)

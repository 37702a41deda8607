"""The retry schedule and the Retry-After header."""

import math
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.webhooks.schedule import (
    DELAYS_SECONDS,
    MAX_ATTEMPTS,
    MAX_RETRY_AFTER_SECONDS,
    next_delay_seconds,
    parse_retry_after,
)

DAY = 86_400
NOW = datetime(2026, 3, 2, 9, 15, tzinfo=UTC).timestamp()

jitters = st.floats(0, 1)
waits = st.none() | st.floats(0, 1e9)


def total_seconds(retry_after: float | None, jitter: float) -> float:
    return math.fsum(next_delay_seconds(n, retry_after, jitter) or 0 for n in range(1, MAX_ATTEMPTS + 1))


def test_eight_attempts_over_about_three_days() -> None:
    assert MAX_ATTEMPTS == 8
    assert 2.5 * DAY < total_seconds(None, 0.5) < 3.5 * DAY
    assert total_seconds(MAX_RETRY_AFTER_SECONDS * 100, 1) < 5 * DAY


@given(attempt=st.integers(1, 7), retry_after=waits, jitter=jitters)
def test_each_wait_is_near_its_plan(attempt: int, retry_after: float | None, jitter: float) -> None:
    delay = next_delay_seconds(attempt, retry_after, jitter)
    assert delay is not None
    asked = min(retry_after or 0, MAX_RETRY_AFTER_SECONDS)
    planned = DELAYS_SECONDS[attempt - 1]
    assert max(asked, 0.8 * planned) <= delay <= max(1.1 * asked, 1.2 * planned) + 1e-6


@given(attempt=st.integers(8), retry_after=waits, jitter=jitters)
def test_after_the_eighth_there_is_none(attempt: int, retry_after: float | None, jitter: float) -> None:
    assert next_delay_seconds(attempt, retry_after, jitter) is None


def test_jitter_spreads_what_a_receiver_asked_for() -> None:
    assert next_delay_seconds(1, 3600, 0) == 3600
    assert next_delay_seconds(1, 3600, 1) == pytest.approx(3960)


@pytest.mark.parametrize(("attempt", "jitter"), [(0, 0.5), (-1, 0.5), (1, -0.1), (1, 1.1), (1, math.nan)])
def test_values_out_of_range_are_mistakes(attempt: int, jitter: float) -> None:
    with pytest.raises(ValueError, match="attempt counts from 1"):
        next_delay_seconds(attempt, None, jitter)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("120", 120),
        (" 7 ", 7),
        ("Mon, 02 Mar 2026 09:16:00 GMT", 60),
        ("Monday, 02-Mar-26 09:16:00 GMT", 60),
        ("Mon Mar  2 09:16:00 2026", 60),
        ("Mon, 02 Mar 2026 17:16:00 +0800", 60),
        ("Sun, 01 Mar 2026 09:16:00 GMT", 0),
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("1e3", None),
        ("²", None),
        ("１２０", None),
        ("9" * 11, None),
        ("9" * 5000, None),
        ("Mon, 99 Mar 2026 09:16:00 GMT", None),
        ("Mon, 02 Mar 99999 09:16:00 GMT", None),
        ("Mon, 02 Mar 2026 09:16:00 +9999999", None),
    ],
)
def test_retry_after_header(value: str | None, seconds: float | None) -> None:
    assert parse_retry_after(value, NOW) == seconds


@given(st.text() | st.text(alphabet="0123456789:+- ,MonMarGT", max_size=40))
def test_any_header_is_read_without_error(value: str) -> None:
    seconds = parse_retry_after(value, NOW)
    assert seconds is None or (seconds >= 0 and math.isfinite(seconds))


@given(st.integers(0, 10**9))
def test_http_dates_are_read_to_the_second(wait: int) -> None:
    assert parse_retry_after(format_datetime(datetime.fromtimestamp(NOW + wait, UTC), usegmt=True), NOW) == wait

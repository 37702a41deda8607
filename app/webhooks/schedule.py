"""When a failed delivery is tried again: eight attempts over about three days."""

import re
from collections.abc import Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime

# Waits after attempts 1 to 7: soon enough for a restart, long enough for a weekend's outage; 2.9 days in all.
DELAYS_SECONDS = (30.0, 300.0, 1_800.0, 7_200.0, 28_800.0, 86_400.0, 129_600.0)
MAX_ATTEMPTS = len(DELAYS_SECONDS) + 1

# A receiver may slow us down, but not so far that the eight attempts outlive four days.
MAX_RETRY_AFTER_SECONDS = 21_600.0


def next_delay_seconds(
    attempt: int, retry_after: float | None, jitter: float, delays: Sequence[float] = DELAYS_SECONDS
) -> float | None:
    """Seconds to wait after a failed attempt; None once the attempts are used up.

    Args:
        attempt: attempts made so far, 1 or more.
        retry_after: seconds the receiver asked for. Never undercut, up to MAX_RETRY_AFTER_SECONDS.
        jitter: a random number from 0 to 1, passed in. Spreads the schedule by a fifth to either side, and
            what a receiver asked for by a tenth upwards, so that held-back deliveries do not return as one.
        delays: the schedule, for forms of message that have one of their own.
    Raises: ValueError if attempt or jitter is out of range.
    """
    if attempt < 1 or not 0 <= jitter <= 1:
        raise ValueError("attempt counts from 1, jitter lies between 0 and 1")
    if attempt > len(delays):
        return None
    delay = delays[attempt - 1] * (0.8 + 0.4 * jitter)
    asked = min(retry_after or 0.0, MAX_RETRY_AFTER_SECONDS)
    return max(delay, asked * (1 + 0.1 * jitter))


def parse_retry_after(value: str | None, now: float) -> float | None:
    """Seconds from now that a Retry-After header asks for, 0 for a moment gone by; None if absent or nonsense.

    Args:
        value: a whole number of seconds, or an HTTP date.
        now: unix seconds.
    """
    if value is None or len(value) > 64:
        return None
    value = value.strip()
    if re.fullmatch(r"[0-9]{1,10}", value):
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
        # HTTP dates are GMT; a date without a zone is taken as such.
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return max(0.0, moment.timestamp() - now)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None

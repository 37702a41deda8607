"""What an attempt means for its delivery: done, again later, or over."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from app.webhooks.schedule import DELAYS_SECONDS, next_delay_seconds

GONE: Final = 410


@dataclass(frozen=True, slots=True)
class Verdict:
    """The delivery's next state; `error` is a short constant, None for a success."""

    state: str
    error: str | None = None
    delay_seconds: float = 0.0


def judge(
    status: int | None,
    error: str | None,
    failures: int,
    *,
    retry_after: float | None,
    jitter: float,
    delays: Sequence[float] = DELAYS_SECONDS,
    acknowledged: bool | None = None,
) -> Verdict:
    """Judge one attempt.

    Args:
        status: of the reply, None when not even its head was seen.
        error: why there is no whole reply, a short constant; None when there is.
        failures: attempts that failed before this one.
        retry_after: seconds that the receiver asked for.
        jitter: a random number from 0 to 1, passed in.
        delays: the waits between attempts, in seconds.
        acknowledged: whether the reply accepts the message, where its body says so; None: its status does.

    A 2xx head is an acceptance even if the body never came. A redirect is a failure: it is not followed. Whether
    a message without a reply arrived is not known; it is sent again all the same, because receivers drop repeats by id.
    """
    good_head = status is not None and 200 <= status < 300
    if good_head if acknowledged is None else acknowledged:
        return Verdict("delivered")
    reason = error or ("not_acknowledged" if good_head else f"http_{status}")
    delay = None if status == GONE else next_delay_seconds(failures + 1, retry_after, jitter, delays)
    return Verdict("failed", reason) if delay is None else Verdict("pending", reason, delay)

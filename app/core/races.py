"""A step that lost a race is run again, from the start, after a moment."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Final, TypeVar

import asyncpg

from app.core.errors import StartOver

T = TypeVar("T")

RETRIABLE: Final = (
    asyncpg.DeadlockDetectedError,
    asyncpg.LockNotAvailableError,
    asyncpg.SerializationError,
    StartOver,
)
_ATTEMPTS: Final = 12
_lost: ContextVar[bool] = ContextVar("lost", default=False)
_FIRST_SECONDS: Final = 0.004
_MOST_SECONDS: Final = 0.25


async def until_won(step: Callable[[], Awaitable[T]]) -> T:
    """Run a step that commits all of its work or none, up to a dozen times.

    Between the attempts it waits, each time up to twice as long and never just as long as the others who lost with it.

    Raises: what the last attempt raises, one of RETRIABLE where even that was lost.
    """
    token = _lost.set(False)
    try:
        for attempt in range(_ATTEMPTS - 1):
            try:
                return await step()
            except RETRIABLE:
                _lost.set(True)  # nothing was committed, so all of it is free to run again
            await asyncio.sleep(random.random() * min(_MOST_SECONDS, _FIRST_SECONDS * 2**attempt))  # noqa: S311
        return await step()
    finally:
        _lost.reset(token)


def lost_before() -> bool:
    """Whether the step that runs now has lost a race already: it may want to wait in line this time."""
    return _lost.get()

"""A step that lost a race is run again, from the start, after a moment."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import asyncpg

from app.core.errors import StartOver

T = TypeVar("T")

RETRIABLE: Final = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError, StartOver)
_ATTEMPTS: Final = 12
_FIRST_SECONDS: Final = 0.004
_MOST_SECONDS: Final = 0.25


async def until_won(step: Callable[[], Awaitable[T]]) -> T:
    """Run a step that commits all of its work or none, up to a dozen times.

    Between the attempts it waits, each time up to twice as long and never just as long as the others who lost with it.

    Raises: what the last attempt raises, one of RETRIABLE where even that was lost.
    """
    for attempt in range(_ATTEMPTS - 1):
        try:
            return await step()
        except RETRIABLE:
            pass  # nothing was committed, so all of it is free to run again
        await asyncio.sleep(random.random() * min(_MOST_SECONDS, _FIRST_SECONDS * 2**attempt))  # noqa: S311 no secret
    return await step()

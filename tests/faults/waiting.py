"""Waiting for what other processes do, which no event of this one tells."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any


async def until(condition: Callable[[], bool], *, seconds: float) -> None:
    """Wait until it holds. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 see above
            await asyncio.sleep(0.01)


async def until_none(
    look: Callable[[], Awaitable[list[str]]], *, seconds: float, pause_seconds: float = 0.25
) -> list[str]:
    """Look again until nothing is found. Returns what still is when the time is over."""
    end = time.monotonic() + seconds
    while (found := await look()) and time.monotonic() < end:  # noqa: ASYNC110 see above
        await asyncio.sleep(pause_seconds)
    return found


async def until_some(look: Callable[[], Awaitable[list[Any]]], *, seconds: float, pause_seconds: float = 0.05) -> None:
    """Look again until something is found. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not await look():  # noqa: ASYNC110 see above
            await asyncio.sleep(pause_seconds)

"""How long the database may look for whom a rule means, and what is tried where that takes long."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeVar

import asyncpg
from sqlalchemy import text

from app.core.db import Connection, Statement, statement
from app.segments.errors import RuleTooCostly

T = TypeVar("T")

SECONDS: Final = 10
_HASTE: Final = 0.4

# A rule's values decide which index is walked, so a plan that was made without them is worth nothing. The memory is for
# sets of customers: one that the planner thinks too large to be hashed would be searched from end to end for each.
PLAN = statement(text("set local plan_cache_mode = force_custom_plan; set local work_mem = '128MB'"))
# Where the planner knows little of a shop, because it is new or has just been filled, it may compare each customer with
# each of the shop's facts. Told to hash, it cannot.
HASH = statement(text("set local enable_nestloop = off"))


def _within(seconds: float) -> Statement:
    return statement(text(f"set local statement_timeout = '{round(1000 * seconds)}ms'"))


async def hastily(db: Connection, ask: Callable[[], Awaitable[T]], *, seconds: float = SECONDS) -> T:
    """Ask, and where that takes long ask again in the way that depends on no statistics.

    Args:
        seconds: how long it may take the second time; the first time, less.
    Raises: asyncpg.QueryCanceledError.
    """
    try:
        async with db.savepoint():
            await db.execute(_within(min(_HASTE * seconds, SECONDS)))
            answer = await ask()
        await db.execute(_within(seconds))
    except asyncpg.QueryCanceledError:
        await db.execute(_within(seconds))
        await db.execute(HASH)
        answer = await ask()
    return answer


@asynccontextmanager
async def patiently(db: Connection) -> AsyncIterator[None]:
    """Questions that the database gives up after some seconds. Raises RuleTooCostly."""
    await db.execute(PLAN)
    await db.execute(_within(SECONDS))
    try:
        yield
    except (asyncpg.QueryCanceledError, asyncpg.ProgramLimitExceededError):
        raise RuleTooCostly(SECONDS) from None

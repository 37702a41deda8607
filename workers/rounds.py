"""Rounds through the shops: a bell names one that has work, a poll finds the others, each shop's work runs in turn."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

import structlog

from app.access.entry import Entry
from app.core.db import Statement
from app.core.errors import DatabaseUnavailable

log = structlog.get_logger(__name__)

_PAUSE_SECONDS: Final = 1.0
_FEW: Final = 100


@dataclass(frozen=True, slots=True)
class Work:
    """One kind of work: how to see that a shop has some, how to do a step of it, how to wait for what a step began."""

    has_due: Statement
    step: Callable[[int], Awaitable[int]]
    settle: Callable[[int], Awaitable[None]] | None = None


class Rounds:
    """At most one loop per kind and shop in this process; other processes run beside it, kept apart by row locks."""

    def __init__(self, entry: Entry, works: Mapping[str, Work], *, gather_seconds: float) -> None:
        self._entry = entry
        self._works = works
        self._gather = gather_seconds
        self._running: set[tuple[str, int]] = set()
        self._again: set[tuple[str, int]] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def wake(self, kind: str, shop_id: int) -> None:
        """Do the shop's work of that kind until there is none. A ring while it runs makes it look once more."""
        key = kind, shop_id
        if key in self._running:
            self._again.add(key)
            return
        self._running.add(key)
        try:
            while True:
                self._again.discard(key)
                # The first is done at once. In a steady stream a step would find one or two, at the price of many: what
                # comes within a moment is done together.
                while done := await self._works[kind].step(shop_id):
                    if done < _FEW:
                        await asyncio.sleep(self._gather)
                if key not in self._again:
                    return
        finally:
            self._running.discard(key)

    async def poll(self) -> None:
        """Find every shop that has due work and wake it; what a lost bell would have told.

        A shop that fails is passed over. Raises: DatabaseUnavailable.
        """
        for shop_id in await self._entry.shops.ids():
            try:
                due = await self._due(shop_id)
            except DatabaseUnavailable:
                raise
            except Exception:
                log.exception("poll_failed", shop_id=shop_id)
                continue
            for kind in due:
                self.spawn(kind, shop_id)

    async def poll_for_ever(self, seconds: float) -> None:
        """Poll now and every few seconds; a database that is away is waited for."""
        while True:
            try:
                await self.poll()
            except DatabaseUnavailable:
                log.warning("database_unavailable")
            except Exception:
                log.exception("poll_failed")
            await asyncio.sleep(seconds)

    async def until_idle(self, shop_id: int) -> None:
        """Do all that is due in one shop, work that this work causes included."""
        while due := await self._due(shop_id):
            for kind in due:
                await self.wake(kind, shop_id)
                if (settle := self._works[kind].settle) is not None:
                    await settle(shop_id)

    async def finish(self, seconds: float) -> None:
        """Let running steps end; what is cut off is given back by its transaction or its lease."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _due(self, shop_id: int) -> list[str]:
        async with self._entry.database.transaction(shop_id) as db:
            return [kind for kind, work in self._works.items() if await db.fetch_value(work.has_due, shop_id=shop_id)]

    def spawn(self, kind: str, shop_id: int) -> None:
        """Wake in a task of its own, so that whoever heard the bell can listen on."""
        if (kind, shop_id) in self._running:
            self._again.add((kind, shop_id))
        elif kind in self._works:
            task = asyncio.create_task(self._safely(kind, shop_id), name=f"{kind}:{shop_id}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _safely(self, kind: str, shop_id: int) -> None:
        """`wake`, but a failure is logged and left to the next poll."""
        try:
            await self.wake(kind, shop_id)
        except DatabaseUnavailable:
            log.warning("database_unavailable", kind=kind)
            await asyncio.sleep(_PAUSE_SECONDS)
        except Exception:
            log.exception("work_failed", kind=kind, shop_id=shop_id)
            await asyncio.sleep(_PAUSE_SECONDS)

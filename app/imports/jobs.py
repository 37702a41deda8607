"""The work of an import: batch after batch, each in one transaction with how far it is."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Final
from uuid import UUID

from app.access.entry import in_shop
from app.access.shops import Shop
from app.changes.jobs import Lease
from app.core import clock
from app.core.db import Connection, Row
from app.imports import repository
from app.imports.asked import Asked
from app.imports.errors import FileRefused
from app.imports.kinds import KINDS, Result
from app.imports.reading import Batch, Chunks, Reading
from app.imports.rows import Outgoing, RowError
from app.imports.scratch import scratch
from app.imports.service import CHUNK_COLUMN

_COUNTED: Final = ("created", "updated", "unchanged", "refused")


class _Ended(Exception):
    """The import was cancelled."""


class _NotMeant(Exception):
    """Undoes what a dry run has tried."""


async def run(lease: Lease) -> dict[str, Any]:
    """The job. After a crash the file is read again from its beginning, and the batches that are in are passed over.

    Raises: LeaseLost.
    """
    import_id = UUID(lease.arguments["import_id"])

    async def start(db: Connection, shop: Shop) -> Row | None:
        return await db.fetch_one(repository.START, shop_id=shop.id, id=import_id, moment=clock.now())

    row = await in_shop(lease.entry, lease.shop_id, start)
    if row is None:
        return {}
    work = _Work(lease, row)
    try:
        await work.through()
        await work.end("done")
    except FileRefused as refused:
        await work.end("refused", str(refused))
    except _Ended:
        pass
    return {}


class _Work:
    """One worker's hold on one import."""

    def __init__(self, lease: Lease, row: Row) -> None:
        self._lease, self._row = lease, row
        self._id: UUID = row["id"]
        self._kind = KINDS[row["kind"]]
        self._reached, self._ahead = row["reached"], set(row["ahead"])
        self._rows, self._refused = row["rows"], row["refused"]
        self._told = time.monotonic()
        self._asked: Asked
        self._reading: Reading

    async def through(self) -> None:
        """Apply what is not in yet. Raises FileRefused, LeaseLost, _Ended."""
        shop = await self._lease.entry.shops.get(self._lease.shop_id)
        with ExitStack() as stack:
            memory = stack.enter_context(scratch())
            self._asked = Asked(self._row["source"], shop.zone, self._row["policy"], self._row["client_id"], memory)
            chunks = Chunks(self._fetch)
            self._reading = Reading(chunks, self._row["bytes"], self._kind, self._row["format"], self._asked)
            batches = self._reading.batches()
            # Read ahead in a thread: parsing goes on while the database works.
            coming = asyncio.create_task(asyncio.to_thread(next, batches, None))
            running: set[asyncio.Task[None]] = set()
            try:
                while (batch := await coming) is not None:
                    coming = asyncio.create_task(asyncio.to_thread(next, batches, None))
                    if batch.number is None or batch.number < self._reached or batch.number in self._ahead:
                        await self._sign_of_life(batch)
                        continue
                    running.add(asyncio.create_task(self._apply(batch, batch.number)))
                    if len(running) >= self._kind.side_by_side:
                        running = await _settled(running)
                while running:
                    running = await _settled(running)
            finally:
                chunks.give_up()
                for task in running:
                    task.cancel()
                await asyncio.gather(coming, *running, return_exceptions=True)

    async def end(self, state: str, reason: str | None = None) -> None:
        """Close the import. Raises LeaseLost."""

        async def step(db: Connection, shop: Shop) -> None:
            await self._lease.report_in(db, self._rows, self._rows, {})
            await repository.end(db, shop.id, self._id, state, clock.now(), reason=reason, rows=self._rows)

        await in_shop(self._lease.entry, self._lease.shop_id, step)

    async def _apply(self, batch: Batch, number: int) -> None:
        good = [unit for unit in batch.units if isinstance(unit, Outgoing)]
        bad = [unit for unit in batch.units if isinstance(unit, RowError)]

        async def step(db: Connection, shop: Shop) -> int:
            results = await self._carry_out(db, shop, [unit.payload for unit in good]) if good else []
            refused = bad + [
                RowError(unit.line, result.field, result.reason, result.code)
                for unit, result in zip(good, results, strict=True)
                if result.status == "refused"
            ]
            counts = Counter(result.status for result in results)
            counts["refused"] = len(refused)
            if refused and self._refused < repository.ERRORS_KEPT:
                await repository.add_errors(db, shop.id, self._id, refused)
            await self._advance(db, batch, counts, [number])
            return len(refused)

        self._refused += await in_shop(self._lease.entry, self._lease.shop_id, step)
        self._rows = max(self._rows, batch.rows)
        self._ahead.add(number)
        while self._reached in self._ahead:
            self._ahead.discard(self._reached)
            self._reached += 1

    async def _carry_out(self, db: Connection, shop: Shop, payloads: Sequence[Any]) -> list[Result]:
        ids = self._lease.entry.ids
        if not self._row["dry_run"]:
            return await self._kind.apply(db, shop, ids, payloads, self._asked)
        results: list[Result] = []
        try:
            async with db.savepoint():
                results = await self._kind.apply(db, shop, ids, payloads, self._asked)
                raise _NotMeant
        except _NotMeant:
            db.rings.clear()
        return results

    async def _sign_of_life(self, batch: Batch) -> None:
        """Keep the lease, and show how far the reading is, now and then."""
        self._rows = max(self._rows, batch.rows)
        if time.monotonic() - self._told < min(1.0, self._lease.seconds / 4):
            return

        async def step(db: Connection, shop: Shop) -> None:
            await self._advance(db, batch, Counter(), [])

        await in_shop(self._lease.entry, self._lease.shop_id, step)

    async def _advance(self, db: Connection, batch: Batch, counts: Counter[str], numbers: list[int]) -> None:
        await self._lease.report_in(db, batch.rows, None, {}, further=bool(numbers))
        kept = await db.fetch_value(
            repository.ADVANCE,
            shop_id=self._lease.shop_id,
            id=self._id,
            rows=batch.rows,
            share=batch.share,
            moment=clock.now(),
            unknown_columns=self._reading.unknown_columns,
            reached=self._reached,
            batches=numbers,
            **{name: counts[name] for name in _COUNTED},
        )
        if kept is None:
            raise _Ended
        self._told = time.monotonic()

    async def _fetch(self, number: int) -> bytes | None:
        async def step(db: Connection, shop: Shop) -> bytes | None:
            sealed = await db.fetch_value(repository.CHUNK, shop_id=shop.id, import_id=self._id, number=number)
            return None if sealed is None else shop.keys.open_bytes(CHUNK_COLUMN, sealed)

        return await in_shop(self._lease.entry, self._lease.shop_id, step)


async def _settled(running: set[asyncio.Task[None]]) -> set[asyncio.Task[None]]:
    done, still = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()
    return still

"""Identifiers: time-ordered random ones, deterministic ones, and customer numbers taken from a sequence in blocks."""

import os
import time
from typing import Final
from uuid import UUID, uuid5

from asyncpg.pgproto.pgproto import UUID as _UUID
from sqlalchemy import text

from app.core.db import Connection, statement

_NAMESPACE: Final = UUID("6f3ed1de-5dd6-4f5c-9d0a-3c3c0f8f5a54")
BLOCK: Final = 100  # the sequence's increment, fixed by the migration that made it

TAKE_BLOCKS: Final = statement(text("select nextval('customer_ids') as first from generate_series(1, :blocks)"))


def new_id() -> UUID:
    """A version 7 UUID: 48 bits of milliseconds, then random, so that index inserts stay at the right edge."""
    random = bytearray(os.urandom(16))
    random[:6] = (time.time_ns() // 1_000_000).to_bytes(6, "big")
    random[6] = 0x70 | random[6] & 0x0F
    random[8] = 0x80 | random[8] & 0x3F
    return UUID(bytes=bytes(random))


def new_ids(count: int) -> list[UUID]:
    """So many at once: a new one and those that follow it, of the driver's class, which JSON wants as text."""
    first = new_id().int & ~(1 << 61)  # room to count up without touching the bits that say the variant
    return [_UUID(number.to_bytes(16, "big")) for number in range(first, first + count)]


def derived_id(*parts: object) -> UUID:
    """The same parts give the same id: what makes a second touch or delivery impossible."""
    return uuid5(_NAMESPACE, "\x1f".join(map(str, parts)))


class CustomerIds:
    """Hands out customer numbers; one sequence call brings a hundred. A crash wastes numbers, never repeats one."""

    def __init__(self) -> None:
        self._free: list[int] = []

    async def take(self, db: Connection, count: int) -> list[int]:
        """Fresh ids, ascending within a block, below 2**53."""
        while (missing := count - len(self._free)) > 0:  # again: meanwhile others may have taken what was there
            rows = await db.fetch(TAKE_BLOCKS, blocks=-(-missing // BLOCK))
            self._free.extend(number for row in rows for number in range(row["first"], row["first"] + BLOCK))
        taken, self._free = self._free[:count], self._free[count:]
        return taken

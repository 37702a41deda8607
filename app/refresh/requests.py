"""Asking for a full run."""

from datetime import date
from typing import Final

from app.access.shops import Shop
from app.changes import jobs
from app.core.db import Connection, Row
from app.core.ids import new_id

RESCORE: Final = "rescore"


async def rescore(db: Connection, shop: Shop, *, as_of: date | None = None, key: str | None = None) -> Row:
    """Queue a full run; with `as_of`, one of its own that leaves the live scores alone. Returns the job's row."""
    arguments = {"run_id": str(new_id()), "as_of": as_of.isoformat() if as_of else None}
    return await jobs.enqueue(db, shop.id, RESCORE, arguments, key=key)

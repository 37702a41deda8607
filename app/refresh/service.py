"""Looks again at customers whose facts changed: a batch is one transaction, and two never meet on one customer."""

from collections.abc import Sequence

from app.access.shops import Shop
from app.changes import repository as changes
from app.core import metrics
from app.core.db import Connection
from app.scoring import repository as scores
from app.scoring import service as scoring


async def refresh(db: Connection, shop: Shop, *, limit: int) -> int:
    """Take up to `limit` change rows and recompute their customers. Returns how many rows were done with.

    A customer whom another refresh holds is left, with the change rows, for the next batch: an older snapshot can
    therefore never be written over a newer one.
    """
    rows = await changes.peek_changes(db, shop.id, limit)
    if not rows:
        return 0
    wanted = sorted({row["customer_id"] for row in rows})
    free = await lock(db, shop, wanted, wait=False)
    if free:
        await scoring.measure(db, shop, free, await scoring.hold_published(db, shop))
        metrics.REFRESHED.inc(len(free))
    held_elsewhere = await _known(db, shop, set(wanted) - set(free))
    done = [row["id"] for row in rows if row["customer_id"] not in held_elsewhere]
    await changes.drop_changes(db, shop.id, done)
    return len(done)


async def lock(db: Connection, shop: Shop, customer_ids: Sequence[int], *, wait: bool) -> list[int]:
    """Lock the customers' stats rows in id order, made where missing. Returns those locked."""
    added = await scores.ensure_stats(db, shop.id, customer_ids, shop.zone.key)
    statement = scores.LOCK if wait else scores.LOCK_FREE
    rows = await db.fetch(statement, shop_id=shop.id, customer_ids=list(customer_ids))
    if added:
        await db.execute(scores.COUNT_IN, shop_id=shop.id, added=added)
    return [row["customer_id"] for row in rows]


async def _known(db: Connection, shop: Shop, customer_ids: set[int]) -> set[int]:
    if not customer_ids:
        return set()
    rows = await db.fetch(scores.KNOWN, shop_id=shop.id, customer_ids=list(customer_ids))
    return {row["customer_id"] for row in rows}

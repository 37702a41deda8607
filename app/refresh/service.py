"""Looks again at customers whose facts changed: a batch is one transaction, and two never meet on one customer."""

from typing import Final

from app.access.shops import Shop
from app.changes import repository as changes
from app.changes.repository import TIME
from app.core import metrics
from app.core.db import Connection
from app.customers import repository as customers
from app.scoring import measuring
from app.scoring import repository as scores

_FEW: Final = 20  # up to so many, a plan of their own would cost more than it saves


async def refresh(db: Connection, shop: Shop, *, limit: int) -> int:
    """Take up to `limit` change rows and recompute their customers. Returns how many rows were done with.

    A customer whom another refresh holds is left, with the change rows, for the next batch: an older snapshot can
    therefore never be written over a newer one. What changed of who is merged is looked at where it belongs now.
    """
    rows = await changes.peek_changes(db, shop.id, limit)
    if not rows:
        return 0
    changed = {row["customer_id"] for row in rows}
    by_fact = {row["customer_id"] for row in rows if row["cause"] != TIME}
    owners = await customers.owners_of(db, shop.id, sorted(changed))
    if merged := sorted(customer_id for customer_id, owner in owners.items() if owner != customer_id):
        await scores.forget_merged(db, shop.id, merged)
    if len(changed) > _FEW:
        await db.execute(scores.PLAN_FOR_MANY)
    wanted = sorted({owners.get(customer_id, customer_id) for customer_id in changed})
    await scores.ensure_stats(db, shop.id, wanted, shop.zone.key)
    free = await scores.lock(db, shop.id, wanted, wait=False)
    if free:
        told = {owners.get(customer_id) for customer_id in by_fact}
        by_time = [customer_id for customer_id in free if customer_id not in told]
        await measuring.measure(db, shop, free, await measuring.hold_published(db, shop), by_time)
        metrics.REFRESHED.inc(len(free))
    held_elsewhere = await scores.known(db, shop.id, sorted(set(wanted) - set(free)))
    done = [row["id"] for row in rows if owners.get(row["customer_id"]) not in held_elsewhere]
    await changes.drop_changes(db, shop.id, done)
    return len(done)

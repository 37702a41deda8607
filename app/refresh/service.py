"""Looks again at customers whose facts changed: a batch is one transaction, and two never meet on one customer."""

from app.access.shops import Shop
from app.changes import repository as changes
from app.core import metrics
from app.core.db import Connection
from app.customers import repository as customers
from app.scoring import repository as scores
from app.scoring import service as scoring


async def refresh(db: Connection, shop: Shop, *, limit: int) -> int:
    """Take up to `limit` change rows and recompute their customers. Returns how many rows were done with.

    A customer whom another refresh holds is left, with the change rows, for the next batch: an older snapshot can
    therefore never be written over a newer one. What changed of who is merged is looked at where it belongs now.
    """
    rows = await changes.peek_changes(db, shop.id, limit)
    if not rows:
        return 0
    changed = {row["customer_id"] for row in rows}
    owners = await customers.owners_of(db, shop.id, sorted(changed))
    if merged := sorted(customer_id for customer_id, owner in owners.items() if owner != customer_id):
        await scores.forget_merged(db, shop.id, merged)
    wanted = sorted({owners.get(customer_id, customer_id) for customer_id in changed})
    await scores.ensure_stats(db, shop.id, wanted, shop.zone.key)
    free = await scores.lock(db, shop.id, wanted, wait=False)
    if free:
        await scoring.measure(db, shop, free, await scoring.hold_published(db, shop))
        metrics.REFRESHED.inc(len(free))
    held_elsewhere = await scores.known(db, shop.id, sorted(set(wanted) - set(free)))
    done = [row["id"] for row in rows if owners.get(row["customer_id"]) not in held_elsewhere]
    await changes.drop_changes(db, shop.id, done)
    return len(done)

"""Looks again at customers whose facts changed: a batch is one transaction, and two never meet on one customer."""

from collections.abc import Mapping, Sequence
from typing import Final

from app.access.shops import Shop
from app.changes import repository as changes
from app.changes.repository import FACT, RUN, What
from app.core import metrics
from app.core.db import Connection, Row
from app.customers import repository as customers
from app.scoring import measuring
from app.scoring import repository as scores
from app.segments.membership import keeping as membership
from app.segments.membership.moving import Cause

_WEIGHT: Final[tuple[Cause, ...]] = ("merge", "fact", "run", "time")  # of several, the first is told
FEW: Final = 20  # up to so many, a plan of their own would cost more than it saves


async def refresh(db: Connection, shop: Shop, *, limit: int) -> int:
    """Take up to `limit` change rows and recompute their customers. Returns how many rows were done with.

    A customer whom another refresh holds is left, with the change rows, for the next batch: an older snapshot can
    therefore never be written over a newer one. What changed of who is merged is looked at where it belongs now.
    """
    rows = await changes.peek_changes(db, shop.id, limit)
    if not rows:
        return 0
    changed = {row["customer_id"] for row in rows}
    by_fact = {row["customer_id"] for row in rows if row["cause"] == FACT}
    owners = await customers.owners_of(db, shop.id, sorted(changed))
    if merged := sorted(customer_id for customer_id, owner in owners.items() if owner != customer_id):
        await scores.forget_merged(db, shop.id, merged)
    if len(changed) > FEW:
        await db.execute(scores.PLAN_FOR_MANY)
    wanted = sorted({owners.get(customer_id, customer_id) for customer_id in changed})
    await scores.ensure_stats(db, shop.id, wanted, shop.zone.key)
    free = await scores.lock(db, shop.id, wanted, wait=False)
    if free or merged:
        told = {owners.get(customer_id) for customer_id in by_fact}
        by_time = [customer_id for customer_id in free if customer_id not in told]
        yardstick = await measuring.hold_published(db, shop)
        if free:
            await measuring.measure(db, shop, free, yardstick, by_time)
        # After the scores, which rules ask for, and behind the clock, which whoever publishes a definition holds.
        causes = _causes(rows, owners)
        told_at = max(row["changed_at"] for row in rows)
        what = _what(rows, owners)
        await membership.keep(db, shop, free, causes, {one: owners[one] for one in merged}, what=what, told_at=told_at)
        metrics.REFRESHED.inc(len(free))
    held_elsewhere = await scores.known(db, shop.id, sorted(set(wanted) - set(free)))
    done = [row["id"] for row in rows if owners.get(row["customer_id"]) not in held_elsewhere]
    await changes.drop_changes(db, shop.id, done)
    return len(done)


def _what(rows: Sequence[Row], owners: Mapping[int, int]) -> dict[int, set[What]]:
    """All that has changed, of those of whom each change says so; a merge is more than it says."""
    found: dict[int, set[What]] = {}
    unsaid = set()
    for row in rows:
        owner = owners.get(row["customer_id"], row["customer_id"])
        if row["what"] is None or owner != row["customer_id"]:
            unsaid.add(owner)
        else:
            found.setdefault(owner, set()).add(row["what"])
    return {owner: what for owner, what in found.items() if owner not in unsaid}


def _causes(rows: Sequence[Row], owners: Mapping[int, int]) -> dict[int, Cause]:
    """Why each is looked at: a merge that brought others, a fact, a run, or time alone."""
    found: dict[int, Cause] = {}
    for row in rows:
        owner = owners.get(row["customer_id"], row["customer_id"])
        cause: Cause = "fact" if row["cause"] == FACT else "run" if row["cause"] == RUN else "time"
        if owner != row["customer_id"]:
            cause = "merge"
        found[owner] = min(cause, found.get(owner, cause), key=_WEIGHT.index)
    return found

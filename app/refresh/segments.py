"""The worker's steps for segments: a whole build as a job, and the sweep of a shop as time passes."""

from datetime import datetime
from functools import partial
from typing import Any, Final

from app.access.entry import Entry, in_shop
from app.access.shops import Shop
from app.changes import jobs
from app.core.db import Connection
from app.refresh.service import FEW
from app.scoring import measuring
from app.scoring import repository as scores
from app.segments.membership import building, sweeping
from app.segments.membership.requests import request_build
from app.segments.membership.sweeping import Turned

_CHUNK: Final = 5_000


async def build(lease: jobs.Lease) -> dict[str, Any]:
    """The job: note that it has begun, ask everybody, publish. Run again after a crash it starts anew.

    Raises: LeaseLost.
    """
    told = lease.arguments
    segment_id = told["segment_id"]
    await in_shop(lease.entry, lease.shop_id, lambda db, shop: building.begin(db, shop, lease.job_id, segment_id))

    async def publish(db: Connection, shop: Shop) -> dict[str, Any]:
        result = await building.build(
            db, shop, lease.job_id, segment_id, told["version"], told["cause"], told.get("snapshot")
        )
        for user in result.pop("users", ()):
            await request_build(db, shop.id, user, None, told["cause"])
        # With what it has published: whoever has lost the lease meanwhile publishes nothing.
        await lease.report_in(db, 1, 1, {})
        return result

    async with lease.kept():
        return await in_shop(lease.entry, lease.shop_id, publish)


async def sweep_segments(entry: Entry, shop_id: int, *, every: float = sweeping.EVERY_SECONDS) -> int:
    """Ask again whom time has turned, where it is time for that. Returns how many moved; safe side by side."""
    if not await in_shop(entry, shop_id, partial(sweeping.claim, every=every)):
        return 0
    return await sweep_to(entry, shop_id, None)


async def sweep_to(entry: Entry, shop_id: int, to: datetime | None) -> int:
    """The sweep itself, up to a moment or to now."""
    turned = await in_shop(entry, shop_id, partial(sweeping.look, to=to))
    if turned is None:
        return 0
    everybody, moved = turned.everybody(), 0
    for start in range(0, len(everybody), _CHUNK):
        step = partial(_ask, turned=turned, customer_ids=everybody[start : start + _CHUNK])
        moved += await in_shop(entry, shop_id, step)
    await in_shop(entry, shop_id, partial(sweeping.finish, turned=turned))
    return moved


async def _ask(db: Connection, shop: Shop, *, turned: Turned, customer_ids: list[int]) -> int:
    # In the refresh's order: the customers, then the clock. Who has no stats yet is looked at by a refresh to come.
    if len(customer_ids) > FEW:
        await db.execute(scores.PLAN_FOR_MANY)
    held = await scores.lock(db, shop.id, customer_ids, wait=True)
    await measuring.hold_published(db, shop)
    return await sweeping.sweep(db, shop, turned, held)

"""The attributes room's work in the background."""

from typing import Any

from app.access.entry import in_shop
from app.access.shops import Shop
from app.attributes import service
from app.changes import jobs
from app.core.db import Connection


async def remove_values(lease: jobs.Lease) -> dict[str, Any]:
    """Remove all values of an attribute that was dropped, in chunks. Safe to run again: what is gone is not found.

    Raises: LeaseLost.
    """
    removed = 0

    async def step(db: Connection, shop: Shop) -> int:
        return await service.remove_values(db, shop, lease.arguments["name"])

    while count := await in_shop(lease.entry, lease.shop_id, step):
        removed += count
        await lease.report(removed, None, {})
    return {"removed": removed}

"""The tags room's work in the background."""

from typing import Any

from app.access.entry import in_shop
from app.access.shops import Shop
from app.changes.jobs import Lease
from app.core.db import Connection
from app.tags import service


async def remove_assignments(lease: Lease) -> dict[str, Any]:
    """Take a tag that was dropped from all its customers, in chunks. Safe to run again: what is gone is not found.

    Raises: LeaseLost.
    """
    removed = 0

    async def step(db: Connection, shop: Shop) -> int:
        return await service.remove_assignments(db, shop.id, lease.arguments["tag_id"], lease.arguments["name"])

    while count := await in_shop(lease.entry, lease.shop_id, step):
        removed += count
        await lease.report(removed, None, {})
    return {"removed": removed}

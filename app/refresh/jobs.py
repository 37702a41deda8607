"""What the workers call: the refresh step, and the night's full run."""

from datetime import time
from typing import Final

from app.access.entry import Entry, in_shop
from app.access.shops import Shop
from app.core import clock
from app.core.db import Connection
from app.refresh import rescore, service

NIGHT: Final = time(2, 0)


async def refresh_changed(entry: Entry, limit: int, shop_id: int) -> int:
    """Look again at the shop's customers whose facts changed. Returns how many rows were done; safe side by side."""

    async def step(db: Connection, shop: Shop) -> int:
        return await service.refresh(db, shop, limit=limit)

    return await in_shop(entry, shop_id, step)


async def ask_for_nightly_run(entry: Entry, shop_id: int) -> None:
    """Queue tonight's full run once it is two in the morning in the shop; asked again, it is the same job."""
    async with entry.shop(shop_id) as (db, shop):
        local = clock.now().astimezone(shop.zone)
        if shop.pinned_as_of is None and local.time() >= NIGHT:
            await rescore.request(db, shop, key=f"nightly:{local.date().isoformat()}")

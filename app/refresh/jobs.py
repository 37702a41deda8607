"""What the workers call: the refresh step, the sweep of a new day, and the night's full run."""

from datetime import time
from typing import Final

from app.access.entry import Entry, in_shop
from app.access.shops import Shop
from app.core import clock
from app.core.db import Connection
from app.refresh import requests, service, sweep
from app.scoring import service as scoring

NIGHT: Final = time(2, 0)


async def refresh_changed(entry: Entry, limit: int, shop_id: int) -> int:
    """Look again at the shop's customers whose facts changed. Returns how many rows were done; safe side by side.

    Where the shop's day is another by now, it is swept at once: today's facts count from then on.
    """

    async def step(db: Connection, shop: Shop) -> tuple[int, bool]:
        done = await service.refresh(db, shop, limit=limit)
        return done, await scoring.stands_at(db, shop) == shop.live_as_of()

    done, today = await in_shop(entry, shop_id, step)
    if not today:
        await sweep_day(entry, shop_id)
    return done


async def sweep_day(entry: Entry, shop_id: int) -> int:
    """Mark whose scores a new day of the shop's changes. Returns how many; 0 while the day is the same."""

    async def step(db: Connection, shop: Shop) -> int:
        return await sweep.sweep(db, shop)

    return await in_shop(entry, shop_id, step)


async def ask_for_nightly_run(entry: Entry, shop_id: int) -> None:
    """Queue tonight's full run once it is two in the morning in the shop; asked again, it is the same job."""
    async with entry.shop(shop_id) as (db, shop):
        local = clock.now().astimezone(shop.zone)
        if shop.pinned_as_of is None and local.time() >= NIGHT:
            await requests.rescore(db, shop, key=f"nightly:{local.date().isoformat()}")

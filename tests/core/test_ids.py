"""Customer numbers: each is handed out once, however many take at the same time."""

import asyncio

from app.access.entry import Entry
from app.access.shops import Shop
from app.core.ids import BLOCK, CustomerIds


async def test_takers_at_the_same_time_all_get_what_they_asked_for(entry: Entry, shop: Shop) -> None:
    ids = CustomerIds()

    async def take(count: int) -> list[int]:
        async with entry.shop(shop.id) as (db, _):
            return await ids.take(db, count)

    sizes = [1, BLOCK - 1, BLOCK, 7, 3 * BLOCK, 50, 250]
    taken = await asyncio.gather(*map(take, sizes))
    assert [len(numbers) for numbers in taken] == sizes
    assert len({number for numbers in taken for number in numbers}) == sum(sizes)

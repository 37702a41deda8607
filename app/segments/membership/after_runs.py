"""What a full run of scores means for segments: whom it changes is asked again, and shares are measured anew."""

from app.access.shops import Shop
from app.core.db import Connection
from app.segments.membership.plan import standing
from app.segments.membership.requests import request_build


async def any_kept(db: Connection, shop: Shop) -> bool:
    """Whether the shop has segments to be kept, or builds its first."""
    stand = await standing(db, shop)
    return stand is not None and (stand.building or bool(stand.plan.rules))


async def build_shares(db: Connection, shop: Shop) -> None:
    """After a full run: the values that shares begin at are measured again, and everybody is asked by them."""
    stand = await standing(db, shop)
    for kept in stand.plan.rules.values() if stand else ():
        if kept.shares:
            await request_build(db, shop.id, kept.segment_id, None, "run")

"""Asking for a build."""

from typing import Any, Final

from app.access.shops import Shop
from app.changes import jobs
from app.core.db import Connection, Row
from app.segments.membership.moving import Cause
from app.segments.membership.plan import standing

BUILD: Final = "build_segment"


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


async def request_build(
    db: Connection,
    shop_id: int,
    segment_id: int,
    version: int | None,
    cause: Cause,
    *,
    snapshot: dict[str, Any] | None = None,
    key: str | None = None,
) -> Row:
    """Queue the build of a version; None is the one that is live by then. Returns the job's row."""
    arguments = {"segment_id": segment_id, "version": version, "cause": cause, "snapshot": snapshot}
    return await jobs.enqueue(db, shop_id, BUILD, arguments, key=key)

"""Puts tags on everybody who is in a segment, or takes them off: once, by hand, a step of customers at a time."""

from collections.abc import Collection
from datetime import datetime
from itertools import product
from typing import Any, Final

from app.access.entry import in_shop
from app.access.shops import Shop
from app.changes import jobs
from app.core.db import Connection, Row
from app.segments.membership import reading
from app.tags import service as tags

TAG_MEMBERS: Final = "tag_segment"
_AT_ONCE: Final = 1_000


async def ask(
    db: Connection,
    shop: Shop,
    segment_id: int,
    *,
    add: Collection[int | str],
    remove: Collection[int | str],
    actor: str,
    reason: str | None,
    valid_until: datetime | None,
    key: str | None,
) -> Row:
    """Queue it. Returns the job's row. Raises TagNotFound, TagIsAutomatic, TagDisabled."""
    ids = await tags.resolve(db, shop.id, [*add, *remove])
    adding, removing = sorted({ids[tag] for tag in add}), sorted({ids[tag] for tag in remove})
    await tags.refuse_closed(db, shop.id, adding, giving=True)
    await tags.refuse_closed(db, shop.id, removing, giving=False)
    arguments = {
        "segment_id": segment_id,
        "add": adding,
        "remove": removing,
        "actor": actor,
        "reason": reason,
        "valid_until": valid_until.isoformat() if valid_until else None,
    }
    return await jobs.enqueue(db, shop.id, TAG_MEMBERS, arguments, key=key)


async def tag_members(lease: jobs.Lease) -> dict[str, Any]:
    """The job: whoever is in the segment when its turn comes. Resumes where a dead worker stopped.

    Raises: LeaseLost.
    """
    told = lease.arguments
    done, after = told.get("done", 0), told.get("after", 0)
    total = await in_shop(lease.entry, lease.shop_id, lambda db, of: reading.count(db, of.id, told["segment_id"], None))

    async def step(db: Connection, shop: Shop) -> list[int]:
        rows = await reading.members(db, shop.id, told["segment_id"], after, _AT_ONCE, None)
        customers = [row["customer_id"] for row in rows]
        if customers:
            await _tag(db, shop, customers, told)
            reached = {"done": done + len(customers), "after": customers[-1]}
            await lease.report_in(db, reached["done"], max(total, reached["done"]), reached)
        return customers

    while customers := await in_shop(lease.entry, lease.shop_id, step):
        done, after = done + len(customers), customers[-1]
    return {"customers": done}


async def _tag(db: Connection, shop: Shop, customers: list[int], told: dict[str, Any]) -> None:
    if told["add"]:
        until = datetime.fromisoformat(told["valid_until"]) if told["valid_until"] else None
        given: dict[str, Any] = {"actor": told["actor"], "valid_until": until, "reason": told["reason"]}
        await tags.give(db, shop.id, set(product(customers, told["add"])), source="manual", **given)
    if told["remove"]:
        await tags.take(db, shop.id, set(product(customers, told["remove"])), source="manual")

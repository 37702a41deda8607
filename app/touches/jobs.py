"""Touches in the background: planned in chunks from a request, then decided and handed to their channel."""

from typing import Any, Final
from uuid import UUID

from app.access.entry import Entry, in_shop
from app.access.shops import Shop
from app.changes import repository as changes
from app.changes.jobs import Lease
from app.core import clock, metrics
from app.core.db import Connection, Row
from app.core.ids import derived_id
from app.touches import repository, service

REQUESTED: Final = "touch.requested"
_CHUNK: Final = 1000
_BATCH: Final = 500


async def plan_touches(lease: Lease) -> dict[str, Any]:
    """Put a request's touches into the outbox. Resumes behind the last chunk; a chunk done twice adds nothing.

    Raises: LeaseLost.
    """
    shop_id = lease.shop_id
    async with lease.entry.database.transaction(shop_id) as db:
        request = await repository.get_request(db, shop_id, UUID(lease.arguments["request_id"]))
        if request is None:
            raise LookupError("the request of a planning job is written with it")
        total = await _size(db, request)
    after, done = lease.arguments.get("after", 0), lease.arguments.get("planned", 0)
    while True:
        async with lease.entry.database.transaction(shop_id) as db:
            chunk = await _next_chunk(db, request, after)
            if chunk:
                ids = [derived_id("touch", shop_id, request["key"], customer_id) for customer_id in chunk]
                await repository.plan(db, shop_id, request, ids, chunk, clock.now())
                after, done = chunk[-1], done + len(chunk)
            await lease.report_in(db, done, total, {"after": after, "planned": done})
        if len(chunk) < _CHUNK:
            return {"planned": done}


async def send_due(entry: Entry, shop_id: int) -> int:
    """Decide about due touches: refused with a reason, or on their way. Returns how many were decided.

    The decision and the fact that carries the touch commit together. Safe to run twice and side by side.
    """
    return await in_shop(entry, shop_id, _send_due)


async def _send_due(db: Connection, shop: Shop) -> int:
    due = await db.fetch(repository.LOCK_DUE, shop_id=shop.id, limit=_BATCH)
    if not due:
        return 0
    asked = await db.fetch(repository.GET_REQUESTS, shop_id=shop.id, ids=sorted({touch["request_id"] for touch in due}))
    requests = {row["id"]: row for row in asked}
    # Read after the lock: a consent withdrawn before it is seen, and one withdrawn later is asked for at delivery.
    reasons = await service.refused(db, shop.id, [(touch, requests[touch["request_id"]]) for touch in due])
    twice = await repository.meant_for_one(db, shop.id, [touch["id"] for touch in due if touch["id"] not in reasons])
    reasons |= dict.fromkeys(twice, service.SAME_PERSON)
    moment = clock.now()
    await db.execute(
        repository.DECIDE,
        shop_id=shop.id,
        ids=[touch["id"] for touch in due],
        reasons=[reasons.get(touch["id"]) for touch in due],
        moment=moment,
    )
    leaving = [touch for touch in due if touch["id"] not in reasons]
    facts = [_fact(touch, requests[touch["request_id"]]) for touch in leaving]
    await changes.emit(db, shop.id, facts, moment, ids=[touch["id"] for touch in leaving])
    metrics.TOUCHES.labels("suppressed").inc(len(reasons))
    return len(due)


def _fact(touch: Row, request: Row) -> tuple[str, int | None, dict[str, Any]]:
    return (
        REQUESTED,
        touch["customer_id"],
        {
            "touch_id": str(touch["id"]),
            "request_id": str(touch["request_id"]),
            "customer_id": touch["customer_id"],
            "template": request["template_code"],
            "category": request["category"],
            "message": request["message"],
            "variables": request["variables"],
        },
    )


async def _size(db: Connection, request: Row) -> int:
    audience = request["audience"]
    if "customer_ids" in audience:
        return len(audience["customer_ids"])
    return int(await db.fetch_value(repository.TIER_SIZE, shop_id=request["shop_id"], tier=audience["tier"]))


async def _next_chunk(db: Connection, request: Row, after: int) -> list[int]:
    """The next customers of the audience, in the order of their numbers."""
    audience = request["audience"]
    if "customer_ids" in audience:
        return [number for number in audience["customer_ids"] if number > after][:_CHUNK]
    rows = await db.fetch(
        repository.TIER_AFTER, shop_id=request["shop_id"], tier=audience["tier"], after=after, limit=_CHUNK
    )
    return [row["customer_id"] for row in rows]

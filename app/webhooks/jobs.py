"""Fan-out: facts become messages owed to endpoints."""

from collections.abc import Sequence
from functools import partial
from typing import Any, Final
from uuid import UUID

import orjson

from app.access.entry import Entry, in_shop
from app.access.shops import Shop
from app.changes.repository import take_events
from app.core.db import Connection, Row
from app.core.ids import derived_id
from app.touches import service as touches
from app.touches.jobs import REQUESTED
from app.touches.repository import Outcome
from app.webhooks import queue

NO_ENDPOINT: Final = "no_endpoint"
_COLUMNS: Final = ("ids", "endpoint_ids", "message_ids", "touch_ids", "kinds", "bodies")


async def fan_out(entry: Entry, shop_id: int, *, limit: int = 500) -> int:
    """Take facts and owe each to its subscribers. Returns how many facts; safe to run twice and side by side."""
    return await in_shop(entry, shop_id, partial(_fan_out, limit=limit))


async def _fan_out(db: Connection, shop: Shop, *, limit: int) -> int:
    events = await take_events(db, shop.id, limit)
    if not events:
        return 0
    subscriptions = await db.fetch(queue.SUBSCRIPTIONS, shop_id=shop.id)
    columns: dict[str, list[Any]] = {name: [] for name in _COLUMNS}
    homeless: list[Outcome] = []
    for event in events:
        subscribed = [endpoint["id"] for endpoint in subscriptions if event["kind"] in endpoint["kinds"]]
        if event["kind"] == REQUESTED and not subscribed:
            homeless.append(Outcome(event["id"], "failed", NO_ENDPOINT))
        for values in _messages(event, subscribed):
            for name, value in zip(_COLUMNS, values, strict=True):
                columns[name].append(value)
    await queue.add(db, shop.id, columns)
    await touches.record_outcomes(db, shop.id, homeless)
    return len(events)


def _messages(event: Row, subscribed: Sequence[UUID]) -> list[tuple[Any, ...]]:
    """What is owed because of one fact. A touch goes to the oldest endpoint: two would reach the customer twice."""
    if not subscribed:
        return []
    body = orjson.dumps({"type": event["kind"], "timestamp": event["occurred_at"], "data": event["data"]}).decode()
    kind, message_id = event["kind"], str(event["id"])
    if kind == REQUESTED:
        return [(event["id"], subscribed[0], message_id, event["id"], kind, body)]
    return [
        (derived_id("delivery", endpoint_id, message_id), endpoint_id, message_id, None, kind, body)
        for endpoint_id in subscribed
    ]

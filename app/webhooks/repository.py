"""The webhooks room's SQL: subscriptions, and the log that callers read. What the worker runs is in `queue`."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, select, text, tuple_
from sqlalchemy import bindparam as p

from app.core.db import Connection, Row, Statement, statement
from app.webhooks.models import webhook_attempts, webhook_deliveries, webhook_endpoints

ATTEMPTS_SHOWN: Final = 100

ADD_ENDPOINT = statement(
    text(
        """
        insert into webhook_endpoints (shop_id, id, url, kinds, secret, format, client_id, unmasked, created_at)
        values (:shop_id, :id, :url, :kinds, :secret, :format, :client_id, :unmasked, :moment)
        returning *
        """
    )
)
GET_ENDPOINT = statement(
    select(webhook_endpoints).where(webhook_endpoints.c.shop_id == p("shop_id"), webhook_endpoints.c.id == p("id"))
)
LOCK_ENDPOINT = statement(
    select(webhook_endpoints.c.id)
    .where(webhook_endpoints.c.shop_id == p("shop_id"), webhook_endpoints.c.id == p("id"))
    .with_for_update()
)
LIST_ENDPOINTS = statement(
    select(webhook_endpoints)
    .where(webhook_endpoints.c.shop_id == p("shop_id"), webhook_endpoints.c.id > p("after"))
    .order_by(webhook_endpoints.c.id)
    .limit(p("limit"))
)
# Who sends the messages elsewhere must itself be allowed to see what is in them.
CHANGE_ENDPOINT = statement(
    text(
        """
        update webhook_endpoints set
            url = coalesce(cast(:url as text), url),
            kinds = coalesce(cast(:kinds as text[]), kinds),
            unmasked = unmasked and (cast(:url as text) is null or cast(:unmasked as boolean)),
            state = case cast(:enabled as boolean) when true then 'enabled' when false then 'disabled' else state end,
            reason = case cast(:enabled as boolean) when true then null when false then 'by_request' else reason end,
            failing_since = case when cast(:enabled as boolean) then null else failing_since end,
            probe_id = case when cast(:enabled as boolean) then null else probe_id end,
            window_at = case when cast(:enabled as boolean) then null else window_at end
        where shop_id = :shop_id and id = :id
        returning *
        """
    )
)
ROTATE_SECRET = statement(
    text(
        """
        update webhook_endpoints set previous_secret = secret, previous_until = :previous_until, secret = :secret
        where shop_id = :shop_id and id = :id
        returning *
        """
    )
)
DROP_ENDPOINT = statement(text("delete from webhook_endpoints where shop_id = :shop_id and id = :id"))
CANCEL_ALL = statement(
    text(
        """
        update webhook_deliveries set state = 'cancelled', last_error = :reason, finished_at = :moment
        where shop_id = :shop_id and endpoint_id = :endpoint_id and state in ('pending', 'sending')
        returning touch_id, attempt
        """
    )
)

GET_DELIVERY = statement(
    select(webhook_deliveries).where(webhook_deliveries.c.shop_id == p("shop_id"), webhook_deliveries.c.id == p("id"))
)
LOCK_DELIVERY = statement(
    select(webhook_deliveries)
    .where(webhook_deliveries.c.shop_id == p("shop_id"), webhook_deliveries.c.id == p("id"))
    .with_for_update()
)
ATTEMPTS = statement(
    select(webhook_attempts)
    .where(webhook_attempts.c.shop_id == p("shop_id"), webhook_attempts.c.delivery_id == p("delivery_id"))
    .order_by(webhook_attempts.c.attempt.desc())
    .limit(ATTEMPTS_SHOWN)
)
RESEND = statement(
    text(
        """
        update webhook_deliveries set
            state = 'pending', failures = 0, crashes = 0, due_at = now(), finished_at = null
        where shop_id = :shop_id and id = :id
        returning *
        """
    )
)


def _log(*filters: ColumnElement[bool]) -> Statement:
    return statement(
        select(webhook_deliveries)
        .where(
            webhook_deliveries.c.shop_id == p("shop_id"),
            webhook_deliveries.c.endpoint_id == p("endpoint_id"),
            tuple_(webhook_deliveries.c.created_at, webhook_deliveries.c.id) < tuple_(p("created_at"), p("id")),
            *filters,
        )
        .order_by(webhook_deliveries.c.created_at.desc(), webhook_deliveries.c.id.desc())
        .limit(p("limit"))
    )


LOG: Final = _log()
LOG_IN_STATE: Final = _log(webhook_deliveries.c.state == p("state"))


async def get_endpoint(db: Connection, shop_id: int, endpoint_id: UUID) -> Row | None:
    """The subscription, or None."""
    return await db.fetch_one(GET_ENDPOINT, shop_id=shop_id, id=endpoint_id)


async def change_endpoint(db: Connection, shop_id: int, endpoint_id: UUID, values: Mapping[str, Any]) -> Row | None:
    """Write url, kinds and enabled; None keeps. `unmasked`: whether the caller may see personal fields.

    Returns: None when there is no such subscription.
    """
    return await db.fetch_one(CHANGE_ENDPOINT, shop_id=shop_id, id=endpoint_id, **values)


async def drop_endpoint(
    db: Connection, shop_id: int, endpoint_id: UUID, reason: str, moment: datetime
) -> list[Row] | None:
    """Remove a subscription and cancel what it is still owed. Returns those deliveries, None without a subscription.

    Locked first: a fan-out that saw the subscription commits before, so that nothing is owed to it afterwards.
    """
    if await db.fetch_value(LOCK_ENDPOINT, shop_id=shop_id, id=endpoint_id) is None:
        return None
    cancelled = await db.fetch(CANCEL_ALL, shop_id=shop_id, endpoint_id=endpoint_id, reason=reason, moment=moment)
    await db.execute(DROP_ENDPOINT, shop_id=shop_id, id=endpoint_id)
    return cancelled


async def get_delivery(db: Connection, shop_id: int, delivery_id: UUID) -> tuple[Row, list[Row]] | None:
    """The delivery with its newest attempts, oldest first; or None."""
    row = await db.fetch_one(GET_DELIVERY, shop_id=shop_id, id=delivery_id)
    if row is None:
        return None
    attempts = await db.fetch(ATTEMPTS, shop_id=shop_id, delivery_id=delivery_id)
    return row, attempts[::-1]


async def list_deliveries(
    db: Connection, shop_id: int, endpoint_id: UUID, *, state: str | None, before: tuple[datetime, UUID], limit: int
) -> list[Row]:
    """Deliveries older than a position, newest first."""
    place = {"endpoint_id": endpoint_id, "created_at": before[0], "id": before[1], "limit": limit}
    if state is None:
        return await db.fetch(LOG, shop_id=shop_id, **place)
    return await db.fetch(LOG_IN_STATE, shop_id=shop_id, state=state, **place)

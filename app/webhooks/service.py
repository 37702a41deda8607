"""Subscriptions: made, changed, removed; messages sent again by request."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from app.access.entry import Caller
from app.access.shops import Shop
from app.core import clock
from app.core.db import Connection, Row
from app.core.errors import Unprocessable
from app.core.ids import new_id
from app.core.targets import BadUrl, Network, check_url
from app.touches import service as touches
from app.touches.repository import Outcome
from app.webhooks import queue, repository, signing, youzan
from app.webhooks.errors import DeliveryNotFound, EndpointDisabled, EndpointNotFound, NotResendable, UrlRefused
from app.webhooks.schemas import EndpointCreate, EndpointUpdate

OLD_SECRET_GRACE: Final = timedelta(hours=24)
REMOVED: Final = "endpoint_removed"
_SECRET: Final = "webhook_endpoints.secret"  # noqa: S105 the name of a column


async def create(
    db: Connection, shop: Shop, caller: Caller, wanted: EndpointCreate, allow_networks: Sequence[Network]
) -> tuple[Row, str]:
    """Subscribe. Returns the endpoint and its signing secret. Raises UrlRefused, Unprocessable."""
    _check(wanted.url, allow_networks)
    _check_kinds(wanted.format, wanted.kinds)
    secret = signing.new_secret()
    row = await db.fetch_one(
        repository.ADD_ENDPOINT,
        shop_id=shop.id,
        id=new_id(),
        url=wanted.url,
        kinds=list(wanted.kinds),
        secret=shop.keys.seal(_SECRET, secret),
        format=wanted.format,
        client_id=(wanted.client_id or caller.client_id) if wanted.format == youzan.FORMAT else None,
        unmasked=caller.unmasked,
        moment=clock.now(),
    )
    assert row is not None  # noqa: S101 inserted
    return row, secret


async def change(
    db: Connection,
    shop: Shop,
    caller: Caller,
    endpoint_id: UUID,
    wanted: EndpointUpdate,
    allow_networks: Sequence[Network],
) -> Row:
    """Change what was sent; enabling takes up what is still owed.

    Raises: UrlRefused, EndpointNotFound, Unprocessable.
    """
    if wanted.url is not None:
        _check(wanted.url, allow_networks)
    if wanted.kinds is not None:
        before = await repository.get_endpoint(db, shop.id, endpoint_id)
        if before is None:
            raise EndpointNotFound(field="endpoint_id")
        _check_kinds(before["format"], wanted.kinds)
    changes = wanted.model_dump() | {"unmasked": caller.unmasked}
    row = await repository.change_endpoint(db, shop.id, endpoint_id, changes)
    if row is None:
        raise EndpointNotFound(field="endpoint_id")
    db.ring(queue.DELIVERIES_BELL)
    return row


async def rotate_secret(db: Connection, shop: Shop, endpoint_id: UUID) -> tuple[Row, str]:
    """A new signing secret; the one before signs too for a day. Raises EndpointNotFound."""
    secret = signing.new_secret()
    row = await db.fetch_one(
        repository.ROTATE_SECRET,
        shop_id=shop.id,
        id=endpoint_id,
        secret=shop.keys.seal(_SECRET, secret),
        previous_until=clock.now() + OLD_SECRET_GRACE,
    )
    if row is None:
        raise EndpointNotFound(field="endpoint_id")
    return row, secret


async def remove(db: Connection, shop: Shop, endpoint_id: UUID) -> None:
    """Unsubscribe; what was still owed is cancelled, and touches among it have failed. Raises EndpointNotFound."""
    cancelled = await repository.drop_endpoint(db, shop.id, endpoint_id, REMOVED, clock.now())
    if cancelled is None:
        raise EndpointNotFound(field="endpoint_id")
    outcomes = [Outcome(row["touch_id"], "failed", REMOVED, row["attempt"]) for row in cancelled if row["touch_id"]]
    await touches.record_outcomes(db, shop.id, outcomes)


async def resend(db: Connection, shop: Shop, delivery_id: UUID) -> Row:
    """Send a message again under its id, with a new set of attempts. Consent is asked for again when it leaves.

    Raises: DeliveryNotFound, NotResendable.
    """
    row = await db.fetch_one(repository.LOCK_DELIVERY, shop_id=shop.id, id=delivery_id)
    if row is None:
        raise DeliveryNotFound(field="delivery_id")
    if row["state"] == "cancelled":
        raise NotResendable(f"It was cancelled ({row['last_error']}); make a new request instead")
    if row["state"] == "sending":
        raise NotResendable("It is on its way; try again once the attempt is over")
    endpoint = await repository.get_endpoint(db, shop.id, row["endpoint_id"])
    if endpoint is None or endpoint["state"] != "enabled":
        raise NotResendable("Its endpoint is disabled or removed; enable it first: PATCH /v1/webhooks/{id}")
    if row["touch_id"] is not None:
        await touches.reopen(db, shop.id, row["touch_id"])
    db.ring(queue.DELIVERIES_BELL)
    resent = await db.fetch_one(repository.RESEND, shop_id=shop.id, id=delivery_id)
    assert resent is not None  # noqa: S101 locked above
    return resent


async def heartbeat(db: Connection, shop: Shop, endpoint_id: UUID) -> Row:
    """Owe an endpoint a message that only asks whether it is there; it is tried once. Returns the delivery.

    While messages are held back, the heartbeat that they wait for is sent now instead.

    Raises: EndpointNotFound, EndpointDisabled.
    """
    # Held like in a fan-out: a subscription that is being removed takes what it is owed along.
    if await db.fetch_value(repository.LOCK_ENDPOINT, shop_id=shop.id, id=endpoint_id) is None:
        raise EndpointNotFound(field="endpoint_id")
    endpoint = await repository.get_endpoint(db, shop.id, endpoint_id)
    if endpoint is None or endpoint["state"] != "enabled":
        raise EndpointDisabled
    delivery_id = endpoint["probe_id"]
    if delivery_id is None:
        delivery_id = await queue.add_heartbeat(db, shop.id, endpoint_id)
    else:
        await queue.hasten(db, shop.id, delivery_id)
    row = await db.fetch_one(repository.GET_DELIVERY, shop_id=shop.id, id=delivery_id)
    assert row is not None  # noqa: S101 inserted
    return row


def secrets(shop: Shop, endpoint: Row, moment: datetime) -> list[str]:
    """The secrets that are live, newest first. Raises CannotOpen."""
    sealed: list[Any] = [endpoint["secret"]]
    if endpoint["previous_secret"] is not None and endpoint["previous_until"] > moment:
        sealed.append(endpoint["previous_secret"])
    return [shop.keys.open(_SECRET, value) for value in sealed]


def _check_kinds(format_: str, kinds: Sequence[str]) -> None:
    if format_ == youzan.FORMAT and not set(kinds) <= set(youzan.STATUSES):
        raise Unprocessable(f"In Youzan's form there are only: {', '.join(youzan.STATUSES)}", field="kinds")


def _check(url: str, allow_networks: Sequence[Network]) -> None:
    try:
        check_url(url, allow_networks)
    except BadUrl as error:
        raise UrlRefused(str(error), field="url") from None

"""Decisions about sources and messages: whose are taken, which are kept, which are applied once more."""

from typing import Final
from uuid import UUID

from app.access.audit import Visit
from app.access.shops import Shop
from app.core import clock
from app.core.db import Connection, Row
from app.core.ids import new_id
from app.push import repository
from app.push.envelope import Envelope, genuine
from app.push.errors import MessageNotFound, PushRefused, SourceNotFound
from app.push.schemas import PushSourceWrite

SECRET: Final = "push_sources.secret"  # noqa: S105 the name of a column
BODY: Final = "push_messages.body"
PURPOSE: Final = "push"  # what the access log calls it: no scope, but a shared secret


async def put_source(db: Connection, shop: Shop, wanted: PushSourceWrite) -> Row:
    """The app whose messages the shop takes from now on, in place of any other."""
    row = await db.fetch_one(
        repository.PUT_SOURCE,
        shop_id=shop.id,
        client_id=wanted.client_id,
        secret=shop.keys.seal(SECRET, wanted.client_secret),
        state="enabled" if wanted.enabled else "disabled",
        moment=clock.now(),
    )
    assert row is not None  # noqa: S101 upserted
    return row


async def drop_source(db: Connection, shop: Shop, client_id: str) -> None:
    """Take nothing more from an app; what was taken stays. Raises SourceNotFound."""
    if not await db.execute(repository.DROP_SOURCE, shop_id=shop.id, client_id=client_id):
        raise SourceNotFound(field="client_id")


async def receive(db: Connection, shop: Shop, told: Envelope, body: bytes, event_sign: str, visit: Visit) -> str:
    """Keep a genuine message; one that is known already changes nothing. Returns "taken" or "repeated".

    Raises: PushRefused.
    """
    source = await db.fetch_one(repository.SOURCE_FOR, shop_id=shop.id, shops=list(told.shops))
    if source is None:
        raise PushRefused("source")
    if not genuine(told, body, event_sign, source["client_id"], shop.keys.open(SECRET, source["secret"])):
        raise PushRefused("signature")
    # One app may serve several shops with one secret: a message of another shop is genuine, and does not belong here.
    if told.shops and shop.id not in told.shops and not source["has_store"]:
        raise PushRefused("other_shop")
    visit.actor, visit.purpose = source["client_id"], PURPOSE
    moment = clock.now()
    stored = await db.execute(
        repository.KEEP,
        shop_id=shop.id,
        id=new_id(),
        msg_id=told.msg_id,
        type=told.type,
        status=told.status,
        subject_hash=subject_hash(shop, told.subject),
        version=told.version,
        body=shop.keys.seal(BODY, body.decode()),
        moment=moment,
    )
    db.ring(repository.PUSH_BELL)
    db.parting = visit.sql(shop.id)
    return "taken" if stored else "repeated"


async def replay(db: Connection, shop: Shop, message_id: UUID) -> Row:
    """Apply a message once more, with a new set of attempts. Raises MessageNotFound."""
    row = await db.fetch_one(repository.REPLAY, shop_id=shop.id, id=message_id)
    if row is None:
        raise MessageNotFound(field="message_id")
    db.ring(repository.PUSH_BELL)
    return row


def subject_hash(shop: Shop, subject: str) -> bytes:
    """Where messages about one thing are found: a business id may be a phone number, so it is kept as a keyed hash."""
    return shop.keys.blind("push", subject)

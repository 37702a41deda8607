"""What a customer allowed, and whom never to contact."""

from datetime import timedelta
from typing import Final

from app.access.shops import Shop
from app.changes.repository import mark_changed
from app.consent import repository
from app.consent.schemas import ConsentWrite, Person, SuppressionRemoval, SuppressionWrite
from app.core import clock
from app.core.db import Connection, Row
from app.core.errors import Unprocessable
from app.customers import service as customers
from app.customers.errors import CustomerNotFound

_CLOCK_DRIFT: Final = timedelta(minutes=5)


async def record(db: Connection, shop: Shop, consent: ConsentWrite) -> Row:
    """Append to the ledger. Returns the entry.

    Raises: CustomerNotFound; Unprocessable for a moment that is yet to come.
    """
    moment = clock.now()
    occurred_at = clock.localise(consent.occurred_at, shop.zone) if consent.occurred_at else moment
    if occurred_at > moment + _CLOCK_DRIFT:
        raise Unprocessable("Consent cannot be given in the future; check the sender's clock", field="occurred_at")
    values = consent.model_dump(include={"purpose", "channel", "state", "source"})
    row = await repository.add(
        db,
        shop.id,
        await _customer_id(db, shop, consent),
        values | {"occurred_at": min(occurred_at, moment), "recorded_at": moment},
    )
    if row is None:
        raise CustomerNotFound(field="customer_id")
    await mark_changed(db, shop.id, [row["customer_id"]], moment)
    return row


async def suppress(db: Connection, shop: Shop, entry: SuppressionWrite) -> int:
    """Put a person on the list. Returns how many identities; someone who is on it gets the new reason.

    An identity need not belong to a customer yet. Raises: CustomerNotFound.
    """
    values = {"channel": entry.channel, "reason": entry.reason, "moment": clock.now()}
    if entry.identity is not None:
        return await db.execute(repository.SUPPRESS, shop_id=shop.id, **_place(shop, entry), **values)
    customer_id = await _existing(db, shop, entry)
    return await db.execute(repository.SUPPRESS_CUSTOMER, shop_id=shop.id, customer_id=customer_id, **values)


async def lift(db: Connection, shop: Shop, removal: SuppressionRemoval) -> int:
    """Take a person off the list, for exactly the channel named. Returns how many identities.

    Raises: CustomerNotFound.
    """
    if removal.identity is not None:
        return await db.execute(repository.LIFT, shop_id=shop.id, channel=removal.channel, **_place(shop, removal))
    customer_id = await _existing(db, shop, removal)
    return await db.execute(repository.LIFT_CUSTOMER, shop_id=shop.id, customer_id=customer_id, channel=removal.channel)


async def _customer_id(db: Connection, shop: Shop, person: Person) -> int:
    if person.identity is None:
        return person.customer_id or 0
    found = await customers.find_record(db, shop, person.identity)
    if found is None:
        raise CustomerNotFound(field="identity")
    return found


async def _existing(db: Connection, shop: Shop, person: Person) -> int:
    return (await customers.get(db, shop, person.customer_id or 0)).id


def _place(shop: Shop, person: Person) -> dict[str, object]:
    assert person.identity is not None  # noqa: S101 both callers have looked
    return {"kind": person.identity.kind, "value_hash": customers.value_hash(shop, person.identity)}

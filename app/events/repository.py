"""The events room's SQL: a key is claimed once, and what was claimed is written as one set."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Text, any_, cast, select, text
from sqlalchemy import bindparam as p
from sqlalchemy.dialects.postgresql import ARRAY

from app.changes.repository import CHANGES_BELL
from app.core.db import Connection, Row, Rows, columns, statement, unnest
from app.core.ids import new_ids
from app.events.models import event_keys, event_types, invalid_events

KEYS_BELL: Final = "event_keys"  # nobody rings it: expired keys are found at every poll
KEY_DAYS: Final = 30

EVENT_ARRAYS: Final = {
    "id": "uuid",
    "occurred_at": "timestamptz",
    "claimed_at": "timestamptz",
    "origin_customer_id": "bigint",
    "identity_kind": "text",
    "identity_hash": "bytea",
    "type": "text",
    "properties": "text",  # JSON: an array of texts is sent sooner than one of objects
    "store_id": "bigint",
    "source": "text",
}
INVALID_ARRAYS: Final = EVENT_ARRAYS | {"properties": "bytea", "event_id": "text", "reason": "jsonb"}

# Sorted, so that two batches wait in one order. A key whose days are over is a new one, whether or not it was removed.
CLAIM_KEYS = statement(
    text(
        """
        with wanted as (
            select event_id, id from unnest(cast(:event_ids as text[]), cast(:ids as uuid[])) as t (event_id, id)
        ),
        claimed as (
            insert into event_keys as k (shop_id, event_id, id, received_at)
            select :shop_id, event_id, id, :moment from wanted order by event_id
            on conflict (shop_id, event_id) do update set id = excluded.id, received_at = excluded.received_at
            where k.received_at < :expired
            returning event_id
        )
        select event_id from wanted except select event_id from claimed
        """
    )
)
FIND_KEYS = statement(
    select(event_keys.c.event_id, event_keys.c.id).where(
        event_keys.c.shop_id == p("shop_id"), event_keys.c.event_id == any_(cast(p("event_ids"), ARRAY(Text)))
    )
)
HAS_EXPIRED_KEYS = statement(
    text(
        f"""
        select exists (
            select from event_keys
            where shop_id = :shop_id and received_at < now() - make_interval(days => {KEY_DAYS})
        )
        """  # noqa: S608 a number of our own
    )
)
FORGET_KEYS = statement(
    text(
        f"""
        delete from event_keys where shop_id = :shop_id and event_id = any(array(
            select event_id from event_keys
            where shop_id = :shop_id and received_at < now() - make_interval(days => {KEY_DAYS})
            order by received_at limit :limit for update skip locked
        ))
        """  # noqa: S608 a number of our own
    )
)


# Each of them once, whatever they did: `known` has a row for every person who brings something in the statement.
_MARKED: Final = """
    marked as (
        insert into customer_changes (shop_id, customer_id, what, changed_at)
        select distinct cast(:shop_id as bigint), owner, 'event', cast(:moment as timestamptz) from known
    )
"""


def _add(table: str, arrays: Mapping[str, str], properties: str, *more: str) -> str:
    """The people are held, so that what comes in belongs to who answers for them when this commits."""
    names = ", ".join(arrays)
    known = """
        known as (
            select id as record, coalesce(merged_into, id) as owner from customers
            where shop_id = :shop_id and id = any(cast(:origin_customer_id as bigint[])) order by id for key share
        )
    """
    return f"""
        with {", ".join((known, *more))}
        insert into {table} (shop_id, customer_id, received_at, {names})
        select :shop_id, known.owner, :moment, {names.replace("properties", properties)}
        from {unnest(arrays)} join known on known.record = t.origin_customer_id
    """  # noqa: S608 names of our own


ADD_EVENTS = statement(text(_add("events", EVENT_ARRAYS, "cast(properties as jsonb)", _MARKED)))
ADD_INVALID = statement(text(_add("invalid_events", INVALID_ARRAYS, "properties")))

LIST_INVALID = statement(
    select(invalid_events)
    .where(invalid_events.c.shop_id == p("shop_id"), invalid_events.c.id < p("before"))
    .order_by(invalid_events.c.id.desc())
    .limit(p("limit"))
)
LOCK_INVALID = statement(
    select(invalid_events)
    .where(invalid_events.c.shop_id == p("shop_id"), invalid_events.c.id == p("id"))
    .with_for_update()
)
VALID_OWNER = statement(text("select customer_id from events where shop_id = :shop_id and id = :id"))
_MOVED: Final = ", ".join(("shop_id", "received_at", *(name for name in EVENT_ARRAYS if name != "properties")))
MAKE_VALID = statement(
    text(
        f"""
        with known as (
            select c.id as record, coalesce(c.merged_into, c.id) as owner
            from invalid_events v join customers c on c.shop_id = v.shop_id and c.id = v.origin_customer_id
            where v.shop_id = :shop_id and v.id = :id for key share of c
        ),
        taken as (delete from invalid_events where shop_id = :shop_id and id = :id returning *),
        {_MARKED}
        insert into events (customer_id, {_MOVED}, properties)
        select known.owner, {_MOVED}, cast(:properties as jsonb)
        from taken join known on known.record = taken.origin_customer_id
        """  # noqa: S608 column names of our own
    )
)
SAY_WHY = statement(
    text(
        """
        update invalid_events set reason = cast(:reason as jsonb)
        where shop_id = :shop_id and id = :id and reason <> cast(:reason as jsonb)
        """
    )
)

ADD_TYPE = statement(
    text(
        """
        insert into event_types (shop_id, type, properties, created_at, updated_at)
        values (:shop_id, :type, :properties, :moment, :moment)
        on conflict do nothing
        returning *
        """
    )
)
CHANGE_TYPE = statement(
    text(
        """
        update event_types set properties = :properties, updated_at = :moment
        where shop_id = :shop_id and type = :type
        returning *
        """
    )
)
_TYPE: Final = select(event_types).where(event_types.c.shop_id == p("shop_id"), event_types.c.type == p("type"))
GET_TYPE = statement(_TYPE)
LOCK_TYPE = statement(_TYPE.with_for_update())
LIST_TYPES = statement(
    select(event_types)
    .where(event_types.c.shop_id == p("shop_id"), event_types.c.type > p("after"))
    .order_by(event_types.c.type)
    .limit(p("limit"))
)
_DECLARED: Final = select(event_types.c.type, event_types.c.properties).where(
    event_types.c.shop_id == p("shop_id"), event_types.c.type == any_(cast(p("types"), ARRAY(Text)))
)
DECLARED = statement(_DECLARED)
HOLD_DECLARED = statement(_DECLARED.order_by(event_types.c.type).with_for_update(read=True, key_share=True))
DROP_TYPE = statement(text("delete from event_types where shop_id = :shop_id and type = :type"))


async def claim_keys(db: Connection, shop_id: int, moment: datetime, event_ids: Collection[str]) -> dict[str, UUID]:
    """Take the keys that nobody has used in the last 30 days. Returns the id of the event to keep under each."""
    wanted = dict(zip(event_ids, new_ids(len(event_ids)), strict=True))
    # Told are those that others hold: mostly none.
    for (event_id,) in await db.fetch(
        CLAIM_KEYS,
        shop_id=shop_id,
        moment=moment,
        expired=moment - timedelta(days=KEY_DAYS),
        event_ids=wanted.keys(),
        ids=wanted.values(),
    ):
        del wanted[event_id]
    return wanted


async def find_keys(db: Connection, shop_id: int, event_ids: Sequence[str]) -> dict[str, UUID]:
    """What was kept under keys that others have claimed."""
    if not event_ids:
        return {}
    rows = await db.fetch(FIND_KEYS, shop_id=shop_id, event_ids=list(event_ids))
    return {row["event_id"]: row["id"] for row in rows}


async def declared(db: Connection, shop_id: int, types: Collection[str], *, hold: bool = False) -> dict[str, Any]:
    """What the shop declares for these types.

    Args:
        hold: until this transaction ends, nobody drops them, or what they carry.
    """
    if not types:
        return {}
    rows = await db.fetch(HOLD_DECLARED if hold else DECLARED, shop_id=shop_id, types=list(types))
    return {row["type"]: row["properties"] for row in rows}


async def add(db: Connection, shop_id: int, moment: datetime, *, valid: Rows, invalid: Rows) -> None:
    """Keep events (rows of EVENT_ARRAYS) and those that do not fit (rows of INVALID_ARRAYS).

    The refresh is asked to look at whoever did what was kept; at who sent what does not fit, nobody needs to look.
    """
    if valid:
        await db.execute(ADD_EVENTS, shop_id=shop_id, moment=moment, **columns(EVENT_ARRAYS, valid))
        db.ring(CHANGES_BELL)
    if invalid:
        await db.execute(ADD_INVALID, shop_id=shop_id, moment=moment, **columns(INVALID_ARRAYS, invalid))


async def make_valid(db: Connection, shop_id: int, id_: UUID, properties: Mapping[str, Any], moment: datetime) -> None:
    """Move an invalid event that this transaction has locked to the others, and ask the refresh to look."""
    await db.execute(MAKE_VALID, shop_id=shop_id, id=id_, properties=properties, moment=moment)
    db.ring(CHANGES_BELL)


async def add_type(
    db: Connection, shop_id: int, type_: str, properties: Mapping[str, Any], moment: datetime
) -> Row | None:
    """Declare a type; None if it is declared already."""
    return await db.fetch_one(ADD_TYPE, shop_id=shop_id, type=type_, properties=properties, moment=moment)


async def change_type(
    db: Connection, shop_id: int, type_: str, properties: Mapping[str, Any], moment: datetime
) -> Row | None:
    """Declare a type anew, which this transaction holds locked."""
    return await db.fetch_one(CHANGE_TYPE, shop_id=shop_id, type=type_, properties=properties, moment=moment)

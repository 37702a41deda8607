"""The customers room's SQL: sets in, sets out; the unique index on identities decides every race."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import bindparam as p
from sqlalchemy import select, text

from app.changes.repository import CHANGES_BELL, EVENTS_BELL
from app.core.db import Connection, Row, Rows, columns, statement
from app.customers.models import customers, identities, person_keys
from app.customers.normalise import VERSION
from app.customers.records import COLUMNS

CLAIM_ARRAYS: Final = ("kinds", "hashes", "origins", "scopes", "values", "verified")
PERSON_ARRAYS: Final = ("ids", "claims", "event_ids", "wrapped", "created_at", *COLUMNS)
CHANGE_ARRAYS: Final = ("ids", "data", "told", *COLUMNS)
SEEN_ARRAYS: Final = ("kinds", "hashes", "origins", "verified_at")
_NAMES = ", ".join(COLUMNS)
_ARRAYS = ", ".join(f"cast(:{name} as {kind}[])" for name, kind in COLUMNS.items())

OWNERS = statement(
    text(
        """
        select i.kind, i.value_hash, i.customer_id, i.origin_customer_id, i.last_seen_at, i.verified_at, k.wrapped
        from unnest(cast(:kinds as text[]), cast(:hashes as bytea[])) as t (kind, value_hash)
        join identities i on i.shop_id = :shop_id and i.kind = t.kind and i.value_hash = t.value_hash
        join vault.person_keys k on k.shop_id = i.shop_id and k.customer_id = i.origin_customer_id
        """
    )
)

# One statement for all that a new customer is. A customer is inserted only if all its identities were free: the
# insert waits for a writer who holds one, and then finds it taken. Sorted, so that writers wait in one order. Whoever
# is there already is held, so that what they get belongs to who answers for them when this commits.
ADD = statement(
    text(
        f"""
        with known as (
            select id, coalesce(merged_into, id) as owner from customers
            where shop_id = :shop_id and id = any(cast(:known as bigint[])) order by id for key share
        ),
        claimed as (
            insert into identities
                (shop_id, kind, value_hash, customer_id, origin_customer_id, scope, value, source, first_seen_at,
                 last_seen_at, verified_at, normaliser)
            select :shop_id, kind, value_hash, coalesce(known.owner, origin), origin, coalesce(scope, ''), value,
                   :source, :moment, :moment, case when verified then cast(:moment as timestamptz) end, :normaliser
            from unnest(cast(:kinds as text[]), cast(:hashes as bytea[]), cast(:origins as bigint[]),
                        cast(:scopes as text[]), cast(:values as bytea[]), cast(:verified as boolean[]))
                as t (kind, value_hash, origin, scope, value, verified)
            left join known on known.id = t.origin
            order by kind, value_hash
            on conflict do nothing
            returning origin_customer_id as customer_id
        ),
        counted as (select customer_id, count(*) as claims from claimed group by customer_id),
        wanted as (
            select t.* from unnest(cast(:ids as bigint[]), cast(:claims as integer[]), cast(:event_ids as uuid[]),
                                   cast(:wrapped as bytea[]), cast(:created_at as timestamptz[]), {_ARRAYS})
                as t (id, claims, event_id, wrapped, created_at, {_NAMES})
            join counted on counted.customer_id = t.id and counted.claims = t.claims
        ),
        added as (
            insert into customers (shop_id, id, created_at, updated_at, told_at, told_by, {_NAMES})
            select :shop_id, id, created_at, :moment, :moment, :source, {_NAMES} from wanted
        ),
        keyed as (
            insert into vault.person_keys (shop_id, customer_id, wrapped) select :shop_id, id, wrapped from wanted
        ),
        changed as (
            insert into customer_changes (shop_id, customer_id, changed_at) select :shop_id, id, :moment from wanted
        ),
        told as (
            insert into domain_events (shop_id, id, kind, customer_id, data, occurred_at)
            select :shop_id, event_id, 'customer.created', id, jsonb_build_object('customer_id', id), :moment
            from wanted
        )
        select customer_id, claims from counted
        """  # noqa: S608 column names of our own
    )
)

LOCK = statement(
    text(
        """
        select c.*, k.wrapped
        from customers c
        join vault.person_keys k on k.shop_id = c.shop_id and k.customer_id = c.id
        where c.shop_id = :shop_id and c.id = any(cast(:ids as bigint[]))
        order by c.id for no key update of c
        """
    )
)

UPDATE = statement(
    text(
        f"""
        with changed as (
            update customers c set
                {", ".join(f"{name} = t.{name}" for name in COLUMNS)}, told = t.told,
                version = c.version + 1, updated_at = :moment
            from unnest(cast(:ids as bigint[]), cast(:data as jsonb[]), cast(:told as jsonb[]), {_ARRAYS})
                as t (id, data, told, {_NAMES})
            where c.shop_id = :shop_id and c.id = t.id
            returning c.id, t.data
        ),
        marked as (
            insert into customer_changes (shop_id, customer_id, changed_at) select :shop_id, id, :moment from changed
        )
        insert into domain_events (shop_id, id, kind, customer_id, data, occurred_at)
        select :shop_id, kehu_new_id(), 'customer.updated', id, data, :moment from changed
        """  # noqa: S608 column names of our own
    )
)

# Who was named, and whose key seals what they bring; who answers for them may be somebody else.
NAMED = statement(
    text(
        """
        select c.id, coalesce(c.merged_into, c.id) as owner, k.wrapped
        from customers c
        join vault.person_keys k on k.shop_id = c.shop_id and k.customer_id = c.id
        where c.shop_id = :shop_id and c.id = any(cast(:ids as bigint[]))
        """
    )
)
# Seen again on another day, verified, or silent for so long that it must be verified again: judged by the row as it is
# now, so that a proof that comes at the same moment stays. First the people, then what they are known by: as merges
# take them.
SEEN = statement(
    text(
        """
        with known as materialized (
            select id from customers
            where shop_id = :shop_id and id = any(cast(:origins as bigint[])) order by id for key share
        ),
        found as (
            select i.kind, i.value_hash, t.verified_at
            from unnest(cast(:kinds as text[]), cast(:hashes as bytea[]), cast(:origins as bigint[]),
                        cast(:verified_at as timestamptz[])) as t (kind, value_hash, origin, verified_at)
            join known on known.id = t.origin
            join identities i on i.shop_id = :shop_id and i.kind = t.kind and i.value_hash = t.value_hash
            order by i.kind, i.value_hash for update of i
        )
        update identities i set
            last_seen_at = greatest(i.last_seen_at, cast(:moment as timestamptz)),
            verified_at = coalesce(
                found.verified_at, case when i.last_seen_at >= cast(:heard_since as timestamptz) then i.verified_at end
            )
        from found where i.shop_id = :shop_id and i.kind = found.kind and i.value_hash = found.value_hash
        """
    )
)

GET = statement(
    select(customers, person_keys.c.wrapped)
    .join(
        person_keys,
        (person_keys.c.shop_id == customers.c.shop_id) & (person_keys.c.customer_id == customers.c.id),
    )
    .where(customers.c.shop_id == p("shop_id"), customers.c.id == p("id"))
)
# By the number that was asked for: who is merged is answered for by another.
GET_MANY = statement(
    text(
        """
        select o.id as asked, c.*, k.wrapped
        from customers o
        join customers c on c.shop_id = o.shop_id and c.id = coalesce(o.merged_into, o.id)
        join vault.person_keys k on k.shop_id = c.shop_id and k.customer_id = c.id
        where o.shop_id = :shop_id and o.id = any(cast(:ids as bigint[]))
        """
    )
)
OWNERS_OF = statement(
    text(
        """
        select id, coalesce(merged_into, id) as owner from customers
        where shop_id = :shop_id and id = any(cast(:ids as bigint[]))
        """
    )
)
MOBILE_IS_VERIFIED = statement(
    text("update customers set mobile_verified = true where shop_id = :shop_id and id = :id and not mobile_verified")
)
DROP_IDENTITY = statement(
    text(
        """
        delete from identities
        where shop_id = :shop_id and kind = :kind and value_hash = :value_hash and customer_id = :customer_id
        """
    )
)
IDENTITIES_OF = statement(
    select(
        identities.c.kind,
        identities.c.value_hash,
        identities.c.value,
        identities.c.scope,
        identities.c.source,
        identities.c.first_seen_at,
        identities.c.last_seen_at,
        identities.c.verified_at,
        identities.c.origin_customer_id,
        person_keys.c.wrapped,
    )
    .join(
        person_keys,
        (person_keys.c.shop_id == identities.c.shop_id)
        & (person_keys.c.customer_id == identities.c.origin_customer_id),
    )
    .where(identities.c.shop_id == p("shop_id"), identities.c.customer_id == p("customer_id"))
    .order_by(identities.c.first_seen_at, identities.c.kind, identities.c.value_hash)
)
HELD = statement(
    text(
        """
        select customer_id, kind, scope, first_seen_at from identities
        where shop_id = :shop_id and customer_id = any(cast(:owners as bigint[]))
        """
    )
)
RECORD = statement(
    select(identities.c.origin_customer_id).where(
        identities.c.shop_id == p("shop_id"),
        identities.c.kind == p("kind"),
        identities.c.value_hash == p("value_hash"),
    )
)
OWNER = statement(
    select(identities.c.customer_id).where(
        identities.c.shop_id == p("shop_id"),
        identities.c.kind == p("kind"),
        identities.c.value_hash == p("value_hash"),
    )
)


async def owners(db: Connection, shop_id: int, kinds: Sequence[str], hashes: Sequence[bytes]) -> list[Row]:
    """Who holds these identities, with the key to seal more for them."""
    return await db.fetch(OWNERS, shop_id=shop_id, kinds=list(kinds), hashes=list(hashes))


async def record(db: Connection, shop_id: int, kind: str, value_hash: bytes) -> int | None:
    """The record that one identity came in for, or None."""
    found: int | None = await db.fetch_value(RECORD, shop_id=shop_id, kind=kind, value_hash=value_hash)
    return found


async def held(db: Connection, shop_id: int, owners: Collection[int]) -> list[Row]:
    """What these customers are known by: customer_id, kind, scope, first_seen_at."""
    return await db.fetch(HELD, shop_id=shop_id, owners=list(owners))


async def owner(db: Connection, shop_id: int, kind: str, value_hash: bytes) -> int | None:
    """The customer who holds one identity, or None."""
    found: int | None = await db.fetch_value(OWNER, shop_id=shop_id, kind=kind, value_hash=value_hash)
    return found


async def add(
    db: Connection, shop_id: int, moment: datetime, source: str, claims: Rows, people: Rows, known: Sequence[int]
) -> dict[int, int]:
    """Claim identities, and insert the new customers whose identities were all free.

    Args:
        source: who tells of it.
        claims: rows of CLAIM_ARRAYS; no scope and not verified as None.
        people: rows of PERSON_ARRAYS, one for each new customer.
        known: the records that are there already and get identities.
    Returns: how many identities each record got.
    """
    rows = await db.fetch(
        ADD,
        shop_id=shop_id,
        moment=moment,
        source=source,
        normaliser=VERSION,
        known=known,
        **columns(CLAIM_ARRAYS, claims),
        **columns(PERSON_ARRAYS, people),
    )
    if people:
        db.ring(CHANGES_BELL)
        db.ring(EVENTS_BELL)
    return {row["customer_id"]: row["claims"] for row in rows}


async def lock(db: Connection, shop_id: int, ids: Sequence[int]) -> list[Row]:
    """The customers with their wrapped keys, locked in id order until this transaction ends."""
    return await db.fetch(LOCK, shop_id=shop_id, ids=list(ids))


async def update(
    db: Connection,
    shop_id: int,
    moment: datetime,
    people: Rows,
) -> None:
    """Write whole profiles of customers that this transaction holds locked, and say that they changed.

    Args:
        people: rows of CHANGE_ARRAYS; `data` is what the event tells.
    """
    await db.execute(UPDATE, shop_id=shop_id, moment=moment, **columns(CHANGE_ARRAYS, people))
    db.ring(CHANGES_BELL)
    db.ring(EVENTS_BELL)


async def named(db: Connection, shop_id: int, ids: Sequence[int]) -> list[Row]:
    """The records with these numbers, with their wrapped keys, and who answers for each: id, owner, wrapped."""
    return await db.fetch(NAMED, shop_id=shop_id, ids=list(ids))


async def seen(db: Connection, shop_id: int, moment: datetime, heard_since: datetime, again: Rows) -> None:
    """Identities (rows of SEEN_ARRAYS) were seen now.

    Args:
        heard_since: one that was silent before must be verified again; others stay as they are where `verified_at` is
            None.
    """
    if again:
        values = columns(SEEN_ARRAYS, again)
        await db.execute(SEEN, shop_id=shop_id, moment=moment, heard_since=heard_since, **values)


async def owners_of(db: Connection, shop_id: int, ids: Sequence[int]) -> dict[int, int]:
    """Who answers for each of these numbers; those that there are not are left out."""
    return {row["id"]: row["owner"] for row in await db.fetch(OWNERS_OF, shop_id=shop_id, ids=list(ids))}


async def get(db: Connection, shop_id: int, customer_id: int) -> Row | None:
    """The customer with its wrapped key, or None; for who is merged into another, that other."""
    row = await db.fetch_one(GET, shop_id=shop_id, id=customer_id)
    if row is not None and row["merged_into"] is not None:
        return await db.fetch_one(GET, shop_id=shop_id, id=row["merged_into"])
    return row


async def get_many(db: Connection, shop_id: int, ids: Sequence[int]) -> list[Row]:
    """The customers that are there, with their wrapped keys, in no order; `asked` is the number asked for."""
    return await db.fetch(GET_MANY, shop_id=shop_id, ids=list(ids))


async def identities_of(db: Connection, shop_id: int, customer_id: int) -> list[Row]:
    """What identifies the customer, oldest first."""
    return await db.fetch(IDENTITIES_OF, shop_id=shop_id, customer_id=customer_id)

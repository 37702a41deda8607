"""The customers room's SQL: sets in, sets out; the unique index on identities decides every race."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import BigInteger, any_, cast, select, text
from sqlalchemy import bindparam as p
from sqlalchemy.dialects.postgresql import ARRAY

from app.changes.repository import CHANGES_BELL, EVENTS_BELL
from app.core.db import Connection, Row, Rows, columns, statement
from app.customers.models import customers, identities, person_keys
from app.customers.records import COLUMNS

CLAIM_ARRAYS: Final = ("kinds", "hashes", "owners", "origins", "scopes", "values")
PERSON_ARRAYS: Final = ("ids", "claims", "wrapped", "created_at", *COLUMNS)
CHANGE_ARRAYS: Final = ("ids", "data", *COLUMNS)
_NAMES = ", ".join(COLUMNS)
_ARRAYS = ", ".join(f"cast(:{name} as {kind}[])" for name, kind in COLUMNS.items())

OWNERS = statement(
    text(
        """
        select i.kind, i.value_hash, i.customer_id, c.origin_customer_id, k.wrapped
        from unnest(cast(:kinds as text[]), cast(:hashes as bytea[])) as t (kind, value_hash)
        join identities i on i.shop_id = :shop_id and i.kind = t.kind and i.value_hash = t.value_hash
        join customers c on c.shop_id = i.shop_id and c.id = i.customer_id
        join vault.person_keys k on k.shop_id = c.shop_id and k.customer_id = c.origin_customer_id
        """
    )
)

# One statement for all that a new customer is. A customer is inserted only if all its identities were free: the
# insert waits for a writer who holds one, and then finds it taken. Sorted, so that writers wait in one order.
ADD = statement(
    text(
        f"""
        with claimed as (
            insert into identities
                (shop_id, kind, value_hash, customer_id, origin_customer_id, scope, value, first_seen_at)
            select :shop_id, kind, value_hash, owner, origin, scope, value, :moment
            from unnest(cast(:kinds as text[]), cast(:hashes as bytea[]), cast(:owners as bigint[]),
                        cast(:origins as bigint[]), cast(:scopes as text[]), cast(:values as bytea[]))
                as t (kind, value_hash, owner, origin, scope, value)
            order by kind, value_hash
            on conflict do nothing
            returning customer_id
        ),
        counted as (select customer_id, count(*) as claims from claimed group by customer_id),
        wanted as (
            select t.* from unnest(cast(:ids as bigint[]), cast(:claims as integer[]), cast(:wrapped as bytea[]),
                                   cast(:created_at as timestamptz[]), {_ARRAYS})
                as t (id, claims, wrapped, created_at, {_NAMES})
            join counted on counted.customer_id = t.id and counted.claims = t.claims
        ),
        added as (
            insert into customers (shop_id, id, origin_customer_id, created_at, updated_at, {_NAMES})
            select :shop_id, id, id, created_at, :moment, {_NAMES} from wanted
        ),
        keyed as (
            insert into vault.person_keys (shop_id, customer_id, wrapped) select :shop_id, id, wrapped from wanted
        ),
        changed as (
            insert into customer_changes (shop_id, customer_id, changed_at) select :shop_id, id, :moment from wanted
        ),
        told as (
            insert into domain_events (shop_id, id, kind, customer_id, data, occurred_at)
            select :shop_id, kehu_new_id(), 'customer.created', id, jsonb_build_object('customer_id', id), :moment
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
        join vault.person_keys k on k.shop_id = c.shop_id and k.customer_id = c.origin_customer_id
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
                {", ".join(f"{name} = t.{name}" for name in COLUMNS)},
                version = c.version + 1, updated_at = :moment
            from unnest(cast(:ids as bigint[]), cast(:data as jsonb[]), {_ARRAYS}) as t (id, data, {_NAMES})
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

GET = statement(
    select(customers, person_keys.c.wrapped)
    .join(
        person_keys,
        (person_keys.c.shop_id == customers.c.shop_id) & (person_keys.c.customer_id == customers.c.origin_customer_id),
    )
    .where(customers.c.shop_id == p("shop_id"), customers.c.id == p("id"))
)
GET_MANY = statement(
    select(customers, person_keys.c.wrapped)
    .join(
        person_keys,
        (person_keys.c.shop_id == customers.c.shop_id) & (person_keys.c.customer_id == customers.c.origin_customer_id),
    )
    .where(customers.c.shop_id == p("shop_id"), customers.c.id == any_(cast(p("ids"), ARRAY(BigInteger))))
)
IDENTITIES_OF = statement(
    select(
        identities.c.kind,
        identities.c.value,
        identities.c.scope,
        identities.c.first_seen_at,
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


async def owner(db: Connection, shop_id: int, kind: str, value_hash: bytes) -> int | None:
    """The customer who holds one identity, or None."""
    found: int | None = await db.fetch_value(OWNER, shop_id=shop_id, kind=kind, value_hash=value_hash)
    return found


async def add(db: Connection, shop_id: int, moment: datetime, claims: Rows, people: Rows) -> dict[int, int]:
    """Claim identities, and insert the new customers whose identities were all free.

    Args:
        claims: rows of CLAIM_ARRAYS.
        people: rows of PERSON_ARRAYS, one for each new customer.
    Returns: how many identities each owner got.
    """
    rows = await db.fetch(
        ADD, shop_id=shop_id, moment=moment, **columns(CLAIM_ARRAYS, claims), **columns(PERSON_ARRAYS, people)
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


async def get(db: Connection, shop_id: int, customer_id: int) -> Row | None:
    """The customer with its wrapped key, or None."""
    return await db.fetch_one(GET, shop_id=shop_id, id=customer_id)


async def get_many(db: Connection, shop_id: int, ids: Sequence[int]) -> list[Row]:
    """The customers that are there, with their wrapped keys, in no order."""
    return await db.fetch(GET_MANY, shop_id=shop_id, ids=list(ids))


async def identities_of(db: Connection, shop_id: int, customer_id: int) -> list[Row]:
    """What identifies the customer, oldest first."""
    return await db.fetch(IDENTITIES_OF, shop_id=shop_id, customer_id=customer_id)

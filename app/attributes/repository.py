"""The attributes room's SQL: declarations, and values in sets."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Text, any_, cast, select, text
from sqlalchemy import bindparam as p
from sqlalchemy.dialects.postgresql import ARRAY

from app.attributes.models import attribute_types
from app.attributes.values import KINDS, Declared
from app.core.db import Connection, Row, Rows, Statement, columns, statement, unnest

VALUE_ARRAYS: Final = {
    "customer_id": "bigint",
    "origin_customer_id": "bigint",
    "name": "text",
    "source": "text",
    "fills": "boolean",
    "sealed_value": "bytea",
    **KINDS,
}
_KEPT: Final = ", ".join(("sealed_value", *KINDS))
_DECLARED: Final = (
    attribute_types.c.shop_id == p("shop_id"),
    attribute_types.c.name == any_(cast(p("names"), ARRAY(Text))),
)

DECLARED = statement(select(attribute_types).where(*_DECLARED))
# Held until the values are in, so that no declaration changes meanwhile; many writers can hold one. In one order.
HOLD_DECLARED = statement(
    select(attribute_types)
    .where(*_DECLARED)
    .order_by(attribute_types.c.name)
    .with_for_update(read=True, key_share=True)
)
ADD_TYPE = statement(
    text(
        """
        insert into attribute_types
            (shop_id, name, label, type, class, allowed_values, description, purpose, created_at, updated_at)
        values (:shop_id, :name, :label, :type, :class, :allowed_values, :description, :purpose, :moment, :moment)
        on conflict do nothing
        returning *
        """
    )
)
LOCK_TYPE = statement(
    select(attribute_types)
    .where(attribute_types.c.shop_id == p("shop_id"), attribute_types.c.name == p("name"))
    .with_for_update()
)
CHANGE_TYPE = statement(
    text(
        """
        update attribute_types set
            label = :label, type = :type, class = :class, allowed_values = :allowed_values,
            description = :description, purpose = :purpose, updated_at = :moment
        where shop_id = :shop_id and name = :name
        returning *
        """
    )
)
GET_TYPE = statement(
    select(attribute_types).where(attribute_types.c.shop_id == p("shop_id"), attribute_types.c.name == p("name"))
)
LIST_TYPES = statement(
    select(attribute_types)
    .where(attribute_types.c.shop_id == p("shop_id"), attribute_types.c.name > p("after"))
    .order_by(attribute_types.c.name)
    .limit(p("limit"))
)
DROP_TYPE = statement(text("delete from attribute_types where shop_id = :shop_id and name = :name"))


def _used(column: str, more: str = "") -> str:
    """Whether there is a value of the attribute in this column, by the column's own index."""
    return (
        "exists (select from customer_attributes "
        f"where shop_id = :shop_id and name = :name and {column} is not null{more})"
    )


def _use_of(column: str) -> Statement:
    return statement(text(f"select {_used(column, f' and {column} = any(cast(:among as {KINDS[column]}[]))')}"))


IN_USE: Final = {column: statement(text(f"select {_used(column)}")) for column in KINDS}
IN_USE_AT_ALL = statement(text(f"select {' or '.join(_used(column) for column in KINDS)}"))
VALUES_IN_USE: Final = {column: _use_of(column) for column in ("text_value", "value_hash")}
REMOVE_SOME: Final = {
    column: statement(
        text(
            f"""
            delete from customer_attributes a using (
                select origin_customer_id from customer_attributes
                where shop_id = :shop_id and name = :name and {column} is not null limit :limit
            ) as chosen
            where a.shop_id = :shop_id and a.name = :name and a.origin_customer_id = chosen.origin_customer_id
                and not exists (select from attribute_types d where d.shop_id = :shop_id and d.name = :name)
            returning a.customer_id
            """  # noqa: S608 column names of our own
        )
    )
    for column in KINDS
}


def _values_of(alias: str) -> str:
    return ", ".join(f"{alias}.{column}" for column in KINDS)


# A value is written where it differs from what the customer's newest row says, or from what came in for that record:
# a word that both halves of a merged person say stays with both when they are taken apart. Null removes all of theirs.
# One that only fills is written where there is none.
PUT = statement(
    text(
        f"""
        with told as (select * from {unnest(VALUE_ARRAYS)}),
        newest as (
            select distinct on (a.customer_id, a.name) a.*
            from told t
            join customer_attributes a
                on a.shop_id = :shop_id and a.customer_id = t.customer_id and a.name = t.name
            order by a.customer_id, a.name, a.told_at desc, a.origin_customer_id desc
        ),
        removed as (
            delete from customer_attributes a using told t
            where a.shop_id = :shop_id and a.customer_id = t.customer_id and a.name = t.name
                and num_nonnulls({", ".join(f"t.{column}" for column in KINDS)}) = 0 and not t.fills
            returning a.customer_id, a.name
        ),
        written as (
            insert into customer_attributes as kept
                (shop_id, origin_customer_id, name, customer_id, {_KEPT}, told_at, source)
            select :shop_id, t.origin_customer_id, t.name, t.customer_id,
                   {", ".join(f"t.{column}" for column in ("sealed_value", *KINDS))},
                   cast(:moment as timestamptz), t.source
            from told t
            left join customer_attributes o
                on o.shop_id = :shop_id and o.origin_customer_id = t.origin_customer_id and o.name = t.name
            left join newest n on n.customer_id = t.customer_id and n.name = t.name
            where num_nonnulls({", ".join(f"t.{column}" for column in KINDS)}) = 1
                and (n.name is null or not t.fills)
                and (({_values_of("t")}) is distinct from ({_values_of("n")})
                    or ({_values_of("t")}) is distinct from ({_values_of("o")}))
            order by t.origin_customer_id, t.name
            on conflict (shop_id, origin_customer_id, name) do update set
                {", ".join(f"{column} = excluded.{column}" for column in ("sealed_value", *KINDS, "told_at", "source"))}
            returning kept.customer_id, kept.name, {", ".join(f"kept.{column}" for column in KINDS)}
        )
        select customer_id, name from removed
        union
        select w.customer_id, w.name
        from written w
        join told t on t.customer_id = w.customer_id and t.name = w.name
        left join newest n on n.customer_id = w.customer_id and n.name = w.name
        where ({_values_of("t")}) is distinct from ({_values_of("n")})
        """  # noqa: S608 column names of our own
    )
)
# The keys are read where they are kept, and only for what is sealed.
OF_CUSTOMERS = statement(
    text(
        f"""
        select distinct on (a.customer_id, a.name)
               a.customer_id, a.origin_customer_id, a.name, d.type, d.class, d.allowed_values, {_KEPT}, k.wrapped
        from customer_attributes a
        join attribute_types d on d.shop_id = a.shop_id and d.name = a.name
        left join vault.person_keys k
            on k.shop_id = a.shop_id and k.customer_id = a.origin_customer_id and a.sealed_value is not null
        where a.shop_id = :shop_id and a.customer_id = any(cast(:customer_ids as bigint[]))
        order by a.customer_id, a.name, a.told_at desc, a.origin_customer_id desc
        """  # noqa: S608 column names of our own
    )
)


async def declared(db: Connection, shop_id: int, names: Collection[str], *, hold: bool = False) -> dict[str, Declared]:
    """What the shop declares of these names.

    Args:
        hold: until this transaction ends, nobody changes or drops them.
    """
    rows = await db.fetch(HOLD_DECLARED if hold else DECLARED, shop_id=shop_id, names=list(names))
    return {row["name"]: Declared.of(row) for row in rows}


async def add_type(db: Connection, shop_id: int, name: str, fields: Mapping[str, Any], moment: datetime) -> Row | None:
    """Declare an attribute; None if there is one of this name."""
    return await db.fetch_one(ADD_TYPE, shop_id=shop_id, name=name, moment=moment, **fields)


async def change_type(
    db: Connection, shop_id: int, name: str, fields: Mapping[str, Any], moment: datetime
) -> Row | None:
    """Declare an attribute anew, which this transaction holds locked."""
    return await db.fetch_one(CHANGE_TYPE, shop_id=shop_id, name=name, moment=moment, **fields)


async def in_use(db: Connection, shop_id: int, name: str, column: str | None = None) -> bool:
    """Whether anybody has a value of it: in the column of its declaration, or in any."""
    query = IN_USE_AT_ALL if column is None else IN_USE[column]
    return bool(await db.fetch_value(query, shop_id=shop_id, name=name))


async def values_in_use(db: Connection, shop_id: int, name: str, column: str, among: Collection[Any]) -> bool:
    """Whether anybody has one of these values."""
    return bool(await db.fetch_value(VALUES_IN_USE[column], shop_id=shop_id, name=name, among=list(among)))


async def remove_some(db: Connection, shop_id: int, name: str, column: str, *, limit: int) -> list[int]:
    """Remove values of an attribute that is declared no longer. Returns whose they were."""
    rows = await db.fetch(REMOVE_SOME[column], shop_id=shop_id, name=name, limit=limit)
    return [row["customer_id"] for row in rows]


async def put(db: Connection, shop_id: int, moment: datetime, told: Rows) -> Iterable[tuple[int, str]]:
    """Write the values that differ, and remove the empty ones.

    Args:
        told: rows of VALUE_ARRAYS, at most one for a customer and name, of customers that are locked.
    Returns: the customers and names whose value is another now.
    """
    rows = await db.fetch(PUT, shop_id=shop_id, moment=moment, **columns(VALUE_ARRAYS, told))
    return [(row["customer_id"], row["name"]) for row in rows]


async def of_customers(db: Connection, shop_id: int, customer_ids: Sequence[int]) -> list[Row]:
    """Each customer's declared attributes, the newest row of each name: with declaration and wrapped key."""
    return await db.fetch(OF_CUSTOMERS, shop_id=shop_id, customer_ids=list(customer_ids))

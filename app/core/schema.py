"""One MetaData for all rooms, and the few column shapes that every table repeats."""

from typing import Any, Final

from sqlalchemy import BigInteger, Column, DateTime, MetaData, Table, Text
from sqlalchemy.schema import SchemaItem

from app.core.persons import PersonRows

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

VAULT: Final = "vault"  # the schema of personal keys: long-kept dumps leave it out


def tenant_table(name: str, *items: SchemaItem, person: PersonRows | None = None, **options: Any) -> Table:
    """A table of one shop's rows: `shop_id` comes first in it, and in every key of it; row security is forced.

    `person`: what becomes of its rows about a person; every table with a customer in it says so.
    """
    return Table(
        name,
        metadata,
        Column("shop_id", BigInteger, primary_key=True, autoincrement=False),
        *items,
        info={"kind": "tenant", "person": person},
        **options,
    )


def reference_table(name: str, *items: SchemaItem, **options: Any) -> Table:
    """A small table read across shops; it holds nothing about a person."""
    return Table(name, metadata, *items, info={"kind": "reference"}, **options)


def instant(name: str, **options: Any) -> Column[Any]:
    """An aware UTC instant; names end in `_at` or `_until`."""
    return Column(name, DateTime(timezone=True), **options)


# What a sharded database needs to know: which tables are one shop's rows, and which are small and copied everywhere.
table_kinds: Final = reference_table(
    "table_kinds", Column("name", Text, primary_key=True), Column("kind", Text, nullable=False)
)

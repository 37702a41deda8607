"""Declared attributes, and the value that each customer has of them."""

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, Date, DateTime, Double, Index, LargeBinary, Text
from sqlalchemy.dialects.postgresql import JSONB

from app.core.persons import PersonRows
from app.core.schema import instant, tenant_table

attribute_types = tenant_table(
    "attribute_types",
    Column("name", Text, primary_key=True),
    Column("label", Text, comment="how people call it"),
    Column("type", Text, nullable=False),
    Column("class", Text, nullable=False, comment="how its values are kept, shown and searched"),
    Column("allowed_values", JSONB, comment="texts, of a choice only"),
    Column("description", Text),
    Column("purpose", Text, comment="what it is collected for"),
    instant("created_at", nullable=False),
    instant("updated_at", nullable=False),
    CheckConstraint("type in ('text', 'choice', 'integer', 'number', 'boolean', 'date', 'datetime')", name="type"),
    CheckConstraint("class in ('public', 'personal', 'contact', 'sensitive')", name="class"),
    CheckConstraint("(type = 'choice') = (allowed_values is not null)", name="allowed_values"),
    CheckConstraint("class <> 'sensitive' or purpose is not null", name="purpose"),
)

# One row for each person that a value came in for: of the rows that one customer owns after a merge, the newest counts.
# A value stands in the column of its type, or sealed and hashed. Numbers are doubles: behind row security, comparing
# numerics reaches no index.
customer_attributes = tenant_table(
    "customer_attributes",
    Column("origin_customer_id", BigInteger, primary_key=True, autoincrement=False),
    Column("name", Text, primary_key=True),
    Column("customer_id", BigInteger, nullable=False),
    Column("text_value", Text),
    Column("number_value", Double),
    Column("date_value", Date),
    Column("instant_value", DateTime(timezone=True)),
    Column("boolean_value", Boolean),
    Column("sealed_value", LargeBinary, comment="sealed"),
    Column("value_hash", LargeBinary, comment="keyed hash of a sealed value"),
    instant("told_at", nullable=False),
    Column("source", Text, nullable=False, comment="who told it: the API client"),
    CheckConstraint(
        "num_nonnulls(text_value, number_value, date_value, instant_value, boolean_value, value_hash) = 1"
        " and (sealed_value is null) = (value_hash is null)",
        name="one_value",
    ),
    # a customer's own: reads, writes, merges, erasure
    Index("ix_customer_attributes_customer", "shop_id", "customer_id"),
    # filters, and whether a declaration is in use; a row is in one of them
    *(
        Index(
            f"ix_customer_attributes_{column.partition('_')[0]}",
            "shop_id",
            "name",
            column,
            "customer_id",
            postgresql_where=f"{column} is not null",
        )
        for column in ("text_value", "number_value", "date_value", "instant_value", "boolean_value", "value_hash")
    ),
    person=PersonRows(merge="follow", export="attributes", erase="delete"),
)

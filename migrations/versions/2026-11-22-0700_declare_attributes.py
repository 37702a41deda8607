"""What a shop declares that it keeps of its customers, and the values; a column that nothing was kept in goes."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from migrations.wall import protect

revision = "0009"
down_revision = "0008"

VALUES = ("text_value", "number_value", "date_value", "instant_value", "boolean_value", "value_hash")


def upgrade() -> None:
    """Add the tables; drop `customers.attributes`, which was always empty."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.create_table(
        "attribute_types",
        sa.Column("shop_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=True, comment="how people call it"),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("class", sa.Text(), nullable=False, comment="how its values are kept, shown and searched"),
        sa.Column("allowed_values", postgresql.JSONB(), nullable=True, comment="texts, of a choice only"),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("purpose", sa.Text(), nullable=True, comment="what it is collected for"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "type in ('text', 'choice', 'integer', 'number', 'boolean', 'date', 'datetime')",
            name=op.f("ck_attribute_types_type"),
        ),
        sa.CheckConstraint(
            "class in ('public', 'personal', 'contact', 'sensitive')", name=op.f("ck_attribute_types_class")
        ),
        sa.CheckConstraint(
            "(type = 'choice') = (allowed_values is not null)", name=op.f("ck_attribute_types_allowed_values")
        ),
        sa.CheckConstraint("class <> 'sensitive' or purpose is not null", name=op.f("ck_attribute_types_purpose")),
        sa.PrimaryKeyConstraint("shop_id", "name", name=op.f("pk_attribute_types")),
        info={"kind": "tenant"},
    )
    op.create_table(
        "customer_attributes",
        sa.Column("shop_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("origin_customer_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.BigInteger(), nullable=False),
        sa.Column("text_value", sa.Text(), nullable=True),
        sa.Column("number_value", sa.Double(), nullable=True),
        sa.Column("date_value", sa.Date(), nullable=True),
        sa.Column("instant_value", sa.DateTime(timezone=True), nullable=True),
        sa.Column("boolean_value", sa.Boolean(), nullable=True),
        sa.Column("sealed_value", sa.LargeBinary(), nullable=True, comment="sealed"),
        sa.Column("value_hash", sa.LargeBinary(), nullable=True, comment="keyed hash of a sealed value"),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("source", sa.Text(), nullable=False, comment="who told it: the API client"),
        sa.CheckConstraint(
            "num_nonnulls(text_value, number_value, date_value, instant_value, boolean_value, value_hash) = 1"
            " and (sealed_value is null) = (value_hash is null)",
            name=op.f("ck_customer_attributes_one_value"),
        ),
        sa.PrimaryKeyConstraint("shop_id", "origin_customer_id", "name", name=op.f("pk_customer_attributes")),
        info={"kind": "tenant"},
    )
    op.create_index("ix_customer_attributes_customer", "customer_attributes", ["shop_id", "customer_id"])
    for column in VALUES:
        op.create_index(
            f"ix_customer_attributes_{column.partition('_')[0]}",
            "customer_attributes",
            ["shop_id", "name", column, "customer_id"],
            postgresql_where=f"{column} is not null",
        )
    protect(("attribute_types", "customer_attributes"))
    op.drop_column("customers", "attributes")

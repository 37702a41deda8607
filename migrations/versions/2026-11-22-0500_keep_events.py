"""What customers did, by month; the declarations it is measured by, and the keys by which repeats are known."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from migrations.wall import close, protect

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add the tables. The months of `events` are made by every `kehu migrate`, as time goes on."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.create_table(
        "events",
        sa.Column("shop_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "claimed_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="what they said, where that lay ahead of us",
        ),
        sa.Column("customer_id", sa.BigInteger(), nullable=False),
        sa.Column("origin_customer_id", sa.BigInteger(), nullable=False),
        sa.Column("identity_kind", sa.Text(), nullable=False, comment="the identity that brought the event"),
        sa.Column("identity_hash", sa.LargeBinary(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("properties", postgresql.JSONB(), nullable=False, comment="never personal data"),
        sa.Column("store_id", sa.BigInteger(), nullable=True),
        sa.Column("source", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("shop_id", "id", "occurred_at", name=op.f("pk_events")),
        info={"kind": "tenant"},
        postgresql_partition_by="RANGE (occurred_at)",
    )
    op.create_index("ix_events_customer", "events", ["shop_id", "customer_id", "occurred_at"])
    op.execute("create table events_default partition of events default")
    op.create_table(
        "invalid_events",
        sa.Column("shop_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False, comment="the sender's"),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("customer_id", sa.BigInteger(), nullable=False),
        sa.Column("origin_customer_id", sa.BigInteger(), nullable=False),
        sa.Column("identity_kind", sa.Text(), nullable=False),
        sa.Column("identity_hash", sa.LargeBinary(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("properties", sa.LargeBinary(), nullable=False, comment="sealed"),
        sa.Column("store_id", sa.BigInteger(), nullable=True),
        sa.Column("source", sa.Text(), nullable=True),
        sa.Column("reason", postgresql.JSONB(), nullable=False, comment="code, detail and field; never a value"),
        sa.PrimaryKeyConstraint("shop_id", "id", name=op.f("pk_invalid_events")),
        info={"kind": "tenant"},
    )
    op.create_index("ix_invalid_events_customer", "invalid_events", ["shop_id", "customer_id"])
    op.create_table(
        "event_keys",
        sa.Column("shop_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False, comment="the sender's, by which repeats are known"),
        sa.Column("id", sa.Uuid(), nullable=False, comment="the event that was kept under it"),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("shop_id", "event_id", name=op.f("pk_event_keys")),
        info={"kind": "tenant"},
    )
    op.create_index("ix_event_keys_received", "event_keys", ["shop_id", "received_at"])
    op.create_table(
        "event_types",
        sa.Column("shop_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column(
            "properties",
            postgresql.JSONB(),
            nullable=False,
            comment="property to its kind, and whether it is required",
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("shop_id", "type", name=op.f("pk_event_types")),
        info={"kind": "tenant"},
    )
    protect(["events", "invalid_events", "event_keys", "event_types"])
    close(["events_default"])

"""Events by month, those that do not fit, what they are measured by, and the keys by which repeats are known."""

from sqlalchemy import BigInteger, Column, Index, LargeBinary, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

from app.core.persons import PersonRows
from app.core.schema import instant, tenant_table

events = tenant_table(
    "events",
    Column("id", Uuid, primary_key=True),
    instant("occurred_at", primary_key=True),
    instant("received_at", nullable=False),
    instant("claimed_at", comment="what they said, where that lay ahead of us"),
    Column("customer_id", BigInteger, nullable=False),
    Column("origin_customer_id", BigInteger, nullable=False),
    Column("identity_kind", Text, nullable=False, comment="the identity that brought the event"),
    Column("identity_hash", LargeBinary, nullable=False),
    Column("type", Text, nullable=False),
    Column("properties", JSONB, nullable=False, comment="never personal data"),
    Column("store_id", BigInteger),
    Column("source", Text),
    # what a customer did, within bounds of time
    Index("ix_events_customer", "shop_id", "customer_id", "occurred_at", postgresql_include=["type"]),
    # whose stats a passing day changes
    Index("ix_events_occurred", "shop_id", "occurred_at", postgresql_include=["customer_id"]),
    postgresql_partition_by="RANGE (occurred_at)",
    person=PersonRows(merge="follow", export="events", erase="delete"),
)

# Apart from the events, so that nobody who reads those has to leave these out; sealed, because these may say anything.
invalid_events = tenant_table(
    "invalid_events",
    Column("id", Uuid, primary_key=True),
    Column("event_id", Text, nullable=False, comment="the sender's"),
    instant("occurred_at", nullable=False),
    instant("received_at", nullable=False),
    instant("claimed_at"),
    Column("customer_id", BigInteger, nullable=False),
    Column("origin_customer_id", BigInteger, nullable=False),
    Column("identity_kind", Text, nullable=False),
    Column("identity_hash", LargeBinary, nullable=False),
    Column("type", Text, nullable=False),
    Column("properties", LargeBinary, nullable=False, comment="sealed"),
    Column("store_id", BigInteger),
    Column("source", Text),
    Column("reason", JSONB, nullable=False, comment="code, detail and field; never a value"),
    # a customer's own, for merges and erasure
    Index("ix_invalid_events_customer", "shop_id", "customer_id"),
    person=PersonRows(merge="follow", export="events", erase="delete"),
)

event_keys = tenant_table(
    "event_keys",
    Column("event_id", Text, primary_key=True, comment="the sender's, by which repeats are known"),
    Column("id", Uuid, nullable=False, comment="the event that was kept under it"),
    instant("received_at", nullable=False),
    # keys whose days are over
    Index("ix_event_keys_received", "shop_id", "received_at"),
)

event_types = tenant_table(
    "event_types",
    Column("type", Text, primary_key=True),
    Column("properties", JSONB, nullable=False, comment="property to its kind, and whether it is required"),
    instant("created_at", nullable=False),
    instant("updated_at", nullable=False),
)

"""Append-only queues: a row is work, and goes in the transaction that did it."""

from sqlalchemy import BigInteger, CheckConstraint, Column, Identity, Index, Integer, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

from app.core.persons import PersonRows
from app.core.schema import instant, tenant_table

# No unique pair (shop, customer): an insert that met a row being deleted by a running refresh would wait for it.
customer_changes = tenant_table(
    "customer_changes",
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("customer_id", BigInteger, nullable=False),
    Column("cause", Text, nullable=False, server_default="fact", comment="fact, or time that passed"),
    Column("what", Text, comment="event or order: nothing else has changed; null: anything may have"),
    instant("changed_at", nullable=False),
    person=PersonRows(merge="stay", export=None, erase="delete"),
)

domain_events = tenant_table(
    "domain_events",
    Column("id", Uuid, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("customer_id", BigInteger),
    Column("data", JSONB, nullable=False, comment="ids and numbers only, never personal data"),
    instant("occurred_at", nullable=False),
    person=PersonRows(merge="stay", export=None, erase="delete"),
)

queued_jobs = tenant_table(
    "queued_jobs",
    Column("id", Uuid, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("key", Text, nullable=False, comment="one job per kind and key: asking twice is asking once"),
    Column("arguments", JSONB, nullable=False),
    Column("state", Text, nullable=False, server_default="queued"),
    Column("done", BigInteger, nullable=False, server_default="0"),
    Column("total", BigInteger),
    Column("result", JSONB),
    Column("error", Text),
    Column("attempt", Integer, nullable=False, server_default="0", comment="the fence: only the latest may write"),
    Column("crashes", Integer, nullable=False, server_default="0"),
    instant("due_at", nullable=False),
    instant("lease_until"),
    instant("created_at", nullable=False),
    instant("finished_at"),
    CheckConstraint("state in ('queued', 'running', 'done', 'failed', 'quarantined')", name="state"),
    Index("uq_queued_jobs_key", "shop_id", "kind", "key", unique=True),
    Index("ix_queued_jobs_due", "shop_id", "due_at", postgresql_where="state in ('queued', 'running')"),
)

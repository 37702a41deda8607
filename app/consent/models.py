"""The consent ledger and the suppression list."""

from sqlalchemy import BigInteger, CheckConstraint, Column, Identity, Index, LargeBinary, Text

from app.core.persons import PersonRows
from app.core.schema import instant, tenant_table

# Append-only: the state is the newest row by (occurred_at, id). No row means no marketing.
consents = tenant_table(
    "consents",
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("customer_id", BigInteger, nullable=False),
    Column("origin_customer_id", BigInteger, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("source", Text, nullable=False, comment="where it was given: a form, a till, an import"),
    instant("occurred_at", nullable=False),
    instant("recorded_at", nullable=False),
    CheckConstraint("state in ('granted', 'withdrawn')", name="state"),
    Index("ix_consents_customer", "shop_id", "customer_id", "purpose", "channel", "occurred_at", "id"),
    person=PersonRows(merge="follow", export="consents", erase="keep"),
)

# By identity hash, not by customer: it holds after a merge, an erasure or a new registration.
suppressions = tenant_table(
    "suppressions",
    Column("kind", Text, primary_key=True),
    Column("value_hash", LargeBinary, primary_key=True),
    Column("channel", Text, primary_key=True, comment="* is every channel"),
    Column("reason", Text, nullable=False),
    instant("created_at", nullable=False),
)

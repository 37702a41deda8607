"""Templates, requests and the touch outbox."""

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, Integer, LargeBinary, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

from app.core.persons import PersonRows
from app.core.schema import instant, tenant_table

touch_templates = tenant_table(
    "touch_templates",
    Column("code", Text, primary_key=True),
    Column("channel", Text, nullable=False),
    Column("category", Text, nullable=False, comment="the template decides whether it is marketing, not the caller"),
    Column("purpose", Text, nullable=False),
    Column("body", Text, nullable=False, comment="{name} stands for a variable"),
    instant("created_at", nullable=False),
    instant("updated_at", nullable=False),
    CheckConstraint("category in ('marketing', 'transactional')", name="category"),
    CheckConstraint("channel in ('webhook')", name="channel"),
)

touch_requests = tenant_table(
    "touch_requests",
    Column("id", Uuid, primary_key=True),
    Column("key", Text, nullable=False, comment="the caller's Idempotency-Key: it seeds the touch ids"),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("template_code", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("category", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("audience", JSONB, nullable=False),
    Column("variables", JSONB, nullable=False),
    Column("message", Text, nullable=False, comment="the template with its variables filled in"),
    Column("job_id", Uuid, nullable=False),
    instant("created_at", nullable=False),
    Index("uq_touch_requests_key", "shop_id", "key", unique=True),
)

# The id is derived from (shop, request key, customer): the primary key makes a second touch impossible.
touches = tenant_table(
    "touches",
    Column("id", Uuid, primary_key=True),
    Column("request_id", Uuid, nullable=False),
    Column("customer_id", BigInteger, nullable=False),
    Column("origin_customer_id", BigInteger, nullable=False),
    Column("channel", Text, nullable=False),
    Column("state", Text, nullable=False, server_default="planned"),
    Column("reason", Text, comment="why it was refused or failed"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    instant("due_at", nullable=False),
    instant("created_at", nullable=False),
    instant("updated_at", nullable=False),
    CheckConstraint(
        "state in ('planned', 'sending', 'delivered', 'suppressed', 'failed', 'quarantined')", name="state"
    ),
    Index("ix_touches_due", "shop_id", "due_at", "id", postgresql_where="state = 'planned'"),
    Index("ix_touches_request", "shop_id", "request_id", "id"),
    Index("ix_touches_customer", "shop_id", "customer_id", "created_at"),
    person=PersonRows(merge="follow", export="touches", erase="keep"),
)

"""Subscriptions, the messages owed to them, and each attempt to deliver one."""

from sqlalchemy import Boolean, CheckConstraint, Column, Float, Index, Integer, LargeBinary, Text, Uuid
from sqlalchemy.dialects.postgresql import ARRAY

from app.core.schema import instant, tenant_table

webhook_endpoints = tenant_table(
    "webhook_endpoints",
    Column("id", Uuid, primary_key=True),
    Column("url", Text, nullable=False),
    Column("kinds", ARRAY(Text), nullable=False),
    Column("secret", LargeBinary, nullable=False, comment="sealed"),
    Column("previous_secret", LargeBinary, comment="sealed; signs too until its time is over"),
    instant("previous_until"),
    Column("state", Text, nullable=False, server_default="enabled"),
    Column("reason", Text, comment="why it was disabled"),
    instant("failing_since"),
    instant("created_at", nullable=False),
    Column("format", Text, nullable=False, server_default="standard"),
    Column("client_id", Text, comment="named in Youzan's form"),
    Column(
        "unmasked",
        Boolean,
        nullable=False,
        server_default="false",
        comment="whoever set the address may see personal fields",
    ),
    Column("probe_id", Uuid, comment="the heartbeat that asks whether messages may flow again; null while they do"),
    instant("window_at", comment="since when the breaker counts"),
    Column("window_attempts", Integer, nullable=False, server_default="0"),
    Column("window_failures", Integer, nullable=False, server_default="0"),
    CheckConstraint("state in ('enabled', 'disabled')", name="state"),
    CheckConstraint("format in ('standard', 'youzan')", name="format"),
)

# The id is derived from (endpoint, event): fanning out twice owes one message. A touch's delivery has the touch's
# own id: whatever becomes of endpoints, it is owed to one of them only.
webhook_deliveries = tenant_table(
    "webhook_deliveries",
    Column("id", Uuid, primary_key=True),
    Column("endpoint_id", Uuid, nullable=False),
    Column("message_id", Text, nullable=False, comment="webhook-id: what the receiver de-duplicates by"),
    Column("touch_id", Uuid, comment="the touch that this delivery is"),
    Column("kind", Text, nullable=False),
    Column("body", Text, nullable=False, comment="the exact bytes that are signed"),
    Column("state", Text, nullable=False, server_default="pending"),
    Column("attempt", Integer, nullable=False, server_default="0", comment="the fence: only the latest may write"),
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("crashes", Integer, nullable=False, server_default="0"),
    Column("last_status", Integer),
    Column("last_error", Text),
    instant("due_at", nullable=False),
    instant("created_at", nullable=False),
    instant("finished_at"),
    CheckConstraint("state in ('pending', 'sending', 'delivered', 'failed', 'cancelled', 'quarantined')", name="state"),
    # what is due, and apart from it what a dead worker left: a row moves from one index to the other
    Index("ix_webhook_deliveries_pending", "shop_id", "endpoint_id", "due_at", postgresql_where="state = 'pending'"),
    Index("ix_webhook_deliveries_sending", "shop_id", "endpoint_id", "due_at", postgresql_where="state = 'sending'"),
    Index("ix_webhook_deliveries_log", "shop_id", "endpoint_id", "created_at", "id"),
)

webhook_attempts = tenant_table(
    "webhook_attempts",
    Column("delivery_id", Uuid, primary_key=True),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    instant("attempted_at", nullable=False),
    Column("seconds", Float, nullable=False),
    Column("status", Integer),
    Column("error", Text),
)

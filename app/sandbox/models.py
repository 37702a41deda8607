"""Messages that the sandbox received."""

from sqlalchemy import Column, Index, Text

from app.core.schema import instant, tenant_table

sandbox_messages = tenant_table(
    "sandbox_messages",
    Column("message_id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("body", Text, nullable=False),
    instant("received_at", nullable=False),
    Index("ix_sandbox_messages_newest", "shop_id", "received_at", "message_id"),
)

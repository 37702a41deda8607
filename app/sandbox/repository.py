"""The sandbox's SQL."""

from sqlalchemy import bindparam as p
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from app.core.db import statement
from app.sandbox.models import sandbox_messages
from app.webhooks.models import webhook_endpoints

ENDPOINTS = statement(select(webhook_endpoints).where(webhook_endpoints.c.shop_id == p("shop_id")))
STORE = statement(
    insert(sandbox_messages)
    .values({column.name: p(column.name) for column in sandbox_messages.c})
    .on_conflict_do_nothing()
)
NEWEST = statement(
    select(sandbox_messages)
    .where(sandbox_messages.c.shop_id == p("shop_id"))
    .order_by(sandbox_messages.c.received_at.desc(), sandbox_messages.c.message_id.desc())
    .limit(p("limit"))
)

"""Who may push to a shop, and every message that was taken: kept sealed, applied once, never dropped."""

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, Integer, LargeBinary, Text, Uuid

from app.core.schema import instant, tenant_table

push_sources = tenant_table(
    "push_sources",
    Column("client_id", Text, nullable=False, comment="of the Youzan app that pushes"),
    Column("secret", LargeBinary, nullable=False, comment="sealed: signatures need it back"),
    Column("state", Text, nullable=False, server_default="enabled"),
    instant("created_at", nullable=False),
    CheckConstraint("state in ('enabled', 'disabled')", name="state"),
)

push_messages = tenant_table(
    "push_messages",
    Column("id", Uuid, primary_key=True),
    Column("msg_id", Text, nullable=False, comment="the sender's, by which repeats are known"),
    Column("type", Text, nullable=False),
    Column("status", Text),
    Column("subject_hash", LargeBinary, nullable=False, comment="keyed hash of the business id"),
    Column("version", BigInteger, nullable=False, comment="in milliseconds, whichever unit was sent"),
    Column("body", LargeBinary, nullable=False, comment="sealed: the request as it came"),
    Column("state", Text, nullable=False, server_default="pending"),
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("error", Text, comment="why it could not be applied, or not yet"),
    Column("note", Text, comment="what else to know of how it was applied or ignored"),
    instant("received_at", nullable=False),
    instant("applied_at"),
    instant("due_at", nullable=False),
    CheckConstraint("state in ('pending', 'applied', 'ignored', 'failed')", name="state"),
    # decides between repeats, however many arrive at once
    Index("uq_push_messages_msg_id", "shop_id", "msg_id", unique=True),
    # what the worker claims
    Index("ix_push_messages_due", "shop_id", "due_at", postgresql_where="state = 'pending'"),
    # what else was said about the same thing
    Index("ix_push_messages_subject", "shop_id", "type", "subject_hash", "version"),
    # GET /v1/push-messages?state=
    Index("ix_push_messages_state", "shop_id", "state", "id"),
)

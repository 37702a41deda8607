"""Youzan's message push: who may send it to us and what was received, and subscriptions that are sent in its form."""

import sqlalchemy as sa
from alembic import op

from migrations.wall import protect

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add both tables, and what a subscription needs to speak this form."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.create_table(
        "push_sources",
        sa.Column("shop_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("client_id", sa.Text(), nullable=False, comment="of the Youzan app that pushes"),
        sa.Column("secret", sa.LargeBinary(), nullable=False, comment="sealed: signatures need it back"),
        sa.Column("state", sa.Text(), server_default="enabled", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("state in ('enabled', 'disabled')", name=op.f("ck_push_sources_state")),
        sa.PrimaryKeyConstraint("shop_id", name=op.f("pk_push_sources")),
        info={"kind": "tenant"},
    )
    op.create_table(
        "push_messages",
        sa.Column("shop_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("msg_id", sa.Text(), nullable=False, comment="the sender's, by which repeats are known"),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=True),
        sa.Column("subject_hash", sa.LargeBinary(), nullable=False, comment="keyed hash of the business id"),
        sa.Column("version", sa.BigInteger(), nullable=False, comment="in milliseconds, whichever unit was sent"),
        sa.Column("body", sa.LargeBinary(), nullable=False, comment="sealed: the request as it came"),
        sa.Column("state", sa.Text(), server_default="pending", nullable=False),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("error", sa.Text(), nullable=True, comment="why it could not be applied, or not yet"),
        sa.Column("note", sa.Text(), nullable=True, comment="what else to know of how it was applied or ignored"),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("applied_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("state in ('pending', 'applied', 'ignored', 'failed')", name=op.f("ck_push_messages_state")),
        sa.PrimaryKeyConstraint("shop_id", "id", name=op.f("pk_push_messages")),
        info={"kind": "tenant"},
    )
    op.create_index("uq_push_messages_msg_id", "push_messages", ["shop_id", "msg_id"], unique=True)
    op.create_index(
        "ix_push_messages_due", "push_messages", ["shop_id", "due_at"], postgresql_where="state = 'pending'"
    )
    op.create_index("ix_push_messages_subject", "push_messages", ["shop_id", "type", "subject_hash", "version"])
    op.create_index("ix_push_messages_state", "push_messages", ["shop_id", "state", "id"])
    protect(["push_sources", "push_messages"])
    op.add_column("webhook_endpoints", sa.Column("format", sa.Text(), server_default="standard", nullable=False))
    op.add_column(
        "webhook_endpoints", sa.Column("client_id", sa.Text(), nullable=True, comment="named in Youzan's form")
    )
    op.add_column(
        "webhook_endpoints",
        sa.Column(
            "unmasked",
            sa.Boolean(),
            server_default="false",
            nullable=False,
            comment="whoever set the address may see personal fields",
        ),
    )
    op.create_check_constraint(
        op.f("ck_webhook_endpoints_format"), "webhook_endpoints", "format in ('standard', 'youzan')"
    )

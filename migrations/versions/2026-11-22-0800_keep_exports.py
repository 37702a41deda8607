"""Exports: what was asked for, which stays, and the content in sealed chunks, which goes."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from migrations.wall import protect

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Add the tables."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.create_table(
        "exports",
        sa.Column("shop_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("client", sa.Uuid(), nullable=False, comment="who asked"),
        sa.Column("client_id", sa.Text(), nullable=False, comment="the same, as the access log names them"),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("format", sa.Text(), nullable=False),
        sa.Column("filters", postgresql.JSONB(), nullable=False),
        sa.Column("columns", postgresql.JSONB(), nullable=False, comment="their names, in order"),
        sa.Column("unmasked", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True, comment="why unmasked"),
        sa.Column("state", sa.Text(), server_default="queued", nullable=False),
        sa.Column(
            "key",
            sa.LargeBinary(),
            nullable=True,
            comment="sealed: opens the chunks; none once the content is to go",
        ),
        sa.Column("reached", postgresql.JSONB(), nullable=True, comment="the key of the last row looked at"),
        sa.Column("chunks", sa.Integer(), server_default="0", nullable=False),
        sa.Column("rows", sa.BigInteger(), server_default="0", nullable=False, comment="in the content"),
        sa.Column(
            "bytes",
            sa.BigInteger(),
            server_default="0",
            nullable=False,
            comment="of the content as it is fetched",
        ),
        sa.Column(
            "scanned",
            sa.BigInteger(),
            server_default="0",
            nullable=False,
            comment="rows looked at, matching or not",
        ),
        sa.Column(
            "total",
            sa.BigInteger(),
            nullable=True,
            comment="to scan, as counted at the start; none where they are too many to count",
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("progressed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "expires_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="from then on the content goes",
        ),
        sa.Column(
            "emptied_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when the last of it had gone",
        ),
        sa.CheckConstraint(
            "state in ('queued', 'running', 'done', 'failed', 'cancelled', 'expired')", name=op.f("ck_exports_state")
        ),
        sa.CheckConstraint("format in ('ndjson', 'csv')", name=op.f("ck_exports_format")),
        sa.CheckConstraint("not unmasked or reason is not null", name=op.f("ck_exports_reason")),
        sa.PrimaryKeyConstraint("shop_id", "id", name=op.f("pk_exports")),
        info={"kind": "tenant"},
    )
    op.create_index(
        "ix_exports_expiring",
        "exports",
        ["shop_id", "expires_at"],
        postgresql_where=sa.text("emptied_at is null"),
    )
    op.create_index(
        "ix_exports_unfinished",
        "exports",
        ["shop_id", "id"],
        postgresql_where=sa.text("state in ('queued', 'running')"),
    )
    op.create_table(
        "export_chunks",
        sa.Column("shop_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("export_id", sa.Uuid(), nullable=False),
        sa.Column("no", sa.Integer(), autoincrement=False, nullable=False, comment="from 0"),
        sa.Column(
            "begins",
            sa.BigInteger(),
            nullable=False,
            comment="how many bytes of the content stand before it",
        ),
        sa.Column("length", sa.Integer(), nullable=False, comment="in bytes, as it is fetched"),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False, comment="compressed, then sealed"),
        sa.PrimaryKeyConstraint("shop_id", "export_id", "no", name=op.f("pk_export_chunks")),
        info={"kind": "tenant"},
    )
    protect(["exports", "export_chunks"])

"""Files that are imported: what was asked for and how far it is, the file in sealed pieces, and the rows left out."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from migrations.wall import protect

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Add the tables."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.create_table(
        "imports",
        sa.Column("shop_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("format", sa.Text(), nullable=False),
        sa.Column("policy", sa.Text(), nullable=False),
        sa.Column("dry_run", sa.Boolean(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False, comment="which system the external ids come from"),
        sa.Column("client_id", sa.Text(), nullable=False, comment="who uploaded it"),
        sa.Column("state", sa.Text(), server_default="uploading", nullable=False),
        sa.Column("bytes", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("rows", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("created", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("updated", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("unchanged", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("refused", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column(
            "reached", sa.BigInteger(), server_default="0", nullable=False, comment="every batch before this one is in"
        ),
        sa.Column(
            "ahead", postgresql.ARRAY(sa.BigInteger()), server_default="{}", nullable=False, comment="batches after it"
        ),
        sa.Column("share", sa.Float(), server_default="0", nullable=False, comment="of the work, 0 to 1"),
        sa.Column("unknown_columns", postgresql.JSONB(), server_default="[]", nullable=False),
        sa.Column("reason", sa.Text(), nullable=True, comment="why the file as a whole was refused"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("touched_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state in ('uploading', 'accepted', 'done', 'refused', 'failed', 'cancelled', 'abandoned')",
            name=op.f("ck_imports_state"),
        ),
        sa.PrimaryKeyConstraint("shop_id", "id", name=op.f("pk_imports")),
        info={"kind": "tenant"},
    )
    op.create_index(
        "ix_imports_open",
        "imports",
        ["shop_id", "touched_at"],
        postgresql_where=sa.text("state in ('uploading', 'accepted')"),
    )
    op.create_table(
        "import_chunks",
        sa.Column("shop_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("import_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False, comment="from 0"),
        sa.Column("content", sa.LargeBinary(), nullable=False, comment="sealed"),
        sa.PrimaryKeyConstraint("shop_id", "id", name=op.f("pk_import_chunks")),
        info={"kind": "tenant"},
    )
    op.create_index("uq_import_chunks_number", "import_chunks", ["shop_id", "import_id", "number"], unique=True)
    # What is sealed does not compress; trying to would only take time.
    op.execute("alter table import_chunks alter column content set storage external")
    op.create_table(
        "import_errors",
        sa.Column("shop_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("import_id", sa.Uuid(), nullable=False),
        sa.Column("line", sa.BigInteger(), autoincrement=False, nullable=False, comment="from 1"),
        sa.Column("field", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False, comment="never a value"),
        sa.PrimaryKeyConstraint("shop_id", "import_id", "line", name=op.f("pk_import_errors")),
        info={"kind": "tenant"},
    )
    protect(["imports", "import_chunks", "import_errors"])

"""Imports, their files in sealed pieces, and the rows that were left out."""

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, Float, Index, Integer, LargeBinary, Text, Uuid
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from app.core.schema import instant, tenant_table

imports = tenant_table(
    "imports",
    Column("id", Uuid, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("format", Text, nullable=False),
    Column("policy", Text, nullable=False),
    Column("dry_run", Boolean, nullable=False),
    Column("source", Text, nullable=False, comment="which system the external ids come from"),
    Column("client_id", Text, nullable=False, comment="who uploaded it"),
    # How far an accepted one is, its job says.
    Column("state", Text, nullable=False, server_default="uploading"),
    Column("bytes", BigInteger, nullable=False, server_default="0"),
    Column("rows", BigInteger, nullable=False, server_default="0"),
    Column("created", BigInteger, nullable=False, server_default="0"),
    Column("updated", BigInteger, nullable=False, server_default="0"),
    Column("unchanged", BigInteger, nullable=False, server_default="0"),
    Column("refused", BigInteger, nullable=False, server_default="0"),
    Column("reached", BigInteger, nullable=False, server_default="0", comment="every batch before this one is in"),
    Column("ahead", ARRAY(BigInteger), nullable=False, server_default="{}", comment="batches after it"),
    Column("share", Float, nullable=False, server_default="0", comment="of the work, 0 to 1"),
    Column("unknown_columns", JSONB, nullable=False, server_default="[]"),
    Column("reason", Text, comment="why the file as a whole was refused"),
    instant("created_at", nullable=False),
    instant("touched_at", nullable=False),
    instant("started_at"),
    instant("finished_at"),
    CheckConstraint(
        "state in ('uploading', 'accepted', 'done', 'refused', 'failed', 'cancelled', 'abandoned')", name="state"
    ),
    # the few that are not at an end
    Index("ix_imports_open", "shop_id", "touched_at", postgresql_where="state in ('uploading', 'accepted')"),
)

import_chunks = tenant_table(
    "import_chunks",
    Column("id", Uuid, primary_key=True),
    Column("import_id", Uuid, nullable=False),
    Column("number", Integer, nullable=False, comment="from 0"),
    Column("content", LargeBinary, nullable=False, comment="sealed"),
    Index("uq_import_chunks_number", "shop_id", "import_id", "number", unique=True),
)

import_errors = tenant_table(
    "import_errors",
    Column("import_id", Uuid, primary_key=True),
    Column("line", BigInteger, primary_key=True, autoincrement=False, comment="from 1"),
    Column("field", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("reason", Text, nullable=False, comment="never a value"),
)

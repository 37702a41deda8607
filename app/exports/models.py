"""Exports as they were asked for, which stay as a record, and their content, which does not."""

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, Index, Integer, LargeBinary, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

from app.core.schema import instant, tenant_table

exports = tenant_table(
    "exports",
    Column("id", Uuid, primary_key=True),
    Column("client", Uuid, nullable=False, comment="who asked"),
    Column("client_id", Text, nullable=False, comment="the same, as the access log names them"),
    Column("kind", Text, nullable=False),
    Column("format", Text, nullable=False),
    Column("filters", JSONB, nullable=False),
    Column("columns", JSONB, nullable=False, comment="their names, in order"),
    Column("unmasked", Boolean, nullable=False),
    Column("reason", Text, comment="why unmasked"),
    Column("state", Text, nullable=False, server_default="queued"),
    Column("key", LargeBinary, comment="sealed: opens the chunks; none once the content is to go"),
    Column("reached", JSONB, comment="the key of the last row looked at"),
    Column("chunks", Integer, nullable=False, server_default="0"),
    Column("rows", BigInteger, nullable=False, server_default="0", comment="in the content"),
    Column("bytes", BigInteger, nullable=False, server_default="0", comment="of the content as it is fetched"),
    Column("scanned", BigInteger, nullable=False, server_default="0", comment="rows looked at, matching or not"),
    Column("total", BigInteger, comment="to scan, as counted at the start; none where they are too many to count"),
    instant("created_at", nullable=False),
    instant("started_at"),
    instant("progressed_at"),
    instant("finished_at"),
    instant("expires_at", nullable=False, comment="from then on the content goes"),
    instant("emptied_at", comment="when the last of it had gone"),
    CheckConstraint("state in ('queued', 'running', 'done', 'failed', 'cancelled', 'expired')", name="state"),
    CheckConstraint("format in ('ndjson', 'csv')", name="format"),
    CheckConstraint("not unmasked or reason is not null", name="reason"),
    # content that is to go
    Index("ix_exports_expiring", "shop_id", "expires_at", postgresql_where="emptied_at is null"),
    # how many wait
    Index("ix_exports_unfinished", "shop_id", "id", postgresql_where="state in ('queued', 'running')"),
)

export_chunks = tenant_table(
    "export_chunks",
    Column("export_id", Uuid, primary_key=True),
    Column("no", Integer, primary_key=True, autoincrement=False, comment="from 0"),
    Column("begins", BigInteger, nullable=False, comment="how many bytes of the content stand before it"),
    Column("length", Integer, nullable=False, comment="in bytes, as it is fetched"),
    Column("rows", Integer, nullable=False),
    Column("content", LargeBinary, nullable=False, comment="compressed, then sealed"),
)

"""Shops, stores, key rings, API clients and the credentials that open the door."""

from sqlalchemy import BigInteger, CheckConstraint, Column, Date, Index, Integer, LargeBinary, Sequence, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

from app.core.schema import instant, metadata, reference_table, tenant_table

shop_ids = Sequence("shop_ids", start=100_001, metadata=metadata)

shops = reference_table(
    "shops",
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False),
    Column("timezone", Text, nullable=False, server_default="Asia/Shanghai"),
    Column("settings", JSONB, nullable=False, server_default="{}"),
    Column("pinned_as_of", Date, comment="the exclusive day that live scores stand at, for shops that show history"),
    instant("created_at", nullable=False),
)

stores = tenant_table(
    "stores",
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False),
    Column("city", Text),
    instant("created_at", nullable=False),
)

shop_keys = tenant_table(
    "shop_keys",
    Column("version", Integer, primary_key=True, autoincrement=False, comment="0 is the blind-index key"),
    Column("wrapped", LargeBinary, nullable=False),
    instant("created_at", nullable=False),
)

api_clients = tenant_table(
    "api_clients",
    Column("id", Uuid, primary_key=True),
    Column("client_id", Text, nullable=False, comment="what the client sends"),
    Column("name", Text, nullable=False),
    Column("secret", LargeBinary, nullable=False, comment="sealed: signatures need it back"),
    Column("scopes", Text, nullable=False, comment="space-separated"),
    Column("epoch", Integer, nullable=False, server_default="1", comment="raised by every change of what it may do"),
    instant("created_at", nullable=False),
    instant("expires_at"),
    instant("revoked_at"),
    Index("uq_api_clients_client_id", "shop_id", "client_id", unique=True),
)

# One row for whatever a caller can show: found by its keyed hash before the shop is known. Row security lets a
# transaction see the row whose hash it already holds, and a shop see its own.
credentials = tenant_table(
    "credentials",
    Column("lookup_hash", LargeBinary, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("client", Uuid, nullable=False),
    Column("secret", LargeBinary, comment="sealed access token, for silent calls that ask for the current one"),
    Column("hint", Text, nullable=False, comment="for display: prefix and last characters"),
    instant("created_at", nullable=False),
    instant("expires_at"),
    instant("revoked_at"),
    CheckConstraint("kind in ('client', 'token', 'refresh_token', 'api_key')", name="kind"),
    Index("ix_credentials_client", "shop_id", "client", "kind", "expires_at"),
    Index("ix_credentials_lookup", "lookup_hash"),
)

"""Shops, stores, key rings, API clients and the credentials that open the door."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    Index,
    Integer,
    LargeBinary,
    Sequence,
    Text,
    Uuid,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

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
    instant("used_from", nullable=False, comment="seals from then on; until then every process has learnt to read it"),
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
    CheckConstraint("kind in ('client', 'token', 'refresh_token', 'api_key', 'code')", name="kind"),
    Index("ix_credentials_client", "shop_id", "client", "kind", "expires_at"),
    Index("ix_credentials_lookup", "lookup_hash"),
)

# Who looked at whom, and who changed whom: never a value. Append-only for the service.
access_log = tenant_table(
    "access_log",
    Column("id", Uuid, primary_key=True),
    instant("at", nullable=False),
    Column("actor", Text, nullable=False, comment="client_id, or the command line"),
    Column("call", Text, nullable=False, comment="method and route, or API and version"),
    Column("purpose", Text, nullable=False, comment="the scopes that the call needed"),
    Column("action", Text, nullable=False),
    Column("objects", Integer, nullable=False, comment="how many customers were concerned"),
    Column("customers", ARRAY(BigInteger), nullable=False, comment="their numbers, where they are few"),
    Column("masked", Boolean, nullable=False),
    Column("result", Text, nullable=False, comment="ok, or the code of the refusal"),
    Column("address", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    CheckConstraint("action in ('read', 'change', 'refused')", name="action"),
)

# The log's hash chain, written by one worker at a time: a row that was edited, removed or swapped breaks it.
access_chain = tenant_table(
    "access_chain",
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("entry_id", Uuid, nullable=False),
    Column("hash", LargeBinary, nullable=False, comment="SHA-256 of the hash before and the entry's content"),
    Index("uq_access_chain_entry_id", "shop_id", "entry_id", unique=True),
)

access_heads = tenant_table(
    "access_heads",
    Column("seq", BigInteger, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    instant("sealed_through", nullable=False),
    Column("since", Uuid, nullable=False, comment="no entry before this id can still appear"),
)

# A POST that was carried out, beside its effect: the same key gets the same answer for a day.
idempotency_keys = tenant_table(
    "idempotency_keys",
    Column("client", Uuid, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("reply", LargeBinary, comment="sealed: status and body"),
    instant("created_at", nullable=False),
    Index("ix_idempotency_keys_created", "shop_id", "created_at"),
)

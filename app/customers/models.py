"""Customers, what identifies them, and the keys that their fields are sealed with."""

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
    SmallInteger,
    Text,
)

from app.core.ids import BLOCK
from app.core.schema import VAULT, instant, metadata, tenant_table

customer_ids = Sequence("customer_ids", start=10_000_000, increment=BLOCK, metadata=metadata)

customers = tenant_table(
    "customers",
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column(
        "origin_customer_id", BigInteger, nullable=False, comment="whom the row came in for; merges never change it"
    ),
    Column("name", LargeBinary, comment="sealed"),
    Column("mobile", LargeBinary, comment="sealed, E.164"),
    Column("address", LargeBinary, comment="sealed"),
    Column("remark", LargeBinary, comment="sealed"),
    Column("wei_xin", LargeBinary, comment="sealed"),
    Column("gender", SmallInteger, nullable=False, server_default="0"),
    Column("birthday", Date),
    Column("area_code", Text),
    Column("store_id", BigInteger),
    Column("source_channel", Integer),
    Column("source_way", Integer),
    Column("mobile_verified", Boolean, nullable=False, server_default="false"),
    instant("member_since"),
    Column("status", Text, nullable=False, server_default="active"),
    Column("merged_into", BigInteger),
    Column("version", Integer, nullable=False, server_default="1"),
    instant("created_at", nullable=False),
    instant("updated_at", nullable=False),
    CheckConstraint("gender between 0 and 2", name="gender"),
    CheckConstraint("status in ('active', 'locked', 'erased')", name="status"),
    # GET /v1/customers and the façade's lists, newest first
    Index("ix_customers_created", "shop_id", "created_at", "id"),
    # GET /v1/customers?updated_from=
    Index("ix_customers_updated", "shop_id", "updated_at", "id"),
    # GET /v1/customers?store_id=
    Index("ix_customers_store", "shop_id", "store_id", "created_at", "id"),
    # lists of members, and by when they became one
    Index(
        "ix_customers_member",
        "shop_id",
        "created_at",
        "id",
        postgresql_include=["member_since"],
        postgresql_where="member_since is not null",
    ),
    Index(
        "ix_customers_member_since",
        "shop_id",
        "member_since",
        "created_at",
        "id",
        postgresql_where="member_since is not null",
    ),
)

identities = tenant_table(
    "identities",
    Column("kind", Text, primary_key=True),
    Column("value_hash", LargeBinary, primary_key=True, comment="keyed hash of scope and normalised value"),
    Column("customer_id", BigInteger, nullable=False),
    Column("origin_customer_id", BigInteger, nullable=False),
    Column("scope", Text, nullable=False, server_default="", comment="appid or source system"),
    Column("value", LargeBinary, nullable=False, comment="sealed"),
    instant("first_seen_at", nullable=False),
    Index("ix_identities_customer", "shop_id", "customer_id"),
)

person_keys = tenant_table(
    "person_keys",
    Column("customer_id", BigInteger, primary_key=True, autoincrement=False),
    Column("wrapped", LargeBinary, nullable=False),
    schema=VAULT,
)

# Kept by the refresh, which counts a customer when it first sees them: no create ever writes this row.
customer_totals = tenant_table(
    "customer_totals",
    Column("customers", BigInteger, nullable=False),
)

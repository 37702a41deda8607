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
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB

from app.core.ids import BLOCK
from app.core.persons import PersonRows
from app.core.schema import VAULT, instant, metadata, tenant_table

customer_ids = Sequence("customer_ids", start=10_000_000, increment=BLOCK, metadata=metadata)

customers = tenant_table(
    "customers",
    Column("id", BigInteger, primary_key=True, autoincrement=False),
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
    Column("merged_into", BigInteger, comment="who answers for this one now: never someone who is merged again"),
    Column("members", Integer, nullable=False, server_default="1", comment="how many records this one stands for"),
    instant("merged_at", comment="since when it stands for exactly these"),
    instant("told_at", nullable=False, comment="when the profile was told, where `told` has no other word on a field"),
    Column("told_by", Text, nullable=False, server_default="", comment="and by whom"),
    Column("told", JSONB, nullable=False, server_default="{}", comment="field: [told at, told by, whose]"),
    Column("version", Integer, nullable=False, server_default="1"),
    instant("created_at", nullable=False),
    instant("updated_at", nullable=False),
    CheckConstraint("gender between 0 and 2", name="gender"),
    CheckConstraint("status in ('active', 'locked', 'erased')", name="status"),
    # Lists show nobody who is merged into another.
    # GET /v1/customers and the façade's lists, newest first
    Index("ix_customers_created", "shop_id", "created_at", "id", postgresql_where="merged_into is null"),
    # GET /v1/customers?updated_from=
    Index("ix_customers_updated", "shop_id", "updated_at", "id", postgresql_where="merged_into is null"),
    # GET /v1/customers?store_id=
    Index("ix_customers_store", "shop_id", "store_id", "created_at", "id", postgresql_where="merged_into is null"),
    # lists of members, and by when they became one
    Index(
        "ix_customers_member",
        "shop_id",
        "created_at",
        "id",
        postgresql_include=["member_since"],
        postgresql_where="member_since is not null and merged_into is null",
    ),
    Index(
        "ix_customers_member_since",
        "shop_id",
        "member_since",
        "created_at",
        "id",
        postgresql_where="member_since is not null and merged_into is null",
    ),
    # lists of who has no mobile: few, so that a walk by creation would look at ten for each that it finds
    Index(
        "ix_customers_without_mobile",
        "shop_id",
        "created_at",
        "id",
        postgresql_where="mobile is null and merged_into is null",
    ),
    # the records that one stands for
    Index("ix_customers_merged_into", "shop_id", "merged_into", "id", postgresql_where="merged_into is not null"),
    person=PersonRows(merge="stay", export="profile", erase="keep"),
)

identities = tenant_table(
    "identities",
    Column("kind", Text, primary_key=True),
    Column("value_hash", LargeBinary, primary_key=True, comment="keyed hash of scope and normalised value"),
    Column("customer_id", BigInteger, nullable=False),
    Column("origin_customer_id", BigInteger, nullable=False),
    Column("scope", Text, nullable=False, server_default="", comment="appid or source system"),
    Column("value", LargeBinary, nullable=False, comment="sealed"),
    Column("source", Text, nullable=False, server_default="", comment="who told of it first"),
    instant("first_seen_at", nullable=False),
    instant("last_seen_at", nullable=False, comment="to the day: no write of the same day moves it"),
    instant("verified_at"),
    Column("normaliser", SmallInteger, nullable=False, server_default="1", comment="the rules it was hashed by"),
    Index("ix_identities_customer", "shop_id", "customer_id"),
    person=PersonRows(merge="follow", export="identities", erase="delete"),
    postgresql_with={"fillfactor": "90"},
)

person_keys = tenant_table(
    "person_keys",
    Column("customer_id", BigInteger, primary_key=True, autoincrement=False),
    Column("wrapped", LargeBinary, nullable=False),
    schema=VAULT,
    person=PersonRows(merge="stay", export=None, erase="delete"),
)

# What each record of a merged person was told, so that the edges can be taken away again. Who was never merged has
# no row here: their row in `customers` says the same.
own_profiles = tenant_table(
    "own_profiles",
    Column("customer_id", BigInteger, primary_key=True, autoincrement=False),
    *(
        Column(name, kind)
        for name, kind in {
            "name": LargeBinary,
            "mobile": LargeBinary,
            "address": LargeBinary,
            "remark": LargeBinary,
            "wei_xin": LargeBinary,
            "gender": SmallInteger,
            "birthday": Date,
            "area_code": Text,
            "store_id": BigInteger,
            "source_channel": Integer,
            "source_way": Integer,
            "mobile_verified": Boolean,
        }.items()
    ),
    instant("member_since"),
    instant("told_at", nullable=False),
    Column("told_by", Text, nullable=False),
    Column("told", JSONB, nullable=False),
    person=PersonRows(merge="stay", export="profile", erase="delete"),
)

# An edge between two records. Who owns what is computed from the edges that are not reversed; they make no cycles.
merges = tenant_table(
    "merges",
    Column("id", Uuid, primary_key=True),
    Column("customer_id", BigInteger, nullable=False),
    Column("other_id", BigInteger, nullable=False),
    Column("cause", Text, nullable=False, comment="write: identities of both came together; request; conflict"),
    Column("identity_kind", Text, comment="of a write: what the other one was recognised by"),
    Column("actor", Text, nullable=False),
    instant("merged_at", nullable=False),
    instant("reversed_at"),
    Column("reversed_by", Text),
    CheckConstraint("customer_id <> other_id", name="two"),
    CheckConstraint("cause in ('write', 'request', 'conflict')", name="cause"),
    Index("ix_merges_customer", "shop_id", "customer_id", "merged_at"),
    Index("ix_merges_other", "shop_id", "other_id", "merged_at"),
    person=PersonRows(merge="stay", export="merges", erase="keep"),
)

# Locked by whoever changes who belongs to whom, one at a time in a shop: they take many rows, and in an order that
# depends on what they find.
merge_gates = tenant_table("merge_gates")

# Two records that may be one person, for someone to decide. The pair stands once: smaller number first.
merge_conflicts = tenant_table(
    "merge_conflicts",
    Column("id", Uuid, primary_key=True),
    Column("customer_id", BigInteger, nullable=False),
    Column("other_id", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("identity_kind", Text),
    Column("state", Text, nullable=False, server_default="open"),
    instant("first_at", nullable=False),
    instant("last_at", nullable=False, comment="to the day"),
    instant("decided_at"),
    Column("decided_by", Text),
    CheckConstraint("customer_id < other_id", name="pair"),
    CheckConstraint("state in ('open', 'merged', 'dismissed')", name="state"),
    Index("uq_merge_conflicts_pair", "shop_id", "customer_id", "other_id", unique=True),
    Index("ix_merge_conflicts_other", "shop_id", "other_id"),
    # GET /v1/merge-conflicts
    Index("ix_merge_conflicts_state", "shop_id", "state", "id"),
    person=PersonRows(merge="stay", export=None, erase="delete"),
)

# Kept by the refresh, which counts a customer when it first sees them: no create ever writes this row.
customer_totals = tenant_table(
    "customer_totals",
    Column("customers", BigInteger, nullable=False),
)

"""Categories, tags, and who carries which."""

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, Identity, Index, Integer, SmallInteger, Text

from app.core.persons import PersonRows
from app.core.schema import instant, tenant_table

NAME_LIMIT = 32
REASON_LIMIT = 200

tag_categories = tenant_table(
    "tag_categories",
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("name", Text, nullable=False),
    Column("status", SmallInteger, nullable=False, server_default="0", comment="0 normal, 1 disabled"),
    Column("add_rule", SmallInteger, nullable=False, server_default="0"),
    Column("support_tag_type", SmallInteger, nullable=False, server_default="0"),
    Column("sync_external", Boolean, nullable=False, server_default="false"),
    instant("created_at", nullable=False),
    instant("updated_at", nullable=False),
    CheckConstraint("status in (0, 1)", name="status"),
    Index("uq_tag_categories_name", "shop_id", "name", unique=True),
)

tags = tenant_table(
    "tags",
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("name", Text, nullable=False),
    Column("category_id", BigInteger),
    Column("status", SmallInteger, nullable=False, server_default="0", comment="0 normal, 1 disabled"),
    Column("kind", Text, nullable=False, server_default="manual", comment="automatic: a rule says who carries it"),
    instant("created_at", nullable=False),
    instant("updated_at", nullable=False),
    CheckConstraint("status in (0, 1)", name="status"),
    CheckConstraint("kind in ('manual', 'automatic')", name="kind"),
    CheckConstraint(f"length(name) between 1 and {NAME_LIMIT}", name="name"),
    # One name is one tag, whatever its category: calls name tags without it.
    Index("uq_tags_name", "shop_id", "name", unique=True),
    Index("ix_tags_category", "shop_id", "category_id", "id"),
)

customer_tags = tenant_table(
    "customer_tags",
    Column("customer_id", BigInteger, primary_key=True, autoincrement=False),
    Column("tag_id", BigInteger, primary_key=True, autoincrement=False),
    Column("origin_customer_id", BigInteger, primary_key=True, autoincrement=False),
    Column("source", Text, nullable=False),
    Column("actor", Text, nullable=False, comment="the API client, the operator or the rule"),
    Column("reason", Text, comment="why, in the words of who assigned it"),
    Column("rule_version", Integer, comment="the version of the rule that says so"),
    instant("assigned_at", nullable=False),
    instant("valid_until"),
    CheckConstraint("source in ('facade', 'manual', 'rule', 'import', 'journey')", name="source"),
    CheckConstraint(f"length(reason) <= {REASON_LIMIT}", name="reason"),
    # lists by tag, and how many carry it: ten thousand are counted without a look at their rows
    Index("ix_customer_tags_tag", "shop_id", "tag_id", "customer_id", postgresql_include=["valid_until"]),
    # assignments that run out: whom that concerns, and which of them to forget
    Index(
        "ix_customer_tags_valid_until",
        "shop_id",
        "valid_until",
        "tag_id",
        "customer_id",
        postgresql_where="valid_until is not null",
    ),
    person=PersonRows(merge="follow", export="tags", erase="delete"),
)

"""Tags, their categories, and the customers who carry them."""

import sqlalchemy as sa
from alembic import op

from migrations.wall import protect

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create the three tables inside the wall."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.execute("SET LOCAL statement_timeout = '60s'")
    op.create_table(
        "tag_categories",
        sa.Column("shop_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("status", sa.SmallInteger(), server_default="0", nullable=False, comment="0 normal, 1 disabled"),
        sa.Column("add_rule", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("support_tag_type", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("sync_external", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("status in (0, 1)", name=op.f("ck_tag_categories_status")),
        sa.PrimaryKeyConstraint("shop_id", "id", name=op.f("pk_tag_categories")),
        info={"kind": "tenant"},
    )
    op.create_index("uq_tag_categories_name", "tag_categories", ["shop_id", "name"], unique=True)
    op.create_table(
        "tags",
        sa.Column("shop_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("category_id", sa.BigInteger(), nullable=True),
        sa.Column("status", sa.SmallInteger(), server_default="0", nullable=False, comment="0 normal, 1 disabled"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("status in (0, 1)", name=op.f("ck_tags_status")),
        sa.CheckConstraint("length(name) between 1 and 32", name=op.f("ck_tags_name")),
        sa.PrimaryKeyConstraint("shop_id", "id", name=op.f("pk_tags")),
        info={"kind": "tenant"},
    )
    op.create_index("uq_tags_name", "tags", ["shop_id", "name"], unique=True)
    op.create_index("ix_tags_category", "tags", ["shop_id", "category_id", "id"])
    op.create_table(
        "customer_tags",
        sa.Column("shop_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("customer_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("tag_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False, comment="the API client, the operator or the rule"),
        sa.Column("assigned_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("valid_until", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("source in ('facade', 'manual', 'rule')", name=op.f("ck_customer_tags_source")),
        sa.PrimaryKeyConstraint("shop_id", "customer_id", "tag_id", name=op.f("pk_customer_tags")),
        info={"kind": "tenant"},
    )
    op.create_index("ix_customer_tags_tag", "customer_tags", ["shop_id", "tag_id", "customer_id"])
    protect(["tag_categories", "tags", "customer_tags"])

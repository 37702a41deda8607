"""Indexes that large lists walk without a look into the tables: who has no mobile, and who carries a tag."""

from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Add the one, and put into the other how long a tag is carried."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.execute("SET LOCAL statement_timeout = '300s'")
    # Not concurrently: that would wait for a second migrator, which waits for this one. Writes of customers wait as
    # long as reading the table takes, some three seconds for ten million.
    op.create_index(
        "ix_customers_without_mobile",
        "customers",
        ["shop_id", "created_at", "id"],
        unique=False,
        postgresql_where="mobile is null and merged_into is null",
    )
    op.drop_index("ix_customer_tags_tag", table_name="customer_tags")
    op.create_index(
        "ix_customer_tags_tag",
        "customer_tags",
        ["shop_id", "tag_id", "customer_id"],
        unique=False,
        postgresql_include=["valid_until"],
    )

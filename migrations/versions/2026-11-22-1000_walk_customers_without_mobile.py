"""An index by which customers without a mobile are listed and counted."""

from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Add it."""
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

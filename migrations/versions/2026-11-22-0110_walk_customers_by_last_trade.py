"""An index by which customers are listed in the order of their last trade."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add it."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.execute("SET LOCAL statement_timeout = '60s'")
    # Not concurrently: that would wait for a second migrator, which waits for this one. Only the refresh writes here.
    op.create_index(
        "ix_customer_stats_last_on",
        "customer_stats",
        ["shop_id", "last_on", "customer_id"],
        unique=False,
        postgresql_where="last_on is not null",
    )

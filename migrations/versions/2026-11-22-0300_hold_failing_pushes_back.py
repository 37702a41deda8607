"""What the breaker of endpoints in Youzan's form counts, and the heartbeat it waits for."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the columns; nothing is held back yet."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    for column in (
        sa.Column(
            "probe_id",
            sa.Uuid(),
            nullable=True,
            comment="the heartbeat that asks whether messages may flow again; null while they do",
        ),
        sa.Column("window_at", sa.DateTime(timezone=True), nullable=True, comment="since when the breaker counts"),
        sa.Column("window_attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("window_failures", sa.Integer(), server_default="0", nullable=False),
    ):
        op.add_column("webhook_endpoints", column)

"""Tags that a rule gives, why and under which rule an assignment was made, when they run out; what uses what."""

import sqlalchemy as sa
from alembic import op

from migrations.wall import protect

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Add columns that old code does not miss, let assignments name further sources, and create `uses`."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.execute("SET LOCAL statement_timeout = '300s'")
    op.add_column(
        "tags",
        sa.Column(
            "kind",
            sa.Text(),
            server_default="manual",
            nullable=False,
            comment="automatic: a rule says who carries it",
        ),
    )
    op.create_check_constraint(op.f("ck_tags_kind"), "tags", "kind in ('manual', 'automatic')")
    op.add_column(
        "customer_tags",
        sa.Column("reason", sa.Text(), nullable=True, comment="why, in the words of who assigned it"),
    )
    op.add_column(
        "customer_tags",
        sa.Column("rule_version", sa.Integer(), nullable=True, comment="the version of the rule that says so"),
    )
    op.create_check_constraint(op.f("ck_customer_tags_reason"), "customer_tags", "length(reason) <= 200")
    op.drop_constraint(op.f("ck_customer_tags_source"), "customer_tags")
    op.create_check_constraint(
        op.f("ck_customer_tags_source"),
        "customer_tags",
        "source in ('facade', 'manual', 'rule', 'import', 'journey')",
    )
    op.create_index(
        "ix_customer_tags_valid_until",
        "customer_tags",
        ["shop_id", "valid_until", "tag_id", "customer_id"],
        unique=False,
        postgresql_where="valid_until is not null",
    )
    op.create_table(
        "uses",
        sa.Column("shop_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("thing", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False, comment="a tag's is its number, because tags can be renamed"),
        sa.Column("user_kind", sa.Text(), nullable=False, comment="a segment, a journey, …"),
        sa.Column("user_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("user_name", sa.Text(), nullable=False, comment="as people call the user"),
        sa.CheckConstraint(
            "thing in ('tag', 'attribute', 'event_type', 'segment', 'tier', 'store')", name=op.f("ck_uses_thing")
        ),
        sa.PrimaryKeyConstraint("shop_id", "thing", "name", "user_kind", "user_id", name=op.f("pk_uses")),
    )
    op.create_index("ix_uses_user", "uses", ["shop_id", "user_kind", "user_id"], unique=False)
    protect(["uses"])

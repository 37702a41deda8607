"""What identities are known by, merges as edges, and rows that follow whoever owns them now."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from migrations.wall import ROLE, protect

revision = "0008"
down_revision = "0007"

_PROFILE = {
    "name": sa.LargeBinary,
    "mobile": sa.LargeBinary,
    "address": sa.LargeBinary,
    "remark": sa.LargeBinary,
    "wei_xin": sa.LargeBinary,
    "gender": sa.SmallInteger,
    "birthday": sa.Date,
    "area_code": sa.Text,
    "store_id": sa.BigInteger,
    "source_channel": sa.Integer,
    "source_way": sa.Integer,
    "mobile_verified": sa.Boolean,
}
_LISTS = {
    "ix_customers_created": (["shop_id", "created_at", "id"], {}, ""),
    "ix_customers_updated": (["shop_id", "updated_at", "id"], {}, ""),
    "ix_customers_store": (["shop_id", "store_id", "created_at", "id"], {}, ""),
    "ix_customers_member": (
        ["shop_id", "created_at", "id"],
        {"postgresql_include": ["member_since"]},
        "member_since is not null and ",
    ),
    "ix_customers_member_since": (
        ["shop_id", "member_since", "created_at", "id"],
        {},
        "member_since is not null and ",
    ),
}


def upgrade() -> None:
    """Add the columns and tables; nobody is merged yet."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    _identities()
    _customers()
    _origins()
    _edges()
    protect(["own_profiles", "merge_conflicts", "merge_gates"])
    # Edges stay, and what is only ever added to stays so: but for whose it is.
    protect(["merges"], may="select, insert")
    op.execute(f"grant update (reversed_at, reversed_by) on merges to {ROLE}")
    for table in ("consents", "tier_changes"):
        op.execute(f"grant update (customer_id) on {table} to {ROLE}")


def _identities() -> None:
    op.add_column(
        "identities",
        sa.Column("source", sa.Text(), server_default="", nullable=False, comment="who told of it first"),
    )
    op.add_column(
        "identities",
        sa.Column(
            "last_seen_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="to the day: no write of the same day moves it",
        ),
    )
    op.execute("update identities set last_seen_at = first_seen_at")
    op.alter_column("identities", "last_seen_at", nullable=False)
    op.add_column("identities", sa.Column("verified_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column(
        "identities",
        sa.Column(
            "normaliser", sa.SmallInteger(), server_default="1", nullable=False, comment="the rules it was hashed by"
        ),
    )
    op.execute("alter table identities set (fillfactor = 90)")
    # What a profile says to be verified was verified by then.
    op.execute(
        "update identities i set verified_at = i.first_seen_at from customers c "
        "where c.shop_id = i.shop_id and c.id = i.customer_id and i.kind = 'mobile' and c.mobile_verified"
    )


def _customers() -> None:
    for column in (
        sa.Column(
            "members",
            sa.Integer(),
            server_default="1",
            nullable=False,
            comment="how many records this one stands for",
        ),
        sa.Column(
            "merged_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="since when it stands for exactly these",
        ),
        sa.Column(
            "told_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when the profile was told, where `told` has no other word on a field",
        ),
        sa.Column("told_by", sa.Text(), server_default="", nullable=False, comment="and by whom"),
        sa.Column(
            "told",
            postgresql.JSONB(),
            server_default="{}",
            nullable=False,
            comment="field: [told at, told by, whose]",
        ),
    ):
        op.add_column("customers", column)
    op.drop_column("customers", "origin_customer_id")  # a customer's row is their own: it was always its number
    op.execute("update customers set told_at = updated_at")
    op.alter_column("customers", "told_at", nullable=False)
    op.alter_column(
        "customers", "merged_into", comment="who answers for this one now: never someone who is merged again"
    )
    for name, (columns, options, condition) in _LISTS.items():
        op.drop_index(name, "customers")
        op.create_index(
            name,
            "customers",
            columns,
            postgresql_where=sa.text(f"{condition}merged_into is null"),
            **options,
        )
    op.create_index(
        "ix_customers_merged_into",
        "customers",
        ["shop_id", "merged_into", "id"],
        postgresql_where=sa.text("merged_into is not null"),
    )


def _origins() -> None:
    for table in ("customer_tags", "tier_changes"):
        op.add_column(table, sa.Column("origin_customer_id", sa.BigInteger(), nullable=True))
        op.execute(f"update {table} set origin_customer_id = customer_id")
        op.alter_column(table, "origin_customer_id", nullable=False)
    op.execute("alter table customer_tags drop constraint pk_customer_tags")
    op.create_primary_key(
        op.f("pk_customer_tags"), "customer_tags", ["shop_id", "customer_id", "tag_id", "origin_customer_id"]
    )


def _edges() -> None:
    op.create_table(
        "merge_gates",
        sa.Column("shop_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("shop_id", name=op.f("pk_merge_gates")),
        info={"kind": "tenant"},
    )
    op.create_table(
        "own_profiles",
        sa.Column("shop_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("customer_id", sa.BigInteger(), autoincrement=False, nullable=False),
        *(sa.Column(name, kind(), nullable=True) for name, kind in _PROFILE.items()),
        sa.Column("member_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("told_by", sa.Text(), nullable=False),
        sa.Column("told", postgresql.JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("shop_id", "customer_id", name=op.f("pk_own_profiles")),
        info={"kind": "tenant"},
    )
    op.create_table(
        "merges",
        sa.Column("shop_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.BigInteger(), nullable=False),
        sa.Column("other_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "cause",
            sa.Text(),
            nullable=False,
            comment="write: identities of both came together; request; conflict",
        ),
        sa.Column(
            "identity_kind", sa.Text(), nullable=True, comment="of a write: what the other one was recognised by"
        ),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("merged_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reversed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reversed_by", sa.Text(), nullable=True),
        sa.CheckConstraint("customer_id <> other_id", name=op.f("ck_merges_two")),
        sa.CheckConstraint("cause in ('write', 'request', 'conflict')", name=op.f("ck_merges_cause")),
        sa.PrimaryKeyConstraint("shop_id", "id", name=op.f("pk_merges")),
        info={"kind": "tenant"},
    )
    op.create_index("ix_merges_customer", "merges", ["shop_id", "customer_id", "merged_at"])
    op.create_index("ix_merges_other", "merges", ["shop_id", "other_id", "merged_at"])
    op.create_table(
        "merge_conflicts",
        sa.Column("shop_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.BigInteger(), nullable=False),
        sa.Column("other_id", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("identity_kind", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), server_default="open", nullable=False),
        sa.Column("first_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False, comment="to the day"),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("decided_by", sa.Text(), nullable=True),
        sa.CheckConstraint("customer_id < other_id", name=op.f("ck_merge_conflicts_pair")),
        sa.CheckConstraint("state in ('open', 'merged', 'dismissed')", name=op.f("ck_merge_conflicts_state")),
        sa.PrimaryKeyConstraint("shop_id", "id", name=op.f("pk_merge_conflicts")),
        info={"kind": "tenant"},
    )
    op.create_index("uq_merge_conflicts_pair", "merge_conflicts", ["shop_id", "customer_id", "other_id"], unique=True)
    op.create_index("ix_merge_conflicts_other", "merge_conflicts", ["shop_id", "other_id"])
    op.create_index("ix_merge_conflicts_state", "merge_conflicts", ["shop_id", "state", "id"])

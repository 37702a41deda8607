"""Segments: who is in which, who came and went, and what is needed to keep that right."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from migrations.wall import protect

revision = "0016"
down_revision = "0015"

_TABLES = (
    "segments",
    "segment_versions",
    "segment_members",
    "segment_changes",
    "segment_entries",
    "segment_moves",
    "segment_clocks",
    "segment_builds",
    "segment_touched",
)


def upgrade() -> None:
    """Add the tables of segments."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.execute("SET LOCAL statement_timeout = '60s'")
    op.create_table(
        "segments",
        sa.Column("shop_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False, comment="dynamic: a rule says who; static: a list does"),
        sa.Column("state", sa.Text(), server_default="active", nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("folder", sa.Text(), nullable=True),
        sa.Column("owner", sa.Text(), nullable=True, comment="who answers for it; free text"),
        sa.Column("tag_id", sa.BigInteger(), nullable=True, comment="the automatic tag that its members carry"),
        sa.Column(
            "announce", sa.Text(), server_default="batches", nullable=False, comment="how who comes and goes is told"
        ),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False, comment="the newest"),
        sa.Column(
            "live_version",
            sa.Integer(),
            nullable=True,
            comment="the one that membership follows; null before the first build",
        ),
        sa.Column(
            "size", sa.BigInteger(), server_default="0", nullable=False, comment="as of the last fold of segment_moves"
        ),
        sa.Column(
            "computed_at", sa.DateTime(timezone=True), nullable=True, comment="when everybody was last looked at"
        ),
        sa.Column("took_ms", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("announce in ('each', 'batches', 'nothing')", name=op.f("ck_segments_announce")),
        sa.CheckConstraint("kind in ('dynamic', 'static')", name=op.f("ck_segments_kind")),
        sa.CheckConstraint("state in ('active', 'archiving', 'archived')", name=op.f("ck_segments_state")),
        sa.PrimaryKeyConstraint("shop_id", "id", name=op.f("pk_segments")),
    )
    op.create_index(
        "uq_segments_name", "segments", ["shop_id", "name"], unique=True, postgresql_where="state <> 'archived'"
    )
    op.create_index(
        "uq_segments_tag", "segments", ["shop_id", "tag_id"], unique=True, postgresql_where="tag_id is not null"
    )
    op.create_table(
        "segment_versions",
        sa.Column("shop_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("segment_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column(
            "rule",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=True,
            comment="null: nobody is meant, as in an archived segment",
        ),
        sa.Column(
            "masked", sa.Boolean(), server_default="false", nullable=False, comment="it asks for what is shown masked"
        ),
        sa.Column("state", sa.Text(), server_default="waiting", nullable=False),
        sa.Column("problem", sa.Text(), nullable=True, comment="why it could not be built"),
        sa.Column(
            "shares",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=True,
            comment="the values that its shares begin or end at, in the order of the rule",
        ),
        sa.Column("actor", sa.Text(), nullable=True, comment="the API client that wrote it"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("live_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state in ('waiting', 'live', 'superseded', 'failed')", name=op.f("ck_segment_versions_state")
        ),
        sa.PrimaryKeyConstraint("shop_id", "segment_id", "version", name=op.f("pk_segment_versions")),
    )
    op.create_table(
        "segment_members",
        sa.Column("shop_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("segment_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("customer_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False, comment="the one that they entered by"),
        sa.Column("entered_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("shop_id", "segment_id", "customer_id", name=op.f("pk_segment_members")),
    )
    op.create_index(
        "ix_segment_members_customer", "segment_members", ["shop_id", "customer_id", "segment_id"], unique=False
    )
    op.create_table(
        "segment_changes",
        sa.Column("shop_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("segment_id", sa.BigInteger(), nullable=False),
        sa.Column("customer_id", sa.BigInteger(), nullable=False),
        sa.Column("entered", sa.Boolean(), nullable=False, comment="false: left"),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "cause in ('fact', 'time', 'definition', 'merge', 'run')", name=op.f("ck_segment_changes_cause")
        ),
        sa.PrimaryKeyConstraint("shop_id", "id", name=op.f("pk_segment_changes")),
    )
    op.create_index(
        "ix_segment_changes_customer", "segment_changes", ["shop_id", "customer_id", "changed_at"], unique=False
    )
    op.create_index(
        "ix_segment_changes_segment", "segment_changes", ["shop_id", "segment_id", "changed_at", "id"], unique=False
    )
    op.create_table(
        "segment_entries",
        sa.Column("shop_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("segment_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("customer_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("origin_customer_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("actor", sa.Text(), nullable=True),
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint(
            "shop_id", "segment_id", "customer_id", "origin_customer_id", name=op.f("pk_segment_entries")
        ),
    )
    op.create_index(
        "ix_segment_entries_customer", "segment_entries", ["shop_id", "customer_id", "segment_id"], unique=False
    )
    op.create_table(
        "segment_moves",
        sa.Column("shop_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("segment_id", sa.BigInteger(), nullable=False),
        sa.Column("moved", sa.BigInteger(), nullable=False, comment="entered less left"),
        sa.PrimaryKeyConstraint("shop_id", "id", name=op.f("pk_segment_moves")),
    )
    op.create_table(
        "segment_clocks",
        sa.Column("shop_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column(
            "swept_to",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="what flips by time has been looked for until then",
        ),
        sa.Column("definitions", sa.Uuid(), nullable=False, comment="another one whenever what is to be kept changes"),
        sa.Column(
            "sweeping_until",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="a worker sweeps; after this another may",
        ),
        sa.PrimaryKeyConstraint("shop_id", name=op.f("pk_segment_clocks")),
    )
    op.create_table(
        "segment_builds",
        sa.Column("shop_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("segment_id", sa.BigInteger(), nullable=False),
        sa.Column("began_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("shop_id", "job_id", name=op.f("pk_segment_builds")),
    )
    op.create_table(
        "segment_touched",
        sa.Column("shop_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("customer_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("shop_id", "id", name=op.f("pk_segment_touched")),
    )
    protect(_TABLES)
    op.add_column(
        "customer_changes",
        sa.Column(
            "what",
            sa.Text(),
            nullable=True,
            comment="event or order: nothing else has changed; null: anything may have",
        ),
    )

"""Segments, their versions, who is in them, and who came and went."""

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, Identity, Index, Integer, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

from app.core.persons import PersonRows
from app.core.schema import instant, tenant_table

segments = tenant_table(
    "segments",
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False, comment="dynamic: a rule says who; static: a list does"),
    Column("state", Text, nullable=False, server_default="active"),
    Column("description", Text),
    Column("folder", Text),
    Column("owner", Text, comment="who answers for it; free text"),
    Column("tag_id", BigInteger, comment="the automatic tag that its members carry"),
    Column("announce", Text, nullable=False, server_default="batches", comment="how who comes and goes is told"),
    Column("version", Integer, nullable=False, server_default="1", comment="the newest"),
    Column("live_version", Integer, comment="the one that membership follows; null before the first build"),
    Column("size", BigInteger, nullable=False, server_default="0", comment="as of the last fold of segment_moves"),
    instant("computed_at", comment="when everybody was last looked at"),
    Column("took_ms", BigInteger),
    instant("created_at", nullable=False),
    instant("updated_at", nullable=False),
    CheckConstraint("kind in ('dynamic', 'static')", name="kind"),
    CheckConstraint("state in ('active', 'archiving', 'archived')", name="state"),
    CheckConstraint("announce in ('each', 'batches', 'nothing')", name="announce"),
    Index("uq_segments_name", "shop_id", "name", unique=True, postgresql_where="state <> 'archived'"),
    Index("uq_segments_tag", "shop_id", "tag_id", unique=True, postgresql_where="tag_id is not null"),
)

segment_versions = tenant_table(
    "segment_versions",
    Column("segment_id", BigInteger, primary_key=True, autoincrement=False),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("rule", JSONB, comment="null: nobody is meant, as in an archived segment"),
    Column("masked", Boolean, nullable=False, server_default="false", comment="it asks for what is shown masked"),
    Column("state", Text, nullable=False, server_default="waiting"),
    Column("problem", Text, comment="why it could not be built"),
    Column("shares", JSONB, comment="the values that its shares begin or end at, in the order of the rule"),
    Column("actor", Text, comment="the API client that wrote it"),
    instant("created_at", nullable=False),
    instant("live_at"),
    CheckConstraint("state in ('waiting', 'live', 'superseded', 'failed')", name="state"),
)

# Two indexes, because both questions are asked all the time: who is in it, and what is this customer in.
segment_members = tenant_table(
    "segment_members",
    Column("segment_id", BigInteger, primary_key=True, autoincrement=False),
    Column("customer_id", BigInteger, primary_key=True, autoincrement=False),
    Column("version", Integer, nullable=False, comment="the one that they entered by"),
    instant("entered_at", nullable=False),
    Index("ix_segment_members_customer", "shop_id", "customer_id", "segment_id"),
    person=PersonRows(merge="derived", export="segments", erase="delete"),
)

segment_changes = tenant_table(
    "segment_changes",
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("segment_id", BigInteger, nullable=False),
    Column("customer_id", BigInteger, nullable=False),
    Column("entered", Boolean, nullable=False, comment="false: left"),
    Column("version", Integer, nullable=False),
    Column("cause", Text, nullable=False),
    instant("changed_at", nullable=False),
    CheckConstraint("cause in ('fact', 'time', 'definition', 'merge', 'run')", name="cause"),
    # who was in it at a time, and the log itself
    Index("ix_segment_changes_segment", "shop_id", "segment_id", "changed_at", "id"),
    Index("ix_segment_changes_customer", "shop_id", "customer_id", "changed_at"),
    person=PersonRows(merge="stay", export="segments", erase="delete"),
)

# Of static segments: facts, as tags are, so that merging and reversing move them.
segment_entries = tenant_table(
    "segment_entries",
    Column("segment_id", BigInteger, primary_key=True, autoincrement=False),
    Column("customer_id", BigInteger, primary_key=True, autoincrement=False),
    Column("origin_customer_id", BigInteger, primary_key=True, autoincrement=False),
    Column("actor", Text),
    instant("added_at", nullable=False),
    Index("ix_segment_entries_customer", "shop_id", "customer_id", "segment_id"),
    person=PersonRows(merge="follow", export="segments", erase="delete"),
)

# Sizes as rows to be added up: a counter in the segment's row would make every two refreshes wait for each other.
segment_moves = tenant_table(
    "segment_moves",
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("segment_id", BigInteger, nullable=False),
    Column("moved", BigInteger, nullable=False, comment="entered less left"),
)

segment_clocks = tenant_table(
    "segment_clocks",
    instant("swept_to", nullable=False, comment="what flips by time has been looked for until then"),
    Column("definitions", Uuid, nullable=False, comment="another one whenever what is to be kept changes"),
    instant("sweeping_until", comment="a worker sweeps; after this another may"),
)

segment_builds = tenant_table(
    "segment_builds",
    Column("job_id", Uuid, primary_key=True),
    Column("segment_id", BigInteger, nullable=False),
    instant("began_at", nullable=False),
)

# Whom refreshes looked at while something is being built: the build looks at them again before it is published.
segment_touched = tenant_table(
    "segment_touched",
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("customer_id", BigInteger, nullable=False),
    person=PersonRows(merge="stay", export=None, erase="delete"),
)

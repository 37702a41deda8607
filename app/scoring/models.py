"""Stats, scores, runs with their cut points, and what changed."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    Float,
    Identity,
    Index,
    Integer,
    SmallInteger,
    Text,
    Uuid,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from app.core.persons import PersonRows
from app.core.schema import instant, tenant_table


def _stat_columns() -> list[Column[Any]]:
    return [
        Column("since_on", Date, nullable=False, comment="registered or first paid, whichever came first, in the shop"),
        Column("orders", Integer, nullable=False),
        Column("purchase_days", Integer, nullable=False),
        Column("gross_fen", BigInteger, nullable=False),
        Column("refund_fen", BigInteger, nullable=False),
        Column("net_fen", BigInteger, nullable=False),
        Column("year_net_fen", BigInteger, nullable=False, comment="net of the orders paid in the last 365 days"),
        Column("first_on", Date),
        Column("last_on", Date),
    ]


def _score_columns() -> list[Column[Any]]:
    return [
        Column("r", SmallInteger),
        Column("f", SmallInteger),
        Column("m", SmallInteger),
        Column("rfm_type", Text),
        Column("tier", Text),
    ]


customer_stats = tenant_table(
    "customer_stats",
    Column("customer_id", BigInteger, primary_key=True, autoincrement=False),
    *_stat_columns(),
    # the façade's list by last trade
    Index("ix_customer_stats_last_on", "shop_id", "last_on", "customer_id", postgresql_where="last_on is not null"),
    postgresql_with={"fillfactor": "80"},
    person=PersonRows(merge="derived", export="scores", erase="delete"),
)

customer_scores = tenant_table(
    "customer_scores",
    Column("customer_id", BigInteger, primary_key=True, autoincrement=False),
    Column("run_id", Uuid, comment="the run whose cut points last changed this row"),
    *_score_columns(),
    instant("created_at", nullable=False, comment="the customer's, so that lists by tier are one index walk"),
    # GET /v1/customers?tier=
    Index("ix_customer_scores_tier", "shop_id", "tier", "created_at", "customer_id"),
    postgresql_with={"fillfactor": "80"},
    person=PersonRows(merge="derived", export="scores", erase="delete"),
)

score_runs = tenant_table(
    "score_runs",
    Column("id", Uuid, primary_key=True),
    Column("kind", Text, nullable=False, comment="live: published for the refresh; as_of: a run of its own"),
    Column("state", Text, nullable=False),
    Column("as_of", Date, nullable=False, comment="exclusive: facts before 00:00 of that day in the shop's zone count"),
    Column("settings", JSONB, nullable=False, comment="the tier settings of that day"),
    Column("recency_cuts", ARRAY(Float), comment="q20, q40, q60, q80"),
    Column("orders_cuts", ARRAY(Float)),
    Column("amount_cuts", ARRAY(Float)),
    Column("recency_mean", Float),
    Column("orders_mean", Float),
    Column("amount_mean", Float),
    Column("vip_from_fen", Float, comment="last year's net spend from which a spender is VIP"),
    Column("potential_from_fen", Float),
    Column("scored", BigInteger, comment="customers with orders"),
    instant("created_at", nullable=False),
    instant("published_at"),
    CheckConstraint("kind in ('live', 'as_of')", name="kind"),
    CheckConstraint("state in ('computing', 'published', 'superseded', 'done')", name="state"),
    Index("uq_score_runs_published", "shop_id", unique=True, postgresql_where="state = 'published'"),
)

score_snapshots = tenant_table(
    "score_snapshots",
    Column("run_id", Uuid, primary_key=True),
    Column("customer_id", BigInteger, primary_key=True, autoincrement=False),
    *_stat_columns(),
    *_score_columns(),
    person=PersonRows(merge="stay", export=None, erase="delete"),
)

tier_changes = tenant_table(
    "tier_changes",
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("customer_id", BigInteger, nullable=False),
    Column("origin_customer_id", BigInteger, nullable=False),
    Column("from_tier", Text),
    Column("to_tier", Text),
    Column("run_id", Uuid),
    Column("as_of", Date, nullable=False),
    instant("changed_at", nullable=False),
    Index("ix_tier_changes_customer", "shop_id", "customer_id", "changed_at"),
    person=PersonRows(merge="follow", export="scores", erase="delete"),
)

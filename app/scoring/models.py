"""Stats, scores, runs with their cut points, and what changed."""

from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    Float,
    Identity,
    Index,
    Integer,
    SmallInteger,
    Table,
    Text,
    Uuid,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from app.core.persons import PersonRows
from app.core.schema import instant, tenant_table

KINDS: Final = ("view", "cart", "favourite", "consult", "visit", "social")  # of interactions, beside orders


def _stat_columns() -> list[Column[Any]]:
    return [
        Column("since_on", Date, nullable=False, comment="registered or first paid, whichever came first, in the shop"),
        Column("active_on", Date, nullable=False, comment="the last order, event or registration"),
        *_zero(Integer, "orders", "purchase_days"),
        *_zero(BigInteger, "gross_fen", "refund_fen", "net_fen"),
        Column("first_on", Date),
        Column("second_on", Date, comment="the second purchase day"),
        Column("last_on", Date),
        Column("first_channel", Text),
        Column("main_channel", Text, comment="of most orders; of equals, the first in the alphabet"),
        Column("main_hour", SmallInteger, comment="of most orders, 0 to 23 in the shop; of equals, the earliest"),
        *_zero(BigInteger, "first_day_net_fen"),
        Column("gap_median_days", Float, comment="between successive purchase days"),
        Column("gap_max_days", Integer),
        *_zero(Integer, "orders_30d", "orders_90d", "orders_180d", "orders_365d"),
        *_zero(BigInteger, "net_30d_fen", "net_90d_fen", "net_180d_fen", "net_365d_fen"),
        *_zero(BigInteger, "discount_fen"),
        *_zero(Integer, "discounted_orders", "stores"),
        *_zero(BigInteger, "items"),
        *_zero(Integer, "products", "categories"),
        Column("top_categories", ARRAY(Text), comment="up to three, by what was spent on them"),
        # Events of the 365 days before the stats' day; counts, of the last 180.
        Column("last_event_on", Date),
        *(Column(f"last_{kind}_on", Date) for kind in KINDS),
        *_zero(Integer, *(f"{kind}_180d" for kind in KINDS)),
        *_zero(Integer, "signals_since_order"),
        Column(
            "interactions_by_month",
            ARRAY(Integer),
            nullable=False,
            server_default="{0,0,0,0,0,0}",
            comment="orders and events of six periods of 30 days, the newest first",
        ),
    ]


def _zero(kind: Any, *names: str) -> Iterator[Column[Any]]:
    return (Column(name, kind, nullable=False, server_default="0") for name in names)


def _score_columns() -> list[Column[Any]]:
    return [
        Column("r", SmallInteger),
        Column("f", SmallInteger),
        Column("m", SmallInteger),
        Column("rfm_type", Text),
        Column("tier", Text),
        Column("stage", Text),
        Column("cycle_state", Text, comment="on_track, due, overdue, dormant or lost, by the customer's own cycle"),
        Column("churn_band", Text),
        Column("vip_drop", Boolean, comment="of the highest tier, and much less active than they used to be"),
        Column("price_sensitive", Boolean),
        Column("quality_oriented", Boolean),
        Column("socially_active", Boolean),
        Column("second_purchase", Boolean, comment="bought once, and shows what those showed who came back"),
        Column("lead_score", SmallInteger, comment="0 to 100, of people without orders"),
        Column("nurture_stage", Text),
    ]


def _prediction_columns() -> list[Column[Any]]:
    return [
        Column("p_alive", Float),
        Column("expected_purchases_90d", Float),
        Column("expected_purchases_365d", Float),
        Column("expected_spend_fen", BigInteger, comment="of one purchase"),
        Column("clv_predicted_fen", BigInteger, comment="what a year's expected purchases bring"),
    ]


customer_stats = tenant_table(
    "customer_stats",
    Column("customer_id", BigInteger, primary_key=True, autoincrement=False),
    *_stat_columns(),
    # the façade's list by last trade; and, as the next two, whose scores a passing day may change
    Index("ix_customer_stats_last_on", "shop_id", "last_on", "customer_id", postgresql_where="last_on is not null"),
    Index("ix_customer_stats_active_on", "shop_id", "active_on", "customer_id"),
    Index("ix_customer_stats_since_on", "shop_id", "since_on", "customer_id"),
    postgresql_with={"fillfactor": "80"},
    person=PersonRows(merge="derived", export="scores", erase="delete"),
)

customer_scores = tenant_table(
    "customer_scores",
    Column("customer_id", BigInteger, primary_key=True, autoincrement=False),
    Column("run_id", Uuid, comment="the run whose cut points last changed this row"),
    *_score_columns(),
    Column("cycle_turns_on", Date, comment="when cycle_state changes by a cycle of their own, if nothing happens"),
    instant("created_at", nullable=False, comment="the customer's, so that lists by tier are one index walk"),
    # GET /v1/customers?tier=
    Index("ix_customer_scores_tier", "shop_id", "tier", "created_at", "customer_id"),
    # whose own cycle a passing day turns
    Index(
        "ix_customer_scores_cycle_turns_on",
        "shop_id",
        "cycle_turns_on",
        "customer_id",
        postgresql_where="cycle_turns_on is not null",
    ),
    postgresql_with={"fillfactor": "80"},
    person=PersonRows(merge="derived", export="scores", erase="delete"),
)

# Apart from the scores, because these change a little for everybody with every run's day.
customer_predictions = tenant_table(
    "customer_predictions",
    Column("customer_id", BigInteger, primary_key=True, autoincrement=False),
    Column("run_id", Uuid, nullable=False, comment="the run whose fit and day last changed this row"),
    *_prediction_columns(),
    postgresql_with={"fillfactor": "80"},
    person=PersonRows(merge="derived", export="scores", erase="delete"),
)

score_runs = tenant_table(
    "score_runs",
    Column("id", Uuid, primary_key=True),
    Column("kind", Text, nullable=False, comment="live: published for the refresh; as_of: a run of its own"),
    Column("state", Text, nullable=False),
    Column("as_of", Date, nullable=False, comment="exclusive: facts before 00:00 of that day in the shop's zone count"),
    Column("settings", JSONB, nullable=False, comment="the scoring settings of that day"),
    Column("tiers", JSONB, nullable=False, comment="the tier definition of that day"),
    Column("tiers_version", Integer, nullable=False, comment="0: built in"),
    Column("tier_values", ARRAY(Float), comment="what the definition's conditions compare with, in their order"),
    Column("recency_cuts", ARRAY(Float), comment="q20, q40, q60, q80"),
    Column("orders_cuts", ARRAY(Float)),
    Column("amount_cuts", ARRAY(Float)),
    Column("recency_split", Float, comment="between high and low, for the eight types"),
    Column("orders_split", Float),
    Column("amount_split", Float),
    Column("cycle_days", Float, comment="the median of the customers' median gaps, for who has no cycle of their own"),
    Column("category_cycles", JSONB, comment="category to the same median, of those who spend most on it"),
    Column("cycle_ratios", ARRAY(Float), comment="q20, q50, q80 of gaps, each over its customer's median gap"),
    Column("item_price_cut_fen", Float, comment="average price of an item from which somebody looks for quality"),
    Column("second_within_days", Integer, comment="within which most second purchases follow the first"),
    Column("second_signals", Integer, comment="signals that tell who will buy a second time"),
    Column("second_report", JSONB, comment="how often that was right in the shop's own past"),
    Column("shares", JSONB, comment="customers in each tier when the run ended"),
    Column("scored", BigInteger, comment="customers with orders"),
    instant("created_at", nullable=False),
    instant("published_at"),
    CheckConstraint("kind in ('live', 'as_of')", name="kind"),
    CheckConstraint(
        "state in ('computing', 'published', 'superseded', 'done', 'forgetting', 'forgotten', 'failed')", name="state"
    ),
    # GET /v1/scores/runs
    Index("ix_score_runs_created", "shop_id", "created_at"),
    Index("uq_score_runs_published", "shop_id", unique=True, postgresql_where="state = 'published'"),
)

score_models = tenant_table(
    "score_models",
    Column("run_id", Uuid, primary_key=True),
    Column("fitted_to", Date, nullable=False, comment="the last day whose facts were fitted to"),
    Column("fit", JSONB, comment="the parameters in use; null where the model declines"),
    Column("optimum", JSONB, comment="what fits this run's facts best"),
    Column("declined", JSONB, comment="code and detail"),
    Column("backtest", JSONB),
    instant("created_at", nullable=False),
)

tier_definitions = tenant_table(
    "tier_definitions",
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("definition", JSONB, nullable=False),
    Column("actor", Text, comment="the API client that published it"),
    instant("created_at", nullable=False),
)

score_clocks = tenant_table(
    "score_clocks",
    Column("swept_to", Date, nullable=False, comment="scores that change because time passes stand at this day"),
)

score_snapshots = tenant_table(
    "score_snapshots",
    Column("run_id", Uuid, primary_key=True),
    Column("customer_id", BigInteger, primary_key=True, autoincrement=False),
    *_stat_columns(),
    *_score_columns(),
    *_prediction_columns(),
    person=PersonRows(merge="stay", export=None, erase="delete"),
)


def _changes(name: str, of: str) -> Table:
    return tenant_table(
        name,
        Column("id", BigInteger, Identity(always=True), primary_key=True),
        Column("customer_id", BigInteger, nullable=False),
        Column("origin_customer_id", BigInteger, nullable=False),
        Column(f"from_{of}", Text),
        Column(f"to_{of}", Text),
        Column("cause", Text, nullable=False, server_default="fact", comment="fact, time, run or definition"),
        Column("run_id", Uuid),
        Column("as_of", Date, nullable=False),
        instant("changed_at", nullable=False),
        Index(f"ix_{name}_customer", "shop_id", "customer_id", "changed_at"),
        person=PersonRows(merge="follow", export="scores", erase="delete"),
    )


tier_changes = _changes("tier_changes", "tier")
stage_changes = _changes("stage_changes", "stage")

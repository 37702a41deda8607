"""Stats with windows, gaps, items and events; what customers are judged by; definitions of tiers; predictions."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from migrations.wall import ROLE, protect

revision = "0014"
down_revision = "0013"

_REBUILT = ("customer_stats", "customer_scores", "score_runs", "score_snapshots")

# Shop by shop, because row security is forced upon the owner too.
_MEASURE_EVERYBODY = """
do $$
declare
    shop bigint;
begin
    for shop in select id from shops loop
        perform set_config('kehu.shop_id', shop::text, true);
        insert into queued_jobs (shop_id, id, kind, key, arguments, due_at, created_at)
        values (shop, gen_random_uuid(), 'rescore', 'upgrade:0014',
                jsonb_build_object('run_id', gen_random_uuid(), 'as_of', null), now(), now())
        on conflict do nothing;
    end loop;
    perform set_config('kehu.shop_id', '', true);
end $$
"""


def upgrade() -> None:
    """Make what is computed from facts anew, for the next full run to fill; add to the facts what it asks for."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.execute("SET LOCAL statement_timeout = '300s'")
    for table in _REBUILT:
        op.drop_table(table)
        op.execute(f"delete from table_kinds where name = '{table}'")
    op.execute("truncate customer_totals")  # counts the rows of customer_stats
    op.create_table(
        "customer_predictions",
        sa.Column("shop_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("customer_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=False, comment="the run whose fit and day last changed this row"),
        sa.Column("p_alive", sa.Float(), nullable=True),
        sa.Column("expected_purchases_90d", sa.Float(), nullable=True),
        sa.Column("expected_purchases_365d", sa.Float(), nullable=True),
        sa.Column("expected_spend_fen", sa.BigInteger(), nullable=True, comment="of one purchase"),
        sa.Column(
            "clv_predicted_fen", sa.BigInteger(), nullable=True, comment="what a year's expected purchases bring"
        ),
        sa.PrimaryKeyConstraint("shop_id", "customer_id", name=op.f("pk_customer_predictions")),
        postgresql_with={"fillfactor": "80"},
    )
    op.create_table(
        "customer_scores",
        sa.Column("shop_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("customer_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=True, comment="the run whose cut points last changed this row"),
        sa.Column("r", sa.SmallInteger(), nullable=True),
        sa.Column("f", sa.SmallInteger(), nullable=True),
        sa.Column("m", sa.SmallInteger(), nullable=True),
        sa.Column("rfm_type", sa.Text(), nullable=True),
        sa.Column("tier", sa.Text(), nullable=True),
        sa.Column("stage", sa.Text(), nullable=True),
        sa.Column(
            "cycle_state",
            sa.Text(),
            nullable=True,
            comment="on_track, due, overdue, dormant or lost, by the customer's own cycle",
        ),
        sa.Column("churn_band", sa.Text(), nullable=True),
        sa.Column(
            "vip_drop",
            sa.Boolean(),
            nullable=True,
            comment="of the highest tier, and much less active than they used to be",
        ),
        sa.Column("price_sensitive", sa.Boolean(), nullable=True),
        sa.Column("quality_oriented", sa.Boolean(), nullable=True),
        sa.Column("socially_active", sa.Boolean(), nullable=True),
        sa.Column(
            "second_purchase",
            sa.Boolean(),
            nullable=True,
            comment="bought once, and shows what those showed who came back",
        ),
        sa.Column("lead_score", sa.SmallInteger(), nullable=True, comment="0 to 100, of people without orders"),
        sa.Column("nurture_stage", sa.Text(), nullable=True),
        sa.Column(
            "cycle_turns_on",
            sa.Date(),
            nullable=True,
            comment="when cycle_state changes by a cycle of their own, if nothing happens",
        ),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="the customer's, so that lists by tier are one index walk",
        ),
        sa.PrimaryKeyConstraint("shop_id", "customer_id", name=op.f("pk_customer_scores")),
        postgresql_with={"fillfactor": "80"},
    )
    op.create_index(
        "ix_customer_scores_cycle_turns_on",
        "customer_scores",
        ["shop_id", "cycle_turns_on", "customer_id"],
        unique=False,
        postgresql_where="cycle_turns_on is not null",
    )
    op.create_index(
        "ix_customer_scores_tier", "customer_scores", ["shop_id", "tier", "created_at", "customer_id"], unique=False
    )
    op.create_table(
        "customer_stats",
        sa.Column("shop_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("customer_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column(
            "since_on", sa.Date(), nullable=False, comment="registered or first paid, whichever came first, in the shop"
        ),
        sa.Column("active_on", sa.Date(), nullable=False, comment="the last order, event or registration"),
        sa.Column("orders", sa.Integer(), server_default="0", nullable=False),
        sa.Column("purchase_days", sa.Integer(), server_default="0", nullable=False),
        sa.Column("gross_fen", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("refund_fen", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("net_fen", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("first_on", sa.Date(), nullable=True),
        sa.Column("second_on", sa.Date(), nullable=True, comment="the second purchase day"),
        sa.Column("last_on", sa.Date(), nullable=True),
        sa.Column("first_channel", sa.Text(), nullable=True),
        sa.Column(
            "main_channel", sa.Text(), nullable=True, comment="of most orders; of equals, the first in the alphabet"
        ),
        sa.Column(
            "main_hour",
            sa.SmallInteger(),
            nullable=True,
            comment="of most orders, 0 to 23 in the shop; of equals, the earliest",
        ),
        sa.Column("first_day_net_fen", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("gap_median_days", sa.Float(), nullable=True, comment="between successive purchase days"),
        sa.Column("gap_max_days", sa.Integer(), nullable=True),
        sa.Column("orders_30d", sa.Integer(), server_default="0", nullable=False),
        sa.Column("orders_90d", sa.Integer(), server_default="0", nullable=False),
        sa.Column("orders_180d", sa.Integer(), server_default="0", nullable=False),
        sa.Column("orders_365d", sa.Integer(), server_default="0", nullable=False),
        sa.Column("net_30d_fen", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("net_90d_fen", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("net_180d_fen", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("net_365d_fen", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("discount_fen", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("discounted_orders", sa.Integer(), server_default="0", nullable=False),
        sa.Column("stores", sa.Integer(), server_default="0", nullable=False),
        sa.Column("items", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("products", sa.Integer(), server_default="0", nullable=False),
        sa.Column("categories", sa.Integer(), server_default="0", nullable=False),
        sa.Column(
            "top_categories",
            postgresql.ARRAY(sa.Text()),
            nullable=True,
            comment="up to three, by what was spent on them",
        ),
        sa.Column("last_event_on", sa.Date(), nullable=True),
        sa.Column("last_view_on", sa.Date(), nullable=True),
        sa.Column("last_cart_on", sa.Date(), nullable=True),
        sa.Column("last_favourite_on", sa.Date(), nullable=True),
        sa.Column("last_consult_on", sa.Date(), nullable=True),
        sa.Column("last_visit_on", sa.Date(), nullable=True),
        sa.Column("last_social_on", sa.Date(), nullable=True),
        sa.Column("view_180d", sa.Integer(), server_default="0", nullable=False),
        sa.Column("cart_180d", sa.Integer(), server_default="0", nullable=False),
        sa.Column("favourite_180d", sa.Integer(), server_default="0", nullable=False),
        sa.Column("consult_180d", sa.Integer(), server_default="0", nullable=False),
        sa.Column("visit_180d", sa.Integer(), server_default="0", nullable=False),
        sa.Column("social_180d", sa.Integer(), server_default="0", nullable=False),
        sa.Column("signals_since_order", sa.Integer(), server_default="0", nullable=False),
        sa.Column(
            "interactions_by_month",
            postgresql.ARRAY(sa.Integer()),
            server_default="{0,0,0,0,0,0}",
            nullable=False,
            comment="orders and events of six periods of 30 days, the newest first",
        ),
        sa.PrimaryKeyConstraint("shop_id", "customer_id", name=op.f("pk_customer_stats")),
        postgresql_with={"fillfactor": "80"},
    )
    op.create_index(
        "ix_customer_stats_active_on", "customer_stats", ["shop_id", "active_on", "customer_id"], unique=False
    )
    op.create_index(
        "ix_customer_stats_last_on",
        "customer_stats",
        ["shop_id", "last_on", "customer_id"],
        unique=False,
        postgresql_where="last_on is not null",
    )
    op.create_index(
        "ix_customer_stats_since_on", "customer_stats", ["shop_id", "since_on", "customer_id"], unique=False
    )
    op.create_table(
        "score_clocks",
        sa.Column("shop_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column(
            "swept_to", sa.Date(), nullable=False, comment="scores that change because time passes stand at this day"
        ),
        sa.PrimaryKeyConstraint("shop_id", name=op.f("pk_score_clocks")),
    )
    op.create_table(
        "score_models",
        sa.Column("shop_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("fitted_to", sa.Date(), nullable=False, comment="the last day whose facts were fitted to"),
        sa.Column(
            "fit",
            postgresql.JSONB(),
            nullable=True,
            comment="the parameters in use; null where the model declines",
        ),
        sa.Column("optimum", postgresql.JSONB(), nullable=True, comment="what fits this run's facts best"),
        sa.Column("declined", postgresql.JSONB(), nullable=True, comment="code and detail"),
        sa.Column("backtest", postgresql.JSONB(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("shop_id", "run_id", name=op.f("pk_score_models")),
    )
    op.create_table(
        "score_runs",
        sa.Column("shop_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column(
            "kind", sa.Text(), nullable=False, comment="live: published for the refresh; as_of: a run of its own"
        ),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column(
            "as_of",
            sa.Date(),
            nullable=False,
            comment="exclusive: facts before 00:00 of that day in the shop's zone count",
        ),
        sa.Column("settings", postgresql.JSONB(), nullable=False, comment="the scoring settings of that day"),
        sa.Column("tiers", postgresql.JSONB(), nullable=False, comment="the tier definition of that day"),
        sa.Column("tiers_version", sa.Integer(), nullable=False, comment="0: built in"),
        sa.Column(
            "tier_values",
            postgresql.ARRAY(sa.Float()),
            nullable=True,
            comment="what the definition's conditions compare with, in their order",
        ),
        sa.Column("recency_cuts", postgresql.ARRAY(sa.Float()), nullable=True, comment="q20, q40, q60, q80"),
        sa.Column("orders_cuts", postgresql.ARRAY(sa.Float()), nullable=True),
        sa.Column("amount_cuts", postgresql.ARRAY(sa.Float()), nullable=True),
        sa.Column("recency_split", sa.Float(), nullable=True, comment="between high and low, for the eight types"),
        sa.Column("orders_split", sa.Float(), nullable=True),
        sa.Column("amount_split", sa.Float(), nullable=True),
        sa.Column(
            "cycle_days",
            sa.Float(),
            nullable=True,
            comment="the median of the customers' median gaps, for who has no cycle of their own",
        ),
        sa.Column(
            "category_cycles",
            postgresql.JSONB(),
            nullable=True,
            comment="category to the same median, of those who spend most on it",
        ),
        sa.Column(
            "cycle_ratios",
            postgresql.ARRAY(sa.Float()),
            nullable=True,
            comment="q20, q50, q80 of gaps, each over its customer's median gap",
        ),
        sa.Column(
            "item_price_cut_fen",
            sa.Float(),
            nullable=True,
            comment="average price of an item from which somebody looks for quality",
        ),
        sa.Column(
            "second_within_days",
            sa.Integer(),
            nullable=True,
            comment="within which most second purchases follow the first",
        ),
        sa.Column(
            "second_signals", sa.Integer(), nullable=True, comment="signals that tell who will buy a second time"
        ),
        sa.Column(
            "second_report",
            postgresql.JSONB(),
            nullable=True,
            comment="how often that was right in the shop's own past",
        ),
        sa.Column(
            "shares",
            postgresql.JSONB(),
            nullable=True,
            comment="customers in each tier when the run ended",
        ),
        sa.Column("scored", sa.BigInteger(), nullable=True, comment="customers with orders"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("kind in ('live', 'as_of')", name=op.f("ck_score_runs_kind")),
        sa.CheckConstraint(
            "state in ('computing', 'published', 'superseded', 'done', 'forgetting', 'forgotten', 'failed')",
            name=op.f("ck_score_runs_state"),
        ),
        sa.PrimaryKeyConstraint("shop_id", "id", name=op.f("pk_score_runs")),
    )
    op.create_index(
        "uq_score_runs_published", "score_runs", ["shop_id"], unique=True, postgresql_where="state = 'published'"
    )
    op.create_table(
        "score_snapshots",
        sa.Column("shop_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column(
            "since_on", sa.Date(), nullable=False, comment="registered or first paid, whichever came first, in the shop"
        ),
        sa.Column("active_on", sa.Date(), nullable=False, comment="the last order, event or registration"),
        sa.Column("orders", sa.Integer(), server_default="0", nullable=False),
        sa.Column("purchase_days", sa.Integer(), server_default="0", nullable=False),
        sa.Column("gross_fen", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("refund_fen", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("net_fen", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("first_on", sa.Date(), nullable=True),
        sa.Column("second_on", sa.Date(), nullable=True, comment="the second purchase day"),
        sa.Column("last_on", sa.Date(), nullable=True),
        sa.Column("first_channel", sa.Text(), nullable=True),
        sa.Column(
            "main_channel", sa.Text(), nullable=True, comment="of most orders; of equals, the first in the alphabet"
        ),
        sa.Column(
            "main_hour",
            sa.SmallInteger(),
            nullable=True,
            comment="of most orders, 0 to 23 in the shop; of equals, the earliest",
        ),
        sa.Column("first_day_net_fen", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("gap_median_days", sa.Float(), nullable=True, comment="between successive purchase days"),
        sa.Column("gap_max_days", sa.Integer(), nullable=True),
        sa.Column("orders_30d", sa.Integer(), server_default="0", nullable=False),
        sa.Column("orders_90d", sa.Integer(), server_default="0", nullable=False),
        sa.Column("orders_180d", sa.Integer(), server_default="0", nullable=False),
        sa.Column("orders_365d", sa.Integer(), server_default="0", nullable=False),
        sa.Column("net_30d_fen", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("net_90d_fen", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("net_180d_fen", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("net_365d_fen", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("discount_fen", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("discounted_orders", sa.Integer(), server_default="0", nullable=False),
        sa.Column("stores", sa.Integer(), server_default="0", nullable=False),
        sa.Column("items", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("products", sa.Integer(), server_default="0", nullable=False),
        sa.Column("categories", sa.Integer(), server_default="0", nullable=False),
        sa.Column(
            "top_categories",
            postgresql.ARRAY(sa.Text()),
            nullable=True,
            comment="up to three, by what was spent on them",
        ),
        sa.Column("last_event_on", sa.Date(), nullable=True),
        sa.Column("last_view_on", sa.Date(), nullable=True),
        sa.Column("last_cart_on", sa.Date(), nullable=True),
        sa.Column("last_favourite_on", sa.Date(), nullable=True),
        sa.Column("last_consult_on", sa.Date(), nullable=True),
        sa.Column("last_visit_on", sa.Date(), nullable=True),
        sa.Column("last_social_on", sa.Date(), nullable=True),
        sa.Column("view_180d", sa.Integer(), server_default="0", nullable=False),
        sa.Column("cart_180d", sa.Integer(), server_default="0", nullable=False),
        sa.Column("favourite_180d", sa.Integer(), server_default="0", nullable=False),
        sa.Column("consult_180d", sa.Integer(), server_default="0", nullable=False),
        sa.Column("visit_180d", sa.Integer(), server_default="0", nullable=False),
        sa.Column("social_180d", sa.Integer(), server_default="0", nullable=False),
        sa.Column("signals_since_order", sa.Integer(), server_default="0", nullable=False),
        sa.Column(
            "interactions_by_month",
            postgresql.ARRAY(sa.Integer()),
            server_default="{0,0,0,0,0,0}",
            nullable=False,
            comment="orders and events of six periods of 30 days, the newest first",
        ),
        sa.Column("r", sa.SmallInteger(), nullable=True),
        sa.Column("f", sa.SmallInteger(), nullable=True),
        sa.Column("m", sa.SmallInteger(), nullable=True),
        sa.Column("rfm_type", sa.Text(), nullable=True),
        sa.Column("tier", sa.Text(), nullable=True),
        sa.Column("stage", sa.Text(), nullable=True),
        sa.Column(
            "cycle_state",
            sa.Text(),
            nullable=True,
            comment="on_track, due, overdue, dormant or lost, by the customer's own cycle",
        ),
        sa.Column("churn_band", sa.Text(), nullable=True),
        sa.Column(
            "vip_drop",
            sa.Boolean(),
            nullable=True,
            comment="of the highest tier, and much less active than they used to be",
        ),
        sa.Column("price_sensitive", sa.Boolean(), nullable=True),
        sa.Column("quality_oriented", sa.Boolean(), nullable=True),
        sa.Column("socially_active", sa.Boolean(), nullable=True),
        sa.Column(
            "second_purchase",
            sa.Boolean(),
            nullable=True,
            comment="bought once, and shows what those showed who came back",
        ),
        sa.Column("lead_score", sa.SmallInteger(), nullable=True, comment="0 to 100, of people without orders"),
        sa.Column("nurture_stage", sa.Text(), nullable=True),
        sa.Column("p_alive", sa.Float(), nullable=True),
        sa.Column("expected_purchases_90d", sa.Float(), nullable=True),
        sa.Column("expected_purchases_365d", sa.Float(), nullable=True),
        sa.Column("expected_spend_fen", sa.BigInteger(), nullable=True, comment="of one purchase"),
        sa.Column(
            "clv_predicted_fen", sa.BigInteger(), nullable=True, comment="what a year's expected purchases bring"
        ),
        sa.PrimaryKeyConstraint("shop_id", "run_id", "customer_id", name=op.f("pk_score_snapshots")),
    )
    op.create_table(
        "stage_changes",
        sa.Column("shop_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("customer_id", sa.BigInteger(), nullable=False),
        sa.Column("origin_customer_id", sa.BigInteger(), nullable=False),
        sa.Column("from_stage", sa.Text(), nullable=True),
        sa.Column("to_stage", sa.Text(), nullable=True),
        sa.Column("cause", sa.Text(), server_default="fact", nullable=False, comment="fact, time, run or definition"),
        sa.Column("run_id", sa.Uuid(), nullable=True),
        sa.Column("as_of", sa.Date(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("shop_id", "id", name=op.f("pk_stage_changes")),
    )
    op.create_index(
        "ix_stage_changes_customer", "stage_changes", ["shop_id", "customer_id", "changed_at"], unique=False
    )
    op.create_table(
        "tier_definitions",
        sa.Column("shop_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("definition", postgresql.JSONB(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=True, comment="the API client that published it"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("shop_id", "version", name=op.f("pk_tier_definitions")),
    )
    op.add_column(
        "customer_changes",
        sa.Column("cause", sa.Text(), server_default="fact", nullable=False, comment="fact, or time that passed"),
    )
    op.create_index(
        "ix_events_occurred", "events", ["shop_id", "occurred_at"], unique=False, postgresql_include=["customer_id"]
    )
    op.add_column("order_items", sa.Column("category", sa.Text(), nullable=True))
    op.add_column(
        "orders",
        sa.Column(
            "discount_fen", sa.BigInteger(), server_default="0", nullable=False, comment="what was taken off the price"
        ),
    )
    op.create_index(
        "ix_orders_paid", "orders", ["shop_id", "paid_at"], unique=False, postgresql_include=["customer_id"]
    )
    op.create_index("ix_refunds_refunded", "refunds", ["shop_id", "refunded_at"], unique=False)
    op.add_column(
        "tier_changes",
        sa.Column("cause", sa.Text(), server_default="fact", nullable=False, comment="fact, time, run or definition"),
    )
    op.create_check_constraint(op.f("ck_orders_discount"), "orders", "discount_fen >= 0")
    op.drop_index("ix_orders_customer", table_name="orders")
    op.create_index(
        "ix_orders_customer",
        "orders",
        ["shop_id", "customer_id", "paid_at"],
        unique=False,
        postgresql_include=["order_no", "amount_fen", "status", "discount_fen", "store_id", "channel"],
    )
    op.drop_index("ix_events_customer", table_name="events")
    op.create_index(
        "ix_events_customer",
        "events",
        ["shop_id", "customer_id", "occurred_at"],
        unique=False,
        postgresql_include=["type"],
    )
    protect(
        [
            "customer_predictions",
            "customer_scores",
            "customer_stats",
            "score_clocks",
            "score_models",
            "score_runs",
            "score_snapshots",
            "tier_definitions",
        ]
    )
    protect(["stage_changes"], may="select, insert")
    op.execute(f"grant update (customer_id) on stage_changes to {ROLE}")  # when merges are made and undone
    op.create_index("ix_score_runs_created", "score_runs", ["shop_id", "created_at"], unique=False)
    op.execute("update shops set settings = settings - 'tiers' where settings ? 'tiers'")
    op.execute(_MEASURE_EVERYBODY)

"""The house as it opens: every table, the wall around each shop's rows, and the check at the door."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from migrations.wall import ROLE, protect, share

revision = "0001"
down_revision = None

TENANT_TABLES = [
    "access_heads",
    "api_clients",
    "credentials",
    "customer_changes",
    "customer_scores",
    "customer_stats",
    "customer_totals",
    "customers",
    "domain_events",
    "idempotency_keys",
    "identities",
    "order_items",
    "orders",
    "queued_jobs",
    "refunds",
    "sandbox_messages",
    "score_runs",
    "score_snapshots",
    "shop_keys",
    "stores",
    "suppressions",
    "touch_requests",
    "touch_templates",
    "touches",
    "vault.person_keys",
    "webhook_attempts",
    "webhook_deliveries",
    "webhook_endpoints",
]
APPEND_ONLY_TABLES = ["access_chain", "access_log", "consents", "tier_changes"]

# Run in the same round trip as BEGIN: the transaction opens only for a credential that is live at this moment.
ADMIT = """
create function kehu_admit(hash bytea, expected_epoch integer) returns void language plpgsql stable as $$
begin
    perform 1
    from credentials c join api_clients a on a.shop_id = c.shop_id and a.id = c.client
    where c.shop_id = current_setting('kehu.shop_id')::bigint and c.lookup_hash = hash
        and c.revoked_at is null and (c.expires_at is null or c.expires_at > now())
        and a.revoked_at is null and (a.expires_at is null or a.expires_at > now()) and a.epoch = expected_epoch;
    if not found then
        raise exception 'the credential is not live' using errcode = 'KH401';
    end if;
end $$
"""


def upgrade() -> None:
    """Create everything."""
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.execute("SET LOCAL statement_timeout = '60s'")
    op.execute("create schema if not exists vault")
    op.execute(sa.schema.CreateSequence(sa.Sequence("shop_ids", start=100_001)))
    op.execute(sa.schema.CreateSequence(sa.Sequence("customer_ids", start=10_000_000, increment=100)))
    op.create_table(
        "access_chain",
        sa.Column("shop_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("entry_id", sa.Uuid(), nullable=False),
        sa.Column(
            "hash", sa.LargeBinary(), nullable=False, comment="SHA-256 of the hash before and the entry's content"
        ),
        sa.PrimaryKeyConstraint("shop_id", "seq", name=op.f("pk_access_chain")),
        info={"kind": "tenant"},
    )
    op.create_index("uq_access_chain_entry_id", "access_chain", ["shop_id", "entry_id"], unique=True)
    op.create_table(
        "access_heads",
        sa.Column("shop_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("sealed_through", sa.DateTime(timezone=True), nullable=False),
        sa.Column("since", sa.Uuid(), nullable=False, comment="no entry before this id can still appear"),
        sa.PrimaryKeyConstraint("shop_id", name=op.f("pk_access_heads")),
        info={"kind": "tenant"},
    )
    op.create_table(
        "access_log",
        sa.Column("shop_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False, comment="client_id, or the command line"),
        sa.Column("call", sa.Text(), nullable=False, comment="method and route, or API and version"),
        sa.Column("purpose", sa.Text(), nullable=False, comment="the scopes that the call needed"),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("objects", sa.Integer(), nullable=False, comment="how many customers were concerned"),
        sa.Column(
            "customers", postgresql.ARRAY(sa.BigInteger()), nullable=False, comment="their numbers, where they are few"
        ),
        sa.Column("masked", sa.Boolean(), nullable=False),
        sa.Column("result", sa.Text(), nullable=False, comment="ok, or the code of the refusal"),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.CheckConstraint("action in ('read', 'change', 'refused')", name=op.f("ck_access_log_action")),
        sa.PrimaryKeyConstraint("shop_id", "id", name=op.f("pk_access_log")),
        info={"kind": "tenant"},
    )
    op.create_table(
        "api_clients",
        sa.Column("shop_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=False, comment="what the client sends"),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False, comment="sealed: signatures need it back"),
        sa.Column("scopes", sa.Text(), nullable=False, comment="space-separated"),
        sa.Column(
            "epoch",
            sa.Integer(),
            server_default="1",
            nullable=False,
            comment="raised by every change of what it may do",
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("shop_id", "id", name=op.f("pk_api_clients")),
        info={"kind": "tenant"},
    )
    op.create_index("uq_api_clients_client_id", "api_clients", ["shop_id", "client_id"], unique=True)
    op.create_table(
        "consents",
        sa.Column("shop_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("customer_id", sa.BigInteger(), nullable=False),
        sa.Column("origin_customer_id", sa.BigInteger(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False, comment="where it was given: a form, a till, an import"),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("state in ('granted', 'withdrawn')", name=op.f("ck_consents_state")),
        sa.PrimaryKeyConstraint("shop_id", "id", name=op.f("pk_consents")),
        info={"kind": "tenant"},
    )
    op.create_index(
        "ix_consents_customer",
        "consents",
        ["shop_id", "customer_id", "purpose", "channel", "occurred_at", "id"],
        unique=False,
    )
    op.create_table(
        "credentials",
        sa.Column("shop_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("lookup_hash", sa.LargeBinary(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("client", sa.Uuid(), nullable=False),
        sa.Column(
            "secret",
            sa.LargeBinary(),
            nullable=True,
            comment="sealed access token, for silent calls that ask for the current one",
        ),
        sa.Column("hint", sa.Text(), nullable=False, comment="for display: prefix and last characters"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("kind in ('client', 'token', 'refresh_token', 'api_key')", name=op.f("ck_credentials_kind")),
        sa.PrimaryKeyConstraint("shop_id", "lookup_hash", name=op.f("pk_credentials")),
        info={"kind": "tenant"},
    )
    op.create_index("ix_credentials_client", "credentials", ["shop_id", "client", "kind", "expires_at"], unique=False)
    op.create_index("ix_credentials_lookup", "credentials", ["lookup_hash"], unique=False)
    op.create_table(
        "customer_changes",
        sa.Column("shop_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("customer_id", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("shop_id", "id", name=op.f("pk_customer_changes")),
        info={"kind": "tenant"},
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
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="the customer's, so that lists by tier are one index walk",
        ),
        sa.PrimaryKeyConstraint("shop_id", "customer_id", name=op.f("pk_customer_scores")),
        info={"kind": "tenant"},
        postgresql_with={"fillfactor": "80"},
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
        sa.Column("orders", sa.Integer(), nullable=False),
        sa.Column("purchase_days", sa.Integer(), nullable=False),
        sa.Column("gross_fen", sa.BigInteger(), nullable=False),
        sa.Column("refund_fen", sa.BigInteger(), nullable=False),
        sa.Column("net_fen", sa.BigInteger(), nullable=False),
        sa.Column(
            "year_net_fen", sa.BigInteger(), nullable=False, comment="net of the orders paid in the last 365 days"
        ),
        sa.Column("first_on", sa.Date(), nullable=True),
        sa.Column("last_on", sa.Date(), nullable=True),
        sa.PrimaryKeyConstraint("shop_id", "customer_id", name=op.f("pk_customer_stats")),
        info={"kind": "tenant"},
        postgresql_with={"fillfactor": "80"},
    )
    op.create_table(
        "customer_totals",
        sa.Column("shop_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("customers", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("shop_id", name=op.f("pk_customer_totals")),
        info={"kind": "tenant"},
    )
    op.create_table(
        "customers",
        sa.Column("shop_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column(
            "origin_customer_id",
            sa.BigInteger(),
            nullable=False,
            comment="whom the row came in for; merges never change it",
        ),
        sa.Column("name", sa.LargeBinary(), nullable=True, comment="sealed"),
        sa.Column("mobile", sa.LargeBinary(), nullable=True, comment="sealed, E.164"),
        sa.Column("address", sa.LargeBinary(), nullable=True, comment="sealed"),
        sa.Column("remark", sa.LargeBinary(), nullable=True, comment="sealed"),
        sa.Column("wei_xin", sa.LargeBinary(), nullable=True, comment="sealed"),
        sa.Column("gender", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("birthday", sa.Date(), nullable=True),
        sa.Column("area_code", sa.Text(), nullable=True),
        sa.Column("store_id", sa.BigInteger(), nullable=True),
        sa.Column("source_channel", sa.Integer(), nullable=True),
        sa.Column("source_way", sa.Integer(), nullable=True),
        sa.Column("mobile_verified", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("member_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("status", sa.Text(), server_default="active", nullable=False),
        sa.Column("merged_into", sa.BigInteger(), nullable=True),
        sa.Column("attributes", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("status in ('active', 'locked', 'erased')", name=op.f("ck_customers_status")),
        sa.CheckConstraint("gender between 0 and 2", name=op.f("ck_customers_gender")),
        sa.PrimaryKeyConstraint("shop_id", "id", name=op.f("pk_customers")),
        info={"kind": "tenant"},
    )
    op.create_index("ix_customers_created", "customers", ["shop_id", "created_at", "id"], unique=False)
    op.create_index(
        "ix_customers_member",
        "customers",
        ["shop_id", "created_at", "id"],
        unique=False,
        postgresql_where="member_since is not null",
    )
    op.create_index(
        "ix_customers_member_since",
        "customers",
        ["shop_id", "member_since", "id"],
        unique=False,
        postgresql_where="member_since is not null",
    )
    op.create_index("ix_customers_store", "customers", ["shop_id", "store_id", "created_at", "id"], unique=False)
    op.create_index("ix_customers_updated", "customers", ["shop_id", "updated_at", "id"], unique=False)
    op.create_table(
        "domain_events",
        sa.Column("shop_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.BigInteger(), nullable=True),
        sa.Column(
            "data",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="ids and numbers only, never personal data",
        ),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("shop_id", "id", name=op.f("pk_domain_events")),
        info={"kind": "tenant"},
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("shop_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("client", sa.Uuid(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("reply", sa.LargeBinary(), nullable=True, comment="sealed: status and body"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("shop_id", "client", "key", name=op.f("pk_idempotency_keys")),
        info={"kind": "tenant"},
    )
    op.create_index("ix_idempotency_keys_created", "idempotency_keys", ["shop_id", "created_at"], unique=False)
    op.create_table(
        "identities",
        sa.Column("shop_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("value_hash", sa.LargeBinary(), nullable=False, comment="keyed hash of scope and normalised value"),
        sa.Column("customer_id", sa.BigInteger(), nullable=False),
        sa.Column("origin_customer_id", sa.BigInteger(), nullable=False),
        sa.Column("scope", sa.Text(), server_default="", nullable=False, comment="appid or source system"),
        sa.Column("value", sa.LargeBinary(), nullable=False, comment="sealed"),
        sa.Column("first_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("shop_id", "kind", "value_hash", name=op.f("pk_identities")),
        info={"kind": "tenant"},
    )
    op.create_index("ix_identities_customer", "identities", ["shop_id", "customer_id"], unique=False)
    op.create_table(
        "order_items",
        sa.Column("shop_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("order_no", sa.Text(), nullable=False),
        sa.Column("line_no", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("sku", sa.Text(), nullable=True),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("price_fen", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("shop_id", "order_no", "line_no", name=op.f("pk_order_items")),
        info={"kind": "tenant"},
    )
    op.create_table(
        "orders",
        sa.Column("shop_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("order_no", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.BigInteger(), nullable=False),
        sa.Column("origin_customer_id", sa.BigInteger(), nullable=False),
        sa.Column("identity_kind", sa.Text(), nullable=True, comment="the identity that brought the order"),
        sa.Column("identity_hash", sa.LargeBinary(), nullable=True),
        sa.Column("store_id", sa.BigInteger(), nullable=True),
        sa.Column("channel", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("paid_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column(
            "source_version",
            sa.BigInteger(),
            nullable=False,
            comment="the source's version, or its updated_at in microseconds",
        ),
        sa.Column("payload_hash", sa.LargeBinary(), nullable=False, comment="decides between equal versions"),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "status in ('created', 'paid', 'shipped', 'completed', 'closed')", name=op.f("ck_orders_status")
        ),
        sa.CheckConstraint("amount_fen >= 0", name=op.f("ck_orders_amount")),
        sa.PrimaryKeyConstraint("shop_id", "order_no", name=op.f("pk_orders")),
        info={"kind": "tenant"},
    )
    op.create_index("ix_orders_customer", "orders", ["shop_id", "customer_id", "paid_at"], unique=False)
    op.create_table(
        "queued_jobs",
        sa.Column("shop_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False, comment="one job per kind and key: asking twice is asking once"),
        sa.Column("arguments", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("state", sa.Text(), server_default="queued", nullable=False),
        sa.Column("done", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=True),
        sa.Column("result", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column(
            "attempt", sa.Integer(), server_default="0", nullable=False, comment="the fence: only the latest may write"
        ),
        sa.Column("crashes", sa.Integer(), server_default="0", nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state in ('queued', 'running', 'done', 'failed', 'quarantined')", name=op.f("ck_queued_jobs_state")
        ),
        sa.PrimaryKeyConstraint("shop_id", "id", name=op.f("pk_queued_jobs")),
        info={"kind": "tenant"},
    )
    op.create_index(
        "ix_queued_jobs_due",
        "queued_jobs",
        ["shop_id", "due_at"],
        unique=False,
        postgresql_where="state in ('queued', 'running')",
    )
    op.create_index("uq_queued_jobs_key", "queued_jobs", ["shop_id", "kind", "key"], unique=True)
    op.create_table(
        "refunds",
        sa.Column("shop_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("refund_no", sa.Text(), nullable=False),
        sa.Column("order_no", sa.Text(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("refunded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("source_version", sa.BigInteger(), nullable=False),
        sa.Column("payload_hash", sa.LargeBinary(), nullable=False),
        sa.Column(
            "settled",
            sa.Boolean(),
            nullable=False,
            comment="its order was there, and the customer was marked as changed",
        ),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("amount_fen >= 0", name=op.f("ck_refunds_amount")),
        sa.PrimaryKeyConstraint("shop_id", "refund_no", name=op.f("pk_refunds")),
        info={"kind": "tenant"},
    )
    op.create_index("ix_refunds_order", "refunds", ["shop_id", "order_no"], unique=False)
    op.create_index(
        "ix_refunds_waiting", "refunds", ["shop_id", "order_no"], unique=False, postgresql_where="not settled"
    )
    op.create_table(
        "sandbox_messages",
        sa.Column("shop_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("shop_id", "message_id", name=op.f("pk_sandbox_messages")),
        info={"kind": "tenant"},
    )
    op.create_index(
        "ix_sandbox_messages_newest", "sandbox_messages", ["shop_id", "received_at", "message_id"], unique=False
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
        sa.Column(
            "settings", postgresql.JSONB(astext_type=sa.Text()), nullable=False, comment="the tier settings of that day"
        ),
        sa.Column("recency_cuts", postgresql.ARRAY(sa.Float()), nullable=True, comment="q20, q40, q60, q80"),
        sa.Column("orders_cuts", postgresql.ARRAY(sa.Float()), nullable=True),
        sa.Column("amount_cuts", postgresql.ARRAY(sa.Float()), nullable=True),
        sa.Column("recency_mean", sa.Float(), nullable=True),
        sa.Column("orders_mean", sa.Float(), nullable=True),
        sa.Column("amount_mean", sa.Float(), nullable=True),
        sa.Column(
            "vip_from_fen", sa.Float(), nullable=True, comment="last year's net spend from which a spender is VIP"
        ),
        sa.Column("potential_from_fen", sa.Float(), nullable=True),
        sa.Column("scored", sa.BigInteger(), nullable=True, comment="customers with orders"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("kind in ('live', 'as_of')", name=op.f("ck_score_runs_kind")),
        sa.CheckConstraint(
            "state in ('computing', 'published', 'superseded', 'done')", name=op.f("ck_score_runs_state")
        ),
        sa.PrimaryKeyConstraint("shop_id", "id", name=op.f("pk_score_runs")),
        info={"kind": "tenant"},
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
        sa.Column("orders", sa.Integer(), nullable=False),
        sa.Column("purchase_days", sa.Integer(), nullable=False),
        sa.Column("gross_fen", sa.BigInteger(), nullable=False),
        sa.Column("refund_fen", sa.BigInteger(), nullable=False),
        sa.Column("net_fen", sa.BigInteger(), nullable=False),
        sa.Column(
            "year_net_fen", sa.BigInteger(), nullable=False, comment="net of the orders paid in the last 365 days"
        ),
        sa.Column("first_on", sa.Date(), nullable=True),
        sa.Column("last_on", sa.Date(), nullable=True),
        sa.Column("r", sa.SmallInteger(), nullable=True),
        sa.Column("f", sa.SmallInteger(), nullable=True),
        sa.Column("m", sa.SmallInteger(), nullable=True),
        sa.Column("rfm_type", sa.Text(), nullable=True),
        sa.Column("tier", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("shop_id", "run_id", "customer_id", name=op.f("pk_score_snapshots")),
        info={"kind": "tenant"},
    )
    op.create_table(
        "shop_keys",
        sa.Column("shop_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False, comment="0 is the blind-index key"),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "used_from",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="seals from then on; until then every process has learnt to read it",
        ),
        sa.PrimaryKeyConstraint("shop_id", "version", name=op.f("pk_shop_keys")),
        info={"kind": "tenant"},
    )
    op.create_table(
        "shops",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("timezone", sa.Text(), server_default="Asia/Shanghai", nullable=False),
        sa.Column("settings", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False),
        sa.Column(
            "pinned_as_of",
            sa.Date(),
            nullable=True,
            comment="the exclusive day that live scores stand at, for shops that show history",
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shops")),
        info={"kind": "reference"},
    )
    op.create_table(
        "stores",
        sa.Column("shop_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("city", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("shop_id", "id", name=op.f("pk_stores")),
        info={"kind": "tenant"},
    )
    op.create_table(
        "suppressions",
        sa.Column("shop_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("value_hash", sa.LargeBinary(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False, comment="* is every channel"),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("shop_id", "kind", "value_hash", "channel", name=op.f("pk_suppressions")),
        info={"kind": "tenant"},
    )
    op.create_table(
        "table_kinds",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_table_kinds")),
        info={"kind": "reference"},
    )
    op.create_table(
        "tier_changes",
        sa.Column("shop_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("customer_id", sa.BigInteger(), nullable=False),
        sa.Column("from_tier", sa.Text(), nullable=True),
        sa.Column("to_tier", sa.Text(), nullable=True),
        sa.Column("run_id", sa.Uuid(), nullable=True),
        sa.Column("as_of", sa.Date(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("shop_id", "id", name=op.f("pk_tier_changes")),
        info={"kind": "tenant"},
    )
    op.create_index("ix_tier_changes_customer", "tier_changes", ["shop_id", "customer_id", "changed_at"], unique=False)
    op.create_table(
        "touch_requests",
        sa.Column("shop_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False, comment="the caller's Idempotency-Key: it seeds the touch ids"),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("template_code", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("audience", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("variables", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("message", sa.Text(), nullable=False, comment="the template with its variables filled in"),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("shop_id", "id", name=op.f("pk_touch_requests")),
        info={"kind": "tenant"},
    )
    op.create_index("uq_touch_requests_key", "touch_requests", ["shop_id", "key"], unique=True)
    op.create_table(
        "touch_templates",
        sa.Column("shop_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column(
            "category",
            sa.Text(),
            nullable=False,
            comment="the template decides whether it is marketing, not the caller",
        ),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False, comment="{name} stands for a variable"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("category in ('marketing', 'transactional')", name=op.f("ck_touch_templates_category")),
        sa.CheckConstraint("channel in ('webhook')", name=op.f("ck_touch_templates_channel")),
        sa.PrimaryKeyConstraint("shop_id", "code", name=op.f("pk_touch_templates")),
        info={"kind": "tenant"},
    )
    op.create_table(
        "touches",
        sa.Column("shop_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.BigInteger(), nullable=False),
        sa.Column("origin_customer_id", sa.BigInteger(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="planned", nullable=False),
        sa.Column("reason", sa.Text(), nullable=True, comment="why it was refused or failed"),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "state in ('planned', 'sending', 'delivered', 'suppressed', 'failed', 'quarantined')",
            name=op.f("ck_touches_state"),
        ),
        sa.PrimaryKeyConstraint("shop_id", "id", name=op.f("pk_touches")),
        info={"kind": "tenant"},
    )
    op.create_index("ix_touches_customer", "touches", ["shop_id", "customer_id", "created_at"], unique=False)
    op.create_index(
        "ix_touches_due", "touches", ["shop_id", "due_at", "id"], unique=False, postgresql_where="state = 'planned'"
    )
    op.create_index("ix_touches_request", "touches", ["shop_id", "request_id", "id"], unique=False)
    op.create_table(
        "person_keys",
        sa.Column("shop_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("customer_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("shop_id", "customer_id", name=op.f("pk_person_keys")),
        schema="vault",
        info={"kind": "tenant"},
    )
    op.create_table(
        "webhook_attempts",
        sa.Column("shop_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("delivery_id", sa.Uuid(), nullable=False),
        sa.Column("attempt", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("attempted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("shop_id", "delivery_id", "attempt", name=op.f("pk_webhook_attempts")),
        info={"kind": "tenant"},
    )
    op.create_table(
        "webhook_deliveries",
        sa.Column("shop_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("endpoint_id", sa.Uuid(), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False, comment="webhook-id: what the receiver de-duplicates by"),
        sa.Column("touch_id", sa.Uuid(), nullable=True, comment="the touch that this delivery is"),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False, comment="the exact bytes that are signed"),
        sa.Column("state", sa.Text(), server_default="pending", nullable=False),
        sa.Column(
            "attempt", sa.Integer(), server_default="0", nullable=False, comment="the fence: only the latest may write"
        ),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("crashes", sa.Integer(), server_default="0", nullable=False),
        sa.Column("last_status", sa.Integer(), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state in ('pending', 'sending', 'delivered', 'failed', 'cancelled', 'quarantined')",
            name=op.f("ck_webhook_deliveries_state"),
        ),
        sa.PrimaryKeyConstraint("shop_id", "id", name=op.f("pk_webhook_deliveries")),
        info={"kind": "tenant"},
    )
    op.create_index(
        "ix_webhook_deliveries_log", "webhook_deliveries", ["shop_id", "endpoint_id", "created_at", "id"], unique=False
    )
    op.create_index(
        "ix_webhook_deliveries_pending",
        "webhook_deliveries",
        ["shop_id", "endpoint_id", "due_at"],
        unique=False,
        postgresql_where="state = 'pending'",
    )
    op.create_index(
        "ix_webhook_deliveries_sending",
        "webhook_deliveries",
        ["shop_id", "endpoint_id", "due_at"],
        unique=False,
        postgresql_where="state = 'sending'",
    )
    op.create_table(
        "webhook_endpoints",
        sa.Column("shop_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("kinds", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False, comment="sealed"),
        sa.Column(
            "previous_secret", sa.LargeBinary(), nullable=True, comment="sealed; signs too until its time is over"
        ),
        sa.Column("previous_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("state", sa.Text(), server_default="enabled", nullable=False),
        sa.Column("reason", sa.Text(), nullable=True, comment="why it was disabled"),
        sa.Column("failing_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("state in ('enabled', 'disabled')", name=op.f("ck_webhook_endpoints_state")),
        sa.PrimaryKeyConstraint("shop_id", "id", name=op.f("pk_webhook_endpoints")),
        info={"kind": "tenant"},
    )
    # Roles belong to the whole server, so another database may have made it already.
    op.execute(
        f"""
        do $$ begin
            create role {ROLE} nologin;
        exception when duplicate_object or unique_violation then null;
        end $$
        """
    )
    op.execute(f"grant {ROLE} to current_user")
    op.execute(f"grant usage on schema public, vault to {ROLE}")
    op.execute(f"grant usage on sequence shop_ids, customer_ids to {ROLE}")
    share(["shops"], may="select, insert, update")
    share(["table_kinds"], may="select")
    protect(TENANT_TABLES)
    protect(APPEND_ONLY_TABLES, may="select, insert")
    op.execute(
        "create policy bearer on credentials for select "
        "using (lookup_hash = decode(current_setting('kehu.credential', true), 'hex'))"
    )
    op.execute(ADMIT)

"""Orders as the sources last told them; a refund may come before its order."""

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, Index, Integer, LargeBinary, Text

from app.core.persons import PersonRows
from app.core.schema import instant, tenant_table

orders = tenant_table(
    "orders",
    Column("order_no", Text, primary_key=True),
    Column("customer_id", BigInteger, nullable=False),
    Column("origin_customer_id", BigInteger, nullable=False),
    Column("identity_kind", Text, comment="the identity that brought the order"),
    Column("identity_hash", LargeBinary),
    Column("store_id", BigInteger),
    Column("channel", Text),
    Column("status", Text, nullable=False),
    instant("paid_at"),
    Column("amount_fen", BigInteger, nullable=False),
    Column("discount_fen", BigInteger, nullable=False, server_default="0", comment="what was taken off the price"),
    Column("currency", Text, nullable=False),
    Column(
        "source_version", BigInteger, nullable=False, comment="the source's version, or its updated_at in microseconds"
    ),
    Column("payload_hash", LargeBinary, nullable=False, comment="decides between equal versions"),
    instant("received_at", nullable=False),
    CheckConstraint("amount_fen >= 0", name="amount"),
    CheckConstraint("discount_fen >= 0", name="discount"),
    CheckConstraint("status in ('created', 'paid', 'shipped', 'completed', 'closed')", name="status"),
    # a customer's facts, for the refresh: all that stats are made of, so that scattered rows need not be fetched
    Index(
        "ix_orders_customer",
        "shop_id",
        "customer_id",
        "paid_at",
        postgresql_include=["order_no", "amount_fen", "status", "discount_fen", "store_id", "channel"],
    ),
    # whose stats a passing day changes
    Index("ix_orders_paid", "shop_id", "paid_at", postgresql_include=["customer_id"]),
    person=PersonRows(merge="follow", export="orders", erase="keep"),
)

order_items = tenant_table(
    "order_items",
    Column("order_no", Text, primary_key=True),
    Column("line_no", Integer, primary_key=True, autoincrement=False),
    Column("sku", Text),
    Column("name", Text),
    Column("category", Text),
    Column("quantity", Integer, nullable=False),
    Column("price_fen", BigInteger, nullable=False),
)

refunds = tenant_table(
    "refunds",
    Column("refund_no", Text, primary_key=True),
    Column("order_no", Text, nullable=False),
    Column("amount_fen", BigInteger, nullable=False),
    instant("refunded_at", nullable=False),
    Column("source_version", BigInteger, nullable=False),
    Column("payload_hash", LargeBinary, nullable=False),
    Column("settled", Boolean, nullable=False, comment="its order was there, and the customer was marked as changed"),
    instant("received_at", nullable=False),
    CheckConstraint("amount_fen >= 0", name="amount"),
    # an order's refunds, whichever came first
    Index("ix_refunds_order", "shop_id", "order_no"),
    # whose stats a passing day changes
    Index("ix_refunds_refunded", "shop_id", "refunded_at"),
    # refunds that wait for their order
    Index("ix_refunds_waiting", "shop_id", "order_no", postgresql_where="not settled"),
)

"""The segments room's SQL: how patient a question is, and whom an answer shows."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import text

from app.access.shops import Shop
from app.core.db import Connection, Row, Statement, statement
from app.customers.records import open_customer

TAGS = statement(text("select count(*) from tags where shop_id = :shop_id"))
SHOWN = statement(
    text(
        """
        select c.*, key.wrapped, k.tier, coalesce(s.orders, 0) as orders, coalesce(s.net_fen, 0) as net_fen
        from customers c
        join vault.person_keys key on key.shop_id = c.shop_id and key.customer_id = c.id
        left join customer_stats s on s.shop_id = c.shop_id and s.customer_id = c.id
        left join customer_scores k on k.shop_id = c.shop_id and k.customer_id = c.id
        where c.shop_id = :shop_id and c.id = any(cast(:customer_ids as bigint[]))
        order by c.id desc
        """
    )
)


async def shown(db: Connection, shop: Shop, customer_ids: Sequence[int]) -> list[tuple[Any, Row]]:
    """These customers, opened, each with the row that has `tier`, `orders` and `net_fen`; the newest first."""
    if not customer_ids:
        return []
    rows = await db.fetch(SHOWN, shop_id=shop.id, customer_ids=list(customer_ids))
    return [(open_customer(shop, row), row) for row in rows]


async def ask(db: Connection, compiled: Statement, **values: Any) -> Row:
    """The one row that a question is answered with."""
    row = await db.fetch_one(compiled, **values)
    assert row is not None  # noqa: S101 it aggregates
    return row

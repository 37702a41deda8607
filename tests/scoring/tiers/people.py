"""Customers with stats as a test wants them, written past the wall."""

from datetime import date, timedelta
from typing import Any

import orjson

from app.access.shops import Shop
from app.scoring.models import customer_stats
from tests.conftest import Rows

_ZEROES = {str(column.name): 0 for column in customer_stats.columns if column.server_default is not None}
_EMPTY: dict[str, Any] = {str(column.name): None for column in customer_stats.columns}

CUSTOMERS = """
    insert into customers (shop_id, id, mobile, merged_into, told_at, created_at, updated_at)
    select $1, id, case when mobile then 'sealed'::bytea end, merged_into, now(), now(), now()
    from jsonb_to_recordset($2::jsonb) as t (id bigint, mobile boolean, merged_into bigint)
    returning id
"""
STATS = """
    insert into customer_stats select * from jsonb_populate_recordset(null::customer_stats, $1::jsonb)
    returning customer_id
"""
SCORES = """
    insert into customer_scores (shop_id, customer_id, tier, created_at)
    select $1, id, tier, now() from jsonb_to_recordset($2::jsonb) as t (id bigint, tier text) where tier is not null
    returning customer_id
"""


def stats(as_of: date, **known: Any) -> dict[str, Any]:
    """A row of `customer_stats` of somebody who registered ten days before and did nothing since, but what is said."""
    joined = as_of - timedelta(days=10)
    months = {"interactions_by_month": [0] * 6}
    return _EMPTY | _ZEROES | months | {"since_on": joined, "active_on": joined} | known


async def told(rows: Rows, shop: Shop, people: list[dict[str, Any]]) -> None:
    """Write people, numbered from 1: their stats; `mobile`, `merged_into` of the customer; `tier` of today."""
    keys = ("mobile", "merged_into", "tier")
    customers = [{"id": n, "mobile": False} | {k: p[k] for k in keys if k in p} for n, p in enumerate(people, 1)]
    known = [
        {k: v for k, v in person.items() if k not in keys} | {"shop_id": shop.id, "customer_id": number}
        for number, person in enumerate(people, 1)
    ]
    await rows(CUSTOMERS, shop.id, _json(customers))
    await rows(STATS, _json(known))
    await rows(SCORES, shop.id, _json(customers))


async def forgotten(rows: Rows, shop: Shop) -> None:
    """Take all of them away again."""
    for table in ("customers", "customer_stats", "customer_scores"):
        await rows(f"delete from {table} where shop_id = $1 returning 1", shop.id)  # noqa: S608 names of ours


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()

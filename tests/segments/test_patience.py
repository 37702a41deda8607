"""Questions that take long are asked again in the way that depends on no statistics, and given up in the end."""

import pytest
from sqlalchemy import text

from app.access.entry import Entry
from app.access.shops import Shop
from app.core.db import Connection, statement
from app.core.errors import DatabaseUnavailable
from app.segments.patience import hastily

# What a plan that compares everything with everything would do.
SLOW_IN_LOOPS = statement(
    text("select case when current_setting('enable_nestloop') = 'on' then pg_sleep(20) end::text, 'found' as answer")
)
SLOW = statement(text("select pg_sleep(20)::text"))
TIMEOUT = statement(text("select current_setting('statement_timeout')"))
COUNT = statement(text("select 1"))


async def _found(db: Connection) -> str:
    row = await db.fetch_one(SLOW_IN_LOOPS)
    assert row is not None
    return str(row["answer"])


async def test_the_second_way_answers(entry: Entry, shop: Shop) -> None:
    async with entry.shop(shop.id) as (db, _):
        assert await hastily(db, lambda: _found(db), seconds=1) == "found"
        assert await db.fetch_value(TIMEOUT) == "1s"


async def test_what_answers_at_once_is_asked_once(entry: Entry, shop: Shop) -> None:
    async with entry.shop(shop.id) as (db, _):
        assert await hastily(db, lambda: db.fetch_value(COUNT), seconds=1) == 1
        assert await db.fetch_value(TIMEOUT) == "1s"


async def test_in_the_end_it_is_given_up(entry: Entry, shop: Shop) -> None:
    with pytest.raises(DatabaseUnavailable):
        async with entry.shop(shop.id) as (db, _):
            await hastily(db, lambda: db.fetch_value(SLOW), seconds=0.5)

"""The database seam: statements compiled once, transactions that mean it, URLs as platforms write them."""

import asyncio

import asyncpg
import pytest
from sqlalchemy import BigInteger, Column, MetaData, Table, Text, select, text
from sqlalchemy import bindparam as p

from app.access.entry import Entry, in_shop
from app.access.shops import Shop
from app.core import db
from app.core.db import Connection, connect_arguments, sqlalchemy_url, statement
from app.core.errors import StartOver

things = Table("things", MetaData(), Column("id", BigInteger), Column("name", Text))
ONE = statement(text("select 1"))
MARK = statement(
    text("insert into customer_changes (shop_id, customer_id, changed_at) values (:shop_id, :customer_id, now())")
)
MARKS = statement(text("select customer_id from customer_changes where shop_id = :shop_id order by id"))


def test_a_statement_names_its_parameters() -> None:
    found = statement(select(things.c.name).where(things.c.id == p("id"), things.c.name != p("not_name")))
    assert "$1" in found.sql
    assert found.arguments({"not_name": "x", "id": 7}) == [7, "x"]
    with pytest.raises(KeyError):
        found.arguments({"id": 7})
    with pytest.raises(TypeError, match="other"):
        found.arguments({"id": 7, "not_name": "x", "other": 1})


def test_in_is_refused_because_its_length_is_not_known() -> None:
    with pytest.raises(ValueError, match="any_"):
        statement(select(things).where(things.c.id.in_(p("ids", expanding=True))))


async def test_an_error_rolls_back_and_a_savepoint_only_its_block(entry: Entry, shop: Shop) -> None:
    with pytest.raises(ZeroDivisionError):
        async with entry.database.transaction(shop.id) as db:
            await db.execute(MARK, shop_id=shop.id, customer_id=1)
            raise ZeroDivisionError
    async with entry.database.transaction(shop.id) as db:
        await db.execute(MARK, shop_id=shop.id, customer_id=2)
        with pytest.raises(asyncpg.DivisionByZeroError):
            async with db.savepoint():
                await db.execute(MARK, shop_id=shop.id, customer_id=3)
                await db.execute(statement(text("select 1/0")))
        await db.execute(MARK, shop_id=shop.id, customer_id=4)
    async with entry.database.transaction(shop.id) as db:
        assert [row["customer_id"] for row in await db.fetch(MARKS, shop_id=shop.id)] == [2, 4]


async def test_a_connection_that_was_not_opened_as_the_role_is_not_used(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # poolers drop settings that they do not know, and the login may see everything
    monkeypatch.setattr(db, "connect_arguments", lambda url: connect_arguments(url) | {"server_settings": _Deaf()})
    database = db.Database(
        database_url, role=db.ROLE, pool_size=1, acquire_timeout_seconds=5, statement_timeout_seconds=5
    )
    with pytest.raises(RuntimeError, match="PGBOUNCER"):
        async with database.transaction():
            pass
    await database.close()


class _Deaf(dict[str, str]):
    def __ior__(self, _: object) -> "_Deaf":  # type: ignore[override, misc]
        return self


async def test_a_swallowed_database_error_is_not_taken_for_a_commit(entry: Entry, shop: Shop) -> None:
    with pytest.raises(RuntimeError, match="swallowed"):
        async with entry.database.transaction(shop.id) as db:
            await db.execute(MARK, shop_id=shop.id, customer_id=1)
            with pytest.raises(asyncpg.DivisionByZeroError):
                await db.execute(statement(text("select 1/0")))
    async with entry.database.transaction(shop.id) as db:
        assert await db.fetch(MARKS, shop_id=shop.id) == []


async def test_a_cancelled_transaction_leaves_a_clean_pool(entry: Entry, shop: Shop) -> None:
    async def slow() -> None:
        async with entry.database.transaction(shop.id) as db:
            await db.execute(MARK, shop_id=shop.id, customer_id=1)
            await db.execute(statement(text("select pg_sleep(30)")))

    tasks = [asyncio.create_task(slow()) for _ in range(40)]
    await asyncio.sleep(0.3)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    async with entry.database.transaction(shop.id) as db:
        assert await db.fetch(MARKS, shop_id=shop.id) == []


async def test_a_step_that_lost_a_race_is_run_again_whole(entry: Entry, shop: Shop) -> None:
    turns = 0

    async def step(db: Connection, of: Shop) -> int:
        nonlocal turns
        turns += 1
        await db.execute(MARK, shop_id=of.id, customer_id=turns)
        if turns < 3:
            raise StartOver
        return turns

    assert await in_shop(entry, shop.id, step) == 3
    async with entry.database.transaction(shop.id) as db:
        assert [row["customer_id"] for row in await db.fetch(MARKS, shop_id=shop.id)] == [3]


def test_urls_of_platforms_are_understood() -> None:
    found = connect_arguments(
        "postgres://us%40er:p%2Fw@db.example:6543/kehu?sslmode=require&application_name=till&options=-c%20a%3Db"
    )
    assert (found["user"], found["password"], found["port"]) == ("us@er", "p/w", 6543)
    assert found["ssl"] == "require"
    assert found["server_settings"]["application_name"] == "till"
    assert sqlalchemy_url("postgres://u:p%2Fw@h/kehu?sslmode=require") == "postgresql+asyncpg://u:p%2Fw@h:5432/kehu"
    with pytest.raises(ValueError, match="postgresql://"):
        connect_arguments("mysql://h/x")

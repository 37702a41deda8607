"""Which crashes count against a job, and what of the database's failures callers are told to wait for."""

import asyncio
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from app.access.entry import Entry
from app.access.limits import Limits
from app.access.settings import LimitSettings
from app.access.shops import Shop
from app.changes import jobs
from app.changes.jobs import Lease
from app.core.bell import Bell
from app.core.config import Settings
from app.core.db import Statement
from app.core.errors import DatabaseUnavailable
from app.main import open_database
from tests.conftest import Rows


@pytest.mark.parametrize(("gets_on", "ends"), [(True, "done"), (False, "quarantined")])
async def test_crashes_count_against_a_job_only_while_it_gets_no_further(
    entry: Entry, shop: Shop, rows: Rows, gets_on: bool, ends: str
) -> None:
    runs = 0

    async def work(lease: Lease) -> dict[str, Any]:
        nonlocal runs
        runs += 1
        if gets_on:
            await lease.report(runs, 5, {"after": runs})
        if runs < 5:
            raise asyncio.CancelledError  # the worker is gone, and writes nothing
        return {}

    async with entry.shop(shop.id) as (db, _):
        await jobs.enqueue(db, shop.id, "long", {})
    while (await rows("select state from queued_jobs where shop_id = $1", shop.id))[0]["state"] in (
        "queued",
        "running",
    ):
        await rows("update queued_jobs set due_at = now() where shop_id = $1 returning id", shop.id)
        try:
            await jobs.run_due(entry, shop.id, {"long": work}, lease_seconds=60)
        except asyncio.CancelledError:
            continue
    (row,) = await rows("select state from queued_jobs where shop_id = $1", shop.id)
    assert row["state"] == ends
    assert runs == (5 if gets_on else 3)


async def test_a_mistake_of_ours_is_not_told_as_a_database_that_is_away(entry: Entry) -> None:
    with pytest.raises(asyncpg.InterfaceError):
        async with entry.database.transaction() as db:
            await db.fetch_value(Statement("select 1", ("unknown",), {}), unknown=1)
    async with entry.database.transaction() as db:
        assert await db.fetch_value(Statement("select 1", (), {})) == 1


async def test_a_database_that_stalls_is_told_as_away_although_the_connection_lives(settings: Settings) -> None:
    database = open_database(settings.model_copy(update={"database_statement_timeout_seconds": 0.1}), None)
    try:
        with pytest.raises(DatabaseUnavailable):
            async with database.transaction() as db:
                await db.fetch_value(Statement("select pg_sleep(5)", (), {}))
        async with database.transaction() as db:
            assert await db.fetch_value(Statement("select 1", (), {})) == 1
    finally:
        await database.close()


async def test_a_connection_that_was_lost_under_uvloop_is_a_redis_that_is_away(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """uvloop raises RuntimeError, which is none of redis' own errors, for a write to a connection that just broke."""

    async def lost(*_: Any, **__: Any) -> None:
        raise RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed")

    limits = Limits(settings.redis_url.get_secret_value())
    monkeypatch.setattr(limits, "_gcra", lost)
    await limits.take(uuid4(), "write", LimitSettings())
    await limits.close()

    bell = Bell(settings.redis_url.get_secret_value(), queue="lost")
    monkeypatch.setattr(bell, "_send", lost)
    bell.start()
    bell.ring(["changes"], 1)
    await asyncio.sleep(0.05)
    assert bell._task is not None
    assert not bell._task.done()
    await bell.close()

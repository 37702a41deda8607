"""The months of events: made ahead of time, as often as one likes, and filled with what waited for them."""

import asyncio
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import asyncpg
import orjson
import pytest

from app.core.config import Settings
from app.events.partitions import MONTHS_AHEAD, Outlook, is_partition, look, make_months
from app.migrate import upgrade
from tests.conftest import TEMPLATE, with_database
from tests.processes import environment

NOW = datetime(2026, 11, 22, tzinfo=UTC)


@pytest.fixture
async def fresh_url(settings: Settings, worker_id: str) -> AsyncIterator[str]:
    """A migrated database of this test's own."""
    url = settings.database_url.get_secret_value()
    name = f"kehu_months_{worker_id}"
    server = await asyncpg.connect(url)
    await server.execute(f'create database "{name}" template "{TEMPLATE}"')
    yield with_database(url, name)
    await server.execute(f'drop database "{name}" with (force)')
    await server.close()


@pytest.fixture
async def owner(fresh_url: str, worker_id: str) -> AsyncIterator[Any]:
    """A login that owns the tables and is no superuser, so that forced row security holds for it too."""
    connection, role = await asyncpg.connect(fresh_url), f"kehu_months_{worker_id}"
    await connection.execute(f"create role {role}")
    for (name,) in await connection.fetch(
        "select relname from pg_class where relname ~ '^events' and relkind in ('r', 'p')"
    ):
        await connection.execute(f"alter table {name} owner to {role}")
    await connection.execute(f"grant create, usage on schema public to {role}")
    await connection.execute(f"set role {role}")
    yield connection
    await connection.execute("reset role")
    await connection.execute(f"drop owned by {role}")
    await connection.execute(f"drop role {role}")
    await connection.close()


async def _parts(connection: Any) -> list[str]:
    rows = await connection.fetch(
        "select inhrelid::regclass::text from pg_inherits where inhparent = 'events'::regclass"
    )
    return sorted(row[0] for row in rows)


async def _keep(connection: Any, *moments: str) -> None:
    await connection.execute("set kehu.shop_id = '1'")
    await connection.executemany(
        "insert into events (shop_id, id, occurred_at, received_at, customer_id, origin_customer_id, identity_kind, "
        "identity_hash, type, properties) values (1, gen_random_uuid(), $1, now(), 1, 1, 'device', '', 'view', '{}')",
        [(datetime.fromisoformat(moment),) for moment in moments],
    )


async def _where(connection: Any) -> dict[str, int]:
    rows = await connection.fetch("select tableoid::regclass::text as part, count(*) from events group by 1")
    return {row["part"]: row["count"] for row in rows}


async def test_migrating_again_makes_nothing_more(fresh_url: str) -> None:
    connection = await asyncpg.connect(fresh_url)
    before = await _parts(connection)
    now = datetime.now(UTC)
    assert before[0] == f"events_{now:%Y_%m}"
    assert len(before) == MONTHS_AHEAD + 2, "this month, those ahead, and the default one"
    assert all(is_partition(name) for name in before)
    assert not is_partition("events")
    assert await asyncio.to_thread(upgrade, fresh_url) == []
    assert await _parts(connection) == before
    await connection.close()


async def test_time_goes_on(owner: Any) -> None:
    first = await make_months(owner, NOW)
    assert await make_months(owner, NOW) == []
    later = await make_months(owner, NOW + timedelta(days=62))
    assert [*first, *later][-2:] == ["events_2028_12", "events_2029_01"]
    found = await look(owner, datetime(2027, 1, 23, tzinfo=UTC))
    assert found == Outlook(date(2029, 1, 1), 24, 0)
    assert (await look(owner, datetime(2028, 12, 31, tzinfo=UTC))).months_ahead == 1
    assert await look(owner, datetime(2040, 1, 1, tzinfo=UTC)) == Outlook(None, 0, 0)


async def test_every_month_has_the_indexes_of_the_whole_and_no_more(owner: Any) -> None:
    await make_months(owner, NOW)
    await _keep(owner, "2026-07-31T23:59:59+00:00")
    assert "events_2026_07" in await make_months(owner, NOW), "moved, beside those that were made empty"
    found = await owner.fetch(
        """
        select t.relname as part, p.indexrelid::regclass::text as of, pg_get_indexdef(p.indexrelid) like '%INCLUDE%'
               as included, i.indisvalid as valid
        from pg_inherits h
        join pg_class t on t.oid = h.inhrelid
        join pg_index i on i.indrelid = t.oid
        left join pg_inherits g on g.inhrelid = i.indexrelid
        left join pg_index p on p.indexrelid = g.inhparent and p.indrelid = 'events'::regclass
        where h.inhparent = 'events'::regclass
        """
    )
    assert all(row["valid"] for row in found)
    assert {row["of"]: row["included"] for row in found} == {
        "pk_events": False,
        "ix_events_customer": True,
        "ix_events_occurred": True,
    }
    places = [(row["part"], row["of"]) for row in found]
    assert len(places) == len(set(places)) == 3 * len(await _parts(owner))


async def test_what_waited_moves_to_its_month(owner: Any) -> None:
    await make_months(owner, NOW)
    await _keep(owner, "2026-07-31T23:59:59+00:00", "2026-08-01T00:00:00+00:00", "2015-01-01T00:00:00+00:00")
    assert await _where(owner) == {"events_default": 3}
    assert (await look(owner, NOW)).waiting_bytes > 0
    made = await make_months(owner, NOW)
    assert {"events_2026_07", "events_2026_08", "events_2026_09", "events_2026_10"} <= set(made)
    assert await _where(owner) == {"events_2026_07": 1, "events_2026_08": 1, "events_default": 1}
    assert (await look(owner, NOW)).waiting_bytes > 0, "2015 is further back than months go"
    (walled,) = await owner.fetch("select relforcerowsecurity from pg_class where relname = 'events_default'")
    assert walled["relforcerowsecurity"]


async def test_an_empty_default_partition_is_seen_to_be_empty(owner: Any) -> None:
    await _keep(owner, "2026-07-31T23:59:59+00:00")
    await make_months(owner, NOW)
    assert (await look(owner, NOW)).waiting_bytes == 0


async def test_two_at_once_take_turns(fresh_url: str) -> None:
    moment = datetime(2030, 1, 1, tzinfo=UTC)
    connections = [await asyncpg.connect(fresh_url) for _ in range(3)]
    made = await asyncio.gather(*(make_months(connection, moment) for connection in connections))
    assert sorted(map(len, made))[:2] == [0, 0]
    assert max(map(len, made)) > 20
    for connection in connections:
        await connection.close()


async def test_the_doctor_warns_of_what_waits_and_of_months_that_run_out(fresh_url: str, settings: Settings) -> None:
    async def asked() -> tuple[str, str]:
        told = environment(settings, DATABASE_URL=fresh_url)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "app", "doctor", "--json"), env=told, stdout=PIPE, stderr=PIPE
        )
        findings = {finding["what"]: finding for finding in orjson.loads((await process.communicate())[0])}
        return findings["months of events"]["state"], findings["months of events"]["detail"]

    connection = await asyncpg.connect(fresh_url)
    assert (await asked())[0] == "ok"
    await _keep(connection, "2015-01-01T00:00:00+00:00")
    state, detail = await asked()
    assert (state, "default partition" in detail) == ("warning", True)
    for name in (await _parts(connection))[3:-1]:
        await connection.execute(f"drop table {name}")
    assert await asked() == ("warning", "2 are made ahead of time; run: kehu migrate")
    await connection.close()


async def test_a_read_of_a_month_looks_at_that_month_only(fresh_url: str) -> None:
    connection = await asyncpg.connect(fresh_url)
    await connection.execute("set role kehu_app")
    await connection.execute("set kehu.shop_id = '1'")
    start = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    bounds = f"occurred_at >= '{start.isoformat()}' and occurred_at < '{(start + timedelta(days=20)).isoformat()}'"
    question = f"explain select * from events where shop_id = 1 and customer_id = 1 and {bounds}"  # noqa: S608 our own
    plan = await connection.fetch(question)
    told = "\n".join(row[0] for row in plan)
    assert f"events_{start:%Y_%m}" in told
    assert told.count("Scan") <= 2
    assert (await look(connection, start)).months_ahead == MONTHS_AHEAD, "the doctor's login owns nothing"
    assert "customer_id" in told
    await connection.close()

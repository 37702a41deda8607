"""What tags come to, and the two commands that show it."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from app.access.entry import Entry
from app.access.shops import Shop
from app.cli.main import app as cli
from app.tags import service
from app.uses import service as uses
from app.uses.service import User
from tests.conftest import Api, Rows
from tests.tags.people import Json, customers, give, pages, tag


async def ran(api: Api, base_url: str, *arguments: str) -> Any:
    """What the command printed."""
    command = ["tags", *arguments, "--url", base_url, "--api-key", api.client.api_key]
    done = await asyncio.to_thread(CliRunner().invoke, cli, command)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture
async def told(api: Api, entry: Entry, shop: Shop, rows: Rows) -> dict[str, Json]:
    """Six customers, two of whom are one person, and tags of every fate; the report, by name."""
    people = await customers(api, 6)
    ids = {name: await tag(api, name) for name in ("all", "mixed", "old", "ran out", "never", "fresh")}
    await give(api, ids["all"], people)
    await give(api, ids["mixed"], people[:1])
    async with entry.shop(shop.id) as (db, _):
        await service.add(db, shop.id, {people[1]: ["mixed"], people[2]: ["mixed"]}, source="facade", actor="till")
        over = datetime.now(UTC)
        pairs = {(one, ids["ran out"]) for one in people[:2]}
        await service.give(db, shop.id, pairs, source="journey", actor="journey:1", valid_until=over)
        await uses.record(db, shop.id, User("segment", 3, "S"), [("tag", str(ids["old"]))])
    await give(api, ids["old"], people[:1])
    ages = {"old": 200, "never": 200, "mixed": 40}
    for name, days in ages.items():
        moment = datetime.now(UTC) - timedelta(days=days)
        await rows("update tags set created_at = $3 where shop_id = $1 and id = $2", shop.id, ids[name], moment)
        await rows(
            "update customer_tags set assigned_at = $3 where shop_id = $1 and tag_id = $2", shop.id, ids[name], moment
        )
    await api.post(f"/v1/customers/{people[0]}/merges", {"other_id": people[1]})
    return {one["name"]: one for one in await pages(api, "/v1/tags/report", limit=4)}


async def test_the_report(told: dict[str, Json]) -> None:
    assert list(told) == ["all", "mixed", "old", "ran out", "never", "fresh"]
    figures = ("customers", "share", "added_30d", "by_source", "stale", "unused")
    assert {name: tuple(one[figure] for figure in figures) for name, one in told.items()} == {
        "all": (5, 1.0, 5, {"manual": 5}, False, False),
        "mixed": (2, 0.4, 0, {"manual": 1, "facade": 1}, False, False),
        "old": (1, 0.2, 0, {"manual": 1}, True, False),
        "ran out": (0, 0.0, 0, {}, False, True),
        "never": (0, 0.0, 0, {}, True, True),
        "fresh": (0, 0.0, 0, {}, False, True),
    }
    assert told["ran out"]["last_assigned_at"] is not None, "it was given, though it has run out"
    assert told["never"]["last_assigned_at"] is None
    assert told["old"]["used_by"] == [{"kind": "segment", "id": 3, "name": "S"}]
    assert told["all"]["used_by"] == []


async def test_how_old_is_stale(api: Api, told: dict[str, Json]) -> None:
    stale = [one["name"] for one in await pages(api, "/v1/tags/report", stale_days=30) if one["stale"]]
    assert stale == ["mixed", "old", "never"]
    assert [one["name"] for one in await pages(api, "/v1/tags/report", stale_days=365) if one["stale"]] == []


async def test_of_merged_records_the_persons_row_counts(api: Api, entry: Entry, shop: Shop, other_shop: Shop) -> None:
    """Whichever of three records carried it, and whichever assignment has run out, the person counts once."""
    people = await customers(api, 4)
    number = await tag(api, "a")
    await give(api, number, [people[3]])
    async with entry.shop(shop.id) as (db, _):
        over = datetime.now(UTC)
        await service.give(db, shop.id, {(people[0], number)}, source="journey", actor="j", valid_until=over)
        await service.give(db, shop.id, {(one, number) for one in people[1:3]}, source="facade", actor="till")
    for other in people[1:3]:
        await api.post(f"/v1/customers/{people[0]}/merges", {"other_id": other})
    (one,) = await pages(api, "/v1/tags/report")
    carriers = await pages(api, f"/v1/tags/{number}/customers")
    assert one["customers"] == len(carriers) == 2
    assert one["by_source"] == {"manual": 1, "facade": 1}
    assert one["share"] == 1.0


async def test_a_shop_without_anybody(api: Api) -> None:
    await tag(api, "a")
    (one,) = await pages(api, "/v1/tags/report")
    assert (one["customers"], one["share"], one["unused"]) == (0, None, True)


async def test_the_commands(api: Api, base_url: str, told: dict[str, Json]) -> None:
    shown = await ran(api, base_url, "report")
    lines = {line.split()[0]: line for line in shown.splitlines()}
    assert "100.0%" in lines["all"]
    assert "facade 1, manual 1" in lines["mixed"]
    assert ("stale" in lines["old"], "unused" in lines["never"]) == (True, True)
    assert orjson.loads(await ran(api, base_url, "report", "--json")) == list(told.values())
    listed = await ran(api, base_url, "list", "--prefix", "m")
    assert [line.split()[0] for line in listed.splitlines()] == ["tag", "mixed"]
    assert "segment S" in await ran(api, base_url, "list", "--prefix", "old")

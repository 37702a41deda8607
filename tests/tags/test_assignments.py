"""Who carries which tags: sets in, only differences written and told."""

from datetime import UTC, datetime, timedelta

import pytest

from app.access.entry import Entry
from app.access.shops import Shop
from app.tags import repository, service
from app.tags.errors import TagNotFound
from tests.conftest import Api, Rows


@pytest.fixture
async def people(api: Api) -> list[int]:
    """Three customers."""
    body = {"customers": [{"identities": [{"kind": "card_no", "value": f"C{n}"}]} for n in range(3)]}
    answer = await api.post("/v1/customers/batch", body)
    return [row["customer_id"] for row in answer.json()["results"]]


async def carried(entry: Entry, shop: Shop, people: list[int]) -> dict[int, set[str]]:
    """The names of the tags that each customer carries."""
    found: dict[int, set[str]] = {}
    async with entry.shop(shop.id) as (db, _):
        for row in await repository.of_customers(db, shop.id, people):
            found.setdefault(row["customer_id"], set()).add(row["name"])
    return found


async def kinds(rows: Rows, shop: Shop) -> list[str]:
    """The kinds of what was told about tags."""
    found = await rows("select kind from domain_events where shop_id = $1 and kind like 'tag.%'", shop.id)
    return sorted(row["kind"] for row in found)


async def test_a_set_is_written_at_once_and_only_differences_are_told(
    entry: Entry, shop: Shop, people: list[int], rows: Rows
) -> None:
    first, second, third = people
    async with entry.shop(shop.id) as (db, _):
        wanted = {first: ["a", "b"], second: ["b"], third: []}
        assert await service.add(db, shop.id, wanted, source="rule", actor="rule 7") == 3
    async with entry.shop(shop.id) as (db, _):
        assert await service.add(db, shop.id, {first: ["b", "c"], second: ["b"]}, source="manual", actor="ada") == 1
    assert await carried(entry, shop, people) == {first: {"a", "b", "c"}, second: {"b"}}
    held = await rows(
        "select t.name, h.source, h.actor "
        "from customer_tags h join tags t on t.shop_id = h.shop_id and t.id = h.tag_id "
        "where h.shop_id = $1 and h.customer_id = $2 order by t.name",
        shop.id,
        first,
    )
    assert [tuple(row.values()) for row in held] == [
        ("a", "rule", "rule 7"),
        ("b", "rule", "rule 7"),
        ("c", "manual", "ada"),
    ]
    async with entry.shop(shop.id) as (db, _):
        assert await service.remove(db, shop.id, {first: ["a", "none"], second: ["a", "b"], third: ["c"]}) == 2
        assert await service.remove(db, shop.id, {first: ["none"], second: []}) == 0
    assert await carried(entry, shop, people) == {first: {"b", "c"}}
    assert await kinds(rows, shop) == ["tag.added"] * 4 + ["tag.removed"] * 2


async def test_whoever_is_gone_is_passed_over(entry: Entry, shop: Shop, people: list[int], rows: Rows) -> None:
    await rows("update customers set status = 'erased' where shop_id = $1 and id = $2 returning 1", shop.id, people[0])
    async with entry.shop(shop.id) as (db, _):
        wanted = {people[0]: ["a"], people[1]: ["a"], 2**52: ["a"]}
        assert await service.add(db, shop.id, wanted, source="manual", actor="ada") == 1
    assert await carried(entry, shop, people) == {people[1]: {"a"}}


async def test_a_name_that_is_not_there_is_refused_where_none_is_to_be_made(
    entry: Entry, shop: Shop, people: list[int], rows: Rows
) -> None:
    with pytest.raises(TagNotFound):
        async with entry.shop(shop.id) as (db, _):
            await service.add(db, shop.id, {people[0]: ["a"]}, source="manual", actor="ada", make=False)
    assert not await rows("select 1 from tags where shop_id = $1", shop.id)


async def test_an_assignment_runs_out_by_itself(entry: Entry, shop: Shop, people: list[int], rows: Rows) -> None:
    later, before = datetime.now(UTC) + timedelta(days=1), datetime.now(UTC) - timedelta(seconds=1)
    for number, until in zip(people, (None, later, before), strict=True):
        async with entry.shop(shop.id) as (db, _):
            await service.add(db, shop.id, {number: ["a"]}, source="rule", actor="r", valid_until=until)
    assert set(await carried(entry, shop, people)) == set(people[:2])
    async with entry.shop(shop.id) as (db, _):
        # What had run out is not carried, so that taking it off changes nothing.
        assert await service.remove(db, shop.id, {number: ["a"] for number in people}) == 2
    assert not await rows("select 1 from customer_tags where shop_id = $1", shop.id)
    assert await kinds(rows, shop) == ["tag.added"] * 3 + ["tag.removed"] * 2


async def test_only_what_runs_out_is_given_anew(entry: Entry, shop: Shop, people: list[int], rows: Rows) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    for until, count in ((before, 1), (None, 1), (before, 0)):
        async with entry.shop(shop.id) as (db, _):
            found = await service.add(
                db, shop.id, {people[0]: ["a"]}, source="rule", actor=f"{until}", valid_until=until
            )
            assert found == count
    (held,) = await rows("select actor, valid_until from customer_tags where shop_id = $1", shop.id)
    assert held == {"actor": "None", "valid_until": None}

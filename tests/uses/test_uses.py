"""What is used cannot be dropped, whichever of the two comes first; the refusal names the users."""

import asyncio
from typing import Any

import pytest

from app.access.entry import Entry
from app.access.shops import Shop
from app.attributes import repository as attributes
from app.events import repository as events
from app.uses import service as uses
from app.uses.errors import StillUsed
from app.uses.service import User
from tests.conftest import Api, Rows

SEGMENT = User("segment", 7, "沉睡会员")
SIZE = {"type": "text", "class": "personal"}
FITTING = {"properties": {"sku": {"kind": "text"}, "minutes": {"kind": "integer"}}}


async def record(entry: Entry, shop: Shop, user: User, *things: tuple[str, str]) -> None:
    """What the user uses from now on."""
    async with entry.shop(shop.id) as (db, _):
        await uses.record(db, shop.id, user, things)


async def put(api: Api, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Status and answer of a PUT."""
    answer = await api.http.put(path, json=body)
    return answer.status_code, answer.json()


async def test_what_a_user_uses_is_replaced_as_a_whole(entry: Entry, shop: Shop, rows: Rows) -> None:
    stored = """
        select thing, name, user_name, xmin::text as written from uses
        where shop_id = $1 order by thing, name, user_kind
    """
    await record(entry, shop, SEGMENT, ("tag", "4"), ("attribute", "size"), ("tag", "4"))
    first = await rows(stored, shop.id)
    assert [(row["thing"], row["name"]) for row in first] == [("attribute", "size"), ("tag", "4")]
    await record(entry, shop, User("journey", 7, "J"), ("tag", "4"))
    await record(entry, shop, SEGMENT, ("tag", "4"), ("tier", "vip"))
    assert [(row["thing"], row["name"], row["user_name"]) for row in await rows(stored, shop.id)] == [
        ("tag", "4", "J"),
        ("tag", "4", "沉睡会员"),
        ("tier", "vip", "沉睡会员"),
    ]
    before = await rows(stored, shop.id)
    await record(entry, shop, SEGMENT, ("tier", "vip"), ("tag", "4"))
    assert await rows(stored, shop.id) == before, "what is the same again is not written"
    await record(entry, shop, SEGMENT._replace(name="Sleepers"), ("tag", "4"))
    async with entry.shop(shop.id) as (db, _):
        found = await uses.of_many(db, shop.id, "tag", ["4", "5"])
        assert found == {"4": [User("journey", 7, "J"), User("segment", 7, "Sleepers")], "5": []}
        await uses.forget(db, shop.id, "segment", 7)
        assert await uses.of(db, shop.id, "tag", "4") == [User("journey", 7, "J")]


async def test_a_refusal_lists_twenty_users_at_most(entry: Entry, shop: Shop, other_shop: Shop) -> None:
    for number in range(22):
        await record(entry, shop, User("segment", number, f"S{number}"), ("tag", "4"))
    async with entry.shop(other_shop.id) as (db, _):
        await uses.refuse_used(db, other_shop.id, "tag", "4")
    with pytest.raises(StillUsed) as refused:
        async with entry.shop(shop.id) as (db, _):
            await uses.refuse_used(db, shop.id, "tag", "4")
    assert [user["id"] for user in refused.value.extra["used_by"]] == list(range(20))
    assert "S0" in str(refused.value)
    assert "21 more" in str(refused.value)


async def test_an_attribute_that_is_used_stays_what_it_is(api: Api, entry: Entry, shop: Shop) -> None:
    await put(api, "/v1/attributes/size", SIZE)
    await record(entry, shop, SEGMENT, ("attribute", "size"))
    shown = [{"kind": "segment", "id": 7, "name": "沉睡会员"}]
    assert (await api.get("/v1/attributes/size")).json()["used_by"] == shown
    assert [one["used_by"] for one in (await api.get("/v1/attributes")).json()["items"]] == [shown]
    for change in ({"type": "integer"}, {"class": "contact"}):
        status, told = await put(api, "/v1/attributes/size", SIZE | change)
        assert (status, told["code"], told["used_by"]) == (409, "still_used", shown)
    for query in ("", "?with_values=true"):
        refused = await api.http.delete(f"/v1/attributes/size{query}")
        assert (refused.status_code, refused.json()["code"], refused.json()["used_by"]) == (409, "still_used", shown)
    status, told = await put(api, "/v1/attributes/size", SIZE | {"class": "public", "label": "尺码"})
    assert (status, told["label"], told["used_by"]) == (200, "尺码", shown)
    await record(entry, shop, SEGMENT)
    assert (await api.http.delete("/v1/attributes/size")).status_code == 204


async def test_an_event_type_that_is_used_keeps_its_properties(api: Api, entry: Entry, shop: Shop) -> None:
    await put(api, "/v1/event-types/fitting", FITTING)
    await record(entry, shop, SEGMENT, ("event_type", "fitting"))
    shown = [{"kind": "segment", "id": 7, "name": "沉睡会员"}]
    assert (await api.get("/v1/event-types/fitting")).json()["used_by"] == shown
    assert [one["used_by"] for one in (await api.get("/v1/event-types")).json()["items"]] == [shown]
    for properties in ({"sku": {"kind": "text"}}, FITTING["properties"] | {"minutes": {"kind": "text"}}):
        status, told = await put(api, "/v1/event-types/fitting", {"properties": properties})
        assert (status, told["code"], told["used_by"]) == (409, "still_used", shown)
    refused = await api.http.delete("/v1/event-types/fitting")
    assert (refused.status_code, refused.json()["code"], refused.json()["used_by"]) == (409, "still_used", shown)
    more = {"sku": {"kind": "text", "required": True}, "minutes": {"kind": "integer"}, "shop": {"kind": "text"}}
    status, told = await put(api, "/v1/event-types/fitting", {"properties": more})
    assert (status, set(told["properties"])) == (200, set(more))
    await record(entry, shop, SEGMENT)
    assert (await put(api, "/v1/event-types/fitting", {"properties": {}}))[0] == 200
    assert (await api.http.delete("/v1/event-types/fitting")).status_code == 204
    assert (await api.http.delete("/v1/event-types/fitting")).json()["code"] == "event_type_not_found"


@pytest.mark.parametrize("thing", ["attribute", "event_type"])
async def test_who_records_first_keeps_the_thing(api: Api, entry: Entry, shop: Shop, thing: str) -> None:
    """The drop waits for a use that is under way, and is refused."""
    path = "/v1/attributes/size" if thing == "attribute" else "/v1/event-types/size"
    await put(api, path, SIZE if thing == "attribute" else FITTING)
    async with entry.shop(shop.id) as (db, _):
        held = await (attributes if thing == "attribute" else events).declared(db, shop.id, ["size"], hold=True)
        assert set(held) == {"size"}
        dropping = asyncio.create_task(api.http.delete(path))
        await asyncio.sleep(0.2)
        assert not dropping.done()
        await uses.record(db, shop.id, SEGMENT, [(thing, "size")])
    assert (await dropping).json()["code"] == "still_used"
    assert (await api.get(path)).status_code == 200


@pytest.mark.parametrize("thing", ["attribute", "event_type"])
async def test_who_drops_first_leaves_nothing_to_use(api: Api, entry: Entry, shop: Shop, thing: str) -> None:
    """The user waits for a drop that is under way, and finds the thing gone."""
    room: Any = attributes if thing == "attribute" else events
    path = "/v1/attributes/size" if thing == "attribute" else "/v1/event-types/size"
    await put(api, path, SIZE if thing == "attribute" else FITTING)

    async def use() -> bool:
        async with entry.shop(shop.id) as (db, _):
            return "size" in await room.declared(db, shop.id, ["size"], hold=True)

    async with entry.shop(shop.id) as (db, _):
        key = {"name" if thing == "attribute" else "type": "size"}
        await db.fetch_one(room.LOCK_TYPE, shop_id=shop.id, **key)
        await uses.refuse_used(db, shop.id, "attribute" if thing == "attribute" else "event_type", "size")
        using = asyncio.create_task(use())
        await asyncio.sleep(0.2)
        assert not using.done()
        await db.execute(room.DROP_TYPE, shop_id=shop.id, **key)
    assert await using is False

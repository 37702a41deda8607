"""Tags and categories over HTTP: made, found, changed and dropped, under the eyes of who uses and carries them."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from app.access.entry import Entry
from app.access.shops import Shop
from app.core import clock
from app.tags import declarations, repository, service
from app.uses import service as uses
from app.uses.service import User
from tests.conftest import Api, MakeApi, Rows
from tests.tags.people import customers, give, pages, tag

Work = Callable[[], Awaitable[None]]
SEGMENT = User("segment", 3, "沉睡会员")


def why(answer: httpx.Response) -> tuple[int, str, str | None]:
    """Status, code and field of a refusal."""
    return answer.status_code, answer.json()["code"], answer.json().get("field")


# ---- Categories


async def test_categories_are_made_renamed_disabled_and_dropped_when_empty(api: Api) -> None:
    made = await api.post("/v1/tag-categories", {"name": " 来源 "})
    assert made.status_code == 201
    category = made.json()
    assert (category["name"], category["status"], category["tags"]) == ("来源", "normal", 0)
    assert why(await api.post("/v1/tag-categories", {"name": "来源"})) == (409, "tag_category_exists", "name")
    other = (await api.post("/v1/tag-categories", {"name": "偏好"})).json()["id"]
    path = f"/v1/tag-categories/{category['id']}"
    assert why(await api.patch(path, {"name": "偏好"})) == (409, "tag_category_exists", "name")
    changed = (await api.patch(path, {"name": "渠道", "status": "disabled"})).json()
    assert (changed["name"], changed["status"]) == ("渠道", "disabled")
    assert (await api.patch(path, {})).json() == changed, "nothing sent, nothing changed"
    assert (await api.patch(path, {"name": None})).status_code == 422
    first = await tag(api, "门店", category_id=category["id"])
    await tag(api, "线上", category_id=category["id"])
    assert [(one["name"], one["tags"]) for one in await pages(api, "/v1/tag-categories", limit=1)] == [
        ("渠道", 2),
        ("偏好", 0),
    ]
    refused = await api.http.delete(path)
    assert why(refused) == (409, "tag_category_holds_tags", "category_id")
    assert [one["name"] for one in refused.json()["tags"]] == ["门店", "线上"]
    assert refused.json()["tags"][0]["id"] == first
    assert (await api.http.delete(f"/v1/tag-categories/{other}")).status_code == 204
    assert why(await api.get(f"/v1/tag-categories/{other}")) == (404, "tag_category_not_found", "category_id")
    assert why(await api.http.delete(f"/v1/tag-categories/{other}")) == (404, "tag_category_not_found", "category_id")


async def test_a_tag_is_moved_into_a_category_or_the_category_dropped(api: Api, entry: Entry, shop: Shop) -> None:
    category = (await api.post("/v1/tag-categories", {"name": "来源"})).json()["id"]
    moved = await tag(api, "门店")
    async with entry.shop(shop.id) as (db, _):
        await declarations.change_tag(db, shop.id, moved, {"category_id": category})
        dropping = asyncio.create_task(api.http.delete(f"/v1/tag-categories/{category}"))
        await asyncio.sleep(0.2)
        assert not dropping.done()
    assert why(await dropping) == (409, "tag_category_holds_tags", "category_id")
    assert (await api.patch(f"/v1/tags/{moved}", {"category_id": None})).json()["category"] is None
    async with entry.shop(shop.id) as (db, _):
        await declarations.drop_category(db, shop.id, category)
        moving = asyncio.create_task(api.patch(f"/v1/tags/{moved}", {"category_id": category}))
        await asyncio.sleep(0.2)
        assert not moving.done()
    assert why(await moving) == (404, "tag_category_not_found", "category_id")


# ---- Tags


async def test_tags_are_made_renamed_moved_and_disabled(api: Api, rows: Rows, shop: Shop) -> None:
    category = (await api.post("/v1/tag-categories", {"name": "来源"})).json()["id"]
    made = await api.post("/v1/tags", {"name": " 新客 ", "category_id": category})
    assert made.status_code == 201
    told = made.json()
    assert {name: told[name] for name in ("name", "category_id", "category", "status", "kind", "used_by")} == {
        "name": "新客",
        "category_id": category,
        "category": "来源",
        "status": "normal",
        "kind": "manual",
        "used_by": [],
    }
    path = f"/v1/tags/{told['id']}"
    assert (await api.get(path)).json() == told
    assert why(await api.post("/v1/tags", {"name": "新客"})) == (409, "tag_exists", "name")
    assert why(await api.post("/v1/tags", {"name": "b", "category_id": 2**40})) == (
        404,
        "tag_category_not_found",
        "category_id",
    )
    await tag(api, "老客")
    assert why(await api.patch(path, {"name": "老客"})) == (409, "tag_exists", "name")
    assert why(await api.patch(path, {"category_id": 2**40})) == (404, "tag_category_not_found", "category_id")
    assert (await api.patch(path, {"status": None})).status_code == 422
    changed = (await api.patch(path, {"name": "新会员", "category_id": None, "status": "disabled"})).json()
    assert (changed["name"], changed["category"], changed["status"]) == ("新会员", None, "disabled")
    before = await rows("select xmin::text from tags where shop_id = $1 and id = $2", shop.id, told["id"])
    assert (await api.patch(path, {"name": "新会员"})).json() == changed
    assert await rows("select xmin::text from tags where shop_id = $1 and id = $2", shop.id, told["id"]) == before
    assert why(await api.patch("/v1/tags/9007199254740991", {})) == (404, "tag_not_found", "tag_id")


async def test_two_who_take_one_name_leave_one_tag(api: Api, rows: Rows, shop: Shop) -> None:
    ids = [await tag(api, name) for name in ("a", "b", "c", "d")]
    taken = await asyncio.gather(*(api.patch(f"/v1/tags/{number}", {"name": "the one"}) for number in ids))
    assert sorted(answer.status_code for answer in taken) == [200, 409, 409, 409]
    made = await asyncio.gather(*(api.post("/v1/tags", {"name": "another"}) for _ in range(4)))
    assert sorted(answer.status_code for answer in made) == [201, 409, 409, 409]
    assert len(await rows("select 1 from tags where shop_id = $1 and name = 'the one'", shop.id)) == 1


async def test_many_tags_are_listed_by_page_and_narrowed(
    api: Api, entry: Entry, shop: Shop, other_shop: Shop, make_api: MakeApi
) -> None:
    category = (await api.post("/v1/tag-categories", {"name": "来源"})).json()["id"]
    ids = [await tag(api, f"tag {number:03}") for number in range(45)]
    special = [await tag(api, name, category_id=category) for name in ("100%", "100_x", "1000")]
    await api.patch(f"/v1/tags/{special[0]}", {"status": "disabled"})
    async with entry.shop(shop.id) as (db, _):
        await declarations.take_for_rule(db, shop.id, "100_x")
        await uses.record(db, shop.id, SEGMENT, [("tag", str(special[1]))])
    await tag(await make_api(other_shop), "another shop's")

    async def names(**asked: Any) -> list[str]:
        return [one["name"] for one in await pages(api, "/v1/tags", **asked)]

    listed = await pages(api, "/v1/tags", limit=20)
    assert [one["id"] for one in listed] == [*ids, *special]
    assert [one["used_by"] for one in listed[-2:]] == [[{"kind": "segment", "id": 3, "name": "沉睡会员"}], []]
    assert await names(category_id=category, limit=2) == ["100%", "100_x", "1000"]
    assert len(await names(category_id=0)) == 45
    assert await names(status="disabled") == ["100%"]
    assert await names(kind="automatic") == ["100_x"]
    assert await names(name_prefix="100%") == ["100%"], "no sign stands for others"
    assert await names(name_prefix="tag 04", status="normal", kind="manual") == [f"tag 04{n}" for n in range(5)]


async def test_what_the_facade_makes_is_the_same_tag(api: Api, shop: Shop, entry: Entry) -> None:
    (one,) = await customers(api, 1)
    async with entry.shop(shop.id) as (db, _):
        await service.add(db, shop.id, {one: ["till"]}, source="facade", actor="a till")
    (listed,) = await pages(api, "/v1/tags", name_prefix="till")
    (carrier,) = await pages(api, f"/v1/tags/{listed['id']}/customers")
    assert (carrier["customer_id"], carrier["source"], carrier["actor"]) == (one, "facade", "a till")


async def test_scopes(make_api: MakeApi, shop: Shop, api: Api) -> None:
    number = await tag(api, "a")
    (one,) = await customers(api, 1)
    reader, writer = await make_api(shop, "tags:read"), await make_api(shop, "tags:write")
    assert (await reader.get("/v1/tags")).status_code == 200
    assert (await reader.get("/v1/tags/report")).status_code == 200
    assert (await reader.post("/v1/tags", {"name": "b"})).status_code == 403
    for path in (f"/v1/tags/{number}/customers", f"/v1/customers/{one}/tags"):
        assert (await reader.get(path)).status_code == 403, "who carries what is about people"
        assert (await (await make_api(shop, "tags:read customers:read")).get(path)).status_code == 200
    assert await give(writer, number, [one]) == ["added"]
    assert (await writer.get("/v1/tags")).status_code == 403


# ---- Dropping


async def test_a_tag_that_is_used_or_carried_is_not_dropped_by_mistake(
    api: Api, entry: Entry, shop: Shop, rows: Rows, work: Work
) -> None:
    number = await tag(api, "a")
    people = await customers(api, 3)
    await give(api, number, people[:2])
    async with entry.shop(shop.id) as (db, _):
        await service.give(
            db,
            shop.id,
            {(people[2], number)},
            source="journey",
            actor="journey:1",
            valid_until=clock.now(),
        )
        await uses.record(db, shop.id, SEGMENT, [("tag", str(number))])
    await work()
    path = f"/v1/tags/{number}"
    used = await api.http.delete(f"{path}?with_assignments=true")
    assert why(used) == (409, "still_used", None)
    assert used.json()["used_by"] == [{"kind": "segment", "id": 3, "name": "沉睡会员"}]
    assert (await api.get(path)).json()["used_by"] == used.json()["used_by"]
    async with entry.shop(shop.id) as (db, _):
        await uses.forget(db, shop.id, "segment", 3)
    assert why(await api.http.delete(path)) == (409, "tag_carried", "tag_id")
    assert (await api.http.delete(f"{path}?with_assignments=true")).status_code == 204
    assert (await api.get(f"/v1/customers/{people[0]}/tags")).json()["items"] == [], "out of sight at once"
    again = await tag(api, "a")
    assert await give(api, again, people[:1]) == ["added"]
    told = "select customer_id, data from domain_events where shop_id = $1 and kind = 'tag.removed' order by 1"
    assert await rows(told, shop.id) == []
    async with entry.shop(shop.id) as (db, _):
        assert await service.remove_assignments(db, shop.id, number, "a") == 3
        assert await service.remove_assignments(db, shop.id, number, "a") == 0
    assert [row["customer_id"] for row in await rows(told, shop.id)] == people[:2], "who had lost it is told nothing"
    await work()
    (job,) = await rows("select state from queued_jobs where shop_id = $1 and kind = 'tag_assignments'", shop.id)
    assert job["state"] == "done"
    left = await rows("select tag_id, customer_id from customer_tags where shop_id = $1", shop.id)
    assert left == [{"tag_id": again, "customer_id": people[0]}]


async def test_a_tag_that_only_ran_out_is_dropped_at_once(
    api: Api, entry: Entry, shop: Shop, rows: Rows, work: Work
) -> None:
    number = await tag(api, "a")
    people = await customers(api, 1)
    async with entry.shop(shop.id) as (db, _):
        pairs = {(people[0], number)}
        over = clock.now()
        await service.give(db, shop.id, pairs, source="manual", actor="ada", valid_until=over)
    assert (await api.http.delete(f"/v1/tags/{number}")).status_code == 204
    await work()
    assert await rows("select 1 from customer_tags where shop_id = $1", shop.id) == []


async def test_who_records_a_use_first_keeps_the_tag(api: Api, entry: Entry, shop: Shop) -> None:
    number = await tag(api, "a")
    async with entry.shop(shop.id) as (db, _):
        assert [row["id"] for row in await repository.hold(db, shop.id, ids=[number])] == [number]
        dropping = asyncio.create_task(api.http.delete(f"/v1/tags/{number}"))
        await asyncio.sleep(0.2)
        assert not dropping.done()
        await uses.record(db, shop.id, SEGMENT, [("tag", str(number))])
    assert why(await dropping) == (409, "still_used", None)
    assert (await api.get(f"/v1/tags/{number}")).status_code == 200


async def test_who_drops_a_tag_first_leaves_nothing_to_use_or_give(api: Api, entry: Entry, shop: Shop) -> None:
    number = await tag(api, "a")
    people = await customers(api, 1)

    async def hold() -> list[Any]:
        async with entry.shop(shop.id) as (db, _):
            return await repository.hold(db, shop.id, ids=[number])

    async with entry.shop(shop.id) as (db, _):
        await declarations.drop_tag(db, shop.id, number, with_assignments=False)
        using = asyncio.create_task(hold())
        giving = asyncio.create_task(api.post(f"/v1/tags/{number}/customers", {"customer_ids": people}))
        await asyncio.sleep(0.2)
        assert not using.done()
        assert not giving.done()
    assert await using == []
    assert why(await giving) == (404, "tag_not_found", "tag_id")


async def test_who_gives_a_tag_first_is_seen_by_who_drops_it(api: Api, entry: Entry, shop: Shop) -> None:
    number = await tag(api, "a")
    people = await customers(api, 1)
    async with entry.shop(shop.id) as (db, _):
        await service.give(db, shop.id, {(people[0], number)}, source="manual", actor="ada")
        dropping = asyncio.create_task(api.http.delete(f"/v1/tags/{number}"))
        await asyncio.sleep(0.2)
        assert not dropping.done()
    assert why(await dropping) == (409, "tag_carried", "tag_id")


@pytest.mark.parametrize(
    "body", [{"name": ""}, {"name": "   "}, {"name": "x" * 33}, {}, {"name": "a", "kind": "automatic"}]
)
async def test_what_no_tag_can_be(api: Api, body: dict[str, Any]) -> None:
    assert (await api.post("/v1/tags", body)).status_code == 422

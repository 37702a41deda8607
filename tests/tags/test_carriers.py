"""Who carries a tag, over HTTP: given and taken in sets, with source, actor, reason and time; automatic tags."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from app.access.entry import Entry
from app.access.shops import Shop
from app.core import clock
from app.core.config import Settings
from app.tags import declarations, repository, service
from app.tags.errors import TagCarried, TagIsAutomatic
from tests.conftest import Api, Rows
from tests.tags.people import customers, give, pages, tag

Work = Callable[[], Awaitable[None]]
SOON = datetime.now(UTC) + timedelta(days=9)


def why(answer: httpx.Response) -> tuple[int, str, str | None]:
    """Status, code and field of a refusal."""
    return answer.status_code, answer.json()["code"], answer.json().get("field")


async def automatic(entry: Entry, shop: Shop, tag_id: int, on: bool) -> None:
    """Let a rule say who carries it, or hands."""
    kind = declarations.AUTOMATIC if on else declarations.MANUAL
    async with entry.shop(shop.id) as (db, _):
        await declarations.locked(db, shop.id, tag_id)
        await db.execute(declarations.SET_KIND, shop_id=shop.id, id=tag_id, kind=kind, moment=clock.now())


async def told(rows: Rows, shop: Shop) -> list[tuple[str, int]]:
    """What was told about tags: kind and customer."""
    found = await rows(
        "select kind, customer_id from domain_events where shop_id = $1 and kind like 'tag.%' order by id", shop.id
    )
    return [(row["kind"], row["customer_id"]) for row in found]


async def test_a_tag_is_given_to_many_and_taken_from_some(api: Api, rows: Rows, shop: Shop) -> None:
    number, people = await tag(api, "会员日"), await customers(api, 3)
    await rows("update customers set status = 'erased' where shop_id = $1 and id = $2 returning 1", shop.id, people[2])
    asked = [people[1], people[0], people[0], people[2], 2**52]
    body = {"customer_ids": asked, "reason": " 线下活动 ", "valid_until": SOON.isoformat()}
    answer = await api.post(f"/v1/tags/{number}/customers", body)
    assert [(row["customer_id"], row["status"]) for row in answer.json()["results"]] == [
        (people[1], "added"),
        (people[0], "added"),
        (people[2], "gone"),
        (2**52, "gone"),
    ]
    assert await give(api, number, people[:2]) == ["already", "already"]
    carriers = await pages(api, f"/v1/tags/{number}/customers", limit=1)
    assert [one["customer_id"] for one in carriers] == sorted(people[:2])
    for one in carriers:
        assert (one["source"], one["actor"], one["reason"]) == ("manual", api.client.client_id, "线下活动")
        assert (one["rule_version"], datetime.fromisoformat(one["valid_until"])) == (None, SOON)
    removal = await api.post(f"/v1/tags/{number}/customers/removal", {"customer_ids": [*people, people[0]]})
    assert [row["status"] for row in removal.json()["results"]] == ["removed", "removed", "gone"]
    removal = await api.post(f"/v1/tags/{number}/customers/removal", {"customer_ids": people[:1]})
    assert [row["status"] for row in removal.json()["results"]] == ["absent"]
    assert sorted(await told(rows, shop)) == sorted(
        [(kind, one) for kind in ("tag.added", "tag.removed") for one in people[:2]]
    )
    assert why(await api.post("/v1/tags/77777777/customers", {"customer_ids": people})) == (
        404,
        "tag_not_found",
        "tag_id",
    )
    assert (await api.get("/v1/tags/77777777/customers")).status_code == 404


async def test_pairs_are_put_on_and_taken_off_in_one_step(api: Api, rows: Rows, shop: Shop) -> None:
    first, second = await tag(api, "a"), await tag(api, "12")
    one, two = await customers(api, 2)
    await give(api, first, [one])
    body: dict[str, Any] = {
        "add": [
            {"customer_id": one, "tag": "12"},
            {"customer_id": two, "tag": second},
            {"customer_id": two, "tag": 12**9},
        ],
        "remove": [{"customer_id": one, "tag": "a"}, {"customer_id": two, "tag": first}],
        "reason": "moved",
    }
    assert why(await api.post("/v1/tags/assignments", body)) == (404, "tag_not_found", "tag")
    body["add"][2] = {"customer_id": one, "tag": second}
    answer = await api.post("/v1/tags/assignments", body)
    assert answer.status_code == 200, answer.text
    assert answer.json() == {
        "add": [
            {"customer_id": one, "tag_id": second, "status": "added"},
            {"customer_id": two, "tag_id": second, "status": "added"},
        ],
        "remove": [
            {"customer_id": one, "tag_id": first, "status": "removed"},
            {"customer_id": two, "tag_id": first, "status": "absent"},
        ],
    }
    carried = (await api.get(f"/v1/customers/{one}/tags")).json()["items"]
    assert [(item["name"], item["reason"], item["kind"], item["status"]) for item in carried] == [
        ("12", "moved", "manual", "normal")
    ]
    torn = {"add": [{"customer_id": one, "tag": "a"}], "remove": [{"customer_id": one, "tag": first}]}
    assert why(await api.post("/v1/tags/assignments", torn)) == (422, "invalid", "remove")
    assert (await api.get("/v1/customers/77777777/tags")).status_code == 404


@pytest.mark.parametrize(
    "wrong",
    [
        {"customer_ids": []},
        {"customer_ids": [1] * 1001},
        {"customer_ids": [0]},
        {"customer_ids": [1], "reason": "x" * 201},
        {"customer_ids": [1], "reason": "call 13800138000 back"},
        {"customer_ids": [1], "valid_until": "2020-01-01T00:00:00"},
        {"customer_ids": [1], "source": "rule"},
    ],
)
async def test_what_cannot_be_asked_for(api: Api, wrong: dict[str, Any]) -> None:
    number = await tag(api, "a")
    assert (await api.post(f"/v1/tags/{number}/customers", wrong)).status_code == 422


async def test_a_thousand_pairs_at_most(api: Api) -> None:
    number = await tag(api, "a")
    people = await customers(api, 1000)
    pairs = [{"customer_id": one, "tag": number} for one in people]
    assert (await api.post("/v1/tags/assignments", {"add": pairs, "remove": pairs[:1]})).status_code == 422
    assert (await api.post("/v1/tags/assignments", {})).status_code == 422
    answer = await api.post("/v1/tags/assignments", {"add": pairs})
    assert [row["status"] for row in answer.json()["add"]] == ["added"] * 1000
    assert len(await pages(api, f"/v1/tags/{number}/customers", limit=200)) == 1000


async def test_a_disabled_tag_is_kept_and_given_to_nobody_by_hand(api: Api, entry: Entry, shop: Shop) -> None:
    number = await tag(api, "a")
    one, two = await customers(api, 2)
    await give(api, number, [one])
    await api.patch(f"/v1/tags/{number}", {"status": "disabled"})
    refused = await api.post(f"/v1/tags/{number}/customers", {"customer_ids": [two]})
    assert why(refused) == (409, "tag_disabled", "tag")
    pair = {"add": [{"customer_id": two, "tag": "a"}]}
    assert why(await api.post("/v1/tags/assignments", pair)) == (409, "tag_disabled", "tag")
    async with entry.shop(shop.id) as (db, _):
        assert await service.add(db, shop.id, {two: ["a"]}, source="facade", actor="a till") == 1
    removal = await api.post(f"/v1/tags/{number}/customers/removal", {"customer_ids": [one, two]})
    assert [row["status"] for row in removal.json()["results"]] == ["removed", "removed"]


async def test_a_merged_person_carries_a_tag_once_by_any_number(api: Api) -> None:
    number = await tag(api, "a")
    one, two, three = await customers(api, 3)
    await give(api, number, [one], reason="first")
    await give(api, number, [two], reason="second")
    merge = (await api.post(f"/v1/customers/{one}/merges", {"other_id": two})).json()
    (carrier,) = await pages(api, f"/v1/tags/{number}/customers")
    assert carrier["reason"] == "first"
    for record in (one, two):
        (held,) = (await api.get(f"/v1/customers/{record}/tags")).json()["items"]
        assert (held["name"], held["reason"]) == ("a", "first")
    assert await give(api, number, [two, one, three]) == ["already", "already", "added"]
    reversal = await api.post(f"/v1/merges/{merge['id']}/reversal")
    assert reversal.status_code == 200, reversal.text
    reasons = {one["customer_id"]: one["reason"] for one in await pages(api, f"/v1/tags/{number}/customers")}
    assert reasons == {one: "first", two: "second", three: None}, "each has again what came in for it"


# ---- Automatic tags


async def test_an_automatic_tag_is_the_rules_alone(api: Api, entry: Entry, shop: Shop, rows: Rows) -> None:
    number = await tag(api, "沉睡")
    one, two = await customers(api, 2)
    await give(api, number, [one])
    await automatic(entry, shop, number, True)
    await automatic(entry, shop, number, True)
    assert (await api.get(f"/v1/tags/{number}")).json()["kind"] == "automatic"
    path = f"/v1/tags/{number}/customers"
    pair = {"customer_id": two, "tag": number}
    for refused in (
        await api.post(path, {"customer_ids": [two]}),
        await api.post(f"{path}/removal", {"customer_ids": [one]}),
        await api.post("/v1/tags/assignments", {"add": [pair]}),
        await api.post("/v1/tags/assignments", {"remove": [pair]}),
    ):
        assert why(refused) == (409, "tag_is_automatic", "tag")
        assert "change the rule" in refused.json()["detail"]
    for source in ("facade", "manual", "import", "journey"):
        with pytest.raises(TagIsAutomatic):
            async with entry.shop(shop.id) as (db, _):
                await service.assign(db, shop.id, {two: ["沉睡", "new"]}, source=source, actor="x")
        with pytest.raises(TagIsAutomatic):
            async with entry.shop(shop.id) as (db, _):
                await service.remove(db, shop.id, {one: ["沉睡"]}, source=source)
    assert await rows("select 1 from tags where shop_id = $1 and name = 'new'", shop.id) == []
    async with entry.shop(shop.id) as (db, _):
        given = await service.give(
            db, shop.id, {(one, number), (two, number)}, source="rule", actor="segment:3", rule_version=4
        )
        assert given == {(one, number): "already", (two, number): "added"}
        assert await service.take(db, shop.id, {(one, number)}, source="rule") == {(one, number): "removed"}
    (carrier,) = await pages(api, path)
    assert (carrier["customer_id"], carrier["source"], carrier["actor"], carrier["rule_version"]) == (
        two,
        "rule",
        "segment:3",
        4,
    )
    await automatic(entry, shop, number, False)
    assert await give(api, number, [one, two]) == ["added", "already"]


@pytest.fixture
async def facade_token(api: Api, shop: Shop) -> str:
    """A token of the façade."""
    asked = {"client_id": api.client.client_id, "client_secret": api.client.client_secret}
    answer = await api.post("/auth/token", asked | {"authorize_type": "silent", "grant_id": str(shop.id)})
    token: str = answer.json()["data"]["access_token"]
    return token


async def test_the_facade_says_so_in_its_own_words(api: Api, entry: Entry, shop: Shop, facade_token: str) -> None:
    number = await tag(api, "沉睡")
    (one,) = await customers(api, 1)
    await give(api, number, [one])
    await automatic(entry, shop, number, True)
    account = {"account_type": "YouZanAccount", "account_id": str(one)}
    named = [{"tag_name": "沉睡"}, {"tag_name": "other"}]
    for call, body in (
        ("youzan.scrm.tag.relation.add/4.0.0", account | {"tags": named}),
        ("youzan.scrm.tag.relation.delete/4.0.0", account | {"tags": named}),
        ("youzan.scrm.tagrelation.add/1.0.0", {"account": account, "tags": named}),
        (
            "youzan.scrm.tag.addformany/1.0.0",
            {"account_list_request_dtos": [{"account": account, "user_tag_creates": named[:1]}]},
        ),
    ):
        answer = (await api.post(f"/api/{call}?access_token={facade_token}", body)).json()
        assert (answer["success"], answer["code"]) == (False, 142400105), answer
        assert "沉睡" in answer["message"]
    (held,) = (await api.get(f"/v1/customers/{one}/tags")).json()["items"]
    assert held["name"] == "沉睡", "all or nothing"


async def _take(entry: Entry, shop: Shop, name: str) -> int:
    async with entry.shop(shop.id) as (db, _):
        return await declarations.take_for_rule(db, shop.id, name)


async def test_a_rule_takes_what_no_hand_has_given(api: Api, entry: Entry, shop: Shop) -> None:
    number, other = await tag(api, "a"), await tag(api, "b")
    one, two = await customers(api, 2)
    async with entry.shop(shop.id) as (db, _):
        await service.give(db, shop.id, {(one, other)}, source="manual", actor="ada")
        taking = asyncio.create_task(_take(entry, shop, "b"))
        await asyncio.sleep(0.2)
        assert not taking.done()
    with pytest.raises(TagCarried):
        await taking
    async with entry.shop(shop.id) as (db, _):
        assert await declarations.take_for_rule(db, shop.id, "a") == number
        giving = asyncio.create_task(api.post(f"/v1/tags/{number}/customers", {"customer_ids": [two]}))
        await asyncio.sleep(0.2)
        assert not giving.done()
    assert why(await giving) == (409, "tag_is_automatic", "tag")


# ---- Assignments that run out


async def test_what_ran_out_is_forgotten_after_some_days(
    api: Api, entry: Entry, shop: Shop, rows: Rows, work: Work, settings: Settings
) -> None:
    number, people = await tag(api, "a"), await customers(api, 4)
    now = datetime.now(UTC)
    kept = timedelta(days=settings.tag_keep_days)
    ends = (None, now - kept - timedelta(hours=1), now - kept + timedelta(hours=1), SOON)
    for one, until in zip(people, ends, strict=True):
        async with entry.shop(shop.id) as (db, _):
            await service.give(db, shop.id, {(one, number)}, source="journey", actor="journey:1", valid_until=until)
    await work()
    left = await rows("select customer_id from customer_tags where shop_id = $1 order by 1", shop.id)
    assert [row["customer_id"] for row in left] == sorted({people[0], people[2], people[3]})
    assert {one["customer_id"] for one in await pages(api, f"/v1/tags/{number}/customers")} == {people[0], people[3]}
    async with entry.shop(shop.id) as (db, _):
        assert await db.fetch_value(repository.has_run_out(0), shop_id=shop.id) is True
        assert await db.fetch_value(repository.has_run_out(settings.tag_keep_days), shop_id=shop.id) is False
    assert await rows("select 1 from domain_events where shop_id = $1 and kind = 'tag.removed'", shop.id) == []

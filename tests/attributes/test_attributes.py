"""Declared attributes over HTTP: what may be declared, what may be told, and who sees what of it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from app.access.shops import Shop
from app.core.db import Connection
from tests.conftest import Api, MakeApi, Rows

Json = dict[str, Any]
Work = Callable[[], Awaitable[None]]

DECLARED: dict[str, Json] = {
    "skin": {"type": "choice", "class": "public", "allowed_values": ["dry", "oily"], "label": "肤质"},
    "points_rank": {"type": "integer", "class": "personal"},
    "spend": {"type": "number", "class": "public"},
    "newsletter": {"type": "boolean", "class": "public"},
    "child_born": {"type": "date", "class": "personal"},
    "fitted_at": {"type": "datetime", "class": "public"},
    "hobby": {"type": "text", "class": "personal"},
    "second_mobile": {"type": "text", "class": "contact"},
}


def card(number: int) -> Json:
    """An identity."""
    return {"kind": "card_no", "value": f"C-{number}"}


async def declare(api: Api, name: str, body: Json, *, status: int = 200) -> Json:
    """PUT a declaration. Returns the answer."""
    answer = await api.http.put(f"/v1/attributes/{name}", json=body)
    assert answer.status_code == status, answer.text
    told: Json = answer.json()
    return told


async def told(api: Api, number: int, **attributes: Any) -> int:
    """Tell of a customer's attributes. Returns the customer."""
    answer = await api.post("/v1/customers", {"identities": [card(number)], "attributes": attributes})
    assert answer.status_code in (200, 201), answer.text
    return int(answer.json()["id"])


async def seen(api: Api, customer_id: int) -> Json:
    """The attributes as this caller sees them."""
    answer = await api.get(f"/v1/customers/{customer_id}")
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()["attributes"]
    return found


def why(answer: httpx.Response) -> tuple[int, str, str | None]:
    """Status, code and field of a refusal."""
    return answer.status_code, answer.json()["code"], answer.json().get("field")


@pytest.fixture
async def all_declared(api: Api) -> None:
    """One attribute of every type and class but sensitive."""
    for name, body in DECLARED.items():
        await declare(api, name, body)


async def own(rows: Rows, shop: Shop, winner: int, loser: int) -> None:
    """Give the winner what the loser has, as a merge does."""
    change = "update customer_attributes set customer_id = $2 where shop_id = $1 and customer_id = $3 returning 1"
    assert await rows(change, shop.id, winner, loser)


async def let_sensitive(api: Api) -> None:
    """Turn sensitive attributes on, as an operator who has settled why."""
    assert (await api.http.put("/v1/shop/settings", json={"sensitive_attributes": True})).status_code == 200


# ---- Declarations


async def test_declared_listed_and_dropped(api: Api, make_api: MakeApi, shop: Shop, rows: Rows) -> None:
    for name, body in DECLARED.items():
        made = await declare(api, name, body)
        assert made["created_at"] == made["updated_at"]
    names, cursor = [], None
    while True:
        page = (await api.get("/v1/attributes", params={"limit": 3} | ({"cursor": cursor} if cursor else {}))).json()
        names += [item["name"] for item in page["items"]]
        if (cursor := page["next_cursor"]) is None:
            break
    assert names == sorted(DECLARED)
    skin = (await api.get("/v1/attributes/skin")).json()
    assert (skin["label"], skin["class"], skin["allowed_values"]) == ("肤质", "public", ["dry", "oily"])
    again = await declare(api, "skin", DECLARED["skin"] | {"label": "皮肤"})
    assert (again["label"], again["created_at"]) == ("皮肤", skin["created_at"])
    assert (await api.http.delete("/v1/attributes/skin")).status_code == 204
    assert why(await api.get("/v1/attributes/skin")) == (404, "attribute_not_found", "name")
    assert why(await api.http.delete("/v1/attributes/skin")) == (404, "attribute_not_found", "name")
    stored = await rows("select name from attribute_types where shop_id = $1", shop.id)
    assert len(stored) == len(DECLARED) - 1
    till = await make_api(shop, "customers:read customers:write")
    assert (await till.get("/v1/attributes")).status_code == 200
    assert (await till.http.put("/v1/attributes/skin", json=DECLARED["skin"])).status_code == 403


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("Skin", {"type": "text", "class": "public"}),
        ("1skin", {"type": "text", "class": "public"}),
        ("肤质", {"type": "text", "class": "public"}),
        ("s" * 65, {"type": "text", "class": "public"}),
        ("skin", {"type": "text"}),
        ("skin", {"class": "public"}),
        ("skin", {"type": "list", "class": "public"}),
        ("skin", {"type": "text", "class": "secret"}),
        ("skin", {"type": "choice", "class": "public"}),
        ("skin", {"type": "choice", "class": "public", "allowed_values": []}),
        ("skin", {"type": "choice", "class": "public", "allowed_values": ["dry", " dry"]}),
        ("skin", {"type": "text", "class": "public", "allowed_values": ["dry"]}),
        ("skin", {"type": "text", "class": "sensitive"}),
        ("skin", {"type": "text", "class": "public", "required": True}),
    ],
)
async def test_a_declaration_that_says_nothing_clear_is_refused(api: Api, name: str, body: Json) -> None:
    assert (await api.http.put(f"/v1/attributes/{name}", json=body)).status_code == 422


async def test_what_has_values_keeps_its_meaning(api: Api, all_declared: None) -> None:
    customer = await told(api, 1, skin="oily", hobby="Go", second_mobile="13800000001", points_rank=3)
    for name, change, field in (
        ("skin", {"type": "text", "allowed_values": None}, "type"),
        ("points_rank", {"type": "text"}, "type"),
        ("hobby", {"class": "contact"}, "class"),
        ("second_mobile", {"class": "personal"}, "class"),
        ("skin", {"allowed_values": ["dry"]}, "allowed_values"),
    ):
        answer = await api.http.put(f"/v1/attributes/{name}", json=DECLARED[name] | change)
        assert why(answer) == (409, "attribute_in_use", field), name
        assert answer.json()["detail"]
    await declare(api, "skin", DECLARED["skin"] | {"allowed_values": ["oily", "normal"]})  # nobody is dry
    await declare(api, "hobby", DECLARED["hobby"] | {"class": "public"})
    await declare(api, "spend", {"type": "text", "class": "contact"})  # nobody has one
    await told(api, 1, skin="normal")
    await declare(api, "skin", DECLARED["skin"] | {"allowed_values": ["normal"]})
    assert (await seen(api, customer))["skin"] == "normal"


async def test_an_allowed_value_in_use_is_known_though_it_is_sealed(api: Api) -> None:
    await let_sensitive(api)
    body = {"type": "choice", "class": "sensitive", "allowed_values": ["a", "b"], "purpose": "advice on products"}
    await declare(api, "allergy", body)
    await told(api, 1, allergy="a")
    assert why(await api.http.put("/v1/attributes/allergy", json=body | {"allowed_values": ["b"]}))[1] == (
        "attribute_in_use"
    )
    await declare(api, "allergy", body | {"allowed_values": ["a"]})


async def test_dropped_with_its_values(
    api: Api, all_declared: None, shop: Shop, rows: Rows, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.attributes.service._REMOVE_LIMIT", 2)
    customers = [await told(api, number, hobby="Go", skin="dry") for number in range(5)]
    await work()
    answer = await api.http.delete("/v1/attributes/hobby")
    assert why(answer) == (409, "attribute_in_use", "name")
    assert "with_values=true" in answer.json()["detail"]
    assert (await api.http.delete("/v1/attributes/hobby?with_values=true")).status_code == 204
    assert await seen(api, customers[0]) == {"skin": "dry"}
    unknown = await api.post("/v1/customers", {"identities": [card(0)], "attributes": {"hobby": "Go"}})
    assert why(unknown) == (422, "attribute_undeclared", "attributes.hobby")
    again = await api.http.put("/v1/attributes/hobby", json=DECLARED["hobby"])
    assert why(again) == (409, "attribute_being_removed", "name")
    assert (await api.http.delete("/v1/attributes/hobby?with_values=true")).status_code == 204, "asked once more"
    await work()
    left = await rows("select distinct name from customer_attributes where shop_id = $1", shop.id)
    assert left == [{"name": "skin"}]
    done = await rows(
        "select state, result from queued_jobs where shop_id = $1 and kind = 'attribute_values' order by created_at",
        shop.id,
    )
    assert [row["state"] for row in done] == ["done", "done"]
    await declare(api, "hobby", {"type": "integer", "class": "public"})
    assert await seen(api, customers[0]) == {"skin": "dry"}


async def test_sensitive_is_off_until_the_shop_turns_it_on(api: Api) -> None:
    body = {"type": "text", "class": "sensitive", "purpose": "age check at the counter"}
    refused = await api.http.put("/v1/attributes/passport", json=body)
    assert why(refused) == (403, "sensitive_off", "class")
    await let_sensitive(api)
    await declare(api, "passport", body)
    customer = await told(api, 1, passport="E12345678")
    assert await seen(api, customer) == {"passport": "E12345678"}
    await api.http.put("/v1/shop/settings", json={})
    off = await api.patch(f"/v1/customers/{customer}", {"attributes": {"passport": "E1"}})
    assert why(off) == (403, "sensitive_off", "attributes.passport")
    assert (await api.patch(f"/v1/customers/{customer}", {"attributes": {"passport": None}})).status_code == 200
    assert await seen(api, customer) == {}


# ---- Writing


async def test_told_kept_typed_and_removed(api: Api, all_declared: None, shop: Shop, rows: Rows) -> None:
    given = {
        "skin": " oily ",
        "points_rank": 12,
        "spend": 99.5,
        "newsletter": False,
        "child_born": "2020-02-29",
        "fitted_at": "2026-01-31T10:00:00",
        "hobby": "围棋",
        "second_mobile": "13800000001",
    }
    customer = await told(api, 1, **given)
    kept = given | {"skin": "oily", "fitted_at": "2026-01-31T02:00:00Z"}
    assert await seen(api, customer) == kept
    found = await api.post("/v1/customers/lookup", {"identity": card(1)})
    assert found.json()["attributes"] == kept
    profile = await api.get(f"/v1/customers/{customer}/profile")
    assert profile.json()["customer"]["attributes"] == kept
    stored = await rows("select * from customer_attributes where shop_id = $1 order by name", shop.id)
    assert [row["name"] for row in stored] == sorted(DECLARED)
    assert {(row["customer_id"], row["origin_customer_id"], row["source"]) for row in stored} == {
        (customer, customer, api.client.client_id)
    }
    sealed = next(row for row in stored if row["name"] == "second_mobile")
    assert b"13800000001" not in sealed["sealed_value"]
    assert len(sealed["value_hash"]) == 32
    assert sealed["text_value"] is None
    changed = await api.patch(f"/v1/customers/{customer}", {"attributes": {"skin": None, "spend": 7, "hobby": "Go"}})
    assert (changed.status_code, changed.json()["version"]) == (200, 2)
    kept = {name: value for name, value in kept.items() if name != "skin"} | {"spend": 7, "hobby": "Go"}
    assert await seen(api, customer) == kept
    assert (await api.patch(f"/v1/customers/{customer}", {"name": "李四"})).status_code == 200
    assert await seen(api, customer) == kept


async def test_a_change_is_told_and_the_same_again_is_none(
    api: Api, all_declared: None, shop: Shop, rows: Rows, work: Work
) -> None:
    customer = await told(api, 1, skin="dry", second_mobile="13800000001")
    await work()
    await rows("delete from domain_events where shop_id = $1 returning 1", shop.id)
    before = await rows("select * from customer_attributes where shop_id = $1", shop.id)
    for _ in range(2):
        await told(api, 1, skin="dry", second_mobile="13800000001", hobby=None)
    assert await rows("select * from customer_attributes where shop_id = $1", shop.id) == before
    assert await rows("select 1 from customer_changes where shop_id = $1", shop.id) == []
    await told(api, 1, skin="oily", second_mobile="13800000001", hobby="Go")
    events = await rows("select kind, data from domain_events where shop_id = $1", shop.id)
    assert len(events) == 1
    assert '"fields":["attributes.hobby","attributes.skin"]' in events[0]["data"].replace(" ", "")
    assert "oily" not in events[0]["data"]
    changes = await rows("select customer_id from customer_changes where shop_id = $1", shop.id)
    assert changes == [{"customer_id": customer}]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("skin", "normal"),
        ("skin", 1),
        ("hobby", ""),
        ("hobby", " "),
        ("hobby", 5),
        ("hobby", ["Go"]),
        ("hobby", {"a": 1}),
        ("hobby", "x" * 501),
        ("hobby", "****"),
        ("points_rank", "12"),
        ("points_rank", 1.5),
        ("points_rank", True),
        ("points_rank", 2**53),
        ("spend", "1"),
        ("spend", False),
        ("newsletter", "true"),
        ("newsletter", 1),
        ("child_born", "2026-02-30"),
        ("child_born", "20260101"),
        ("child_born", "1899-12-31"),
        ("child_born", "2020-**-**"),
        ("fitted_at", "2026-01-31"),
        ("fitted_at", "0001-01-01T00:00:00"),
        ("fitted_at", 5),
        ("second_mobile", "138****0001"),
    ],
)
async def test_a_value_of_another_kind_is_refused_with_the_remedy(
    api: Api, all_declared: None, shop: Shop, rows: Rows, name: str, value: Any
) -> None:
    answer = await api.post("/v1/customers", {"identities": [card(1)], "attributes": {name: value}})
    assert why(answer) == (422, "attribute_value", f"attributes.{name}")
    assert name in answer.json()["detail"]
    assert await rows("select 1 from customers where shop_id = $1", shop.id) == []


async def test_an_undeclared_name_is_refused_with_the_remedy(api: Api, all_declared: None) -> None:
    customer = await told(api, 1, skin="dry")
    for answer in (
        await api.post("/v1/customers", {"identities": [card(1)], "attributes": {"skn": "dry"}}),
        await api.patch(f"/v1/customers/{customer}", {"attributes": {"skn": None}}),
    ):
        assert why(answer) == (422, "attribute_undeclared", "attributes.skn")
        assert "PUT /v1/attributes/skn" in answer.json()["detail"]
    odd = await api.post("/v1/customers", {"identities": [card(1)], "attributes": {"肤质": "dry"}})
    assert odd.status_code == 422
    assert "PUT /v1/attributes" in odd.json()["detail"]


async def test_a_batch_is_one_set_and_each_row_answers_for_itself(
    api: Api, all_declared: None, shop: Shop, rows: Rows
) -> None:
    batch: list[Json] = [{"identities": [card(n)], "attributes": {"points_rank": n, "skin": "dry"}} for n in range(6)]
    batch += [
        {"identities": [card(0)], "attributes": {"points_rank": 100}},  # the same person once more
        {"identities": [card(7)], "attributes": {"nothing": 1}},
        {"identities": [card(8)], "attributes": {"points_rank": "9"}},
        {"identities": [card(9)]},
    ]
    answer = (await api.post("/v1/customers/batch", {"customers": batch})).json()
    assert [row["status"] for row in answer["results"]] == [
        *["created"] * 6,
        "updated",
        "refused",
        "refused",
        "created",
    ]
    errors = [row["error"] for row in answer["results"] if row["error"]]
    assert [(error["code"], error["field"]) for error in errors] == [
        ("attribute_undeclared", "attributes.nothing"),
        ("attribute_value", "attributes.points_rank"),
    ]
    again = (await api.post("/v1/customers/batch", {"customers": batch[1:6]})).json()
    assert again["unchanged"] == 5
    ranks = await rows(
        "select number_value from customer_attributes where shop_id = $1 and name = 'points_rank' order by 1", shop.id
    )
    assert [row["number_value"] for row in ranks] == [1, 2, 3, 4, 5, 100]


async def test_statements_do_not_grow_with_the_rows_and_none_is_paid_for_nothing(
    api: Api, all_declared: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    for method in ("fetch", "fetch_one", "fetch_value", "execute"):
        before = getattr(Connection, method)

        async def noted(self: Any, query: Any, *, _before: Any = before, **given: Any) -> Any:
            asked.append(query.sql)
            return await _before(self, query, **given)

        monkeypatch.setattr(Connection, method, noted)

    async def send(count: int, **body: Any) -> int:
        asked.clear()
        batch = [{"identities": [card(n)], **body} for n in range(count)]
        assert (await api.post("/v1/customers/batch", {"customers": batch})).status_code == 200
        return sum("attribute" in sql for sql in asked)

    assert await send(100) == 0
    assert await send(100, attributes={"skin": "dry", "spend": 1}) == 2
    assert await send(1000, attributes={"skin": "oily", "spend": 1}) == 3, "of who is new, and of who is known"


async def test_a_declaration_waits_for_who_is_writing_by_it(
    api: Api, all_declared: None, shop: Shop, rows: Rows
) -> None:
    """However they fall: no value is kept that the declaration does not allow."""
    without = DECLARED["skin"] | {"allowed_values": ["dry"]}
    writes = [api.post("/v1/customers", {"identities": [card(n)], "attributes": {"skin": "oily"}}) for n in range(20)]
    changes = [api.http.put("/v1/attributes/skin", json=without) for _ in range(5)]
    answers = await asyncio.gather(*writes[:10], *changes, *writes[10:])
    assert {answer.status_code for answer in answers} <= {200, 201, 409, 422}
    left = await rows("select 1 from customer_attributes where shop_id = $1 and text_value = 'oily'", shop.id)
    allowed = (await api.get("/v1/attributes/skin")).json()["allowed_values"]
    assert ("oily" in allowed) or not left


# ---- Reading


async def test_shown_by_class(api: Api, all_declared: None, make_api: MakeApi, shop: Shop) -> None:
    await let_sensitive(api)
    await declare(api, "passport", {"type": "text", "class": "sensitive", "purpose": "age check"})
    await declare(api, "qq_mail", {"type": "text", "class": "contact"})
    await declare(api, "doses", {"type": "integer", "class": "sensitive", "purpose": "advice"})
    customer = await told(
        api,
        1,
        skin="dry",
        points_rank=3,
        child_born="2020-02-29",
        hobby="Go",
        second_mobile="13812345678",
        qq_mail="ann@example.com",
        passport="E12345678",
        doses=3,
    )
    reader = await make_api(shop, "customers:read scores:read")
    masked = {
        "skin": "dry",
        "points_rank": 3,
        "child_born": "2020-**-**",
        "hobby": "****",
        "second_mobile": "138****5678",
        "qq_mail": "a***@example.com",
        "passport": "****",
        "doses": "*",
    }
    assert await seen(reader, customer) == masked
    profile = await reader.get(f"/v1/customers/{customer}/profile")
    assert profile.json()["customer"]["attributes"] == masked
    assert (await seen(api, customer))["passport"] == "E12345678"


async def test_after_a_merge_the_newest_word_counts(api: Api, all_declared: None, shop: Shop, rows: Rows) -> None:
    """Two people turn out to be one: the rows of both are owned by one of them, and none is sealed anew."""
    winner = await told(api, 1, skin="dry", hobby="Go", second_mobile="13800000001")
    loser = await told(api, 2, skin="oily", second_mobile="13800000002", spend=5)
    await told(api, 1, hobby="chess")
    await own(rows, shop, winner, loser)
    together = {"skin": "oily", "hobby": "chess", "second_mobile": "13800000002", "spend": 5}
    assert await seen(api, winner) == together

    await told(api, 1, skin="dry")
    assert (await seen(api, winner))["skin"] == "dry", "what was said before and is said again is news"
    await told(api, 1, skin=None, second_mobile=None)
    assert await seen(api, winner) == {"hobby": "chess", "spend": 5}


async def test_a_word_that_both_say_stays_with_both(api: Api) -> None:
    await declare(api, "level", {"type": "text", "class": "public"})
    one, two = await told(api, 1, level="silver"), await told(api, 2, level="gold")
    merge = (await api.post(f"/v1/customers/{one}/merges", {"other_id": two})).json()
    await told(api, 1, level="gold")
    assert (await api.post(f"/v1/merges/{merge['id']}/reversal")).status_code == 200
    assert [(await seen(api, number))["level"] for number in (one, two)] == ["gold", "gold"]


async def test_another_shop_has_its_own(api: Api, all_declared: None, make_api: MakeApi, other_shop: Shop) -> None:
    await told(api, 1, skin="dry")
    stranger = await make_api(other_shop)
    assert (await stranger.get("/v1/attributes")).json()["items"] == []
    answer = await stranger.post("/v1/customers", {"identities": [card(1)], "attributes": {"skin": "dry"}})
    assert why(answer) == (422, "attribute_undeclared", "attributes.skin")
    await declare(stranger, "skin", {"type": "integer", "class": "public"})
    assert await seen(stranger, await told(stranger, 1, skin=5)) == {"skin": 5}

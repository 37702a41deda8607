"""The calls about rules: what can be asked, what is refused and how, what is shown to whom."""

from typing import Any

import pytest
from sqlalchemy import text

from app.access.entry import Entry
from app.access.shops import Shop
from app.core.db import statement
from app.segments import patience
from app.segments.errors import RuleTooCostly
from tests.conftest import Api, MakeApi

PATHS = "/v1/segments"
NEVER_BOUGHT = {"kind": "not", "of": {"kind": "date", "field": "last_order", "known": True}}


async def register(api: Api, number: int, mobile: str | None = None, **more: Any) -> int:
    """A customer, known by a card, and by a mobile number."""
    identities = [{"kind": "card_no", "value": f"C-{number}"}]
    identities += [{"kind": "mobile", "value": mobile}] if mobile else []
    body = {"identities": identities, **more}
    answer = await api.post("/v1/customers", body)
    assert answer.status_code in (200, 201), answer.text
    return int(answer.json()["id"])


async def act(api: Api, number: int, type_: str, at: str, **properties: Any) -> None:
    """Something that the customer did."""
    event = {"event_id": f"E-{number}-{type_}-{at}", "type": type_, "occurred_at": at, "properties": properties}
    answer = await api.post("/v1/events", event | {"identities": [{"kind": "card_no", "value": f"C-{number}"}]})
    assert answer.json()["status"] == "created", answer.text


async def buy(api: Api, number: int, no: str, at: str, fen: int) -> None:
    """An order."""
    body = {"order_no": no, "paid_at": at, "amount_fen": fen, "status": "paid", "items": [{"sku": "S1"}]}
    body["identities"] = [{"kind": "card_no", "value": f"C-{number}"}]
    body["items"] = [{"sku": "S1", "category": "茶", "quantity": 1, "price_fen": fen}]
    answer = await api.post("/v1/orders", body)
    assert answer.status_code in (200, 201), answer.text


@pytest.fixture
async def people(api: Api) -> dict[int, int]:
    """Numbers to customers: one who bought, one who only looked, one who did nothing."""
    found = {number: await register(api, number) for number in (1, 2)}
    found[3] = await register(api, 3, name="王小明", mobile="13800000003", birthday="1990-05-01", gender=1)
    await buy(api, 1, "O-1", "2026-01-02T10:00:00", 9_900)
    await buy(api, 1, "O-2", "2026-01-05T10:00:00", 100)
    await act(api, 2, "view", "2026-01-02T10:00:00", sku="S1")
    await act(api, 2, "view", "2026-01-03T10:00:00", sku="S2")
    await act(api, 2, "cart", "2026-01-03T11:00:00", sku="S2")
    return found


async def preview(api: Api, rule: Any, **more: Any) -> Any:
    answer = await api.post(f"{PATHS}/preview", {"rule": rule, **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def found(api: Api, people: dict[int, int], rule: Any) -> set[int]:
    """The numbers of those who meet the rule."""
    answer = await preview(api, rule, sample=20)
    numbers = {customer_id: number for number, customer_id in people.items()}
    assert answer["customers"] == len(answer["sample"])
    return {numbers[row["id"]] for row in answer["sample"]}


async def test_who_meets_a_rule(api: Api, people: dict[int, int]) -> None:
    cart, order = {"kind": "event", "event": "cart"}, {"kind": "order"}
    assert await found(api, people, NEVER_BOUGHT) == {2, 3}
    assert await found(api, people, {"kind": "order", "measure": "sum", "at_least": 10_000}) == {1}
    assert await found(api, people, {"kind": "order", "measure": "count", "skus": ["S1"], "at_least": 2}) == {1}
    assert await found(api, people, {"kind": "event", "event": "view", "at_least": 2}) == {2}
    assert await found(api, people, {"kind": "event", "event": "view", "never": True}) == {1, 3}
    where = [{"property": "sku", "equals": "S2"}]
    assert await found(api, people, {"kind": "event", "event": "view", "where": where, "exactly": 1}) == {2}
    abandoned = {"kind": "sequence", "first": cart, "without": order, "within": {"hours": 24}}
    assert await found(api, people, abandoned) == {2}
    again = {"kind": "sequence", "first": order, "then": order, "within": {"days": 3}}
    assert await found(api, people, again) == {1}
    assert await found(api, people, {"kind": "profile", "field": "gender", "equals": 1}) == {3}
    assert await found(api, people, {"kind": "profile", "field": "has_mobile", "equals": False}) == {1, 2}


async def test_why(api: Api, people: dict[int, int]) -> None:
    views = {"kind": "event", "event": "view", "at_least": 3}
    spent = {"kind": "order", "measure": "average", "at_least": 1}
    rule = {"kind": "any", "of": [views, {"kind": "not", "of": spent}]}
    answer = await api.post(f"{PATHS}/explain", {"rule": rule, "customer_id": people[2]})
    told = answer.json()
    assert (told["holds"], told["present"], told["customer_id"]) == (True, True, people[2])
    looked, paid = told["conditions"]
    assert (looked["path"], looked["kind"], looked["holds"], looked["value"]) == ("rule.any.0", "event", False, 2)
    assert len(looked["ids"]) == 2
    assert (paid["path"], paid["holds"], paid["value"], paid["ids"]) == ("rule.any.1.not", False, None, [])
    told = (await api.post(f"{PATHS}/explain", {"rule": spent, "customer_id": people[1]})).json()
    assert (told["conditions"][0]["value"], told["conditions"][0]["ids"]) == (5_000, ["O-2", "O-1"])


async def test_a_merged_number_is_explained_as_who_answers_for_it(api: Api, people: dict[int, int]) -> None:
    merge = await api.post(f"/v1/customers/{people[1]}/merges", {"other_id": people[2]})
    assert merge.status_code in (200, 201), merge.text
    rule = {
        "kind": "all",
        "of": [{"kind": "event", "event": "cart", "at_least": 1}, {"kind": "not", "of": NEVER_BOUGHT}],
    }
    told = [(await api.post(f"{PATHS}/explain", {"rule": rule, "customer_id": people[n]})).json() for n in (1, 2)]
    assert told[0]["customer_id"] == told[1]["customer_id"]
    assert [one["holds"] for one in told] == [True, True]
    assert (await preview(api, rule))["customers"] == 1


async def test_the_sample_is_masked_as_lists_are(
    api: Api, people: dict[int, int], make_api: MakeApi, shop: Shop
) -> None:
    rule = {"kind": "profile", "field": "gender", "equals": 1}
    assert (await preview(api, rule))["sample"][0]["name"] == "王小明"
    reader = await make_api(shop, "customers:read segments:read")
    row = (await preview(reader, rule))["sample"][0]
    assert (row["id"], row["orders"], row["net_fen"]) == (people[3], 0, 0)
    assert "王小明" not in str(row)
    assert "13800000003" not in str(row)
    assert (await preview(api, NEVER_BOUGHT, sample=0))["sample"] == []
    assert [row["id"] for row in (await preview(api, NEVER_BOUGHT, sample=1))["sample"]] == [people[3]], "the newest"


async def test_who_sees_a_value_masked_does_not_find_it_out(
    api: Api, people: dict[int, int], make_api: MakeApi, shop: Shop
) -> None:
    declared = {"hobby": {"type": "text", "class": "personal"}, "doses": {"type": "integer", "class": "sensitive"}}
    await api.http.put("/v1/shop/settings", json={"sensitive_attributes": True})
    for name, body in declared.items():
        assert (await api.http.put(f"/v1/attributes/{name}", json=body | {"purpose": "advice"})).status_code == 200
    reader = await make_api(shop, "customers:read segments:read")
    for leaf in (
        {"kind": "date", "field": "birthday", "anniversary_in_next": 7},
        {"kind": "attribute", "name": "hobby", "known": True},
        {"kind": "attribute", "name": "doses", "equals": 3},
    ):
        rule = {"kind": "all", "of": [{"kind": "not", "of": leaf}]}
        for path, more in (("preview", {}), ("explain", {"customer_id": people[1]})):
            answer = await reader.post(f"{PATHS}/{path}", {"rule": rule, **more})
            problem = answer.json()
            assert (answer.status_code, problem["code"]) == (403, "scope_missing")
            assert (problem["field"], problem["needed_scope"]) == ("rule.all.0.not", "pii:read")
        assert (await preview(api, rule))["customers"] == 3


def why(answer: Any) -> tuple[int, str, list[tuple[str, str]]]:
    """Status, code, and each place with what is wrong there."""
    told = answer.json()
    return answer.status_code, told["code"], [(one["field"], one["message"]) for one in told.get("errors", [])]


async def test_what_the_shop_does_not_have_is_named_with_the_nearest(api: Api, people: dict[int, int]) -> None:
    await api.http.put("/v1/attributes/skin", json={"type": "choice", "class": "public", "allowed_values": ["dry"]})
    await api.http.put("/v1/attributes/rank", json={"type": "integer", "class": "public"})
    kinds = {"length": {"kind": "integer"}, "at": {"kind": "datetime"}}
    await api.http.put("/v1/event-types/fitting", json={"properties": kinds})
    await api.http.put("/v1/stores/71", json={"name": "x"})
    rule = {
        "kind": "all",
        "of": [
            {"kind": "attribute", "name": "skim", "equals": "dry"},
            {"kind": "attribute", "name": "skin", "equals": "wet"},
            {"kind": "attribute", "name": "rank", "at_least": 1.5},
            {"kind": "attribute", "name": "rank", "contains": "1"},
            {"kind": "event", "event": "fiting", "never": True},
            {"kind": "event", "event": "fitting", "never": True, "where": [{"property": "lenght", "equals": 1}]},
            {"kind": "event", "event": "fitting", "never": True, "where": [{"property": "length", "equals": "1"}]},
            {"kind": "event", "event": "fitting", "never": True, "where": [{"property": "at", "at_least": "noon"}]},
            {"kind": "event", "event": "view", "never": True, "where": [{"property": "sku", "any_of": ["1", 1]}]},
            {"kind": "tag", "any_of": ["nothing"]},
            {"kind": "score", "field": "tier", "equals": "vipp"},
            {"kind": "order", "measure": "count", "stores": [7], "at_least": 1},
            {"kind": "date", "attribute": "rank", "older_than": {"days": 1}},
            {
                "kind": "sequence",
                "first": {"kind": "event", "event": "cart"},
                "then": {"kind": "event", "event": "bought"},
                "within": {"days": 1},
            },
        ],
    }
    status, code, errors = why(await api.post(f"{PATHS}/preview", {"rule": rule}))
    assert (status, code) == (422, "rule_unfit")
    told = dict(errors)
    assert told["rule.all.0.name"].endswith("did you mean skin?")
    assert "allowed values" in told["rule.all.1.equals"]
    assert "whole number" in told["rule.all.2.at_least"]
    assert "contains is for other types" in told["rule.all.3.contains"]
    assert told["rule.all.4.event"].endswith("did you mean fitting?")
    assert told["rule.all.5.where.0.property"].endswith("did you mean length?")
    assert "a number" in told["rule.all.6.where.0.equals"]
    assert "a time such as" in told["rule.all.7.where.0.at_least"]
    assert "one type" in told["rule.all.8.where.0.any_of"]
    assert told["rule.all.9.any_of.0"] == "there is no tag nothing; the shop has none"
    assert told["rule.all.10.equals"].endswith("did you mean vip?")
    assert told["rule.all.11.stores"] == "there is no store 7; did you mean 71?"
    assert "not a date" in told["rule.all.12.attribute"]
    assert told["rule.all.13.then.event"].startswith("the event type bought is not declared")
    assert len(told) == 14


async def test_what_can_be_asked(api: Api, people: dict[int, int]) -> None:
    await api.http.put("/v1/attributes/skin", json={"type": "choice", "class": "public", "allowed_values": ["dry"]})
    await api.http.put("/v1/event-types/fitting", json={"properties": {"length": {"kind": "integer"}}})
    told = (await api.get(f"{PATHS}/fields")).json()
    assert {"all", "not", "event", "sequence", "share"} <= {one["kind"] for one in told["kinds"]}
    gender = next(one for one in told["profile"] if one["field"] == "gender")
    assert (gender["label"], gender["choices"]) == ("性别", [1, 2])
    assert "p_alive" in {one["field"] for one in told["scores"] if one["share"]}
    assert "orders_30d" not in {one["field"] for one in told["stats"]}, "stored windows are none to ask for"
    assert told["attributes"][0]["operators"] == ["equals", "any_of", "none_of", "known"]
    fitting = next(one for one in told["events"] if one["event"] == "fitting")
    assert fitting["properties"][0]["type"] == "number"
    assert "vip" in {one["name"] for one in told["tiers"]}
    assert told["tags"] == 0
    for one in (*told["profile"], *told["scores"], *told["stats"]):
        rule = {"kind": "profile" if one in told["profile"] else "score" if one in told["scores"] else "stat"}
        value = {"boolean": True, "text": "x", "choice": "vip"}.get(one["type"], 1)
        value = (one["choices"] or [value])[0] if one["field"] != "store_id" else None
        if value is not None:
            await preview(api, rule | {"field": one["field"], "equals": value})


async def test_a_question_that_takes_too_long_is_given_up(entry: Entry, shop: Shop) -> None:
    with pytest.raises(RuleTooCostly) as refusal:
        async with entry.shop(shop.id) as (db, _), patience.patiently(db):
            await db.execute(statement(text("set local statement_timeout = '20ms'")))
            await db.fetch(statement(text("select pg_sleep(5)")))
    assert (refusal.value.status, refusal.value.field) == (422, "rule")
    assert "shorter windows" in str(refusal.value)


async def test_another_shops_customers_are_nobody_here(
    api: Api, people: dict[int, int], make_api: MakeApi, other_shop: Shop
) -> None:
    stranger = await make_api(other_shop)
    assert (await preview(stranger, NEVER_BOUGHT))["customers"] == 0
    answer = await stranger.post(f"{PATHS}/explain", {"rule": NEVER_BOUGHT, "customer_id": people[1]})
    assert (answer.status_code, answer.json()["code"]) == (404, "customer_not_found")

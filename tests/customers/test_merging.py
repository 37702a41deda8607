"""Merging and taking it back, through HTTP: who answers, what moves, what comes back."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from app.access.entry import Entry
from app.access.shops import Shop
from app.customers.merging.repository import pass_gate
from tests.conftest import Api, MakeApi, Rows

Json = dict[str, Any]


def mobile(number: int, **more: Any) -> Json:
    return {"kind": "mobile", "value": f"139{number:08}"} | more


def card(number: int) -> Json:
    return {"kind": "card_no", "value": f"C{number:05}"}


def unionid(number: int) -> Json:
    return {"kind": "wechat_unionid", "value": f"u{number}"}


async def person(api: Api, *identities: Json, **fields: Any) -> Json:
    answer = await api.post("/v1/customers", {"identities": list(identities), **fields})
    assert answer.status_code in (200, 201), answer.text
    found: Json = answer.json()
    return found


async def order(api: Api, identity: Json, number: str, fen: int = 1000) -> None:
    body = {"order_no": number, "identities": [identity], "paid_at": "2026-01-05T10:00:00", "amount_fen": fen}
    answer = await api.post("/v1/orders", body)
    assert answer.status_code == 200, answer.text


async def merge(api: Api, one: Json, other: Json, **more: Any) -> Json:
    answer = await api.post(f"/v1/customers/{one['id']}/merges", {"other_id": other["id"], **more})
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    return found


async def reverse(api: Api, merge_id: str) -> Json:
    answer = await api.post(f"/v1/merges/{merge_id}/reversal")
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    return found


async def detail(api: Api, customer_id: int) -> Json:
    answer = await api.get(f"/v1/customers/{customer_id}")
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    return found


async def ids(api: Api) -> list[int]:
    return [row["id"] for row in (await api.get("/v1/customers")).json()["items"]]


async def owners(rows: Rows, shop: Shop, table: str) -> dict[Any, tuple[int, int]]:
    key = {"orders": "order_no", "identities": "kind"}[table]
    found = await rows(f"select * from {table} where shop_id = $1", shop.id)  # noqa: S608
    return {row[key]: (row["customer_id"], row["origin_customer_id"]) for row in found}


# ---- Who answers


async def test_the_loser_answers_with_the_winner_until_the_merge_is_taken_back(
    api: Api, shop: Shop, rows: Rows, work: Any
) -> None:
    weak = await person(api, card(1), name="王芳", created_at="2020-01-01T00:00:00")
    strong = await person(api, unionid(1), gender=2)
    await order(api, card(1), "A")
    await order(api, unionid(1), "B", 500)
    await work()
    done = await merge(api, weak, strong)
    assert done["winner_id"] == strong["id"], "strength decides, not age and not the order of the call"
    await work()
    assert await ids(api) == [strong["id"]]
    assert (await detail(api, weak["id"])) == (await detail(api, strong["id"]))
    shown = await detail(api, weak["id"])
    assert (shown["id"], shown["open_id"], shown["name"], shown["gender"]) == (
        strong["id"],
        strong["open_id"],
        "王芳",
        2,
    )
    assert {one["kind"] for one in shown["identities"]} == {"card_no", "wechat_unionid"}
    assert await owners(rows, shop, "orders") == {
        "A": (strong["id"], weak["id"]),
        "B": (strong["id"], strong["id"]),
    }
    for path in ("scores", "profile", "timeline", "consents", "merges", "identities"):
        answers = [await api.get(f"/v1/customers/{one['id']}/{path}") for one in (weak, strong)]
        assert [answer.status_code for answer in answers] == [200, 200], path
        assert answers[0].json() == answers[1].json(), path
    scores = (await api.get(f"/v1/customers/{weak['id']}/scores")).json()
    assert (scores["customer_id"], scores["orders"], scores["net_fen"]) == (strong["id"], 2, 1500)
    (total,) = await rows("select customers from customer_totals where shop_id = $1", shop.id)
    assert total["customers"] == 1

    back = await reverse(api, done["id"])
    assert back["owners"] == {str(weak["id"]): weak["id"], str(strong["id"]): strong["id"]}
    await work()
    assert sorted(await ids(api)) == sorted([weak["id"], strong["id"]])
    assert await owners(rows, shop, "orders") == {"A": (weak["id"],) * 2, "B": (strong["id"],) * 2}
    first, second = await detail(api, weak["id"]), await detail(api, strong["id"])
    assert (first["name"], first["gender"], second["name"], second["gender"]) == ("王芳", 0, None, 2)
    scores = (await api.get(f"/v1/customers/{weak['id']}/scores")).json()
    assert (scores["orders"], scores["net_fen"]) == (1, 1000)
    (total,) = await rows("select customers from customer_totals where shop_id = $1", shop.id)
    assert total["customers"] == 2


async def test_of_equals_the_oldest_answers_whatever_the_order_of_the_call(api: Api) -> None:
    for number in (1, 2):
        young = await person(api, card(2 * number), created_at="2024-01-01T00:00:00")
        old = await person(api, card(2 * number + 1), created_at="2021-01-01T00:00:00")
        pair = (young, old) if number == 1 else (old, young)
        assert (await merge(api, *pair))["winner_id"] == old["id"]


async def test_merges_come_and_go_in_any_order(api: Api, shop: Shop, rows: Rows) -> None:
    a, b, c = [await person(api, card(number), created_at=f"202{number}-01-01T00:00:00") for number in (1, 2, 3)]
    for number, one in enumerate("ABC", 1):
        await order(api, card(number), one)
    first = await merge(api, a, b)
    second = await merge(api, c, b)  # named by the one who is merged already
    assert second["winner_id"] == a["id"]
    await reverse(api, first["id"])
    assert await owners(rows, shop, "orders") == {
        "A": (a["id"], a["id"]),
        "B": (b["id"], b["id"]),
        "C": (b["id"], c["id"]),
    }
    third = await merge(api, a, c)
    assert third["winner_id"] == a["id"]
    await reverse(api, second["id"])
    assert await owners(rows, shop, "orders") == {
        "A": (a["id"], a["id"]),
        "B": (b["id"], b["id"]),
        "C": (a["id"], c["id"]),
    }
    assert (await reverse(api, second["id"]))["merge"]["reversed_at"] is not None, "twice is once"
    listed = (await api.get(f"/v1/customers/{c['id']}/merges")).json()["items"]
    assert [one["id"] for one in listed] == [third["id"], second["id"], first["id"]]


async def test_what_came_since_is_the_side_s_whose_identity_brought_it(
    api: Api, shop: Shop, rows: Rows, work: Any
) -> None:
    a = await person(api, mobile(1), name="before", created_at="2020-01-01T00:00:00")
    b = await person(api, card(1))
    done = await merge(api, a, b)
    await order(api, card(1), "by-b")
    await order(api, mobile(1), "by-a")
    event = {"event_id": "e", "type": "view", "occurred_at": "2026-01-01T00:00:00Z", "identities": [card(1)]}
    assert (await api.post("/v1/events", event)).json()["status"] == "created"
    await person(api, card(1), {"kind": "email", "value": "new@kehu.example"}, name="by b", remark="b's")
    await person(api, mobile(1), gender=1)
    consent = {"channel": "sms", "state": "granted", "source": "till"}
    assert (await api.post("/v1/consents", consent | {"identity": card(1)})).status_code == 201
    merged = await detail(api, a["id"])
    assert (merged["name"], merged["remark"], merged["gender"]) == ("by b", "b's", 1)
    await reverse(api, done["id"])
    await work()
    found = await owners(rows, shop, "orders")
    assert found == {"by-a": (a["id"],) * 2, "by-b": (b["id"],) * 2}
    first, second = await detail(api, a["id"]), await detail(api, b["id"])
    assert (first["name"], first["remark"], first["gender"]) == ("before", None, 1)
    assert (second["name"], second["remark"], second["gender"]) == ("by b", "b's", 0)
    assert {one["kind"] for one in second["identities"]} == {"card_no", "email"}
    for table in ("events", "consents"):
        (row,) = await rows(f"select customer_id from {table} where shop_id = $1", shop.id)  # noqa: S608
        assert row["customer_id"] == b["id"], table


async def test_the_facade_shows_one_person(facade_token: str, api: Api, shop: Shop) -> None:
    a, b = await person(api, card(1), created_at="2020-01-01T00:00:00"), await person(api, mobile(1), name="李")
    await merge(api, a, b)

    async def call(name: str, version: str, body: Json) -> Any:
        answer = await api.post(f"/api/{name}/{version}?access_token={facade_token}", body)
        assert answer.json()["success"] is True, answer.text
        return answer.json()["data"]

    by_open_id = {"fields": "user_base,tags", "yz_open_id": b["open_id"]}
    shown = await call("youzan.scrm.customer.detail.get", "1.0.1", by_open_id)
    assert (shown["yz_open_id"], shown["name"]) == (a["open_id"], "李")
    account = {"account_type": "YouZanAccount", "account_id": str(b["id"])}
    assert (await call("youzan.scrm.customer.get", "3.1.0", {"account": account}))["name"] == "李"
    assert (await call("youzan.scrm.customer.search", "3.1.2", {"page": 1, "page_size": 50}))["total"] == 1
    both = {"yz_open_ids": [a["open_id"], b["open_id"]]}
    assert [one["yz_open_id"] for one in await call("youzan.scrm.customer.list.yzopenid", "1.0.0", both)] == [
        a["open_id"]
    ]
    changed = {"account": account, "customer_update": {"remark": "told of b"}}
    assert await call("youzan.scrm.customer.update", "3.0.0", changed) is True
    assert (await detail(api, a["id"]))["remark"] == "told of b"


@pytest.fixture
async def facade_token(api: Api, shop: Shop) -> str:
    grant = {
        "client_id": api.client.client_id,
        "client_secret": api.client.client_secret,
        "authorize_type": "silent",
        "grant_id": str(shop.id),
    }
    token: str = (await api.post("/auth/token", grant)).json()["data"]["access_token"]
    return token


# ---- Fields, tags, consent, attributes, tiers


async def test_each_field_survives_by_its_own_rule_and_says_why(api: Api) -> None:
    old = await person(
        api, card(1), name="旧", remark="old", source_channel=1, member_since="2024-05-01T00:00:00", store_id=1
    )
    verified = await person(
        api, unionid(1), mobile(1, verified=True), name="真", source_channel=2, mobile_verified=True
    )
    new = await person(api, mobile(2), name="新", member_since="2023-05-01T00:00:00")
    dry = await merge(api, verified, new, dry_run=True)
    assert (dry["dry_run"], dry["winner_id"]) == (True, verified["id"])
    why = {one["field"]: (one["customer_id"], one["rule"]) for one in dry["fields"]}
    assert why == {
        "name": (new["id"], "newest"),
        "mobile": (verified["id"], "verified"),
        "source_channel": (verified["id"], "only"),
        "member_since": (new["id"], "only"),
    }
    assert dry["moves"]["identities"] == 1
    assert dry["doubts"] == ["mobile: together they would have more than 1"]
    assert (await detail(api, new["id"]))["id"] == new["id"], "nothing has changed"
    await merge(api, verified, new)
    await merge(api, old, new)
    shown = await detail(api, old["id"])
    assert (shown["name"], shown["remark"], shown["store_id"]) == ("新", "old", 1)
    assert (shown["source_channel"], shown["member_since"][:10]) == (1, "2023-04-30")
    assert (shown["mobile"], shown["mobile_verified"]) == ("+86" + mobile(1)["value"], True)
    profile = (await api.get(f"/v1/customers/{old['id']}/profile")).json()
    assert {name: one["customer_id"] for name, one in profile["provenance"].items()} == {
        "name": new["id"],
        "remark": old["id"],
        "store_id": old["id"],
        "source_channel": old["id"],
        "member_since": new["id"],
        "mobile": verified["id"],
    }
    assert profile["provenance"]["name"]["told_by"] == api.client.client_id


async def test_a_field_that_is_cleared_is_cleared_for_the_person(api: Api) -> None:
    a, b = await person(api, card(1), address="上海"), await person(api, card(2), address="北京")
    done = await merge(api, a, b)
    cleared = await api.patch(f"/v1/customers/{a['id']}", {"address": None})
    assert cleared.json()["address"] is None
    await reverse(api, done["id"])
    assert [(await detail(api, one["id"]))["address"] for one in (a, b)] == [None, None]


async def test_tags_are_united_and_parted(api: Api, facade_token: str, shop: Shop) -> None:
    a, b = await person(api, card(1)), await person(api, card(2))

    async def relation(name: str, of: Json, *tags: str) -> None:
        account = {"account_type": "YouZanAccount", "account_id": str(of["id"])}
        body = account | {"tags": [{"tag_name": tag} for tag in tags]}
        answer = await api.post(f"/api/youzan.scrm.tag.relation.{name}/4.0.0?access_token={facade_token}", body)
        assert answer.json()["success"] is True, answer.text

    async def carried(of: Json) -> list[str]:
        profile = (await api.get(f"/v1/customers/{of['id']}/profile")).json()
        return [tag["name"] for tag in profile["tags"]]

    await relation("add", a, "tea", "both")
    await relation("add", b, "both", "wine")
    done = await merge(api, a, b)
    assert sorted(await carried(b)) == ["both", "tea", "wine"]
    await relation("add", b, "since")
    await relation("delete", a, "both")
    assert sorted(await carried(a)) == ["since", "tea", "wine"]
    await reverse(api, done["id"])
    assert (await carried(a), await carried(b)) == (["tea"], ["wine", "since"])


async def test_of_consents_the_strictest_counts_until_the_person_speaks_again(api: Api) -> None:
    a, b = await person(api, card(1), created_at="2020-01-01T00:00:00"), await person(api, card(2))

    async def say(of: Json, state: str, at: str | None = None) -> None:
        body = {"customer_id": of["id"], "channel": "sms", "state": state, "source": "till"}
        assert (await api.post("/v1/consents", body | ({"occurred_at": at} if at else {}))).status_code == 201

    async def state(of: Json) -> str:
        found = (await api.get(f"/v1/customers/{of['id']}/consents")).json()["current"]
        assert len(found) == 1
        return str(found[0]["state"])

    await say(a, "withdrawn", "2025-01-01T00:00:00")
    await say(b, "granted", "2025-06-01T00:00:00")
    done = await merge(api, a, b)
    assert await state(a) == "withdrawn", "the other record's later grant was not about this withdrawal"
    await say(b, "granted")
    assert await state(a) == "granted"
    await reverse(api, done["id"])
    assert (await state(a), await state(b)) == ("withdrawn", "granted")


async def test_attributes_follow(api: Api) -> None:
    assert (await api.http.put("/v1/attributes/size", json={"type": "text", "class": "public"})).status_code == 200
    a = await person(api, card(1), attributes={"size": "M"}, created_at="2020-01-01T00:00:00")
    b = await person(api, card(2), attributes={"size": "L"})
    done = await merge(api, a, b)
    assert (await detail(api, a["id"]))["attributes"] == {"size": "L"}
    await reverse(api, done["id"])
    assert [(await detail(api, one["id"]))["attributes"] for one in (a, b)] == [{"size": "M"}, {"size": "L"}]


async def test_tiers_after_a_reversal_are_no_news(api: Api, shop: Shop, rows: Rows, work: Any) -> None:
    a, b = await person(api, card(1), created_at="2020-01-01T00:00:00"), await person(api, card(2))
    await order(api, card(1), "A")
    await work()
    await api.post("/v1/triggers/rescore", {})
    await work()
    before = await rows("select * from tier_changes where shop_id = $1 and customer_id = $2", shop.id, b["id"])
    done = await merge(api, a, b)
    await work()
    assert await rows("select 1 from customer_scores where shop_id = $1 and customer_id = $2", shop.id, b["id"]) == []
    await reverse(api, done["id"])
    await work()
    after = await rows("select * from tier_changes where shop_id = $1 and customer_id = $2", shop.id, b["id"])
    assert after == before
    (score,) = await rows("select * from customer_scores where shop_id = $1 and customer_id = $2", shop.id, b["id"])
    assert score["tier"] == before[-1]["to_tier"]


async def test_subscribers_and_the_timeline_hear_of_it(api: Api, shop: Shop, rows: Rows) -> None:
    a, b = await person(api, card(1), created_at="2020-01-01T00:00:00"), await person(api, card(2))
    done = await merge(api, a, b)
    await reverse(api, done["id"])
    told = await rows(
        "select kind, data from domain_events where shop_id = $1 and kind like 'customer.merge%' order by id", shop.id
    )
    assert [row["kind"] for row in told] == ["customer.merged", "customer.merge_reversed"]
    query = {"kind": ["merge", "reversal"]}
    items = (await api.get(f"/v1/customers/{b['id']}/timeline", params=query)).json()["items"]
    assert [one["kind"] for one in items] == ["reversal", "merge"]
    assert items[1]["data"]["cause"] == "request"


# ---- By themselves, or not


async def test_a_write_that_names_two_makes_them_one_where_it_is_proven(api: Api) -> None:
    a = await person(api, mobile(1, verified=True), name="a")
    b = await person(api, unionid(1))
    answer = await api.post("/v1/customers", {"identities": [unionid(1), mobile(1)]})
    assert answer.json()["merge_conflicts"] == []
    assert (await detail(api, a["id"]))["id"] == (await detail(api, b["id"]))["id"] == b["id"]
    (edge,) = (await api.get(f"/v1/customers/{a['id']}/merges")).json()["items"]
    assert (edge["cause"], edge["identity_kind"], edge["actor"]) == ("write", "mobile", api.client.client_id)


async def test_an_unverified_number_joins_nobody_and_nothing_is_lost(api: Api, shop: Shop, rows: Rows) -> None:
    a, b = await person(api, mobile(1)), await person(api, unionid(1))
    body = {"order_no": "X", "identities": [mobile(1), unionid(1)], "amount_fen": 1, "status": "created"}
    assert (await api.post("/v1/orders", body)).json()["customer_id"] == b["id"], "the stronger identity's"
    row = (await api.post("/v1/customers/batch", {"customers": [{"identities": [mobile(1), unionid(1)]}]})).json()
    (conflict_id,) = row["results"][0]["merge_conflicts"]
    (conflict,) = (await api.get("/v1/merge-conflicts")).json()["items"]
    assert (conflict["id"], conflict["reason"], conflict["identity_kind"]) == (conflict_id, "unverified", "mobile")
    assert {conflict["customer_id"], conflict["other_id"]} == {a["id"], b["id"]}
    merged = await api.post(f"/v1/merge-conflicts/{conflict_id}/resolution", {"action": "merge"})
    assert merged.json()["state"] == "merged"
    assert (await detail(api, a["id"]))["id"] == b["id"]
    assert (await api.get("/v1/merge-conflicts")).json()["items"] == []
    (edge,) = (await api.get(f"/v1/customers/{a['id']}/merges")).json()["items"]
    assert edge["cause"] == "conflict"


async def test_a_pair_that_was_dismissed_or_taken_apart_is_not_joined_again(api: Api) -> None:
    await person(api, mobile(1)), await person(api, card(1))
    (dismissed,) = (await person(api, mobile(1), card(1)))["merge_conflicts"]
    await api.post(f"/v1/merge-conflicts/{dismissed}/resolution", {"action": "dismiss"})
    assert (await person(api, mobile(1, verified=True), card(1)))["merge_conflicts"] == []
    assert len(await ids(api)) == 2

    a = await person(api, unionid(2))
    await person(api, card(2))
    await person(api, unionid(2), card(2))
    assert len(await ids(api)) == 3
    (edge,) = (await api.get(f"/v1/customers/{a['id']}/merges")).json()["items"]
    await reverse(api, edge["id"])
    (asked,) = (await person(api, unionid(2), card(2)))["merge_conflicts"]
    assert len(await ids(api)) == 4
    (conflict,) = (await api.get("/v1/merge-conflicts")).json()["items"]
    assert (conflict["id"], conflict["reason"]) == (asked, "reversed_before")


async def test_strong_identities_that_contradict_each_other_wait_for_a_decision(api: Api) -> None:
    await person(api, card(1), unionid(1))
    await person(api, card(2), unionid(2))
    (conflict,) = (await person(api, card(1), card(2)))["merge_conflicts"]
    (found,) = (await api.get("/v1/merge-conflicts")).json()["items"]
    assert (found["id"], found["reason"]) == (conflict, "limit")


async def test_a_customer_cannot_be_merged_with_oneself_a_stranger_or_nobody(
    api: Api, make_api: MakeApi, other_shop: Shop
) -> None:
    a = await person(api, card(1))
    stranger = await person(await make_api(other_shop), card(1))
    for other, status, code in (
        (a["id"], 409, "already_one_customer"),
        (stranger["id"], 404, "customer_not_found"),
        (2**52, 404, "customer_not_found"),
    ):
        for dry in (False, True):
            answer = await api.post(f"/v1/customers/{a['id']}/merges", {"other_id": other, "dry_run": dry})
            assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert (await api.post(f"/v1/merges/{uuid4()}/reversal")).json()["code"] == "merge_not_found"
    assert (await api.get(f"/v1/merges/{uuid4()}")).status_code == 404
    unknown = await api.post(f"/v1/merge-conflicts/{uuid4()}/resolution", {"action": "merge"})
    assert unknown.json()["code"] == "merge_conflict_not_found"


async def test_two_touches_of_one_request_become_one(api: Api, shop: Shop, rows: Rows, work: Any) -> None:
    a, b = await person(api, card(1)), await person(api, card(2))
    template = {"category": "transactional", "body": "hello"}
    assert (await api.http.put("/v1/templates/hello", json=template)).status_code == 200
    asked = {"template": "hello", "variables": {}, "audience": {"customer_ids": [a["id"], b["id"]]}}
    await api.post("/v1/triggers/touches", asked, headers={"Idempotency-Key": "k"})
    await work()
    # The outbox as a worker finds it who was away: planned before the merge, due after it.
    await rows("update touches set state = 'planned', reason = null where shop_id = $1 returning 1", shop.id)
    await merge(api, a, b)
    await work()
    found = await rows("select state, reason, customer_id from touches where shop_id = $1 order by id", shop.id)
    assert sorted(row["reason"] for row in found) == ["no_endpoint", "same_person"]
    assert len({row["customer_id"] for row in found}) == 1
    again = await api.post("/v1/triggers/touches", asked, headers={"Idempotency-Key": "k2"})
    await work()
    request = again.json()["request_id"]
    assert len((await api.get(f"/v1/touches?request_id={request}")).json()["items"]) == 1


async def test_many_who_join_the_same_two_at_once_make_one_edge(api: Api, shop: Shop, rows: Rows) -> None:
    for number in range(5):
        await person(api, unionid(number)), await person(api, card(number))
        answers = await asyncio.gather(*(person(api, unionid(number), card(number)) for _ in range(16)))
        assert len({one["id"] for one in answers}) == 1
    edges = await rows("select count(*) from merges where shop_id = $1", shop.id)
    assert edges[0]["count"] == 5


async def test_a_pair_that_stays_apart_waits_for_nobody(api: Api, entry: Entry, shop: Shop) -> None:
    await person(api, mobile(1)), await person(api, card(1))
    async with entry.shop(shop.id) as (db, of):
        await pass_gate(db, of.id)
        for _ in range(2):
            assert len((await asyncio.wait_for(person(api, mobile(1), card(1)), 20))["merge_conflicts"]) == 1
        joining = asyncio.ensure_future(person(api, mobile(1, verified=True), card(1)))
        await asyncio.sleep(0.3)
        assert not joining.done(), "who joins two people does it alone"
    assert (await joining)["merge_conflicts"] == []

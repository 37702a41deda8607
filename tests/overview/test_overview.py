"""One customer seen from every room, through HTTP, with facts that every room has written itself."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.access.entry import Entry
from app.access.shops import Shop
from app.tags import service as tags
from tests.conftest import Api, MakeApi
from tests.push.listener import Work

Json = dict[str, Any]
MOBILE = {"kind": "mobile", "value": "13800000001"}


async def send(api: Api, path: str, body: Json, *, status: int = 201) -> Json:
    """POST it. Returns the answer."""
    answer = await api.post(path, body)
    assert answer.status_code == status, answer.text
    told: Json = answer.json()
    return told


@pytest.fixture
async def somebody(api: Api, entry: Entry, shop: Shop, work: Work) -> int:
    """A customer with a fact in every room."""
    assert (await api.http.put("/v1/stores/7", json={"name": "人民广场店", "city": "上海"})).status_code == 200
    known = {"identities": [MOBILE, {"kind": "card_no", "value": "C-1"}], "name": "李小花", "store_id": 7}
    customer_id = int((await send(api, "/v1/customers", known))["id"])
    now = datetime.now(UTC)
    for number, (days, store) in enumerate([(40, 7), (30, 8), (3, 7)], 1):
        order = {"order_no": f"E{number}", "identities": [MOBILE], "amount_fen": 1000 * number, "store_id": store}
        order |= {"discount_fen": 100} if number == 2 else {}
        await send(api, "/v1/orders", order | {"paid_at": (now - timedelta(days=days)).isoformat()}, status=200)
    await send(
        api, "/v1/orders", {"order_no": "E4", "identities": [MOBILE], "amount_fen": 9, "status": "created"}, status=200
    )
    refund = {"refund_no": "R1", "order_no": "E1", "amount_fen": 500}
    await send(api, "/v1/refunds", refund | {"refunded_at": (now - timedelta(days=20)).isoformat()}, status=200)
    seen = {"event_id": "v-1", "type": "view", "identities": [MOBILE], "properties": {"sku": "S1"}}
    await send(api, "/v1/events", seen | {"occurred_at": (now - timedelta(days=5)).isoformat()}, status=200)
    said = {"customer_id": customer_id, "channel": "webhook", "state": "granted", "source": "a till"}
    await send(api, "/v1/consents", said | {"occurred_at": (now - timedelta(days=10)).isoformat()})
    async with entry.shop(shop.id) as (db, _):
        await tags.add(db, shop.id, {customer_id: ["新客"]}, source="manual", actor="ada")
    await work()
    await send(api, "/v1/triggers/rescore", {}, status=202)
    template = {"category": "transactional", "body": "hello"}
    assert (await api.http.put("/v1/templates/hello", json=template)).status_code == 200
    asked = await api.post(
        "/v1/triggers/touches",
        {"template": "hello", "audience": {"customer_ids": [customer_id]}},
        headers={"Idempotency-Key": "spring"},
    )
    assert asked.status_code == 202, asked.text
    await work()
    return customer_id


async def timeline(api: Api, customer_id: int, **query: Any) -> list[Json]:
    """All pages of it, in one list."""
    entries: list[Json] = []
    cursor = None
    while True:
        asked = query | ({"cursor": cursor} if cursor else {})
        answer = await api.get(f"/v1/customers/{customer_id}/timeline", params=asked)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        entries += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return entries


async def test_the_profile(api: Api, somebody: int) -> None:
    answer = await api.get(f"/v1/customers/{somebody}/profile")
    assert answer.status_code == 200, answer.text
    profile = answer.json()
    assert profile["customer"]["name"] == "李小花"
    held = {(identity["kind"], identity["value"]) for identity in profile["customer"]["identities"]}
    assert held == {("mobile", "+8613800000001"), ("card_no", "C-1")}
    scores = profile["scores"]
    assert (scores["orders"], scores["gross_fen"], scores["net_fen"]) == (3, 6000, 5500)
    assert scores["tier"] is not None
    assert [
        (store["store_id"], store["name"], store["orders"], store["amount_fen"]) for store in profile["stores"]
    ] == [
        (7, "人民广场店", 2, 4000),
        (8, None, 1, 2000),
    ]
    assert [(tag["name"], tag["category"], tag["actor"]) for tag in profile["tags"]] == [("新客", None, "ada")]
    assert [(word["channel"], word["state"]) for word in profile["consents"]] == [("webhook", "granted")]
    assert [(touch["customer_id"], touch["state"]) for touch in profile["touches"]] == [(somebody, "failed")]
    assert profile["touches"][0]["reason"] == "no_endpoint"


async def test_a_profile_of_somebody_new_is_empty(api: Api) -> None:
    made = await send(api, "/v1/customers", {"identities": [MOBILE]})
    profile = (await api.get(f"/v1/customers/{made['id']}/profile")).json()
    assert {name: profile[name] for name in ("stores", "tags", "consents", "touches")} == {
        "stores": [],
        "tags": [],
        "consents": [],
        "touches": [],
    }
    assert (profile["scores"]["orders"], profile["scores"]["tier"]) == (0, None)
    assert [entry["kind"] for entry in await timeline(api, made["id"])] == ["registered"]


async def test_the_timeline_tells_everything_newest_first(api: Api, somebody: int) -> None:
    entries = await timeline(api, somebody)
    moments = [datetime.fromisoformat(entry["at"]) for entry in entries]
    assert moments == sorted(moments, reverse=True)
    kinds = [entry["kind"] for entry in entries]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "registered": 1,
        "order": 4,
        "refund": 1,
        "event": 1,
        "tier": 2,
        "tag": 1,
        "consent": 1,
        "touch": 1,
    }
    by_kind = {entry["kind"]: entry["data"] for entry in entries}
    assert by_kind["refund"] == {"refund_no": "R1", "order_no": "E1", "amount_fen": 500}
    assert (by_kind["event"]["type"], by_kind["event"]["properties"]) == ("view", {"sku": "S1"})
    assert (by_kind["tag"]["name"], by_kind["tag"]["actor"]) == ("新客", "ada")
    assert (by_kind["touch"]["state"], by_kind["touch"]["reason"]) == ("failed", "no_endpoint")
    moves = [entry["data"] for entry in entries if entry["kind"] == "tier"]
    assert moves[0]["from"] == moves[1]["to"]
    assert moves[1]["from"] is None
    orders = [entry["data"] for entry in entries if entry["kind"] == "order"]
    assert [(order["order_no"], order["paid"]) for order in orders] == [
        ("E4", False),
        ("E3", True),
        ("E2", True),
        ("E1", True),
    ]
    assert [order["discount_fen"] for order in orders] == [0, 0, 100, 0]


@pytest.mark.parametrize("limit", [1, 2, 3, 7])
async def test_pages_are_the_whole(api: Api, somebody: int, limit: int) -> None:
    whole = await timeline(api, somebody, limit=100)
    assert await timeline(api, somebody, limit=limit) == whole
    assert len({(entry["kind"], entry["id"]) for entry in whole}) == len(whole) == 12


async def test_pages_do_not_skip_what_happened_at_the_same_moment(api: Api) -> None:
    made = await send(api, "/v1/customers", {"identities": [MOBILE]})
    at = "2026-01-05T10:00:00+08:00"
    told = [
        {"order_no": f"E{number}", "identities": [MOBILE], "amount_fen": 1, "paid_at": at, "updated_at": at}
        for number in range(25)
    ]
    await send(api, "/v1/orders/batch", {"orders": told}, status=200)
    for number in range(25):
        refund = {"refund_no": f"R{number}", "order_no": f"E{number}", "amount_fen": 1, "refunded_at": at}
        await send(api, "/v1/refunds", refund, status=200)
    entries = await timeline(api, made["id"], limit=4)
    assert len({(entry["kind"], entry["id"]) for entry in entries}) == len(entries) == 51


async def test_only_some_kinds(api: Api, somebody: int) -> None:
    entries = await timeline(api, somebody, kind=["refund", "tag"], limit=1)
    assert sorted(entry["kind"] for entry in entries) == ["refund", "tag"]
    refused = await api.get(f"/v1/customers/{somebody}/timeline", params={"kind": "weather"})
    assert (refused.status_code, refused.json()["field"]) == (422, "kind.0")


async def test_who_may_not_see_names_gets_masked_ones(make_api: MakeApi, shop: Shop, somebody: int) -> None:
    narrow = await make_api(shop, "customers:read scores:read")
    profile = await narrow.get(f"/v1/customers/{somebody}/profile")
    assert "13800000001" not in profile.text
    assert "小花" not in profile.text
    for missing in ("customers:read", "scores:read"):
        half = await make_api(shop, missing)
        for path in ("profile", "timeline"):
            assert (await half.get(f"/v1/customers/{somebody}/{path}")).status_code == 403


async def test_another_shop_s_customer_is_nobody(make_api: MakeApi, other_shop: Shop, somebody: int) -> None:
    stranger = await make_api(other_shop)
    for path in ("profile", "timeline"):
        answer = await stranger.get(f"/v1/customers/{somebody}/{path}")
        assert (answer.status_code, answer.json()["code"]) == (404, "customer_not_found")


@pytest.mark.parametrize("cursor", ["x", "WyJ4IiwgInkiLCAieiJd", "WzEsIDIsIDNd"])
async def test_a_cursor_that_is_none(api: Api, somebody: int, cursor: str) -> None:
    answer = await api.get(f"/v1/customers/{somebody}/timeline", params={"cursor": cursor})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_cursor")

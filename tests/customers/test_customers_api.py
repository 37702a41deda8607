"""/v1/customers over HTTP, answers and rows."""

import asyncio

from app.access.shops import Shop
from tests.conftest import Api, MakeApi, Rows


def mobile(number: int) -> dict[str, str]:
    """A mobile identity."""
    return {"kind": "mobile", "value": f"1380000{number:04d}"}


async def test_create_then_find_by_any_identity(api: Api, shop: Shop, rows: Rows) -> None:
    body = {
        "identities": [mobile(1), {"kind": "external_id", "value": "A-1", "scope": "pos"}],
        "name": "李小花",
        "gender": 2,
        "birthday": "1990-02-28",
    }
    created = await api.post("/v1/customers", body)
    assert created.status_code == 201, created.text
    customer = created.json()
    assert customer["name"] == "李小花"
    assert customer["mobile"] == "+8613800000001"
    again = await api.post("/v1/customers", {"identities": [mobile(1)]})
    assert (again.status_code, again.json()["id"]) == (200, customer["id"])
    found = await api.post(
        "/v1/customers/lookup", {"identity": {"kind": "external_id", "value": "A-1", "scope": "pos"}}
    )
    assert found.status_code == 200, found.text
    assert {i["kind"] for i in found.json()["identities"]} == {"mobile", "external_id"}
    stored = await rows("select * from customers where shop_id = $1", shop.id)
    assert len(stored) == 1
    assert "李小花".encode() not in stored[0]["name"]


async def test_one_phone_created_by_many_at_once_is_one_customer(api: Api, shop: Shop, rows: Rows) -> None:
    answers = await asyncio.gather(*(api.post("/v1/customers", {"identities": [mobile(2)]}) for _ in range(1000)))
    assert {answer.status_code for answer in answers} == {200, 201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(await rows("select id from customers where shop_id = $1", shop.id)) == 1


async def test_patch_keeps_what_is_absent_and_clears_null(api: Api) -> None:
    created = (await api.post("/v1/customers", {"identities": [mobile(3)], "name": "王五", "remark": "x"})).json()
    changed = await api.patch(f"/v1/customers/{created['id']}", {"name": None})
    assert changed.status_code == 200, changed.text
    assert changed.json()["name"] is None
    assert changed.json()["remark"] == "x"
    assert changed.json()["version"] == 2


async def test_batch_tells_what_became_of_each_row(api: Api) -> None:
    rows = [
        {"identities": [mobile(6)], "name": "甲"},
        {"identities": [mobile(6)], "name": "乙"},
        {"identities": [{"kind": "mobile", "value": "12"}]},
        {"identities": [mobile(7)], "nmae": "typo"},
        {"identities": [mobile(8)]},
    ]
    first = await api.post("/v1/customers/batch", {"customers": rows})
    assert first.status_code == 200, first.text
    assert [r["status"] for r in first.json()["results"]] == ["created", "updated", "refused", "refused", "created"]
    assert first.json()["results"][3]["error"]["field"] == "nmae"
    second = await api.post("/v1/customers/batch", {"customers": [rows[1], rows[4]]})
    assert [r["status"] for r in second.json()["results"]] == ["unchanged", "unchanged"]


async def test_masked_without_the_scope_and_unseen_by_another_shop(
    api: Api, make_api: MakeApi, shop: Shop, other_shop: Shop
) -> None:
    created = (await api.post("/v1/customers", {"identities": [mobile(9)], "name": "欧阳娜"})).json()
    reader = await make_api(shop, "customers:read")
    seen = (await reader.get(f"/v1/customers/{created['id']}")).json()
    assert seen["mobile"] != created["mobile"]
    assert "*" in seen["mobile"]
    assert "*" in seen["name"]
    stranger = await make_api(other_shop)
    assert (await stranger.get(f"/v1/customers/{created['id']}")).status_code == 404


async def test_another_mobile_is_not_verified_because_the_one_before_was(api: Api) -> None:
    body = {"identities": [mobile(1), {"kind": "card_no", "value": "C-1"}], "mobile_verified": True}
    made = (await api.post("/v1/customers", body)).json()
    assert made["mobile_verified"] is True
    card = {"identities": [{"kind": "card_no", "value": "C-1"}, mobile(2)]}
    changed = (await api.post("/v1/customers", card)).json()
    assert (changed["id"], changed["mobile_verified"]) == (made["id"], False)
    again = (await api.post("/v1/customers", card | {"mobile_verified": True})).json()
    assert again["mobile_verified"] is True

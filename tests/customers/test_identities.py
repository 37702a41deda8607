"""Identities through HTTP: where they came from, how many one has, which stand for nobody, and which may join two."""

from typing import Any

import pytest

from app.access.settings import IdentitySettings
from app.access.shops import Shop
from app.customers import policy
from app.customers.normalise import KINDS
from tests.conftest import Api, MakeApi, Rows

Json = dict[str, Any]


def mobile(number: int, **more: Any) -> Json:
    return {"kind": "mobile", "value": f"139{number:08}"} | more


def one(kind: str, value: str, **more: Any) -> Json:
    return {"kind": kind, "value": value} | more


async def person(api: Api, *identities: Json, **fields: Any) -> Json:
    answer = await api.post("/v1/customers", {"identities": list(identities), **fields})
    assert answer.status_code in (200, 201), answer.text
    found: Json = answer.json()
    return found


async def held(api: Api, customer_id: int) -> list[Json]:
    found: list[Json] = (await api.get(f"/v1/customers/{customer_id}/identities")).json()["items"]
    return found


async def silence(rows: Rows, shop: Shop, days: int) -> None:
    """As if nobody had been seen for so long."""
    moved = (
        "update identities set last_seen_at = last_seen_at - make_interval(days => $2) where shop_id = $1 returning 1"
    )
    await rows(moved, shop.id, days)


def test_every_kind_has_a_policy() -> None:
    assert set(IdentitySettings.model_fields) == {*KINDS, "blocked", "silent_days"}


@pytest.mark.parametrize(
    ("value", "blocked"),
    [
        ("0", True),
        ("00000000", True),
        ("000-000", True),
        ("null", True),
        ("NULL", True),
        ("无", True),
        ("+8613800138000", True),
        ("xxxx", True),
        ("null@shop.cn", True),
        ("+8613800138001", False),
        ("100", False),
        ("nullify", False),
        ("x1", False),
        ("TEST-1", True),
        ("TESTED-1", False),
    ],
)
def test_what_stands_for_nobody(value: str, blocked: bool) -> None:
    assert policy.is_blocked(IdentitySettings(blocked=("test-.*",)), value) is blocked


async def test_where_an_identity_came_from_and_when_it_was_seen(
    api: Api, make_api: MakeApi, shop: Shop, rows: Rows
) -> None:
    made = await person(api, mobile(1))
    (first,) = await held(api, made["id"])
    assert (first["source"], first["verified_at"], first["active"]) == (api.client.client_id, None, True)
    assert first["first_seen_at"] == first["last_seen_at"]
    await person(api, mobile(1))
    assert await held(api, made["id"]) == [first], "seen again on the same day is no news"
    await silence(rows, shop, 2)
    other = await make_api(shop, "customers:read customers:write")
    await person(other, mobile(1, verified=True))
    (again,) = await held(api, made["id"])
    assert again["last_seen_at"] > again["first_seen_at"]
    assert (again["verified_at"] is not None, again["source"]) == (True, api.client.client_id)
    assert again["value"] == "+86" + mobile(1)["value"]
    (masked,) = await held(other, made["id"])
    assert "*" in masked["value"]
    assert (await api.get(f"/v1/customers/{made['id']}")).json()["mobile_verified"] is True


async def test_a_new_mobile_takes_the_place_of_the_old_which_stays_as_history(api: Api) -> None:
    made = await person(api, mobile(1), one("card_no", "C1"))
    changed = await person(api, one("card_no", "C1"), mobile(2))
    assert (changed["id"], changed["mobile"]) == (made["id"], "+86" + mobile(2)["value"])
    found = {item["value"]: item["active"] for item in await held(api, made["id"])}
    assert found == {"+86" + mobile(1)["value"]: False, "+86" + mobile(2)["value"]: True, "C1": True}
    looked = await api.post("/v1/customers/lookup", {"identity": mobile(1)})
    assert looked.json()["id"] == made["id"], "history finds them too"


async def test_identities_are_added_verified_and_removed(api: Api, shop: Shop, rows: Rows) -> None:
    made = await person(api, mobile(1), one("card_no", "C1"))
    path = f"/v1/customers/{made['id']}/identities"
    added = await api.post(
        path, {"identities": [one("email", "a@kehu.example", verified=True), mobile(1, verified=True)]}
    )
    assert added.status_code == 200, added.text
    assert {item["kind"]: item["verified_at"] is not None for item in added.json()["items"]} == {
        "mobile": True,
        "card_no": False,
        "email": True,
    }
    assert (await api.get(f"/v1/customers/{made['id']}")).json()["mobile_verified"] is True
    removed = await api.http.request("DELETE", path, json={"identity": mobile(1)})
    assert [item["kind"] for item in removed.json()["items"]] == ["card_no", "email"]
    shown = (await api.get(f"/v1/customers/{made['id']}")).json()
    assert (shown["mobile"], shown["mobile_verified"]) == (None, False)
    twice = await api.http.request("DELETE", path, json={"identity": mobile(1)})
    assert (twice.status_code, twice.json()["code"]) == (404, "identity_not_found")
    assert (await api.post("/v1/customers/lookup", {"identity": mobile(1)})).status_code == 404
    assert (await person(api, mobile(1)))["id"] != made["id"], "it is nobody's, so it may be someone else's now"
    told = await rows(
        "select data from domain_events where shop_id = $1 and kind = 'customer.updated' order by id", shop.id
    )
    assert "identities" in told[-1]["data"]


async def test_an_identity_of_another_is_not_taken(api: Api) -> None:
    made, other = await person(api, one("card_no", "C1")), await person(api, mobile(1))
    answer = await api.post(f"/v1/customers/{made['id']}/identities", {"identities": [mobile(1)]})
    assert (answer.status_code, answer.json()["code"]) == (409, "identity_conflict")
    (conflict,) = (await api.get("/v1/merge-conflicts")).json()["items"]
    assert answer.json()["merge_conflicts"] == [conflict["id"]]
    assert [item["kind"] for item in await held(api, made["id"])] == ["card_no"]
    proven = await api.post(f"/v1/customers/{made['id']}/identities", {"identities": [mobile(1, verified=True)]})
    assert proven.status_code == 200
    assert {item["kind"] for item in proven.json()["items"]} == {"card_no", "mobile"}
    assert (await api.get(f"/v1/customers/{other['id']}")).json()["id"] == proven.json()["customer_id"]


async def test_placeholders_are_nobody(api: Api, shop: Shop, rows: Rows) -> None:
    nobody = one("mobile", "13800138000")
    order = {"order_no": "N", "identities": [nobody], "amount_fen": 1, "status": "created"}
    event = {"event_id": "N", "type": "view", "identities": [nobody], "occurred_at": "2026-01-01T00:00:00Z"}
    for path, body in (("customers", {"identities": [nobody]}), ("orders", order), ("events", event)):
        answer = await api.post(f"/v1/{path}", body)
        assert (answer.status_code, answer.json()["code"], answer.json()["field"]) == (
            422,
            "identity_blocked",
            "identities",
        )
    batch = await api.post(
        "/v1/events/batch", {"events": [event, event | {"identities": [mobile(1)], "event_id": "Y"}]}
    )
    assert [row["status"] for row in batch.json()["results"]] == ["refused", "created"]
    first = await person(api, nobody, one("card_no", "C1"))
    second = await person(api, nobody, one("card_no", "C2"))
    assert first["id"] != second["id"]
    assert (first["mobile"], second["mobile"]) == (None, None)
    assert await rows("select 1 from event_keys where shop_id = $1 and event_id = 'N'", shop.id) == []


async def test_a_number_that_was_silent_must_be_verified_again(api: Api, shop: Shop, rows: Rows) -> None:
    await person(api, mobile(1, verified=True))
    await person(api, one("wechat_unionid", "u1"))
    await silence(rows, shop, 200)
    (asked,) = (await person(api, one("wechat_unionid", "u1"), mobile(1)))["merge_conflicts"]
    assert asked
    await person(api, mobile(1))
    assert (await person(api, one("wechat_unionid", "u1"), mobile(1)))["merge_conflicts"], "seen again is not verified"
    joined = await person(api, one("wechat_unionid", "u1"), mobile(1, verified=True))
    assert joined["merge_conflicts"] == []
    assert {item["kind"] for item in await held(api, joined["id"])} == {"mobile", "wechat_unionid"}


async def test_a_marketplace_token_becomes_the_person_when_the_number_is_told(api: Api, shop: Shop, rows: Rows) -> None:
    token = one("mobile_token", "ENC#1", scope="tmall")
    order = {"order_no": "T", "identities": [token], "amount_fen": 1, "status": "created"}
    assert (await api.post("/v1/orders", order)).status_code == 200
    known = await person(api, mobile(1))
    told = await person(api, token, mobile(1))
    assert (told["id"], told["merge_conflicts"]) == (known["id"], [])
    (row,) = await rows("select customer_id from orders where shop_id = $1", shop.id)
    assert row["customer_id"] == known["id"]
    alone = await person(api, one("mobile_token", "ENC#2", scope="tmall"))
    assert (await person(api, one("mobile_token", "ENC#2", scope="tmall"), mobile(2)))["id"] == alone["id"]


async def test_a_shared_device_makes_nobody_one(api: Api) -> None:
    tablet = one("device", "kiosk")
    first = await person(api, tablet, mobile(1, verified=True))
    second = await person(api, tablet, mobile(2, verified=True))
    assert first["id"] != second["id"]
    both = await person(api, tablet, mobile(2))
    assert (both["id"], both["merge_conflicts"]) == (second["id"], []), "and nobody is asked about it"


async def test_more_than_one_person_has_stays_apart(api: Api) -> None:
    made = await person(api, one("card_no", "C1"), one("wechat_openid", "o1", scope="wx1"))
    changed = await person(api, one("card_no", "C1"), one("wechat_openid", "o2", scope="wx1"), name="李")
    assert (changed["id"], changed["name"]) == (made["id"], "李"), "nothing else of the write is lost"
    (conflict,) = (await api.get("/v1/merge-conflicts")).json()["items"]
    assert ([conflict["id"]], conflict["reason"]) == (changed["merge_conflicts"], "limit")
    other = (await api.post("/v1/customers/lookup", {"identity": one("wechat_openid", "o2", scope="wx1")})).json()
    assert other["id"] != made["id"]
    assert (await person(api, one("card_no", "C1"), one("wechat_openid", "o3", scope="wx2")))["merge_conflicts"] == []
    two = [one("wechat_unionid", "u1"), one("wechat_unionid", "u2")]
    answer = await api.post("/v1/customers", {"identities": two})
    assert (answer.status_code, answer.json()["code"]) == (409, "identity_limit")


async def test_too_many_new_numbers_in_a_year_stay_apart(api: Api) -> None:
    for number in range(6):
        assert (await person(api, one("card_no", "C1"), mobile(number)))["merge_conflicts"] == []
    assert len((await person(api, one("card_no", "C1"), mobile(9)))["merge_conflicts"]) == 1


async def test_a_shop_sets_its_own_policy(api: Api) -> None:
    settings = (await api.get("/v1/shop")).json()["settings"]
    policy_ = settings["identity_policy"] | {"blocked": ["walk-in.*"]}
    policy_["mobile"] = policy_["mobile"] | {"merges": "always"}
    assert (await api.http.put("/v1/shop/settings", json=settings | {"identity_policy": policy_})).status_code == 200
    await person(api, mobile(1)), await person(api, one("card_no", "C1"))
    assert (await person(api, mobile(1), one("card_no", "C1")))["merge_conflicts"] == []
    assert len((await api.get("/v1/customers")).json()["items"]) == 1
    refused = await api.post("/v1/customers", {"identities": [one("external_id", "Walk-In 7")]})
    assert refused.json()["code"] == "identity_blocked"
    bad = settings | {"identity_policy": settings["identity_policy"] | {"blocked": ["("]}}
    answer = await api.http.put("/v1/shop/settings", json=bad)
    assert (answer.status_code, answer.json()["field"]) == (422, "identity_policy.blocked.0")

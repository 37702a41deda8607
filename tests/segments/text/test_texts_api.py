"""Texts over HTTP: read, written, previewed and explained as trees are, and refused with the place."""

from typing import Any

import pytest

from app.access.shops import Shop
from tests.conftest import Api, MakeApi

PATHS = "/v1/segments"
TREE = {
    "kind": "all",
    "of": [
        {"kind": "profile", "field": "gender", "equals": 1},
        {"kind": "not", "of": {"kind": "date", "field": "last_order", "known": True}},
    ],
}
ENGLISH = "gender = 1 and not last_order is known"
CHINESE = "性别 = 1 且 非 最近下单 已知"
ABANDONED = "event cart in last 7 days without order within 24 hours"


async def somebody(api: Api, number: int, gender: int) -> int:
    """A customer without orders."""
    body = {"identities": [{"kind": "card_no", "value": f"C-{number}"}], "gender": gender}
    return int((await api.post("/v1/customers", body)).json()["id"])


async def test_a_rule_is_told_in_three_ways(api: Api, make_api: MakeApi, shop: Shop) -> None:
    reader = await make_api(shop, "segments:read")
    expected = {"rule": TREE, "text_en": ENGLISH, "text_zh": CHINESE}
    for path, body in (("parse", {"text": ENGLISH}), ("parse", {"text": CHINESE}), ("write", {"rule": TREE})):
        answer = await reader.post(f"{PATHS}/{path}", body)
        assert (answer.status_code, answer.json()) == (200, expected)
    window = {"kind": "event", "event": "view", "window": {"from": "2026-01-01"}, "at_least": 1}
    answer = await reader.post(f"{PATHS}/write", {"rule": window})
    assert answer.json()["rule"] == window
    assert (await (await make_api(shop, "customers:read")).post(f"{PATHS}/parse", {"text": ENGLISH})).status_code == 403


async def test_text_and_tree_are_asked_alike(api: Api) -> None:
    him, her = await somebody(api, 1, 1), await somebody(api, 2, 2)
    for asked in ({"rule": TREE}, {"text": ENGLISH}, {"text": CHINESE}):
        told = (await api.post(f"{PATHS}/preview", asked)).json()
        assert (told["customers"], [row["id"] for row in told["sample"]]) == (1, [him])
        for customer_id, holds in ((him, True), (her, False)):
            told = (await api.post(f"{PATHS}/explain", {**asked, "customer_id": customer_id})).json()
            assert told["holds"] is holds
            assert [one["path"] for one in told["conditions"]] == ["rule.all.0", "rule.all.1.not"]


@pytest.mark.parametrize(("path", "more"), [("preview", {}), ("explain", {"customer_id": 1})])
async def test_exactly_one_of_both(api: Api, path: str, more: dict[str, Any]) -> None:
    for asked in ({}, {"rule": TREE, "text": ENGLISH}, {"rule": None, "text": None}):
        answer = await api.post(f"{PATHS}/{path}", {**asked, **more})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
        assert "rule or as text" in answer.json()["detail"]
    answer = await api.post(f"{PATHS}/{path}", {"rule": {"kind": "tag", "any_of": []}, **more})
    assert answer.json()["errors"][0]["field"] == "rule.any_of"


@pytest.mark.parametrize(("path", "more"), [("parse", {}), ("preview", {}), ("explain", {"customer_id": 1})])
async def test_a_refusal_has_the_place_and_the_nearest_word(api: Api, path: str, more: dict[str, Any]) -> None:
    answer = await api.post(f"{PATHS}/{path}", {"text": "gender = 1 and\nlast_ordr > 60 days ago", **more})
    told = answer.json()
    assert (answer.status_code, told["code"], told["field"]) == (422, "rule_unreadable", "text")
    assert (told["line"], told["column"], told["nearest"]) == (2, 1, "last_order")
    assert told["detail"].startswith("line 2, column 1: expected here is a condition")
    assert told["detail"].endswith("did you mean last_order?")
    assert told["expected"] == ["a condition such as tier = 'vip'"]
    answer = await api.post(f"{PATHS}/{path}", {"text": "r = 1 且 等级 > 'x'", **more})
    assert (answer.json()["column"], answer.json()["code"]) == (9, "rule_unreadable")
    answer = await api.post(f"{PATHS}/{path}", {"text": "x" * 20_001, **more})
    assert (answer.json()["column"], answer.json()["code"]) == (20_001, "rule_unreadable")


async def test_what_the_shop_does_not_have_is_refused_as_of_a_tree(api: Api) -> None:
    answer = await api.post(f"{PATHS}/preview", {"text": "tag '没有' or attribute skin = 'dry'"})
    assert (answer.status_code, answer.json()["code"]) == (422, "rule_unfit")
    assert [one["field"] for one in answer.json()["errors"]] == ["rule.any.0.any_of.0", "rule.any.1.name"]
    # That it can be read and written says nothing of the shop.
    assert (await api.post(f"{PATHS}/parse", {"text": "tag '没有'"})).status_code == 200


async def test_a_sequence_is_asked_as_text(api: Api) -> None:
    assert (await api.post(f"{PATHS}/preview", {"text": ABANDONED})).json()["customers"] == 0

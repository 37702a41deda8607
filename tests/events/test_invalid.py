"""What does not fit its declaration is kept aside with the reason, sealed, and counts once it fits."""

import asyncio
from typing import Any

import orjson
import pytest

from app.access.shops import Shop
from app.events.declarations import BUILT_IN, looks_personal, problem
from tests.conftest import Api, MakeApi, Rows
from tests.events.examples import event, events_of

FITTING = {"properties": {"sku": {"kind": "text", "required": True}, "minutes": {"kind": "integer"}}}


async def _declare(api: Api, type_: str, body: Any) -> Any:
    answer = await api.http.put(f"/v1/event-types/{type_}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_an_undeclared_type_is_kept_listed_and_replayed(api: Api, shop: Shop, rows: Rows) -> None:
    sent = event(type="试穿", properties={"sku": "S1", "minutes": 5}, store_id=7, source="mini-program")
    told = (await api.post("/v1/events", sent)).json()
    assert (told["status"], told["error"]["code"], told["error"]["field"]) == ("invalid", "type_undeclared", "type")
    assert "PUT /v1/event-types/试穿" in told["error"]["detail"]
    assert await events_of(rows, shop) == []
    (kept,) = await rows("select * from invalid_events where shop_id = $1", shop.id)
    assert b"S1" not in kept["properties"]
    (listed,) = (await api.get("/v1/events/invalid")).json()["items"]
    assert (listed["id"], listed["event_id"], listed["state"]) == (told["id"], "E1", "invalid")
    assert (listed["reason"], listed["properties"]) == (told["error"], sent["properties"])
    replay = f"/v1/events/invalid/{told['id']}/replay"
    assert (await api.post(replay)).json() == {"id": told["id"], "state": "invalid", "reason": told["error"]}
    await _declare(api, "试穿", FITTING)
    for _ in range(2):
        assert (await api.post(replay)).json() == {"id": told["id"], "state": "valid", "reason": None}
    (stored,) = await events_of(rows, shop)
    assert orjson.loads(stored.pop("properties")) == sent["properties"]
    assert stored == {name: kept[name] for name in stored}, "all else is as it came in"
    assert (await api.get("/v1/events/invalid")).json()["items"] == []
    assert (await api.post("/v1/events", sent)).json()["status"] == "duplicate"


async def test_a_replay_that_still_does_not_fit_says_why_now(api: Api, shop: Shop, rows: Rows) -> None:
    told = (await api.post("/v1/events", event(type="fitting", properties={"minutes": "five"}))).json()
    replay = f"/v1/events/invalid/{told['id']}/replay"
    await _declare(api, "fitting", FITTING)
    reason = (await api.post(replay)).json()["reason"]
    assert (reason["code"], reason["field"]) == ("property_kind", "properties.minutes")
    (listed,) = (await api.get("/v1/events/invalid")).json()["items"]
    assert listed["reason"] == reason
    await _declare(api, "fitting", {"properties": {"minutes": {"kind": "text"}}})
    assert (await api.post(replay)).json()["state"] == "valid"
    assert len(await events_of(rows, shop)) == 1


async def test_many_replays_at_once_make_one_event(api: Api, shop: Shop, rows: Rows) -> None:
    told = (await api.post("/v1/events", event(type="fitting"))).json()
    replay = f"/v1/events/invalid/{told['id']}/replay"
    marked = "delete from customer_changes where shop_id = $1 returning customer_id"
    await rows(marked, shop.id)
    assert (await api.post(replay)).json()["state"] == "invalid"
    assert await rows(marked, shop.id) == [], "what does not fit yet asks for nothing"
    await _declare(api, "fitting", {})
    answers = await asyncio.gather(*(api.post(replay) for _ in range(10)))
    assert {answer.text for answer in answers} == {answers[0].text}
    (kept,) = await events_of(rows, shop)
    assert await rows(marked, shop.id) == [{"customer_id": kept["customer_id"]}]


async def test_personal_values_do_not_reach_the_events(api: Api, make_api: MakeApi, shop: Shop, rows: Rows) -> None:
    properties = {"note": "call 138-0000-0001", "sku": "S1", "gift": True, "13900000001": 1}
    told = (await api.post("/v1/events", event(properties=properties))).json()
    assert (told["status"], told["error"]["code"]) == ("invalid", "property_personal")
    assert told["error"]["field"] == "properties.note"
    assert "0000-0001" not in told["error"]["detail"]
    assert (await api.post(f"/v1/events/invalid/{told['id']}/replay")).json()["state"] == "invalid"
    kept = await rows("select t::text as text from invalid_events t where shop_id = $1", shop.id)
    assert "0000-0001" not in str(kept)
    assert "13900000001" not in str(kept)
    (whole,) = (await api.get("/v1/events/invalid")).json()["items"]
    assert whole["properties"] == properties
    masked = await make_api(shop, "events:read")
    (shown,) = (await masked.get("/v1/events/invalid")).json()["items"]
    assert shown["properties"] == {"note": "text", "sku": "text", "gift": "boolean"}


async def test_invalid_events_come_in_pages_of_one_shop_only(
    api: Api, shop: Shop, other_shop: Shop, make_api: MakeApi
) -> None:
    batch = [event(event_id=f"E{number}", type="fitting") for number in range(5)]
    sent = (await api.post("/v1/events/batch", {"events": batch})).json()
    found: list[str] = []
    cursor = ""
    while True:
        page = (await api.get(f"/v1/events/invalid?limit=2{cursor}")).json()
        found += [item["id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert len(found) == 5
    assert set(found) == {row["id"] for row in sent["results"]}
    assert found == sorted(found, reverse=True)
    other = await make_api(other_shop)
    assert (await other.get("/v1/events/invalid")).json()["items"] == []
    assert (await other.post(f"/v1/events/invalid/{found[0]}/replay")).status_code == 404
    assert (await other.get(f"/v1/events/invalid?cursor={'a' * 20}")).json()["code"] == "invalid_cursor"


async def test_types_are_declared_read_and_dropped(
    api: Api, other_shop: Shop, make_api: MakeApi, shop: Shop, rows: Rows
) -> None:
    made = await _declare(api, "fitting", FITTING)
    assert made["properties"] == {
        "sku": {"kind": "text", "required": True},
        "minutes": {"kind": "integer", "required": False},
    }
    assert (await api.get("/v1/event-types/fitting")).json() == made
    await _declare(api, "alteration", {})
    page = (await api.get("/v1/event-types?limit=1")).json()
    assert [item["type"] for item in page["items"]] == ["alteration"]
    assert page["built_in"] == sorted(BUILT_IN)
    rest = (await api.get(f"/v1/event-types?limit=1&cursor={page['next_cursor']}")).json()
    assert [item["type"] for item in rest["items"]] == ["fitting"]
    assert (await (await make_api(other_shop)).get("/v1/event-types/fitting")).status_code == 404
    good = event(type="fitting", properties={"sku": "S1"})
    assert (await api.post("/v1/events", good)).json()["status"] == "created"
    assert (await api.http.delete("/v1/event-types/fitting")).status_code == 204
    gone = await api.http.delete("/v1/event-types/fitting")
    assert (gone.status_code, gone.json()["code"]) == (404, "event_type_not_found")
    assert (await api.post("/v1/events", good | {"event_id": "E2"})).json()["status"] == "invalid"
    assert len(await events_of(rows, shop)) == 1
    taken = await api.http.put("/v1/event-types/view", json={})
    assert (taken.status_code, taken.json()["code"]) == (409, "event_type_built_in")
    bad = await api.http.put("/v1/event-types/x", json={"properties": {"sku": {"kind": "colour"}}})
    assert (bad.status_code, bad.json()["field"]) == (422, "properties.sku.kind")


DECLARED = {
    "text": {"kind": "text", "required": False},
    "count": {"kind": "integer", "required": False},
    "share": {"kind": "number", "required": False},
    "gift": {"kind": "boolean", "required": False},
    "day": {"kind": "date", "required": False},
    "at": {"kind": "datetime", "required": False},
}


@pytest.mark.parametrize(
    ("properties", "code"),
    [
        ({"text": "x", "count": 1, "share": 0.5, "gift": False, "day": "2026-02-28", "at": "2026-02-28T10:00"}, None),
        ({"share": 1, "at": "2026-02-28T10:00:00.5+08:00"}, None),
        ({}, None),
        ({"text": 1}, "property_kind"),
        ({"count": 1.0}, "property_kind"),
        ({"count": True}, "property_kind"),
        ({"share": "0.5"}, "property_kind"),
        ({"share": False}, "property_kind"),
        ({"gift": 1}, "property_kind"),
        ({"day": "2026-02-30"}, "property_kind"),
        ({"day": "20260228"}, "property_kind"),
        ({"day": "2026-W01-1"}, "property_kind"),
        ({"at": "2026-02-28"}, "property_kind"),
        ({"at": "2026-02-28T25:00"}, "property_kind"),
        ({"text": ["x"]}, "property_kind"),
        ({"text": {"x": 1}}, "property_kind"),
        ({"other": 1}, "property_undeclared"),
        ({"a b": 1}, "property_name"),
        ({"": 1}, "property_name"),
        ({"text": "13800000001"}, "property_personal"),
    ],
)
def test_what_fits_a_declaration(properties: dict[str, Any], code: str | None) -> None:
    found = problem("fitting", properties, DECLARED)
    assert (found.code if found else None) == code


def test_a_required_property_is_missed() -> None:
    found = problem("fitting", {}, {"sku": {"kind": "text", "required": True}})
    assert found is not None
    assert (found.code, found.field) == ("property_missing", "properties.sku")


@pytest.mark.parametrize("type_", sorted(BUILT_IN))
def test_built_in_types_take_any_scalar(type_: str) -> None:
    assert problem(type_, {"sku": "S1", "price": 1.5, "count": 2, "gift": True}, None) is None
    assert problem(type_, {"sku": ["S1"]}, None) is not None


@pytest.mark.parametrize(
    ("value", "personal"),
    [
        ("13800000001", True),
        ("+86 138 0000 0001", True),
        ("008613800000001", True),
        ("tel.138-0000-0001!", True),
        ("１３８００００００００１", False),  # a digit too many
        ("１３８００００００００", True),
        (13800000001, True),
        (13800000001.0, True),
        ("li@example.com", True),
        ("写给 li.hua@example.com.cn 吧", True),
        ("a@b", False),
        ("E20261122138000000010001", False),
        ("12800000001", False),
        ("0.13800000001", False),
        (0.13800000001, False),
        (1764000000000, False),  # milliseconds
        (1999, False),
        (True, False),
        ("@新品 50% off", False),
    ],
)
def test_what_looks_personal(value: Any, personal: bool) -> None:
    assert looks_personal(value) is personal

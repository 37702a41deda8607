"""Subscriptions in Youzan's form, read by a receiver that was written from the contract and from nothing of ours."""

from datetime import UTC, datetime

import pytest

from app.access.shops import Shop
from app.webhooks import youzan
from tests.conftest import Api, MakeApi, Rows
from tests.push.listener import ACK, Work, due_now, read_push, subscribe
from tests.push.sender import TAKEN, Sender
from tests.webhooks.receiver import Answer, Receiver

PERSON = {
    "identities": [{"kind": "mobile", "value": "13800000001"}],
    "name": "王 A+B&%",
    "gender": 2,
    "birthday": "1990-05-06",
    "member_since": "2026-01-01T00:00:00Z",
}


async def test_customers_are_told_of_in_youzans_form(
    api: Api, shop: Shop, receiver: Receiver, work: Work, rows: Rows
) -> None:
    endpoint = await subscribe(api, receiver, client_id="their-app")
    assert (endpoint["format"], endpoint["client_id"]) == ("youzan", "their-app")
    before = int(datetime.now(UTC).timestamp() * 1000)
    made = (await api.post("/v1/customers", PERSON)).json()
    await work()
    await api.patch(f"/v1/customers/{made['id']}", {"name": "二"})
    await work()
    (created, first), (updated, second) = [read_push(message, endpoint["secret"]) for message in receiver.messages]
    assert {name: value for name, value in created.items() if name not in ("msg", "sign", "msg_id", "version")} == {
        "client_id": "their-app",
        "kdt_id": shop.id,
        "kdt_name": "A shop",
        "id": str(made["id"]),
        "type": "SCRM_CUSTOMER_EVENT",
        "status": "CUSTOMER_CREATED",
        "sendCount": 0,
        "test": False,
        "mode": 1,
    }
    assert first == {
        "account_id": str(made["id"]),
        "account_type": "YouZanAccount",
        "name": "王 A+B&%",
        "birthday": "1990-05-06 00:00:00",
        "mobile": "13800000001",
        "gender": 2,
        "is_member": True,
        "src": 400,
        "is_log_off": False,
    }
    assert "%20" in created["msg"]
    assert "%2B" in created["msg"]
    assert (updated["status"], second["name"]) == ("CUSTOMER_UPDATED", "二")
    assert before <= created["version"] <= updated["version"] <= datetime.now(UTC).timestamp() * 1000
    deliveries = await rows("select * from webhook_deliveries where shop_id = $1 order by created_at", shop.id)
    assert [row["message_id"] for row in deliveries] == [created["msg_id"], updated["msg_id"]]
    assert {row["state"] for row in deliveries} == {"delivered"}
    stored = repr(deliveries)
    for personal in ("13800000001", "王", "1990"):
        assert personal not in stored
    visits = await rows("select * from access_log where shop_id = $1 and call = 'webhooks.push'", shop.id)
    assert [(v["actor"], v["action"], v["customers"], v["masked"]) for v in visits] == [
        ("their-app", "read", [made["id"]], False)
    ] * 2


async def test_what_is_sent_is_taken_by_our_own_receiver(
    api: Api, shop: Shop, receiver: Receiver, work: Work, sender: Sender, rows: Rows
) -> None:
    endpoint = await subscribe(api, receiver)
    await api.post("/v1/customers", PERSON)
    await work()
    source = {"client_id": endpoint["client_id"], "client_secret": endpoint["secret"]}
    assert (await api.post("/v1/push-sources", source)).status_code == 201
    (message,) = receiver.messages
    headers = {"Event-Sign": message.headers["event-sign"]}
    answer = await sender.http.post(f"/youzan/push/{shop.id}", content=message.body, headers=headers)
    assert answer.json() == TAKEN
    # the caller's own id is named where none was given
    assert endpoint["client_id"] == api.client.client_id


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Answer(), "not_acknowledged"),
        (Answer(body=b'{"code":0,"msg":"failed"}'), "not_acknowledged"),
        (Answer(204), "not_acknowledged"),
        (Answer(201, body=b'{"code":0,"msg":"success"}'), "not_acknowledged"),
        (Answer(500, body=b'{"code":0,"msg":"success"}'), "http_500"),
        (Answer(302, {"location": "/"}, body=b"success"), "http_302"),
        (Answer(cut=True), "protocol_error"),
    ],
)
async def test_what_does_not_say_success_is_tried_again(
    api: Api, shop: Shop, receiver: Receiver, work: Work, rows: Rows, answer: Answer, error: str
) -> None:
    endpoint = await subscribe(api, receiver)
    receiver.answer = lambda _: answer
    await api.post("/v1/customers", PERSON)
    await work()
    (row,) = await rows("select * from webhook_deliveries where shop_id = $1", shop.id)
    assert (row["state"], row["failures"], row["last_error"]) == ("pending", 1, error)
    assert 5 < (row["due_at"] - datetime.now(UTC)).total_seconds() <= 12
    receiver.answer = lambda _: ACK
    await due_now(rows, shop)
    await work()
    (row,) = await rows("select * from webhook_deliveries where shop_id = $1", shop.id)
    assert (row["state"], row["failures"]) == ("delivered", 1)
    bodies = [read_push(message, endpoint["secret"])[0] for message in receiver.messages]
    assert [body["sendCount"] for body in bodies] == [0, 1]
    assert len({body["msg_id"] for body in bodies}) == 1


_MINUTES = [60 * n for n in range(1, 11)]


@pytest.mark.parametrize(
    ("chosen", "plan"),
    [
        ({}, [10, 30, *_MINUTES, 20 * 60, 30 * 60, 3600, 7200]),
        ({"push_attempts": 5}, [5, 5 * 60 + 20, 21 * 60 + 20, 7200]),
    ],
)
async def test_the_schedule_and_then_a_dead_letter(
    api: Api, shop: Shop, receiver: Receiver, work: Work, rows: Rows, chosen: dict[str, int], plan: list[int]
) -> None:
    assert (await api.http.put("/v1/shop/settings", json={"facade": chosen})).status_code == 200
    endpoint = await subscribe(api, receiver)
    receiver.answer = lambda _: Answer(body=b"no")
    await api.post("/v1/customers", PERSON)
    waits = []
    for _ in range(20):
        await work()
        (row,) = await rows("select * from webhook_deliveries where shop_id = $1", shop.id)
        if row["state"] == "failed":
            break
        waits.append((row["due_at"] - datetime.now(UTC)).total_seconds())
        await due_now(rows, shop)
    assert len(plan) == len(waits)
    for planned, waited in zip(plan, waits, strict=True):
        assert 0.8 * planned - 2 <= waited <= 1.2 * planned
    counts = [read_push(message, endpoint["secret"])[0]["sendCount"] for message in receiver.messages]
    assert counts == list(range(len(plan) + 1))
    # the dead letter can be sent again by hand
    receiver.answer = lambda _: ACK
    assert (await api.post(f"/v1/webhooks/deliveries/{row['id']}/resends")).status_code == 202
    await work()
    assert [r["state"] for r in await rows("select state from webhook_deliveries where shop_id = $1", shop.id)] == [
        "delivered"
    ]


async def test_an_attempt_ends_after_five_seconds(
    api: Api, shop: Shop, receiver: Receiver, work: Work, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert youzan.TIMEOUT_SECONDS == 5.0
    monkeypatch.setattr(youzan, "TIMEOUT_SECONDS", 0.3)
    await subscribe(api, receiver)
    receiver.answer = lambda _: Answer(body=b"success", after_seconds=1.0)
    await api.post("/v1/customers", PERSON)
    await work()
    (row,) = await rows("select * from webhook_deliveries where shop_id = $1", shop.id)
    assert (row["state"], row["last_error"]) == ("pending", "timeout_in_reply")


async def test_personal_fields_need_who_set_the_address_to_see_them(
    make_api: MakeApi, api: Api, shop: Shop, receiver: Receiver, work: Work, rows: Rows
) -> None:
    narrow = await make_api(shop, "webhooks")
    endpoint = await subscribe(narrow, receiver)
    made = (await api.post("/v1/customers", PERSON)).json()
    await work()
    (message,) = receiver.messages
    _, inside = read_push(message, endpoint["secret"])
    assert sorted(inside) == ["account_id", "account_type", "gender", "is_log_off", "is_member", "src"]
    (visit,) = await rows("select * from access_log where shop_id = $1 and call = 'webhooks.push'", shop.id)
    assert visit["masked"] is True
    # who may not see them cannot have them sent elsewhere either
    wide = await subscribe(api, receiver)
    await narrow.patch(f"/v1/webhooks/{endpoint['id']}", {"enabled": False})
    for changer, change, shown in (
        (narrow, {"kinds": ["customer.updated"]}, True),
        (narrow, {"url": receiver.url}, False),
    ):
        assert (await changer.patch(f"/v1/webhooks/{wide['id']}", change)).status_code == 200
        await api.patch(f"/v1/customers/{made['id']}", {"remark": f"turn {shown}"})
        receiver.messages.clear()
        await work()
        (message,) = receiver.messages
        assert ("mobile" in read_push(message, wide["secret"])[1]) is shown


async def test_a_heartbeat_is_a_test_and_tried_once(
    api: Api, shop: Shop, receiver: Receiver, work: Work, rows: Rows
) -> None:
    endpoint = await subscribe(api, receiver)
    path = f"/v1/webhooks/{endpoint['id']}/heartbeats"
    answer = await api.post(path)
    assert (answer.status_code, answer.json()["kind"]) == (202, "heartbeat")
    await work()
    (message,) = receiver.messages
    body, inside = read_push(message, endpoint["secret"])
    assert (body["test"], body["msg_id"], inside) == (True, answer.json()["message_id"], {})
    receiver.answer = lambda _: Answer(500)
    second = (await api.post(path)).json()
    await work()
    assert (await api.get(f"/v1/webhooks/deliveries/{second['id']}")).json()["state"] == "failed"
    await api.patch(f"/v1/webhooks/{endpoint['id']}", {"enabled": False})
    refused = await api.post(path)
    assert (refused.status_code, refused.json()["code"]) == (409, "webhook_disabled")
    missing = await api.post(f"/v1/webhooks/{second['id']}/heartbeats")
    assert (missing.status_code, missing.json()["code"]) == (404, "webhook_not_found")


async def test_a_standard_endpoint_hears_a_heartbeat_too(api: Api, receiver: Receiver, work: Work) -> None:
    endpoint = await subscribe(api, receiver, format="standard", kinds=["tier.changed"])
    assert (endpoint["format"], endpoint["client_id"]) == ("standard", None)
    await api.post(f"/v1/webhooks/{endpoint['id']}/heartbeats")
    await work()
    (message,) = receiver.messages
    assert message.verify(endpoint["secret"])["type"] == "heartbeat"


async def test_other_kinds_are_not_sent_in_this_form(api: Api, receiver: Receiver, work: Work) -> None:
    for kinds in (["tier.changed"], ["customer.created", "touch.requested"]):
        refused = await api.post("/v1/webhooks", {"url": receiver.url, "kinds": kinds, "format": "youzan"})
        assert (refused.status_code, refused.json()["field"]) == (422, "kinds")
    endpoint = await subscribe(api, receiver)
    refused = await api.patch(f"/v1/webhooks/{endpoint['id']}", {"kinds": ["order.paid"]})
    assert (refused.status_code, refused.json()["field"]) == (422, "kinds")


async def test_who_is_gone_is_not_told_of(api: Api, shop: Shop, receiver: Receiver, work: Work, rows: Rows) -> None:
    await subscribe(api, receiver)
    await api.post("/v1/customers", PERSON)
    await rows("update customers set status = 'erased' where shop_id = $1 returning 1", shop.id)
    await work()
    assert receiver.messages == []
    (row,) = await rows("select * from webhook_deliveries where shop_id = $1", shop.id)
    assert (row["state"], row["last_error"]) == ("cancelled", "customer_gone")


async def test_a_new_secret_signs_from_then_on(api: Api, receiver: Receiver, work: Work) -> None:
    endpoint = await subscribe(api, receiver)
    rotated = (await api.post(f"/v1/webhooks/{endpoint['id']}/secret-rotations")).json()
    await api.post("/v1/customers", PERSON)
    await work()
    (message,) = receiver.messages
    read_push(message, rotated["secret"])

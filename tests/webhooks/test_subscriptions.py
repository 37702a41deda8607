"""Subscriptions over HTTP."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from app.access.entry import Entry
from app.access.shops import Shop
from app.tags import service as tags
from tests.conftest import Api, MakeApi, Rows
from tests.webhooks.receiver import Receiver

Make = Callable[..., Awaitable[Any]]
Work = Callable[[], Awaitable[None]]
BODY: dict[str, Any] = {"url": "https://shop.example/hook", "kinds": ["tier.changed", "order.paid", "order.paid"]}


async def test_the_secret_is_shown_once_and_kept_sealed(api: Api, shop: Shop, rows: Rows) -> None:
    made = await api.post("/v1/webhooks", BODY)
    assert made.status_code == 201, made.text
    endpoint = made.json()
    assert endpoint["secret"].startswith("whsec_")
    assert (endpoint["kinds"], endpoint["enabled"]) == (["order.paid", "tier.changed"], True)
    (row,) = await rows("select * from webhook_endpoints where shop_id = $1", shop.id)
    assert endpoint["secret"].encode() not in row["secret"]
    seen = (await api.get(f"/v1/webhooks/{endpoint['id']}")).json()
    assert seen == {name: value for name, value in endpoint.items() if name != "secret"}
    second = (await api.post("/v1/webhooks", BODY)).json()
    page = (await api.get("/v1/webhooks", params={"limit": 1})).json()
    rest = (await api.get("/v1/webhooks", params={"limit": 1, "cursor": page["next_cursor"]})).json()
    assert [item["id"] for item in page["items"] + rest["items"]] == [endpoint["id"], second["id"]]


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"url": "http://10.0.0.1/x"}, "url_refused", "url"),
        ({"url": "ftp://shop.example"}, "url_refused", "url"),
        ({"url": "https://user:pass@shop.example"}, "url_refused", "url"),
        ({"url": "https://shop.example:6379"}, "url_refused", "url"),
        ({"url": "https://0x7f.1/"}, "url_refused", "url"),
        ({"kinds": []}, "invalid", "kinds"),
        ({"kinds": ["customer.deleted"]}, "invalid", "kinds.0"),
        ({"secret": "mine"}, "invalid", "secret"),
    ],
)
async def test_what_cannot_be_subscribed(
    api: Api, shop: Shop, rows: Rows, changes: dict[str, Any], code: str, field: str
) -> None:
    answer = await api.post("/v1/webhooks", BODY | changes)
    assert (answer.status_code, answer.json()["code"], answer.json()["field"]) == (422, code, field)
    assert await rows("select id from webhook_endpoints where shop_id = $1", shop.id) == []


async def test_a_change_keeps_what_is_absent(api: Api) -> None:
    endpoint = (await api.post("/v1/webhooks", BODY)).json()
    path = f"/v1/webhooks/{endpoint['id']}"
    changed = (await api.patch(path, {"kinds": ["touch.requested"]})).json()
    assert (changed["url"], changed["kinds"], changed["enabled"]) == (BODY["url"], ["touch.requested"], True)
    disabled = (await api.patch(path, {"enabled": False})).json()
    assert (disabled["enabled"], disabled["reason"]) == (False, "by_request")
    enabled = (await api.patch(path, {"enabled": True})).json()
    assert (enabled["enabled"], enabled["reason"]) == (True, None)
    assert (await api.patch(path, {"url": "http://192.168.1.1"})).json()["code"] == "url_refused"


async def test_every_subscriber_is_told_once_and_nobody_else(
    api: Api, shop: Shop, rows: Rows, work: Work, subscribe: Make, receiver: Receiver, other_receiver: Receiver
) -> None:
    first = await subscribe(receiver, "customer.created", "customer.updated")
    second = await subscribe(other_receiver, "customer.created")
    customer = (await api.post("/v1/customers", {"identities": [{"kind": "email", "value": "a@b.cn"}]})).json()
    await api.patch(f"/v1/customers/{customer['id']}", {"remark": "tall"})
    await work()
    heard = {message.verify(first["secret"])["type"]: message.id for message in receiver.messages}
    assert set(heard) == {"customer.created", "customer.updated"}
    (told,) = other_receiver.messages
    body = told.verify(second["secret"])
    assert (body["type"], body["data"]) == ("customer.created", {"customer_id": customer["id"]})
    assert set(body) == {"type", "timestamp", "data"}
    assert b"a@b.cn" not in b"".join(message.body for message in receiver.messages)
    assert b"tall" not in b"".join(message.body for message in receiver.messages)
    assert told.id == heard["customer.created"]
    states = await rows("select state from webhook_deliveries where shop_id = $1", shop.id)
    assert [row["state"] for row in states] == ["delivered"] * 3
    assert await rows("select id from domain_events where shop_id = $1", shop.id) == []


async def test_tags_are_told(
    entry: Entry, shop: Shop, people: Make, work: Work, subscribe: Make, receiver: Receiver
) -> None:
    endpoint = await subscribe(receiver, "tag.added", "tag.removed")
    (number,) = await people(1)
    async with entry.shop(shop.id) as (db, _):
        await tags.add(db, shop.id, {number: ["vip"]}, source="manual", actor="ada")
    async with entry.shop(shop.id) as (db, _):
        await tags.remove(db, shop.id, {number: ["vip"]})
    await work()
    heard = [message.verify(endpoint["secret"]) for message in receiver.messages]
    assert sorted(body["type"] for body in heard) == ["tag.added", "tag.removed"]
    for body in heard:
        assert set(body["data"]) == {"customer_id", "tag_id", "tag_name"}
        assert (body["data"]["customer_id"], body["data"]["tag_name"]) == (number, "vip")


async def test_after_a_rotation_both_secrets_sign_for_a_day(
    api: Api, shop: Shop, rows: Rows, work: Work, subscribe: Make, people: Make, receiver: Receiver
) -> None:
    old = await subscribe(receiver, "customer.created")
    answer = await api.post(f"/v1/webhooks/{old['id']}/secret-rotations")
    assert answer.status_code == 201, answer.text
    new = answer.json()
    assert new["secret"] != old["secret"]
    await people(1, consent=False)
    await work()
    (message,) = receiver.messages
    for secret in (old["secret"], new["secret"]):
        message.verify(secret)
    await rows("update webhook_endpoints set previous_until = now() where shop_id = $1 returning id", shop.id)
    await people(1, first=2, consent=False)
    await work()
    receiver.messages[1].verify(new["secret"])
    with pytest.raises(Exception, match="No matching signature"):
        receiver.messages[1].verify(old["secret"])


async def test_removing_cancels_what_is_owed(
    api: Api, shop: Shop, rows: Rows, work: Work, subscribe: Make, people: Make, trigger: Make, receiver: Receiver
) -> None:
    endpoint = await subscribe(receiver)
    await api.patch(f"/v1/webhooks/{endpoint['id']}", {"enabled": True})
    ids = await people(2)
    await trigger(ids)
    await rows("update webhook_endpoints set url = 'http://127.0.0.1:1/' where shop_id = $1 returning id", shop.id)
    await work()
    removed = await api.http.delete(f"/v1/webhooks/{endpoint['id']}")
    assert removed.status_code == 204
    deliveries = await rows("select * from webhook_deliveries where shop_id = $1", shop.id)
    assert {(row["state"], row["last_error"]) for row in deliveries} == {("cancelled", "endpoint_removed")}
    touches = await rows("select * from touches where shop_id = $1", shop.id)
    assert {(row["state"], row["reason"]) for row in touches} == {("failed", "endpoint_removed")}
    assert (await api.get(f"/v1/webhooks/{endpoint['id']}")).status_code == 404
    resent = await api.post(f"/v1/webhooks/deliveries/{deliveries[0]['id']}/resends")
    assert (resent.status_code, resent.json()["code"]) == (409, "not_resendable")


async def test_scopes_and_other_shops(
    api: Api,
    make_api: MakeApi,
    shop: Shop,
    other_shop: Shop,
    work: Work,
    subscribe: Make,
    people: Make,
    receiver: Receiver,
) -> None:
    endpoint = await subscribe(receiver, "customer.created")
    await people(1, consent=False)
    await work()
    path = f"/v1/webhooks/{endpoint['id']}"
    (delivery,) = (await api.get(f"{path}/deliveries")).json()["items"]
    calls = [
        ("GET", path, None),
        ("PATCH", path, {"enabled": True}),
        ("POST", f"{path}/secret-rotations", None),
        ("GET", f"{path}/deliveries", None),
        ("GET", f"/v1/webhooks/deliveries/{delivery['id']}", None),
        ("POST", f"/v1/webhooks/deliveries/{delivery['id']}/resends", None),
        ("DELETE", path, None),
    ]
    stranger = await make_api(other_shop)
    clerk = await make_api(shop, "customers:read,triggers")
    for method, where, body in calls:
        assert (await stranger.http.request(method, where, json=body)).status_code == 404, (method, where)
        assert (await clerk.http.request(method, where, json=body)).status_code == 403, (method, where)
    assert (await stranger.get("/v1/webhooks")).json()["items"] == []
    for method, where, body in calls:
        assert (await api.http.request(method, where, json=body)).is_success, (method, where)

"""What is taken, what is refused, and what is kept of either."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from app.access.shops import Shop
from app.core.config import Settings
from tests.conftest import Api, MakeApi, Rows
from tests.push.conftest import MakeSender
from tests.push.sender import NOT_TAKEN, TAKEN, Sender, customer, md5

Work = Callable[[], Awaitable[None]]
Kept = Callable[[], Awaitable[list[dict[str, Any]]]]
EVENT = ("SCRM_CUSTOMER_EVENT", "8801")


async def test_a_signed_message_is_kept_sealed_and_acknowledged(
    sender: Sender, api: Api, shop: Shop, rows: Rows, kept: Kept
) -> None:
    told = await sender.push(*EVENT, customer(), status="CUSTOMER_CREATED", version=1_893_456_000)
    (row,) = await kept()
    assert (row["msg_id"], row["type"], row["status"], row["state"]) == (
        told["msg_id"],
        "SCRM_CUSTOMER_EVENT",
        "CUSTOMER_CREATED",
        "pending",
    )
    assert row["version"] == 1_893_456_000_000, "seconds are kept as milliseconds"
    stored = repr(row)
    for secret in ("13800000001", "%2213800000001", "8801", "1990"):
        assert secret not in stored
    assert json.loads(shop.keys.open("push_messages.body", row["body"])) == told
    (visit,) = await rows("select * from access_log where shop_id = $1 and call like '%youzan/push%'", shop.id)
    assert (visit["actor"], visit["action"], visit["result"], visit["purpose"]) == (
        sender.client_id,
        "change",
        "ok",
        "push",
    )
    (source,) = await rows("select * from push_sources where shop_id = $1", shop.id)
    assert sender.secret.encode() not in source["secret"]
    seen = (await api.get("/v1/push-sources")).json()["items"]
    assert [(item["client_id"], item["enabled"], item["path"]) for item in seen] == [
        (sender.client_id, True, f"/youzan/push/{shop.id}")
    ]
    assert "secret" not in seen[0]


async def test_what_is_not_genuine_is_refused_in_one_way_and_leaves_nothing(
    sender: Sender, api: Api, shop: Shop, other_shop: Shop, rows: Rows, kept: Kept
) -> None:
    told = sender.body(*EVENT, customer(), status="CUSTOMER_UPDATED")
    stranger = Sender(sender.http, shop.id, secret="guessed")
    answers = [
        await stranger.send(stranger.body(*EVENT, customer())),
        await stranger.send(told),  # the inside is right
        await sender.send(stranger.body(*EVENT, customer())),  # the outside is right
        await sender.send(told, event_sign=""),
        await sender.send(told, event_sign="é" * 16),
        await sender.send({name: value for name, value in told.items() if name != "sign"}),
        await sender.send(told | {"sign": 5}),
        await sender.send(told, event_sign=md5(sender.client_id + json.dumps(told) + sender.secret)),
        await sender.send(told, to=other_shop.id),  # has no source
        await sender.send(told, to=999_999_999),  # is no shop
        await sender.send(told, to="x"),
        await sender.send(told, to="9" * 30),
        await sender.http.get(f"/youzan/push/{shop.id}"),
        await sender.http.post(f"/youzan/push/{shop.id}", content=b"[]"),
        await sender.http.post(f"/youzan/push/{shop.id}", content=b'{"msg":"\xff"}'),
        await sender.http.post(f"/youzan/push/{shop.id}"),
    ]
    assert {(answer.status_code, answer.content, answer.headers["content-type"]) for answer in answers} == {
        (401, b'{"code":1,"msg":"failed"}', "application/json")
    }
    assert await kept() == []
    assert await rows("select * from push_messages where shop_id = $1", other_shop.id) == []
    assert await rows("select * from access_log where shop_id = $1 and call like '%push/{shop}%'", shop.id) == []
    # the same message, told right, is taken: nothing above was remembered
    assert (await sender.send(told)).json() == TAKEN


async def test_a_source_that_is_disabled_replaced_or_removed_is_a_stranger(
    sender: Sender, api: Api, shop: Shop, kept: Kept
) -> None:
    known = {"client_id": sender.client_id, "client_secret": sender.secret}
    for change in (known | {"enabled": False}, known | {"client_secret": "another"}, known | {"client_id": "other"}):
        assert (await api.post("/v1/push-sources", change)).status_code == 201
        assert (await sender.send(sender.body(*EVENT, customer()))).json() == NOT_TAKEN
    assert (await api.http.delete(f"/v1/push-sources/{sender.client_id}")).status_code == 404
    await api.post("/v1/push-sources", known)
    await sender.push(*EVENT, customer())
    assert (await api.http.delete(f"/v1/push-sources/{sender.client_id}")).status_code == 204
    assert (await sender.send(sender.body(*EVENT, customer()))).json() == NOT_TAKEN
    assert (await api.get("/v1/push-sources")).json() == {"items": [], "next_cursor": None}
    assert len(await kept()) == 1, "what was taken stays"


async def test_a_heartbeat_needs_no_signature_and_leaves_nothing(sender: Sender, shop: Shop, kept: Kept) -> None:
    for to in (shop.id, 999_999_999):
        answer = await sender.send(sender.body(*EVENT, customer(), test=True), to=to, event_sign="none")
        assert (answer.status_code, answer.json()) == (200, TAKEN)
    assert await kept() == []


async def test_messages_without_a_text_inside_are_covered_by_the_header(sender: Sender, kept: Kept) -> None:
    await sender.push("youzan_trade_RefundCreated", "R-1", {"tid": "E1", "refunded_fee": "1.00"})
    await sender.push("OPEN_PUSH_SCRM_CUSTOMER_AUTH_MOBILE", "", None, mobile="13800000001", yz_open_id="AbC-1")
    assert len(await kept()) == 2


async def test_either_case_of_a_signature_is_read(sender: Sender) -> None:
    told = sender.body(*EVENT, customer())
    told["sign"] = told["sign"].upper()
    raw = json.dumps(told, ensure_ascii=False, separators=(",", ":"))
    answer = await sender.send(told, event_sign=f" {md5(sender.client_id + raw + sender.secret).upper()} ")
    assert answer.json() == TAKEN


async def test_one_message_a_hundred_times_at_once_is_one_row_and_one_effect(
    sender: Sender, shop: Shop, rows: Rows, work: Work, kept: Kept
) -> None:
    told = sender.body(*EVENT, customer(), status="CUSTOMER_CREATED")
    answers = await asyncio.gather(*(sender.send(told | {"sendCount": turn}) for turn in range(100)))
    assert {answer.text for answer in answers} == {'{"code":0,"msg":"success"}'}
    assert len(await kept()) == 1
    await work()
    await sender.send(told)
    await work()
    assert [row["state"] for row in await kept()] == ["applied"]
    assert len(await rows("select 1 from customers where shop_id = $1", shop.id)) == 1


async def test_a_message_of_another_shop_does_not_come_in_by_this_door(
    sender: Sender, make_sender: MakeSender, make_api: MakeApi, api: Api, shop: Shop, other_shop: Shop, rows: Rows
) -> None:
    """One app, one secret, two shops: what is genuine still belongs to one of them."""
    other = await make_sender(await make_api(other_shop), other_shop)
    theirs = other.body(*EVENT, customer())
    assert (await other.send(theirs, to=shop.id)).json() == NOT_TAKEN
    assert (await other.send(theirs)).json() == TAKEN
    assert await rows("select 1 from push_messages where shop_id = $1", shop.id) == []
    # a branch: told by its head office's number, or registered
    assert (await sender.send(sender.body(*EVENT, customer(), kdt_id=7_000_001))).json() == NOT_TAKEN
    assert (await sender.send(sender.body(*EVENT, customer(), kdt_id=7_000_001, root_kdt_id=shop.id))).json() == TAKEN
    await api.http.put("/v1/stores/7000001", json={"name": "A branch"})
    assert (await sender.send(sender.body(*EVENT, customer(), kdt_id=7_000_001))).json() == TAKEN
    # and nobody sees or replays the other shop's messages
    (message,) = await rows("select id from push_messages where shop_id = $1", other_shop.id)
    assert (await api.post(f"/v1/push-messages/{message['id']}/replay")).status_code == 404
    assert str(message["id"]) not in (await api.get("/v1/push-messages")).text


async def test_a_body_over_the_limit_is_not_acknowledged(sender: Sender, settings: Settings, kept: Kept) -> None:
    answer = await sender.send(sender.body(*EVENT, customer(name="x" * settings.body_limit_bytes)))
    assert (answer.status_code, answer.json()) == (413, NOT_TAKEN)
    assert await kept() == []


async def test_a_long_order_is_taken_whole(sender: Sender, shop: Shop, kept: Kept) -> None:
    """An encoded message is one text, far longer than texts elsewhere may be."""
    told = await sender.push("trade_TradePaid", "E1", {"tid": "E1", "note": "长" * 100_000})
    (row,) = await kept()
    assert json.loads(shop.keys.open("push_messages.body", row["body"])) == told


async def test_only_the_webhooks_scope_manages_sources_and_messages(make_api: MakeApi, shop: Shop) -> None:
    api = await make_api(shop, "customers:read orders:write admin pii:read")
    assert (await api.get("/v1/push-sources")).status_code == 403
    assert (await api.post("/v1/push-sources", {"client_id": "a", "client_secret": "b"})).status_code == 403
    assert (await api.get("/v1/push-messages")).status_code == 403


async def test_whoever_names_a_source_may_write_what_it_can_sign(make_api: MakeApi, shop: Shop) -> None:
    source = {"client_id": "a", "client_secret": "b"}
    for scopes in ("webhooks", "webhooks customers:write", "webhooks orders:write"):
        assert (await (await make_api(shop, scopes)).post("/v1/push-sources", source)).status_code == 403
    writer = await make_api(shop, "webhooks customers:write orders:write")
    assert (await writer.post("/v1/push-sources", source)).status_code == 201
    assert (await (await make_api(shop, "webhooks")).get("/v1/push-sources")).status_code == 200


async def test_what_cannot_be_committed_is_not_acknowledged(sender: Sender, rows: Rows, kept: Kept) -> None:
    """The insert succeeds and the commit does not."""
    await rows("create function refuse() returns trigger language plpgsql as $$ begin raise 'no'; end $$")
    await rows(
        "create constraint trigger refusing after insert on push_messages deferrable initially deferred "
        "for each row execute function refuse()"
    )
    told = sender.body(*EVENT, customer())
    try:
        answer = await sender.send(told)
        assert (answer.status_code, answer.json()) == (500, NOT_TAKEN)
        assert await kept() == []
    finally:
        await rows("drop function refuse cascade")
    assert (await sender.send(told)).json() == TAKEN

"""A day in the life of a shop, with everything in it planted: none of it is found in the logs or in /metrics."""

import asyncio
import io
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from hashlib import md5
from ipaddress import ip_network
from typing import Any
from urllib.parse import quote

import orjson
import pytest
import structlog

from app.access import credentials
from app.access.entry import Entry
from app.access.shops import Shop
from app.core.logging import configure
from app.webhooks.lanes import Deliverer
from tests.conftest import Api, Rows
from tests.hostile.shops import token_of, unlimited
from tests.hostile.wire import JSON, RawClient
from tests.webhooks.receiver import Answer, receiving

Work = Callable[[], Awaitable[None]]

# Nowhere else in the house: found means leaked.
PLANTED = {
    "name": "诸葛独一",
    "latin": "Zerlina Quixworth",
    "mobile": "13787654321",
    "other_mobile": "13787654322",
    "email": "zerlina.q@planted.example",
    "address": "桃花源路七百七十七号",
    "remark": "喜欢夜来香第九款",
    "wei_xin": "wx_planted_777",
    "card_no": "CARD-PLANTED-42",
    "external_id": "ERP-PLANTED-42",
    "birthday": "1977-07-17",
    "area_code": "310777",
    "variable": "planted-coupon-XYZZY",
    "url_token": "planted-url-token-9",
    "source": "planted consent source",
    "header": "planted-header-value",
    "nonsense": "planted-nonsense-body",
    "push_secret": "planted-push-secret",
}


@contextmanager
def logged(level: str) -> Iterator[io.BytesIO]:
    """What the service writes to its log meanwhile, as it writes it in production."""
    stream, before = io.BytesIO(), sys.stderr
    sys.stderr = wrapper = io.TextIOWrapper(stream, write_through=True)
    try:
        configure(level, as_json=True)
        yield stream
    finally:
        sys.stderr = before
        configure("INFO", as_json=True)
        wrapper.detach()  # else the stream closes with it


@asynccontextmanager
async def broken(rows: Rows, *statements: tuple[str, str]) -> Any:
    """A database that refuses what the code takes to be fine, so that its errors speak of values."""
    try:
        for make, _ in statements:
            await rows(make)
        yield
    finally:
        for _, undo in statements:
            await rows(undo)


BREAKS = (
    (
        "alter table customers add constraint planted check (area_code is distinct from '310777') not valid",
        "alter table customers drop constraint if exists planted",
    ),
    (
        """
        create function planted() returns trigger language plpgsql as
        $$ begin raise exception 'no such source: %', new.source; end $$
        """,
        "drop function if exists planted cascade",
    ),
    ("create trigger planted before insert on consents for each row execute function planted()", "select 1"),
)


def _person() -> dict[str, Any]:
    known = [{"kind": kind, "value": PLANTED[kind]} for kind in ("mobile", "email", "card_no", "external_id")]
    fields = {name: PLANTED[name] for name in ("name", "address", "remark", "wei_xin", "birthday")}
    return {"identities": known, **fields}


async def _customers(raw: RawClient, headers: list[Any], customer_id: int) -> None:
    """Reads, changes, refusals and conflicts about the person."""

    async def send(method: str, target: str, body: Any = None, *more: tuple[str, str]) -> int:
        content = body if isinstance(body, bytes) else None if body is None else orjson.dumps(body)
        return (await raw.send(method, target, [*headers, *more], content)).status

    assert await send("GET", f"/v1/customers/{customer_id}") == 200
    assert await send("GET", "/v1/customers?limit=10") == 200
    lookup = {"identity": {"kind": "mobile", "value": PLANTED["mobile"]}}
    assert await send("POST", "/v1/customers/lookup", lookup) == 200
    lookup["identity"]["value"] = PLANTED["other_mobile"]
    assert await send("POST", "/v1/customers/lookup", lookup) == 404
    other = {"identities": [lookup["identity"]], "name": PLANTED["latin"]}
    key = ("Idempotency-Key", f"key-{PLANTED['mobile']}")
    assert await send("POST", "/v1/customers", other, key) == 201
    assert await send("POST", "/v1/customers", other, key) == 201
    assert await send("POST", "/v1/customers", other | {"name": "x"}, key) == 422
    both = {"identities": [_person()["identities"][0], lookup["identity"]]}
    assert await send("POST", "/v1/customers", both) == 200
    assert await send("POST", f"/v1/customers/{customer_id}/identities", {"identities": [lookup["identity"]]}) == 409
    assert await send("PATCH", f"/v1/customers/{customer_id}", {"name": PLANTED["latin"]}) == 200
    event = {"event_id": "V-1", "type": "view", "occurred_at": "2026-01-02T03:04:05", **both}
    aside = event | {"properties": {PLANTED["mobile"]: PLANTED["email"], "note": PLANTED["name"]}}
    assert await send("POST", "/v1/events", aside) == 200
    assert await send("POST", "/v1/events/batch", {"events": [aside, event | {"type": PLANTED["latin"]}]}) == 200
    assert await send("GET", "/v1/events/invalid") == 200
    # What does not parse, does not validate, does not exist or stands where it does not belong.
    for body in (
        PLANTED["nonsense"].encode(),
        b'{"name":"' + PLANTED["name"].encode() + b'\xff"}',
        {"identities": [{"kind": "mobile", "value": PLANTED["mobile"] + "0000"}], "birthday": PLANTED["name"]},
        {PLANTED["mobile"]: PLANTED["name"]},
        {"identities": [{"kind": PLANTED["email"], "value": "1"}]},
    ):
        assert await send("POST", "/v1/customers", body) in (400, 422)
    wild = quote(PLANTED["name"])
    for target in (
        *(f"/v1/customers/{PLANTED['mobile']}", f"/v1/customers/{wild}", f"/v1/{PLANTED['mobile']}/{wild}", f"/{wild}"),
        *(f"/v1/customers?created_from={PLANTED['mobile']}", f"/v1/customers?cursor={PLANTED['mobile']}&name={wild}"),
        *(f"/v1/templates/{PLANTED['mobile']}", f"/v1/customers/{PLANTED['mobile']}{PLANTED['mobile']}/scores"),
    ):
        assert await send("GET", target) in (200, 404, 422)
        await send("DELETE", target)
        await send("GET", target, None, ("X-Request-Id", f"{PLANTED['header']} {PLANTED['mobile']}"))
    await raw.exchange(f"GET /{PLANTED['name']} HTTP/9\r\nX: {PLANTED['mobile']}\r\n\r\n".encode())


async def _credentials(raw: RawClient, api: Api) -> set[str]:
    """Attempts to come in with secrets that are mistyped, unknown, or in the wrong place. Returns what was used."""
    client = api.client
    wrong = [client.api_key[:-1] + "_", client.client_secret[::-1], "kehu_live_" + "p" * 38]
    for secret in wrong:
        assert (await raw.send("GET", "/v1/shop", [("Authorization", f"Bearer {secret}")])).status == 401
    assert (await raw.send("GET", f"/v1/shop?access_token={client.api_key}&key={client.client_secret}")).status == 401
    for asked in (
        {"client_id": client.client_id, "client_secret": wrong[1], "authorize_type": "silent", "grant_id": 1},
        {"client_id": client.client_secret, "client_secret": client.api_key, "authorize_type": "silent", "grant_id": 1},
        {"client_id": client.client_id, "authorize_type": "refresh_token", "refresh_token": wrong[2]},
        [client.client_secret],
    ):
        await raw.send("POST", "/auth/token", [JSON], orjson.dumps(asked))
    await raw.send("POST", f"/auth/token?client_secret={client.client_secret}", [JSON], client.client_secret.encode())
    return set(wrong)


async def _facade(raw: RawClient, token: str) -> None:
    """Calls in every form, good and bad, with the person's data in bodies and in queries."""
    mobile, name = PLANTED["mobile"], PLANTED["name"]
    account = {"account_type": "Mobile", "account_id": mobile}
    fresh = {"mobile": "13787654329", "customer_create": {"name": name, "remark": PLANTED["remark"]}}
    for api, body in (
        ("youzan.scrm.customer.create/3.0.0", fresh),
        ("youzan.scrm.customer.create/3.0.0", fresh),
        ("youzan.scrm.customer.create/3.0.0", {"mobile": mobile * 3, "customer_create": {"birthday": name}}),
        ("youzan.scrm.customer.get/3.1.0", {"account": account}),
        ("youzan.scrm.customer.update/3.0.0", {"account": account, "customer_update": {"name": name, "gender": name}}),
        ("youzan.scrm.customer.detail.get/1.0.1", {"yz_open_id": mobile, "fields": name}),
        ("youzan.scrm.customer.search/3.1.2", {"page": name}),
        ("youzan.nothing/1.0.0", {"mobile": mobile}),
    ):
        content = orjson.dumps(body)
        await raw.send("POST", f"/api/{api}?access_token={token}", [JSON], content)
        await raw.send("POST", f"/api/{api}?access_token={token[::-1]}", [JSON], content)
        await raw.send("POST", f"/api/{api}?access_token={token}", [("Content-Type", f"text/{mobile}")], content)
        await raw.send("GET", f"/api/{api}?access_token={token}&mobile={mobile}&name={quote(name)}&account={mobile}")
        await raw.send("POST", f"/api/{mobile}/{quote(name)}?access_token={token}", [JSON], content + b"x")


async def _touches(raw: RawClient, headers: list[Any], customer_id: int, url: str) -> str:
    """A subscription whose URL holds a token, a message that holds a coupon. Returns the signing secret."""
    target = f"{url}?token={PLANTED['url_token']}"
    made = await raw.send("POST", "/v1/webhooks", headers, orjson.dumps({"url": target, "kinds": ["touch.requested"]}))
    assert made.status == 201
    for refused in (f"http://{PLANTED['mobile']}@127.0.0.1/", f"ftp://x/{PLANTED['url_token']}"):
        body = orjson.dumps({"url": refused, "kinds": ["order.paid"]})
        assert (await raw.send("POST", "/v1/webhooks", headers, body)).status == 422
    said = {"customer_id": customer_id, "channel": "webhook", "state": "granted", "source": PLANTED["source"]}
    assert (await raw.send("POST", "/v1/consents", headers, orjson.dumps(said))).status == 201
    template = {"category": "marketing", "body": f"{PLANTED['latin']}: {{code}}"}
    assert (await raw.send("PUT", "/v1/templates/coupon", headers, orjson.dumps(template))).status == 200
    audience = {"customer_ids": [customer_id]}
    asked = {"template": "coupon", "variables": {"code": PLANTED["variable"]}, "audience": audience}
    key = ("Idempotency-Key", f"touch-{PLANTED['mobile']}")
    assert (await raw.send("POST", "/v1/triggers/touches", [*headers, key], orjson.dumps(asked))).status == 202
    asked["variables"] = {"code": PLANTED["variable"], PLANTED["mobile"]: "x"}
    assert (await raw.send("POST", "/v1/triggers/touches", [*headers, key], orjson.dumps(asked))).status == 422
    secret: str = made.json["secret"]
    return secret


async def _pushes(raw: RawClient, headers: list[Any], shop: Shop) -> None:
    """Messages from Youzan about the person, good and bad, in bodies that verify and in bodies that do not."""
    app, secret = "an-app", PLANTED["push_secret"]
    source = orjson.dumps({"client_id": app, "client_secret": secret})
    assert (await raw.send("POST", "/v1/push-sources", headers, source)).status == 201
    profile = {"account_id": "8801", "name": PLANTED["name"], "mobile": PLANTED["mobile"], "birthday": PLANTED["latin"]}
    buyer = {"buyer_phone": PLANTED["mobile"], "outer_user_id": PLANTED["wei_xin"]}
    told = {"tid": PLANTED["card_no"], "full_order_info": {"buyer_info": buyer, "pay_info": {"payment": "1.00"}}}
    for type_, inside in (
        ("SCRM_CUSTOMER_EVENT", profile),
        ("SCRM_CUSTOMER_CARD", {"card_no": PLANTED["card_no"], "mobile": PLANTED["other_mobile"]}),
        ("trade_TradePaid", told),
        ("trade_TradePaid", told | {"full_order_info": {"pay_info": {"payment": PLANTED["remark"]}}}),
        ("trade_TradeClose", PLANTED["nonsense"]),
        (PLANTED["latin"], profile),
    ):
        text = quote(orjson.dumps(inside))
        signed = md5(f"{app}{text}{secret}".encode(), usedforsecurity=False).hexdigest()
        body = {"type": type_, "status": "CUSTOMER_CARD_GIVEN", "id": PLANTED["mobile"], "msg": text, "sign": signed}
        for status in ("CUSTOMER_UPDATED", "CUSTOMER_CARD_GIVEN"):
            content = orjson.dumps(body | {"status": status, "msg_id": f"{status} {len(text)} {type_[:4]}"})
            sign = md5(app.encode() + content + secret.encode(), usedforsecurity=False).hexdigest()
            for given in (sign, sign[::-1]):
                sent = await raw.send("POST", f"/youzan/push/{shop.id}", [JSON, ("Event-Sign", given)], content)
                assert sent.status == (200 if given == sign else 401)
    await raw.send("POST", f"/youzan/push/{PLANTED['mobile']}", [JSON, ("Event-Sign", PLANTED["header"])], content)


async def _incidents(raw: RawClient, headers: list[Any], customer_id: int, token: str) -> None:
    """Errors that nobody foresaw, with the person's data in what the database says of them."""
    bad = {"identities": [{"kind": "card_no", "value": "K-2"}], **{n: PLANTED[n] for n in ("birthday", "area_code")}}
    said = {"customer_id": customer_id, "channel": "sms", "state": "granted", "source": PLANTED["source"]}
    for target, body in (("/v1/customers", bad), ("/v1/customers/batch", {"customers": [bad]}), ("/v1/consents", said)):
        assert (await raw.send("POST", target, headers, orjson.dumps(body))).status == 500
    update = {
        "account": {"account_type": "Mobile", "account_id": PLANTED["mobile"]},
        "customer_update": {"contact_address": {"area_code": 310777, "address": PLANTED["address"]}},
    }
    target = f"/api/youzan.scrm.customer.update/3.0.0?access_token={token}"
    assert b"5001" in (await raw.send("POST", target, [JSON], orjson.dumps(update))).body


@pytest.mark.parametrize("level", ["INFO", "DEBUG"])
async def test_nothing_planted_is_logged(
    api: Api, address: str, raw: RawClient, rows: Rows, shop: Shop, entry: Entry, work: Work, level: str
) -> None:
    await unlimited(api)
    headers: list[Any] = [("Authorization", f"Bearer {api.client.api_key}"), JSON, ("User-Agent", PLANTED["header"])]
    with logged(level) as stream:
        token = await token_of(shop, api)
        made = await raw.send("POST", "/v1/customers", headers, orjson.dumps(_person()))
        customer_id = made.json["id"]
        await _customers(raw, headers, customer_id)
        used = await _credentials(raw, api)
        await _facade(raw, token)
        await _pushes(raw, headers, shop)
        async with receiving() as receiver:
            secret = await _touches(raw, headers, customer_id, receiver.url)
            receiver.answer = lambda _: Answer(500, {"X-Said": PLANTED["variable"]})
            await work()
            assert PLANTED["variable"] in receiver.messages[0].body.decode()
        deliverer = Deliverer(entry, allow_networks=[ip_network("127.0.0.0/8")], timeout_seconds=1, lease_seconds=5)
        await rows("update webhook_deliveries set due_at = now() where shop_id = $1 returning 1", shop.id)
        await deliverer.step(shop.id)  # and once more, with nobody there
        await deliverer.settle(shop.id)
        await deliverer.close()
        async with broken(rows, *BREAKS):
            await _incidents(raw, headers, customer_id, token)
        async with entry.shop(shop.id) as (db, of):
            await credentials.rotate_client(db, of, entry.root, api.client.client_id)
        assert (await raw.send("GET", "/v1/shop", headers)).status == 401
        structlog.get_logger("test").info("the_end")
        await asyncio.sleep(0)
    text = stream.getvalue().decode()
    assert "the_end" in text
    assert text.count("request_failed") >= 3
    assert text.count("facade_failed") >= 1
    lines = [orjson.loads(line) for line in text.splitlines()]
    assert len({line["event"] for line in lines}) >= 6
    metrics = (await raw.send("GET", "/metrics")).body.decode()
    secrets = {token, secret, secret[6:], *used, *(getattr(api.client, name) for name in ("api_key", "client_secret"))}
    for place, said in (("log", text), ("metrics", metrics)):
        for spelling in _spellings(secrets | set(PLANTED.values())):
            at = said.find(spelling)
            assert at < 0, f"{spelling!r} in the {place}: …{said[max(0, at - 600) : at + 200]}"


def _spellings(values: set[str]) -> set[str]:
    """Each value as it is, escaped, percent-encoded, and as bytes are shown."""
    found = set()
    for value in values:
        found |= {value, quote(value), orjson.dumps(value).decode()[1:-1]}
        found |= {ascii(value)[1:-1], repr(value.encode())[2:-1]}
        found.add(value[1:] if value.startswith("1378765") else value)  # with a country code in front
    return found | {"1977, 7, 17"}  # the birthday as Python shows a date

"""Contract 1.1 E, F and G, 1.6, 2.4, 3.4: clients of 2016 to 2019, byte for byte where a client was recorded."""

import json
from datetime import timedelta
from hashlib import md5
from typing import Any

import httpx
import pytest

from app.access import credentials, repository
from app.access.entry import Entry
from app.access.settings import LimitSettings, ShopSettings
from app.access.shops import Shop
from app.core import clock
from app.youzan.parameters import CHINA
from tests.conftest import Api, Rows
from tests.youzan.conftest import Facade, Json

CREATE = "/api/oauthentry/youzan.scrm.customer/3.0.0/create"
UPDATE = "/api/oauthentry/youzan.scrm.customer/3.0.0/update"
GET = "/api/oauthentry/youzan.scrm.customer/3.1.0/get"
SEARCH = "/api/oauthentry/youzan.scrm.customer/3.1.2/search"
DETAIL = "/api/oauthentry/youzan.scrm.customer.detail/1.0.1/get"
SIGNED = "/api/entry/youzan.scrm.customer/3.0.0/create"
JAVA = {"content-type": "application/x-www-form-urlencoded; charset=ISO-8859-1", "content-encoding": "utf-8"}
PROFILE = json.dumps({"name": "李 小花", "gender": 2}, ensure_ascii=False)


def legacy(answer: httpx.Response) -> Any:
    """The payload of an answer in the legacy envelope; its error object, whose two texts agree, when it is one."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    body: Json = answer.json()
    assert len(body) == 1, body
    if "response" in body:
        return body["response"]
    error = body["error_response"]
    assert set(error) == {"code", "msg", "message"}
    assert error["msg"] == error["message"] != ""
    return error


async def post(facade: Facade, path: str, **form: Any) -> Any:
    """As the Java and PHP clients post: all of it in the form, the token too."""
    return legacy(await facade.api.http.post(path, data={"access_token": facade.token} | form, headers=JAVA))


async def test_e_the_java_client_creates_updates_and_reads(facade: Facade, rows: Rows) -> None:
    made = await post(facade, CREATE, mobile="13800000000", customer_create=PROFILE)
    assert made["account_type"] == "YouZanAccount"
    account = json.dumps({"account_type": "Mobile", "account_id": "13800000000"})
    change = json.dumps({"remark": "老客户"}, ensure_ascii=False)
    assert await post(facade, UPDATE, account=account, customer_update=change) is True
    found = await post(facade, GET, account=account)
    assert (found["name"], found["remark"], found["gender"]) == ("李 小花", "老客户", 2)
    # Some of its calls are GETs with everything in the query.
    asked = {"access_token": facade.token, "yz_open_id": made["yz_open_id"], "fields": "user_base"}
    assert legacy(await facade.api.http.get(DETAIL, params=asked))["name"] == "李 小花"
    (row,) = await rows("select id from customers where shop_id = $1", facade.shop.id)
    assert made["account_id"] == str(row["id"])


async def test_e_the_php_client_says_the_method_too(facade: Facade) -> None:
    made = await post(facade, CREATE, method="youzan.scrm.customer.create", mobile="13800000001", customer_create="{}")
    assert made["account_id"].isdigit()
    query = {"access_token": facade.token, "method": "youzan.scrm.customer.search", "page": "1", "page_size": "5"}
    assert legacy(await facade.api.http.get(SEARCH, params=query))["total"] == 1


async def test_e_the_node_client_keeps_the_token_in_the_query(facade: Facade) -> None:
    token = {"access_token": facade.token}
    made = legacy(await facade.api.http.post(CREATE, params=token, data={"mobile": "13800000002"}))
    assert made["account_id"].isdigit()
    nested = {"account[account_id]": "13800000002", "account[account_type]": "Mobile"}
    assert legacy(await facade.api.http.get(GET, params=token | nested))["mobile"] == "13800000002"
    multipart = {"mobile": (None, "13800000003"), "access_token": (None, facade.token)}
    assert legacy(await facade.api.http.post(CREATE, files=multipart))["account_id"].isdigit()
    as_json = {"mobile": "13800000004", "access_token": facade.token}
    assert legacy(await facade.api.http.post(CREATE, json=as_json))["account_id"].isdigit()


async def test_e_refusals_wear_the_legacy_envelope(facade: Facade, rows: Rows) -> None:
    await post(facade, CREATE, mobile="13800000000")
    refusals = {
        143001027: await post(facade, CREATE, mobile="13800000000"),
        141500101: await post(facade, CREATE, mobile="123"),
        41000: await post(facade, CREATE, mobile="13800000005", customer_create="[1]"),
        40006: await post(facade, "/api/oauthentry/youzan.scrm.customer/9.9.9/create"),
        40010: await post(facade, CREATE, access_token="nobody's", mobile="13800000006"),
        40007: legacy(await facade.api.http.put(CREATE, params={"access_token": facade.token})),
    }
    assert {expected: error["code"] for expected, error in refusals.items()} == {code: code for code in refusals}
    for path in ("/api/oauthentry", "/api/oauthentry/", "/api/oauthentry/a/1", "/api/oauthentry/a/1/b/c", "/api/entry"):
        assert legacy(await facade.api.http.get(path))["code"] == 40006
    assert legacy(await facade.api.http.post(CREATE, data={"mobile": "13800000007"}))["code"] == 40010
    assert len(await rows("select id from customers where shop_id = $1", facade.shop.id)) == 1


async def test_e_a_scope_that_is_missing(make_facade: Any, shop: Shop) -> None:
    reader = await make_facade(shop, "customers:read")
    assert (await post(reader, CREATE, mobile="13800000000"))["code"] == 4204


def signed(facade: Facade, secret: str | None = None, **parameters: str) -> dict[str, str]:
    """Parameters as the contract says that they are signed (1.6), written here once more."""
    now = clock.now().astimezone(CHINA).strftime("%Y-%m-%d %H:%M:%S")
    given = {
        "app_id": facade.api.client.client_id,
        "method": "youzan.scrm.customer.create",
        "timestamp": now,
        "format": "json",
        "v": "1.0",
        "sign_method": "md5",
    } | parameters
    given = {name: value for name, value in given.items() if value != "-"}
    secret = secret or facade.api.client.client_secret
    text = secret + "".join(name + given[name] for name in sorted(given)) + secret
    return given | {"sign": md5(text.encode(), usedforsecurity=False).hexdigest()}


async def test_f_a_signature_opens_the_door(facade: Facade, rows: Rows) -> None:
    form = signed(facade, mobile="13800000000", customer_create=PROFILE)
    assert legacy(await facade.api.http.post(SIGNED, data=form, headers=JAVA))["account_id"].isdigit()
    without_method = signed(facade, method="-", mobile="13800000001")  # the Node client omits it
    assert legacy(await facade.api.http.get(SIGNED, params=without_method))["account_id"].isdigit()
    seen = await rows(
        "select actor, result from access_log where shop_id = $1 and call like '%create%'", facade.shop.id
    )
    assert [dict(row) for row in seen] == [{"actor": facade.api.client.client_id, "result": "ok"}] * 2


async def test_f_every_way_to_get_it_wrong(facade: Facade, rows: Rows) -> None:
    def at(**ago: float) -> str:
        return (clock.now() - timedelta(**ago)).astimezone(CHINA).strftime("%Y-%m-%d %H:%M:%S")

    good = signed(facade, mobile="13800000000")
    wrong: list[tuple[int, dict[str, str]]] = [
        (40001, {name: value for name, value in good.items() if name != "app_id"}),
        (40002, signed(facade, app_id="nobody", mobile="13800000000")),
        (40003, signed(facade, timestamp=at(seconds=660), mobile="13800000000")),
        (40003, signed(facade, timestamp=at(seconds=-660), mobile="13800000000")),
        (40003, signed(facade, timestamp="yesterday", mobile="13800000000")),
        (40003, signed(facade, timestamp="-", mobile="13800000000")),
        (40004, {name: value for name, value in good.items() if name != "sign"}),
        (40005, good | {"mobile": "13800000001"}),
        (40005, good | {"extra": "1"}),
        (40005, good | {"sign": "0" * 32}),
        (40005, signed(facade, secret="another", mobile="13800000000")),
        (40005, good | {"sign": "签"}),
        (40006, signed(facade, method="youzan.scrm.customer.update", mobile="13800000000")),
    ]
    for code, form in wrong:
        assert legacy(await facade.api.http.post(SIGNED, data=form))["code"] == code, form
    edge = signed(facade, timestamp=at(seconds=590), mobile="13800000000")
    assert legacy(await facade.api.http.post(SIGNED, data=edge))["account_id"].isdigit()
    (row,) = await rows("select count(*) as made from customers where shop_id = $1", facade.shop.id)
    assert row["made"] == 1
    refused = await rows("select result from access_log where shop_id = $1 and action = 'refused'", facade.shop.id)
    assert {row["result"] for row in refused} == {"signature_wrong"}


async def test_f_nothing_unsigned_is_read_beside_what_is_signed(facade: Facade, rows: Rows) -> None:
    seen = signed(facade, method="-", mobile="13800000000")
    answer = await facade.api.http.post(SIGNED, params=seen, json={"mobile": "13800000009"})
    assert legacy(answer)["code"] == 40007
    listed = signed(facade, method="-", mobile="13800000000", **{"tag_ids[]": "1"})
    added = httpx.QueryParams([("tag_ids[]", "2"), *listed.items()])
    assert legacy(await facade.api.http.get(SIGNED, params=added))["code"] == 41000
    assert await rows("select id from customers where shop_id = $1", facade.shop.id) == []
    # A POST whose parameters all stand in the query has no body to sign.
    assert legacy(await facade.api.http.post(SIGNED, params=seen))["account_id"].isdigit()


async def test_f_whoever_cannot_sign_spends_nothing_of_the_client_s_limit(facade: Facade, entry: Entry) -> None:
    limits = ShopSettings(limits=LimitSettings(writes_per_second=1, batches_per_second=10)).model_dump(mode="json")
    async with entry.shop(facade.shop.id) as (db, _):
        await db.execute(repository.SET_SETTINGS, shop=facade.shop.id, settings=limits)
    entry.shops.forget(facade.shop.id)
    forged = signed(facade, secret="another", mobile="13800000000")
    codes = [legacy(await facade.api.http.post(SIGNED, data=forged))["code"] for _ in range(60)]
    assert set(codes) == {40005, 4101}
    assert "account_id" in legacy(await facade.api.http.post(SIGNED, data=signed(facade, mobile="13800000000")))
    codes = [legacy(await facade.api.http.post(SIGNED, data=signed(facade, mobile="1"))).get("code") for _ in range(5)]
    assert 4101 in codes, "whoever can sign is limited too"


async def test_f_a_token_is_no_signature_and_a_client_id_no_token(facade: Facade) -> None:
    assert legacy(await facade.api.http.get(SIGNED, params={"access_token": facade.token}))["code"] == 40001
    name = facade.api.client.client_id
    assert legacy(await facade.api.http.get(CREATE, params={"access_token": name}))["code"] == 40010
    as_token = signed(facade, app_id=facade.token, mobile="13800000000")
    assert legacy(await facade.api.http.post(SIGNED, data=as_token))["code"] == 40002


async def test_f_a_revoked_client_is_out_at_once(facade: Facade, entry: Entry) -> None:
    assert "account_id" in legacy(await facade.api.http.post(SIGNED, data=signed(facade, mobile="13800000000")))
    async with entry.shop(facade.shop.id) as (db, shop):
        await credentials.revoke_client(db, shop, facade.api.client.client_id)
    assert legacy(await facade.api.http.post(SIGNED, data=signed(facade, mobile="13800000001")))["code"] == 40010


async def old_token(api: Api, **form: Any) -> Json:
    """POST /oauth/token, as a form."""
    asked = {"client_id": api.client.client_id, "client_secret": api.client.client_secret} | form
    answer = await api.http.post("/oauth/token", data=asked, headers=JAVA)
    assert answer.status_code == 200
    body: Json = answer.json()
    return body


async def test_g_the_old_exchange_is_flat_and_its_token_works_on_both_hosts(api: Api, shop: Shop) -> None:
    body = await old_token(api, grant_type="silent", kdt_id=shop.id)
    assert set(body) == {"access_token", "expires_in", "scope", "token_type", "refresh_token"}
    assert 0 <= 7 * 86400 - body["expires_in"] < 60
    token = body["access_token"]
    old = await api.http.get(SEARCH, params={"access_token": token})
    assert legacy(old)["total"] == 0
    new = await api.http.post("/api/youzan.scrm.customer.search/3.1.2", params={"access_token": token}, json={})
    assert new.json()["success"]
    refreshed = await old_token(api, grant_type="refresh_token", refresh_token=body["refresh_token"])
    assert refreshed["access_token"] != token
    platform = await old_token(api, grant_type="authorize_platform", kdt_id=shop.id)
    assert platform["access_token"] == refreshed["access_token"]
    as_json = await api.http.post(
        "/oauth/token",
        json={
            "client_id": api.client.client_id,
            "client_secret": api.client.client_secret,
            "grant_type": "silent",
            "kdt_id": shop.id,
        },
    )
    assert as_json.json()["access_token"] == refreshed["access_token"]


@pytest.mark.parametrize(
    "form",
    [
        {"grant_type": "silent", "kdt_id": "1"},
        {"grant_type": "silent", "kdt_id": "shop", "client_secret": "wrong"},
        {"grant_type": "silent", "kdt_id": "shop", "client_id": "nobody"},
        {"grant_type": "password"},
        {},
        {"grant_type": "authorization_code", "code": "unknown"},
        {"grant_type": "refresh_token", "refresh_token": "unknown"},
    ],
)
async def test_g_refusals_are_flat_and_never_say_access_token(api: Api, shop: Shop, form: Json) -> None:
    body = await old_token(api, **{name: shop.id if value == "shop" else value for name, value in form.items()})
    assert set(body) == {"error", "error_description"}
    assert body["error_description"]
    assert "access_token" not in json.dumps(body)


async def test_3_1_a_code_is_exchanged_once_by_its_own_client(
    api: Api, shop: Shop, entry: Entry, make_api: Any
) -> None:
    other: Api = await make_api(shop)

    async def code() -> str:
        async with entry.shop(shop.id) as (db, of):
            return await credentials.authorise(db, of, entry.root, api.client.client_id)

    async def exchange(who: Api, code: str) -> Json:
        body = {
            "authorize_type": "authorization_code",
            "client_id": who.client.client_id,
            "client_secret": who.client.client_secret,
            "code": code,
            "redirect_uri": "http://ignored",
        }
        answer: Json = (await who.post("/auth/token", body)).json()
        return answer

    given = await code()
    assert (await exchange(other, given))["code"] == 1103
    taken = await exchange(api, given)
    assert taken["data"]["access_token"]
    assert (await exchange(api, given))["code"] == 1005
    assert (await exchange(api, "unknown"))["code"] == 1005
    assert "access_token" in await old_token(api, grant_type="authorization_code", code=await code())


async def test_3_1_a_code_lives_two_minutes(api: Api, shop: Shop, entry: Entry, rows: Rows) -> None:
    async with entry.shop(shop.id) as (db, of):
        code = await credentials.authorise(db, of, entry.root, api.client.client_id)
    (row,) = await rows(
        "select expires_at - created_at as life from credentials where kind = 'code' and shop_id = $1", shop.id
    )
    assert row["life"] == timedelta(minutes=2)
    await rows("update credentials set expires_at = now() where kind = 'code' and shop_id = $1", shop.id)
    assert (await old_token(api, grant_type="authorization_code", code=code))["error"] == 1005


async def test_3_1_certificate_answers_the_current_token(api: Api, shop: Shop) -> None:
    body = {
        "authorize_type": "certificate",
        "client_id": api.client.client_id,
        "client_secret": api.client.client_secret,
        "grant_id": shop.id,
    }
    first = (await api.post("/auth/token", body)).json()["data"]["access_token"]
    assert (await api.post("/auth/token", body)).json()["data"]["access_token"] == first
    assert (await api.post("/auth/token", body | {"grant_id": 7})).json()["code"] == 1103

"""Contract 3: the token endpoint."""

import time
from typing import Any

import httpx
import pytest

from app.access.shops import Shop
from tests.conftest import Api, MakeApi, Rows
from tests.youzan.conftest import SEARCH, Json, code_of, envelope


def request(api: Api, shop: Shop, **changes: Any) -> Json:
    """A silent request."""
    body = {
        "client_id": api.client.client_id,
        "client_secret": api.client.client_secret,
        "authorize_type": "silent",
        "grant_id": str(shop.id),
        "refresh": False,
    }
    return {name: value for name, value in (body | changes).items() if value is not None}


def answer_of(answer: httpx.Response) -> Json:
    """The body, once it is the token envelope over HTTP 200."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    body: Json = answer.json()
    assert set(body) == {"success", "code", "data", "message"}
    assert body["success"] is (body["code"] == 200)
    assert (body["data"] is None) is not body["success"]
    return body


async def exchange(api: Api, body: Json) -> Json:
    """POST /auth/token."""
    return answer_of(await api.post("/auth/token", body))


async def test_3_2_a_silent_token_opens_the_door(api: Api, shop: Shop) -> None:
    body = await exchange(api, request(api, shop))
    assert body["message"] is None
    data = body["data"]
    assert set(data) == {"access_token", "expires", "scope", "authority_id", "refresh_token"}
    assert data["authority_id"] == str(shop.id)
    assert abs(data["expires"] - (time.time() + 7 * 86400) * 1000) < 60_000
    assert "customers:read" in data["scope"].split()
    called = await api.post(f"/api/{SEARCH}?access_token={data['access_token']}", {})
    assert code_of(envelope(called)) == 200


@pytest.mark.parametrize("as_number", [False, True])
async def test_3_1_grant_id_as_text_or_number(api: Api, shop: Shop, as_number: bool) -> None:
    body = request(api, shop, grant_id=shop.id if as_number else str(shop.id))
    assert (await exchange(api, body))["success"]


async def test_3_1_the_node_sdk_leaks_its_host_and_charset(api: Api, shop: Shop) -> None:
    import orjson

    content = orjson.dumps(request(api, shop, host="open.youzanyun.com", redirect_uri="http://x"))
    answer = await api.http.post(
        "/auth/token", content=content, headers={"content-type": "application/json;charset=UTF-8"}
    )
    assert answer_of(answer)["success"]


@pytest.mark.parametrize(
    ("refresh", "same"), [(False, True), ("false", True), (None, True), (True, False), ("true", False)]
)
async def test_3_1_refresh_keeps_or_renews(api: Api, shop: Shop, refresh: Any, same: bool) -> None:
    first = (await exchange(api, request(api, shop)))["data"]
    second = (await exchange(api, request(api, shop, refresh=refresh)))["data"]
    assert (first["access_token"] == second["access_token"]) is same
    for token in (first["access_token"], second["access_token"]):  # the old one lives an hour longer
        assert code_of(envelope(await api.post(f"/api/{SEARCH}?access_token={token}", {}))) == 200


async def test_3_1_the_newest_token_is_answered_to_its_last_minute(api: Api, shop: Shop, rows: Rows) -> None:
    await exchange(api, request(api, shop))
    newest = (await exchange(api, request(api, shop, refresh=True)))["data"]["access_token"]
    soon = "expires_at = now() + interval '1 minute' where shop_id = $1 and kind = 'token'"
    await rows(f"update credentials set {soon} and expires_at > now() + interval '2 hours' returning 1", shop.id)  # noqa: S608
    assert (await exchange(api, request(api, shop)))["data"]["access_token"] == newest


async def test_3_1_refresh_token(api: Api, shop: Shop) -> None:
    first = (await exchange(api, request(api, shop)))["data"]
    renewal = request(
        api, shop, authorize_type="refresh_token", refresh_token=first["refresh_token"], grant_id=None, refresh=None
    )
    second = (await exchange(api, renewal))["data"]
    assert second["access_token"] != first["access_token"]
    assert second["authority_id"] == str(shop.id)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"client_secret": "wrong"}, 1000),
        ({"client_secret": None}, 1000),
        ({"client_id": "nobody"}, 1103),
        ({"client_id": None}, 1103),
        ({"grant_id": "1"}, 1103),
        ({"grant_id": None}, 1103),
        ({"authorize_type": "password"}, 1105),
        ({"authorize_type": "authorization_code"}, 1005),
        ({"authorize_type": None}, 1105),
        ({"authorize_type": "refresh_token", "refresh_token": "unknown"}, 1005),
        ({"authorize_type": "refresh_token"}, 1005),
    ],
)
async def test_3_3_refusals(api: Api, shop: Shop, changes: Json, code: int) -> None:
    assert (await exchange(api, request(api, shop, **changes)))["code"] == code


async def test_3_3_an_expired_client_and_an_expired_refresh_token(api: Api, shop: Shop, rows: Rows) -> None:
    token = (await exchange(api, request(api, shop)))["data"]["refresh_token"]
    past = "expires_at = now() - interval '1 second' where shop_id = $1"
    await rows(f"update credentials set {past} and kind = 'refresh_token' returning kind", shop.id)  # noqa: S608
    renewal = request(api, shop, authorize_type="refresh_token", refresh_token=token)
    assert (await exchange(api, renewal))["code"] == 1004
    await rows(f"update api_clients set {past} returning id", shop.id)  # noqa: S608
    assert (await exchange(api, request(api, shop)))["code"] == 1004


async def test_3_3_another_client_s_refresh_token(api: Api, make_api: MakeApi, shop: Shop) -> None:
    token = (await exchange(api, request(api, shop)))["data"]["refresh_token"]
    other = await make_api(shop)
    renewal = request(other, shop, authorize_type="refresh_token", refresh_token=token)
    assert (await exchange(other, renewal))["code"] == 1005


async def test_3_1_a_form_is_refused_naming_its_type(api: Api, shop: Shop) -> None:
    body = answer_of(await api.http.post("/auth/token", data=request(api, shop, refresh="false")))
    assert body["code"] == 1000
    assert "application/x-www-form-urlencoded" in body["message"]
    assert answer_of(await api.http.get("/auth/token"))["code"] == 1000


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'"x"', b"null", b"\xff", b'{"client_id":"\\u0000"}'])
async def test_3_1_a_body_that_is_no_request(api: Api, content: bytes) -> None:
    answer = await api.http.post("/auth/token", content=content, headers={"content-type": "application/json"})
    assert answer_of(answer)["code"] in (1000, 1105)


@pytest.mark.parametrize("value", [1, 1.5, True, [], ["x"], {}, {"a": 1}, "", "x" * 5000])
@pytest.mark.parametrize("name", ["client_id", "client_secret", "authorize_type", "grant_id", "refresh_token"])
async def test_3_1_wrong_types_never_crash(api: Api, shop: Shop, name: str, value: Any) -> None:
    kind = {"authorize_type": "refresh_token"} if name == "refresh_token" else {}
    body = await exchange(api, request(api, shop, **kind) | {name: value})
    assert body["code"] in (1000, 1005, 1103, 1105)


@pytest.mark.parametrize(("minutes", "code"), [(60, 200), (0, 4202)])
async def test_3_2_how_long_a_replaced_token_works(api: Api, shop: Shop, minutes: int, code: int) -> None:
    settings = {"facade": {"replaced_token_minutes": minutes}}
    assert (await api.http.put("/v1/shop/settings", json=settings)).status_code == 200
    old = (await exchange(api, request(api, shop)))["data"]["access_token"]
    new = (await exchange(api, request(api, shop, refresh=True)))["data"]["access_token"]
    assert new != old
    called = await api.post(f"/api/{SEARCH}?access_token={old}", {})
    assert code_of(envelope(called)) == code
    assert code_of(envelope(await api.post(f"/api/{SEARCH}?access_token={new}", {}))) == 200

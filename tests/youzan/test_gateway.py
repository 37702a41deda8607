"""Contract 1.2, 1.3, 1.5, 2.1–2.3: what the gateway takes, in which order it refuses, and what always leaves."""

import asyncio
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr, TypeAdapter
from structlog.testing import capture_logs

from app.access.settings import FacadeSettings, ShopSettings
from app.access.shops import Shop
from app.core.config import Settings
from app.core.errors import DatabaseUnavailable, StartOver
from app.main import create_app
from app.youzan import registry
from app.youzan.calling import Api as Row
from app.youzan.calling import FacadeCall
from app.youzan.parameters import Parameters
from tests.conftest import Rows
from tests.youzan.conftest import ALL, CREATE, DETAIL, SEARCH, Facade, code_of, envelope


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("POST", "youzan.scrm.customer.create", 4001),
        ("POST", "youzan.scrm.customer.create/", 4001),
        ("POST", "", 4001),
        ("POST", f"{CREATE}/more", 4001),
        ("POST", "youzan.scrm.customer.create/9.9.9", 4005),
        ("POST", "youzan.scrm.customer.nothing/3.0.0", 4005),
        ("DELETE", "youzan.scrm.customer.nothing/3.0.0", 4005),
        ("DELETE", CREATE, 4007),
        ("PUT", CREATE, 4007),
        ("OPTIONS", CREATE, 4007),
        ("BREW", CREATE, 4007),
        ("POST", f"auth_exempt/{CREATE}", 4201),
        ("POST", "auth_exempt/youzan.nothing/1.0.0", 4005),
        ("POST", "auth_exempt/youzan.nothing", 4001),
        ("POST", f"_textarea_/{CREATE}", 4201),
        ("POST", CREATE, 4201),
    ],
)
async def test_1_5_path_then_api_then_manner_then_token(facade: Facade, method: str, path: str, code: int) -> None:
    answer = await facade.api.http.request(method, f"/api/{path}")
    assert code_of(envelope(answer)) == code


@pytest.mark.parametrize("api", ALL)
async def test_1_5_the_token_comes_before_the_body(facade: Facade, api: str) -> None:
    broken: dict[str, Any] = {"content": b"{", "headers": {"content-type": "application/json"}}
    assert code_of(await facade.raw(api, token="unknown", **broken)) == 4203
    assert code_of(await facade.raw(api, **broken)) == 4004


async def test_1_2_another_content_type_is_named(facade: Facade) -> None:
    answer = await facade.raw(CREATE, content=b"{}", headers={"content-type": "text/plain"})
    assert answer["gw_err_resp"]["err_code"] == 4007
    assert answer["gw_err_resp"]["err_msg"] == "非法的请求姿势，httpMethod:POST, contentType:text/plain"


@pytest.mark.parametrize("body", [b"{", b"\xff", b'"text"', b"[1]", b'{"a":"\\u0000"}', b"[" * 50 + b"]" * 50])
async def test_1_2_a_body_that_is_not_a_json_object(facade: Facade, body: bytes) -> None:
    answer = await facade.raw(SEARCH, content=body, headers={"content-type": "application/json"})
    assert code_of(answer) == 4004


async def test_1_3_only_the_query_carries_a_token(facade: Facade) -> None:
    answer = await facade.api.post(f"/api/{SEARCH}", {"access_token": facade.token})  # and a live bearer header
    assert code_of(envelope(answer)) == 4201
    empty = await facade.api.post(f"/api/{SEARCH}?access_token=", {})
    assert code_of(envelope(empty)) == 4201


async def test_1_5_expired_and_revoked_tokens(facade: Facade, rows: Rows) -> None:
    assert code_of(await facade.call(SEARCH)) == 200
    change = "update credentials set {} where shop_id = $1 and kind = 'token' returning kind"
    await rows(change.format("expires_at = now() - interval '1 second'"), facade.shop.id)
    assert code_of(await facade.call(SEARCH)) == 4202
    await rows(change.format("revoked_at = now()"), facade.shop.id)
    assert code_of(await facade.call(SEARCH)) == 4201


async def test_1_5_a_scope_that_is_missing(make_facade: Any, shop: Shop) -> None:
    reader = await make_facade(shop, "customers:read")
    assert await reader.code(CREATE, mobile="13800000000") == 4204
    assert await reader.code(CREATE) == 4204  # before the body is looked at
    writer = await make_facade(shop, "customers:write")
    assert await writer.code(SEARCH) == 4204


async def test_2_1_success_quotes_the_request_id(facade: Facade) -> None:
    answer = await facade.raw(CREATE, json={"mobile": "13800000001"}, headers={"x-request-id": "till-7.0001"})
    assert answer["trace_id"] == "yz7-till-7.0001"
    assert (answer["code"], answer["success"], answer["message"]) == (200, True, "successful")


async def test_2_2_business_refusal(facade: Facade) -> None:
    answer = await facade.call(CREATE, mobile="12")
    assert (answer["code"], answer["success"], answer["data"]) == (141500101, False, None)
    assert "12" not in answer["message"].removeprefix("invalid params: mobile: expected 11")


async def test_form_c_is_served_like_form_a(facade: Facade) -> None:
    answer = await facade.raw(f"_textarea_/{CREATE}", json={"mobile": "13800000002"})
    assert code_of(answer) == 200


async def test_a_body_over_the_limit(facade: Facade, settings: Settings) -> None:
    headers = {"content-type": "application/json"}
    announced = await facade.raw(CREATE, content=b" " * (settings.body_limit_bytes + 1), headers=headers)
    assert code_of(announced) == 4004

    async def chunks() -> Any:
        for _ in range(9):
            yield b" " * (1024 * 1024)

    assert code_of(await facade.raw(CREATE, content=chunks(), headers=headers)) == 4004


async def test_database_down_is_5001(settings: Settings) -> None:
    nowhere = settings.model_copy(update={"database_url": SecretStr("postgresql://nobody@127.0.0.1:9/nothing")})
    service = create_app(nowhere)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(service), base_url="http://kehu.test") as http:
        answer = await http.post(f"/api/{SEARCH}?access_token=any", json={})
        assert code_of(envelope(answer)) == 5001
        token = await http.post("/auth/token", json={"client_id": "any", "authorize_type": "silent", "grant_id": 1})
    assert (token.status_code, token.json()["success"], token.json()["code"]) == (200, False, 5001)


class _Nothing(Parameters):
    pass


def _row(handle: Any) -> Row[_Nothing, bool]:
    return Row("youzan.test", "1.0.0", "customers:read", _Nothing, TypeAdapter(bool), handle)


async def test_a_bug_is_5001_and_an_incident(facade: Facade, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(call: FacadeCall, given: _Nothing) -> bool:
        raise ZeroDivisionError

    monkeypatch.setitem(registry.APIS, ("youzan.test", "1.0.0"), _row(fail))
    with capture_logs() as said:
        answer = await facade.call("youzan.test/1.0.0")
    assert code_of(answer) == 5001
    (incident,) = [entry for entry in said if entry["event"] == "facade_failed"]
    assert (incident["log_level"], incident["error"]) == ("error", "ZeroDivisionError")


@pytest.mark.parametrize(("losses", "code"), [(11, 200), (12, 5001)])
async def test_a_lost_race_is_run_again(
    facade: Facade, monkeypatch: pytest.MonkeyPatch, losses: int, code: int
) -> None:
    seen = []

    async def lose(call: FacadeCall, given: _Nothing) -> bool:
        seen.append(call.db)
        if len(seen) <= losses:
            raise StartOver
        return True

    monkeypatch.setitem(registry.APIS, ("youzan.test", "1.0.0"), _row(lose))
    assert code_of(await facade.call("youzan.test/1.0.0")) == code
    assert len(set(map(id, seen))) == 12


async def test_shop_settings_choose_between_the_contradictory_codes(facade: Facade) -> None:
    settings = ShopSettings(
        facade=FacadeSettings(exists_code=141502109, update_missing_code=141001107, detail_time_unit="s")
    )
    put = await facade.api.http.put("/v1/shop/settings", json=settings.model_dump(mode="json"))
    assert put.status_code == 200, put.text
    open_id = await facade.create("13800000003")
    assert await facade.code(CREATE, mobile="13800000003") == 141502109
    account = {"account_type": "Mobile", "account_id": "13800000004"}
    update = "youzan.scrm.customer.update/3.0.0"
    assert await facade.code(update, account=account, customer_update={"name": "x"}) == 141001107
    assert len(str((await facade.detail(open_id))["created_at"])) == 10


@pytest.mark.parametrize(
    ("choice", "body"),
    [
        ("msg", {"msg": "请求被限流", "code": 500100004}),
        ("message", {"code": 123000042, "success": False, "message": "请求被限流"}),
    ],
)
async def test_the_other_words_for_too_fast(facade: Facade, choice: str, body: Any) -> None:
    chosen = {"facade": {"rate_limited_body": choice}, "limits": {"reads_per_second": 1}}
    assert (await facade.api.http.put("/v1/shop/settings", json=chosen)).status_code == 200
    path = f"/api/{SEARCH}?access_token={facade.token}"
    answers = [(await facade.api.post(path, {})).json() for _ in range(6)]
    assert body in answers
    assert "gw_err_resp" not in answers[-1]


async def test_too_fast_is_told_without_the_database(
    app: FastAPI, facade: Facade, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = {"facade": {"rate_limited_body": "msg"}, "limits": {"reads_per_second": 1}}
    assert (await facade.api.http.put("/v1/shop/settings", json=chosen)).status_code == 200
    shops, looked = app.state.entry.shops, []

    async def get(shop_id: int, known: Any = shops.get) -> Shop:
        looked.append(shop_id)
        if looked.count(shop_id) > 6:
            raise DatabaseUnavailable
        shop: Shop = await known(shop_id)
        return shop

    monkeypatch.setattr(shops, "get", get)
    path = f"/api/{SEARCH}?access_token={facade.token}"
    answers = [await facade.api.post(path, {}) for _ in range(6)]
    assert {answer.status_code for answer in answers} == {200}
    assert answers[-1].json() == {"msg": "请求被限流", "code": 500100004}


async def test_another_shop_s_token_sees_nothing(facade: Facade, make_facade: Any, other_shop: Shop) -> None:
    open_id = await facade.create("13800000005")
    stranger = await make_facade(other_shop)
    assert await stranger.code(DETAIL, yz_open_id=open_id, fields="user_base") == 144100000
    assert (await stranger.data(SEARCH))["total"] == 0


async def test_the_route_stays_out_of_the_contract(app: FastAPI) -> None:
    assert not any(path.startswith("/api/") for path in app.openapi()["paths"])


async def test_a_client_that_hangs_up_is_no_incident(app: FastAPI, facade: Facade) -> None:
    sent = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    query = f"access_token={facade.token}".encode()
    scope = {
        "type": "http",
        "method": "POST",
        "path": f"/api/{SEARCH}",
        "raw_path": b"",
        "query_string": query,
        "headers": [],
        "http_version": "1.1",
        "scheme": "http",
        "server": ("kehu.test", 80),
        "client": ("127.0.0.1", 1),
        "root_path": "",
    }
    with capture_logs() as said:
        await asyncio.wait_for(app(scope, receive, send), 5)
    assert not sent
    assert not [entry for entry in said if entry["log_level"] == "error"]

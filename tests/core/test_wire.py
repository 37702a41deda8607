"""What comes in is limited before it is understood; what stands in the way of an answer is told as a problem."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import orjson
import pytest

from app.access.shops import Shop
from app.core.config import Settings
from app.core.errors import BadRequest, Unprocessable
from app.core.wire import MAX_DEPTH, MAX_STRING, parse_json
from app.main import create_app
from tests.conftest import Api, Rows

CUSTOMER = {"identities": [{"kind": "mobile", "value": "13800000001"}]}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": "\xff"}',
        b'{"a": "\\ud800"}',
        b"[" * 10_000,
        b"{'a': 1}",
    ],
)
def test_what_is_not_json_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest):
        parse_json(body)


@pytest.mark.parametrize(
    "value",
    [
        {"a": "x\x00y"},
        {"x\x00y": 1},
        [["x\x00"]],
        {"a": "x" * (MAX_STRING + 1)},
        {"x" * (MAX_STRING + 1): 1},
    ],
)
def test_json_that_breaks_a_limit_is_refused(value: Any) -> None:
    with pytest.raises(Unprocessable):
        parse_json(orjson.dumps(value))


def test_depth_is_limited() -> None:
    deep: Any = "x"
    for _ in range(MAX_DEPTH):
        deep = {"a": [deep]}
    with pytest.raises(Unprocessable):
        parse_json(orjson.dumps(deep))
    assert parse_json(b'{"a": "\\\\u0000"}') == {"a": "\\u0000"}, "an escaped backslash is no NUL"


@pytest.mark.parametrize(
    ("content", "content_type", "status"),
    [
        (b"{", "application/json", 400),
        (orjson.dumps(CUSTOMER | {"name": "x\x00"}), "application/json", 422),
        (b'{"identities": [], "name": "\\ud800"}', "application/json", 400),
        (b'{"identities": ' + b"[" * 9_000 + b"]" * 9_000 + b"}", "application/json", 400),
        (b"a=1", "application/x-www-form-urlencoded", 422),
        (orjson.dumps(CUSTOMER) + b" " * 9_000_000, "application/json", 413),
        (orjson.dumps(CUSTOMER | {"store_id": 2**63}), "application/json", 422),
        (b'{"identities": [{"kind": "mobile", "value": "13800000001"}], "store_id": 1e400}', "application/json", 400),
    ],
)
async def test_a_refused_body_leaves_nothing(
    api: Api, shop: Shop, rows: Rows, content: bytes, content_type: str, status: int
) -> None:
    answer = await api.http.post("/v1/customers", content=content, headers={"Content-Type": content_type})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert set(answer.json()) >= {"type", "title", "status", "code", "detail"}
    assert await rows("select 1 from customers where shop_id = $1", shop.id) == []


async def test_a_body_without_a_length_is_limited_too(api: Api) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(200):
            yield b" " * 65_536

    answer = await api.http.post("/v1/customers", content=endless(), headers={"Content-Type": "application/json"})
    assert answer.status_code == 413


async def test_unknown_paths_and_methods_are_problems(api: Api) -> None:
    missing = await api.get("/v1/nothing")
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
    wrong = await api.http.delete("/v1/customers")
    assert (wrong.status_code, wrong.json()["code"]) == (405, "method_not_allowed")


async def test_a_request_id_is_echoed(api: Api) -> None:
    answer = await api.get("/v1/shop", headers={"X-Request-Id": "till-7-000123"})
    assert answer.headers["x-request-id"] == "till-7-000123"
    hostile = await api.get("/v1/shop", headers={"X-Request-Id": "x" * 500})
    assert hostile.headers["x-request-id"] != "x" * 500


async def test_without_a_database_nothing_is_acknowledged(settings: Settings) -> None:
    away = settings.model_copy(
        update={"database_url": type(settings.database_url)("postgresql://kehu:x@127.0.0.1:9/kehu")}
    )
    app = create_app(away)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://kehu.test") as http:
        answer = await http.get("/v1/shop", headers={"Authorization": "Bearer 0f3c"})
        assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
        assert int(answer.headers["retry-after"]) > 0
        assert (await http.get("/healthz")).status_code == 200
        assert (await http.get("/readyz")).status_code == 503
        facade = await http.post("/api/youzan.scrm.customer.list/1.0.0?access_token=0f3c", json={})
        assert (facade.status_code, facade.json()["gw_err_resp"]["err_code"]) == (200, 5001)

"""`Idempotency-Key`: carried out once, answered the same for a day."""

import asyncio
from datetime import timedelta

import httpx
from fastapi import FastAPI
from sqlalchemy import text

from app.access import idempotency
from app.access.entry import Entry
from app.access.shops import Shop
from app.core import clock
from app.core.db import statement
from tests.conftest import Api, MakeApi, Rows

_CLIENT = statement(text("select id from api_clients where client_id = :client_id"))
_UNDO = statement(text("delete from idempotency_keys where shop_id = :shop_id"))
CUSTOMER = {"identities": [{"kind": "mobile", "value": "13800000001"}], "name": "李小花"}


async def test_the_same_request_gets_the_same_answer(api: Api, shop: Shop, rows: Rows) -> None:
    key = {"Idempotency-Key": "till-7/000123"}
    first = await api.post("/v1/customers", CUSTOMER, headers=key)
    again = await api.post("/v1/customers", CUSTOMER, headers=key)
    assert first.status_code == again.status_code == 201, "not the 200 of a customer who was found"
    assert first.json() == again.json()
    assert (again.headers["idempotent-replayed"], "idempotent-replayed" in first.headers) == ("true", False)
    assert len(await rows("select 1 from domain_events where shop_id = $1", shop.id)) == 1
    (kept,) = await rows("select * from idempotency_keys where shop_id = $1", shop.id)
    assert "李小花".encode() not in kept["reply"]


async def test_another_body_or_path_under_the_key_is_refused(api: Api) -> None:
    key = {"Idempotency-Key": "k"}
    await api.post("/v1/customers", CUSTOMER, headers=key)
    for path, body in (("/v1/customers", CUSTOMER | {"name": "王五"}), ("/v1/customers/lookup", CUSTOMER)):
        answer = await api.post(path, body, headers=key)
        assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")


async def test_a_key_belongs_to_its_client(api: Api, make_api: MakeApi, shop: Shop, other_shop: Shop) -> None:
    key = {"Idempotency-Key": "k"}
    await api.post("/v1/customers", CUSTOMER, headers=key)
    for stranger in (await make_api(shop), await make_api(other_shop)):
        answer = await stranger.post("/v1/customers", CUSTOMER | {"name": "王五"}, headers=key)
        assert answer.status_code in (200, 201)


async def test_a_refused_request_leaves_the_key_free(api: Api, rows: Rows, shop: Shop) -> None:
    key = {"Idempotency-Key": "k"}
    assert (await api.post("/v1/customers", {"identities": []}, headers=key)).status_code == 422
    assert await rows("select 1 from idempotency_keys where shop_id = $1", shop.id) == []
    assert (await api.post("/v1/customers", CUSTOMER, headers=key)).status_code == 201


async def test_many_at_once_are_one(api: Api, shop: Shop, rows: Rows) -> None:
    order = {
        "order_no": "A1",
        "identities": CUSTOMER["identities"],
        "paid_at": "2026-03-01T12:00:00",
        "amount_fen": 1,
    }
    answers = await asyncio.gather(
        *(api.post("/v1/orders", order, headers={"Idempotency-Key": "k"}) for _ in range(50))
    )
    for answer in answers:
        if answer.status_code == 409:
            assert answer.json()["code"] == "idempotency_in_progress"
        else:
            assert answer.json()["status"] == "created", "the first one's answer, not `unchanged`"
    assert len(await rows("select 1 from orders where shop_id = $1", shop.id)) == 1


async def test_in_progress_is_told_while_the_first_runs(api: Api, entry: Entry, shop: Shop) -> None:
    """The first request's process hangs in the middle: the second is told, and succeeds once the first is gone."""
    async with entry.database.transaction(shop.id) as db:
        client = await db.fetch_value(_CLIENT, client_id=api.client.client_id)
        await db.execute(
            idempotency.CLAIM,
            shop_id=shop.id,
            client=client,
            key="k",
            fingerprint=b"x",
            moment=clock.now(),
            expired=clock.now() - timedelta(days=1),
        )
        answer = await api.post("/v1/customers", CUSTOMER, headers={"Idempotency-Key": "k"})
        assert (answer.status_code, answer.json()["code"]) == (409, "idempotency_in_progress")
        await db.execute(_UNDO, shop_id=shop.id)
    assert (await api.post("/v1/customers", CUSTOMER, headers={"Idempotency-Key": "k"})).status_code == 201


async def test_after_a_day_the_key_is_free(api: Api, rows: Rows, shop: Shop) -> None:
    key = {"Idempotency-Key": "k"}
    await api.post("/v1/customers", CUSTOMER, headers=key)
    await rows("update idempotency_keys set created_at = created_at - interval '25 hours' where shop_id = $1", shop.id)
    answer = await api.post("/v1/customers", CUSTOMER | {"name": "王五"}, headers=key)
    assert (answer.status_code, answer.json()["name"]) == (200, "王五")


async def test_an_unusable_key_is_refused(app: FastAPI, api: Api) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://kehu.test") as http:
        for key in (b"", b"x" * 129, b"\xff"):
            answer = await http.post(
                "/v1/customers",
                json=CUSTOMER,
                headers=[(b"authorization", f"Bearer {api.client.api_key}".encode()), (b"idempotency-key", key)],
            )
            assert (answer.status_code, answer.json()["field"]) == (422, "Idempotency-Key")

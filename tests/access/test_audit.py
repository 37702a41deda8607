"""The access log: no row, no answer; and a chain that shows what was done to it."""

import random
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from app.access import audit
from app.access.audit import Visit
from app.access.entry import Entry
from app.access.shops import Shop
from tests.conftest import Api, MakeApi, Rows

Work = Callable[[], Awaitable[None]]


async def _log(rows: Rows, shop: Shop) -> list[dict[str, Any]]:
    return await rows("select * from access_log where shop_id = $1 order by id", shop.id)


async def test_each_call_leaves_a_row_without_values(api: Api, shop: Shop, rows: Rows, make_api: MakeApi) -> None:
    body = {"identities": [{"kind": "mobile", "value": "13800000001"}], "name": "李小花"}
    number = (await api.post("/v1/customers", body, headers={"X-Request-Id": "till-0001"})).json()["id"]
    reader = await make_api(shop, "customers:read")
    await reader.get(f"/v1/customers/{number}")
    await reader.get("/v1/customers")
    token = reader.client.api_key
    await reader.http.post(
        "/api/youzan.scrm.customer.get/3.1.0",
        params={"access_token": token},
        json={"account": {"account_type": "YouZanAccount", "account_id": str(number)}},
    )
    log = await _log(rows, shop)
    assert [(row["call"], row["action"], row["objects"], row["masked"], row["result"]) for row in log] == [
        ("POST /v1/customers", "change", 1, False, "ok"),
        ("GET /v1/customers/{customer_id}", "read", 1, True, "ok"),
        ("GET /v1/customers", "read", 1, True, "ok"),
        ("youzan.scrm.customer.get/3.1.0", "read", 1, True, "ok"),
    ]
    assert {tuple(row["customers"]) for row in log} == {(number,)}
    assert log[0]["request_id"] == "till-0001"
    assert log[0]["actor"] == api.client.client_id
    text = repr(log)
    for value in ("13800000001", "李小花", token):
        assert value not in text


async def test_refusals_are_recorded(api: Api, shop: Shop, rows: Rows, make_api: MakeApi) -> None:
    reader = await make_api(shop, "customers:read")
    assert (await reader.post("/v1/orders", {})).status_code == 403
    assert (await reader.get("/v1/customers/9999")).status_code == 404
    log = await _log(rows, shop)
    assert [(row["action"], row["result"]) for row in log] == [
        ("refused", "scope_missing"),
        ("refused", "customer_not_found"),
    ]


async def test_without_a_row_there_is_no_answer(api: Api, shop: Shop, rows: Rows) -> None:
    number = (await api.post("/v1/customers", {"identities": [{"kind": "mobile", "value": "13800000002"}]})).json()[
        "id"
    ]
    assert (await api.get(f"/v1/customers/{number}")).status_code == 200
    await rows("alter table access_log rename column result to verdict")
    try:
        for answer in (
            await api.get(f"/v1/customers/{number}"),
            await api.patch(f"/v1/customers/{number}", {"name": "王五"}),
        ):
            assert answer.status_code == 500
            assert "1380" not in answer.text
    finally:
        await rows("alter table access_log rename column verdict to result")
    seen = (await api.get(f"/v1/customers/{number}")).json()
    assert seen["name"] is None, "the change was not kept either"


async def test_the_service_cannot_change_the_log(entry: Entry, shop: Shop) -> None:
    for sql in ("update access_log set actor = 'x'", "delete from access_log", "delete from access_chain"):
        with pytest.raises(Exception, match="permission denied"):
            async with entry.database.transaction(shop.id) as db:
                await db.execute(audit.HEAD._replace(sql=sql, names=(), defaults={}))


def test_only_plain_text_reaches_the_statement() -> None:
    visit = Visit("GET /v1/x", actor="x'); drop table customers; --")
    with pytest.raises(ValueError, match="plain"):
        visit.sql(1)


async def _tamper(rows: Rows, shop: Shop, dice: random.Random) -> str:
    """Do one thing to the log as someone with the database's password could."""
    entries = await _log(rows, shop)
    one, other = dice.sample(entries, 2)
    kind = dice.choice(["edit", "remove", "swap", "unlink", "cut", "relink"])
    key = [shop.id, one["id"]]
    if kind == "edit":
        column, value = dice.choice(
            [("actor", "'nobody'"), ("objects", "objects + 1"), ("result", "'OK'"), ("at", "at + interval '1 ms'")]
        )
        await rows(f"update access_log set {column} = {value} where shop_id = $1 and id = $2", *key)  # noqa: S608
    elif kind == "remove":
        await rows("delete from access_log where shop_id = $1 and id = $2", *key)
    elif kind == "swap":
        for place, content in ((one["id"], other), (other["id"], one)):
            await rows(
                "update access_log set call = $3, objects = $4, request_id = $5 where shop_id = $1 and id = $2",
                shop.id, place, content["call"], content["objects"], content["request_id"],
            )  # fmt: skip
    elif kind == "unlink":
        await rows("delete from access_chain where shop_id = $1 and entry_id = $2", *key)
    elif kind == "cut":
        await rows("delete from access_chain where shop_id = $1 and seq >= $2", shop.id, dice.randint(1, len(entries)))
    else:
        await rows("update access_chain set hash = sha256(hash) where shop_id = $1 and entry_id = $2", *key)
    return kind


async def test_every_tampering_is_found(api: Api, entry: Entry, shop: Shop, rows: Rows, work: Work) -> None:
    for number in range(12):
        await api.get("/v1/customers", params={"limit": number + 1}, headers={"X-Request-Id": f"request-{number}"})
    await work()
    for table in ("access_log", "access_chain", "access_heads"):
        await rows(f"create temp table kept_{table} as select * from {table} where shop_id = {shop.id}")  # noqa: S608

    async def verdict() -> audit.Verdict:
        async with entry.shop(shop.id) as (db, _):
            return await audit.verify(db, shop.id)

    sound = await verdict()
    assert (sound.entries, sound.what) == (12, None)
    dice = random.Random(7)
    for _ in range(60):
        kind = await _tamper(rows, shop, dice)
        found = await verdict()
        assert found.what is not None, kind
        for table in ("access_log", "access_chain", "access_heads"):
            await rows(f"delete from {table} where shop_id = $1", shop.id)  # noqa: S608
            await rows(f"insert into {table} select * from kept_{table}")  # noqa: S608
    assert (await verdict()).what is None
    for table in ("access_log", "access_chain", "access_heads"):
        await rows(f"drop table kept_{table}")


async def test_a_chain_written_anew_differs_from_the_published_head(
    api: Api, entry: Entry, shop: Shop, rows: Rows, work: Work
) -> None:
    for _ in range(5):
        await api.get("/v1/customers")
    await work()
    async with entry.shop(shop.id) as (db, _):
        head = await audit.head(db, shop.id)
    assert head["seq"] == 5
    await rows("update access_log set actor = 'nobody' where shop_id = $1", shop.id)
    await rows("delete from access_chain where shop_id = $1", shop.id)
    await rows("delete from access_heads where shop_id = $1", shop.id)
    await work()
    async with entry.shop(shop.id) as (db, _):
        assert (await audit.verify(db, shop.id)).what is None, "a whole new chain is sound in itself"
        found = await audit.verify(db, shop.id, published=(head["seq"], head["head"]))
        assert found.what == "the chain was written anew after its head was published"


async def test_a_stranger_is_not_in_any_log(app: Any, shop: Shop, rows: Rows) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://kehu.test") as http:
        assert (await http.get("/v1/customers", headers={"Authorization": "Bearer 0f3c"})).status_code == 401
    assert await _log(rows, shop) == []

"""The access log: no row, no answer; and a chain that shows what was done to it."""

import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import httpx
import pytest

from app.access import audit
from app.access.audit import Visit
from app.access.entry import Entry
from app.access.shops import Shop
from app.core.db import Connection
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


async def _tamper(raw: Any, shop: Shop, entries: list[Any], dice: random.Random) -> str:
    """Do one thing to the log as someone with the database's password could."""
    one, other = dice.sample(entries, 2)
    kind = dice.choice(["edit", "remove", "swap", "unlink", "cut", "relink"])
    key = [shop.id, one["id"]]
    if kind == "edit":
        column, value = dice.choice(
            [("actor", "'nobody'"), ("objects", "objects + 1"), ("result", "'OK'"), ("at", "at + interval '1 ms'")]
        )
        await raw.execute(f"update access_log set {column} = {value} where shop_id = $1 and id = $2", *key)  # noqa: S608
    elif kind == "remove":
        await raw.execute("delete from access_log where shop_id = $1 and id = $2", *key)
    elif kind == "swap":
        for place, content in ((one["id"], other), (other["id"], one)):
            await raw.execute(
                "update access_log set call = $3, objects = $4, request_id = $5 where shop_id = $1 and id = $2",
                shop.id, place, content["call"], content["objects"], content["request_id"],
            )  # fmt: skip
    elif kind == "unlink":
        await raw.execute("delete from access_chain where shop_id = $1 and entry_id = $2", *key)
    elif kind == "cut":
        at = dice.randint(1, len(entries))
        await raw.execute("delete from access_chain where shop_id = $1 and seq >= $2", shop.id, at)
    else:
        await raw.execute("update access_chain set hash = sha256(hash) where shop_id = $1 and entry_id = $2", *key)
    return kind


@pytest.mark.parametrize(
    "times", [300, pytest.param(10_000, marks=[pytest.mark.hostile_long, pytest.mark.timeout(1800)])]
)
async def test_every_tampering_is_found(
    api: Api, entry: Entry, shop: Shop, rows: Rows, work: Work, database_url: str, times: int
) -> None:
    for number in range(12):
        await api.get("/v1/customers", params={"limit": number + 1}, headers={"X-Request-Id": f"request-{number}"})
    await work()
    entries, dice, found = await _log(rows, shop), random.Random(7), Counter[str]()
    raw = await asyncpg.connect(database_url)
    db = Connection(raw, shop.id)
    sound = await _verdict(raw, db, shop)
    assert (sound.entries, sound.what) == (12, None)
    for _ in range(times):
        undone = raw.transaction()
        await undone.start()
        kind = await _tamper(raw, shop, entries, dice)
        assert (await audit.verify(db, shop.id)).what is not None, kind
        found[kind] += 1
        await undone.rollback()
    assert (await _verdict(raw, db, shop)).what is None
    assert len(found) == 6
    await raw.close()


async def _verdict(raw: Any, db: Connection, shop: Shop) -> audit.Verdict:
    async with raw.transaction():
        return await audit.verify(db, shop.id)


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

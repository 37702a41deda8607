"""Rotation of a shop's data key while calls go on: both versions are read, nothing is lost, the old key goes."""

import asyncio
from typing import Any

import pytest

from app.access import credentials
from app.access.entry import Entry
from app.access.shops import Shop
from app.core.crypto import sealed_version
from app.core.errors import Conflict
from app.privacy import rekey
from tests.conftest import Api, Rows
from tests.events.examples import event
from tests.push.sender import Sender, trade
from workers.house import House


async def _let_time_pass(rows: Rows, shop: Shop, *entries: Entry) -> None:
    await rows("update shop_keys set used_from = now() where shop_id = $1", shop.id)
    await rows("update queued_jobs set due_at = now() where shop_id = $1", shop.id)
    for entry in entries:
        entry.shops.forget(shop.id)


async def test_everything_moves_to_the_new_key_and_stays_readable(
    api: Api, entry: Entry, house: House, shop: Shop, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rekey, "CHUNK", 7)

    def person(number: int) -> dict[str, Any]:
        return {"identities": [{"kind": "mobile", "value": f"1380000{number:04d}"}], "name": f"顾客{number}"}

    sent = await api.post("/v1/customers/batch", {"customers": [person(n) for n in range(30)]})
    ids = [row["customer_id"] for row in sent.json()["results"]]
    await api.post("/v1/customers", person(31), headers={"Idempotency-Key": "k"})
    token = await credentials.exchange(entry, _silent(api, shop))
    source = {"client_id": Sender.client_id, "client_secret": Sender.secret}
    assert (await api.post("/v1/push-sources", source)).status_code == 201
    await Sender(api.http, shop.id).push("trade_TradePaid", "E1", trade("E1"))
    aside = event(type="fitting", properties={"sku": "S1"})
    assert (await api.post("/v1/events", aside)).json()["status"] == "invalid"
    export = (await api.post("/v1/exports", {"kind": "customers"})).json()["id"]
    await house.rounds.wake("jobs", shop.id)
    async with entry.shop(shop.id) as (db, of):
        await rekey.rotate(db, of, entry.root)
        with pytest.raises(Conflict):
            await rekey.rotate(db, of, entry.root)
    await _let_time_pass(rows, shop, entry, house.entry)

    failures: list[int] = []
    stop = asyncio.Event()

    async def load(seed: int) -> None:
        turn = 0
        while not stop.is_set():
            turn += 1
            answers = (
                await api.get(f"/v1/customers/{ids[(seed + turn) % 30]}"),
                await api.post("/v1/customers", person(1000 + seed * 100 + turn % 50)),
                await api.patch(f"/v1/customers/{ids[(seed * 7 + turn) % 30]}", {"remark": f"turn {turn}"}),
            )
            failures.extend(answer.status_code for answer in answers if answer.status_code >= 300)

    callers = [asyncio.create_task(load(seed)) for seed in range(4)]
    await house.rounds.wake("jobs", shop.id)
    stop.set()
    await asyncio.gather(*callers)
    assert failures == []

    (job,) = await rows("select state, result from queued_jobs where shop_id = $1 and kind = 'rekey'", shop.id)
    assert job["state"] == "done", job
    assert [
        row["version"] for row in await rows("select version from shop_keys where shop_id = $1 order by 1", shop.id)
    ] == [0, 2]
    for sealed in rekey.SEALED:
        values = await rows(
            f"select {sealed.column} as value from {sealed.table} "  # noqa: S608 names of ours
            f"where shop_id = $1 and {sealed.column} is not null",
            shop.id,
        )
        assert {sealed_version(row["value"]) for row in values} <= {2}, sealed
    entry.shops.forget(shop.id)
    await house.rounds.wake("push", shop.id)
    await Sender(api.http, shop.id).push("trade_TradeSuccess", "E1", {"tid": "E1"}, version=1_893_456_000_001)
    await house.rounds.wake("push", shop.id)
    assert [r["status"] for r in await rows("select status from orders where shop_id = $1", shop.id)] == ["completed"]
    assert (await api.get(f"/v1/customers/{ids[3]}")).json()["name"] == "顾客3"
    assert len((await api.get(f"/v1/exports/{export}/content")).text.splitlines()) == 32
    assert (await api.get("/v1/events/invalid")).json()["items"][0]["properties"] == {"sku": "S1"}
    assert (await credentials.exchange(entry, _silent(api, shop))).access_token == token.access_token
    replayed = await api.post("/v1/customers", person(31), headers={"Idempotency-Key": "k"})
    assert replayed.headers["idempotent-replayed"] == "true"


def _silent(api: Api, shop: Shop) -> dict[str, Any]:
    return {
        "authorize_type": "silent",
        "client_id": api.client.client_id,
        "client_secret": api.client.client_secret,
        "grant_id": shop.id,
    }

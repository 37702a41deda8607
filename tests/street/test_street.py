"""The whole street with real processes: a Youzan call and an order in, a tier change computed, signed webhooks out."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook

from app.access.shops import Shop
from app.core.config import Settings
from tests.conftest import Api, Rows
from tests.processes import running
from tests.push.sender import TAKEN, Sender, trade
from tests.webhooks.receiver import receiving


@pytest.fixture
async def processes(settings: Settings) -> AsyncIterator[str]:
    """Yields the base URL."""
    async with running(settings, "street") as base_url:
        yield base_url


async def _until(question: Any, seconds: float = 60) -> Any:
    for _ in range(int(seconds / 0.05)):
        if answer := await question():
            return answer
        await asyncio.sleep(0.05)
    raise AssertionError("it did not happen in time")


async def test_an_order_becomes_a_tier_change_and_a_signed_webhook(
    api: Api, shop: Shop, rows: Rows, processes: str
) -> None:
    async with (
        receiving() as receiver,
        httpx.AsyncClient(
            base_url=processes, headers={"Authorization": f"Bearer {api.client.api_key}"}, timeout=60
        ) as http,
    ):
        answer = await http.post(
            "/auth/token",
            json={
                "client_id": api.client.client_id,
                "client_secret": api.client.client_secret,
                "authorize_type": "silent",
                "grant_id": shop.id,
            },
        )
        token = answer.json()["data"]["access_token"]
        created = await http.post(
            f"/api/youzan.scrm.customer.create/3.0.0?access_token={token}",
            json={"mobile": "13800000001", "customer_create": {"name": "李小花"}},
        )
        number = int(created.json()["data"]["account_id"])
        paid_at = (datetime.now(UTC) - timedelta(days=40)).isoformat()
        others = [
            {
                "order_no": f"B{n}",
                "identities": [{"kind": "external_id", "value": f"P{n}"}],
                "paid_at": paid_at,
                "amount_fen": 1000 * n,
            }
            for n in range(1, 21)
        ]
        assert (await http.post("/v1/orders/batch", json={"orders": others})).json()["created"] == 20
        job = (await http.post("/v1/triggers/rescore", json={})).json()["job_id"]
        await _until(lambda: _done(http, job))
        secret = (await http.post("/v1/webhooks", json={"url": receiver.url, "kinds": ["tier.changed"]})).json()[
            "secret"
        ]

        # The highest tier asks for more than money: for a second interaction.
        seen = {
            "event_id": "E1",
            "type": "view",
            "identities": [{"kind": "mobile", "value": "13800000001"}],
            "occurred_at": datetime.now(UTC).isoformat(),
        }
        assert (await http.post("/v1/events", json=seen)).status_code == 200
        order = {
            "order_no": "A1",
            "identities": [{"kind": "mobile", "value": "13800000001"}],
            "paid_at": datetime.now(UTC).isoformat(),
            "amount_fen": 900_000,
        }
        assert (await http.post("/v1/orders", json=order)).json()["customer_id"] == number

        async def told() -> list[dict[str, Any]]:
            bodies = [
                Webhook(secret).verify(message.body, {k.lower(): v for k, v in message.headers.items()})
                for message in receiver.messages
            ]
            return [body["data"] for body in bodies if body["data"]["customer_id"] == number]

        (change,) = await _until(told)
        assert (change["from"], change["to"]) == ("regular", "vip")
        assert b"13800000001" not in b"".join(message.body for message in receiver.messages), "thin: ids only"

        scores = (await http.get(f"/v1/customers/{number}/scores")).json()
        assert (scores["tier"], scores["net_fen"], scores["orders"]) == ("vip", 900_000, 1)
        detail = await http.post(
            f"/api/youzan.scrm.customer.detail.get/1.0.1?access_token={token}",
            json={"account_info": {"account_type": 2, "account_id": "13800000001"}, "fields": "user_base,behavior"},
        )
        assert detail.json()["data"]["total_trade_amount"] == 900_000
        history = await rows(
            "select from_tier, to_tier from tier_changes where shop_id = $1 and customer_id = $2 order by id",
            shop.id,
            number,
        )
        assert history[-1] == {"from_tier": "regular", "to_tier": "vip"}
        assert await rows("select 1 from customer_changes where shop_id = $1", shop.id) == []
        stored = await rows("select * from customers where shop_id = $1 and id = $2", shop.id, number)
        assert "李小花" not in json.dumps(stored, default=repr, ensure_ascii=False)


async def test_a_pushed_trade_leads_to_a_tier_change_and_to_a_touch(
    api: Api, shop: Shop, rows: Rows, processes: str
) -> None:
    key = {"Authorization": f"Bearer {api.client.api_key}"}
    async with (
        receiving() as receiver,
        httpx.AsyncClient(base_url=processes, headers=key, timeout=60) as http,
        httpx.AsyncClient(base_url=processes, timeout=60) as outside,
    ):
        sender = Sender(outside, shop.id)
        source = {"client_id": sender.client_id, "client_secret": sender.secret}
        assert (await http.post("/v1/push-sources", json=source)).status_code == 201
        china = timezone(timedelta(hours=8))

        async def push(tid: str, days_ago: int, payment: str, **buyer: Any) -> None:
            paid_at = datetime.now(china) - timedelta(days=days_ago)
            told = trade(tid, payment=payment, pay_time=f"{paid_at:%Y-%m-%d %H:%M:%S}", **buyer)
            answer = await sender.send(sender.body("trade_TradePaid", tid, told))
            assert (answer.status_code, answer.json()) == (200, TAKEN), answer.text

        for n in range(1, 21):
            await push(f"B{n}", 40, f"{10 * n}.00", buyer_id=100 + n, buyer_phone="", yz_open_id="")
        await push("A0", 40, "1.00")
        await _until(lambda: _orders(rows, shop, 21))
        await _until(lambda: _nothing_to_look_at(rows, shop))
        job = (await http.post("/v1/triggers/rescore", json={})).json()["job_id"]
        await _until(lambda: _done(http, job))
        await _until(lambda: _nothing_to_tell(rows, shop))  # of the rescore, which made somebody else a VIP
        hook = {"url": receiver.url, "kinds": ["tier.changed", "touch.requested"]}
        secret = (await http.post("/v1/webhooks", json=hook)).json()["secret"]
        template = {"category": "transactional", "body": "欢迎成为VIP"}
        assert (await http.put("/v1/templates/welcome", json=template)).status_code == 200
        await push("A1", 0, "9000.00")

        async def told() -> list[dict[str, Any]]:
            bodies = [Webhook(secret).verify(message.body, message.headers) for message in receiver.messages]
            return [body["data"] for body in bodies if body["data"].get("to") == "vip" or "touch_id" in body["data"]]

        (change,) = await _until(told)
        # Whoever hears of the new VIP has them greeted.
        greeting = {"template": "welcome", "audience": {"customer_ids": [change["customer_id"]]}}
        asked = await http.post("/v1/triggers/touches", json=greeting, headers={"Idempotency-Key": "greet-1"})
        assert asked.status_code == 202, asked.text

        async def touched() -> dict[str, Any] | None:
            return next((data for data in await told() if "touch_id" in data), None)

        touch = await _until(touched)
        assert (touch["customer_id"], touch["message"]) == (change["customer_id"], "欢迎成为VIP")
        (order,) = await rows("select * from orders where shop_id = $1 and order_no = 'A1'", shop.id)
        assert (order["customer_id"], order["amount_fen"]) == (change["customer_id"], 900_000)
        lookup = {"identity": {"kind": "mobile", "value": "13800000001"}}
        assert (await http.post("/v1/customers/lookup", json=lookup)).json()["id"] == change["customer_id"]
        states = await rows("select state, count(*) as n from push_messages where shop_id = $1 group by 1", shop.id)
        assert [(row["state"], row["n"]) for row in states] == [("applied", 22)]
        assert b"13800000001" not in b"".join(message.body for message in receiver.messages)


async def _orders(rows: Rows, shop: Shop, count: int) -> bool:
    return len(await rows("select 1 from orders where shop_id = $1", shop.id)) == count


async def _nothing_to_look_at(rows: Rows, shop: Shop) -> bool:
    return not await rows("select 1 from customer_changes where shop_id = $1", shop.id)


async def _nothing_to_tell(rows: Rows, shop: Shop) -> bool:
    return not await rows("select 1 from domain_events where shop_id = $1", shop.id)


async def _done(http: httpx.AsyncClient, job: str) -> bool:
    state = (await http.get(f"/v1/jobs/{job}")).json()["state"]
    assert state in ("queued", "running", "done")
    return bool(state == "done")

"""Youzan's message push against the clock: acknowledgements at a steady pace, and a paid trade in to a touch out."""

import asyncio
import itertools
import os
import signal
import time
import uuid
from datetime import UTC, datetime, timedelta, timezone
from hashlib import md5
from statistics import median
from typing import Any, Final
from urllib.parse import quote

import orjson

from benchmarks import client, handwritten, population, receiver, stage
from benchmarks.measure import Figure, Plan, percentile
from benchmarks.stage import Stage, Tenant
from benchmarks.street import almost_vip

_APP: Final = "benchmark-app"
_SECRET: Final = "benchmark-secret"  # noqa: S105 opens nothing
_CHINA: Final = timezone(timedelta(hours=8))
_IDLE_SECONDS: Final = 10.0
_NEW_MOBILES: Final = 15_800_000_000


def run(plan: Plan) -> list[Figure]:
    """The wait for an acknowledgement at 500 messages a second, and from a push to the touch that follows from it."""
    per_second, seconds = (100, 5) if plan.quick else (500, 20)
    trades, paced = (40, 10) if plan.quick else (600, 10)
    with stage.up(plan) as place:
        tenant, people = place.run(lambda: _prepare(place, plan.population(5_000, 20_000)))
        port = place.serve()
        place.work()
        place.run(lambda: _let_in(tenant, port))
        latencies, lost = place.run(lambda: _walk(place, tenant, people, port, trades, paced))
        beside = _waits(place, tenant, port, per_second, seconds)
        os.kill(place.pid("worker"), signal.SIGSTOP)
        alone = _waits(place, tenant, port, per_second, seconds)
        os.kill(place.pid("worker"), signal.SIGCONT)
    walks = [seconds * 1000 for seconds in latencies] or [float("inf")]
    form = f"{paced} trades/s, {trades} in all, {lost} lost; one API process, one worker"
    return [
        _acknowledged(f"push: acknowledged at {per_second} a second, p99", alone, 200, "messages wait for a worker"),
        _acknowledged("push: the same while a worker applies them, p99", beside, None, "new customers, refreshed too"),
        Figure(
            "push: paid trade in to touch out, p50",
            [min(walks), max(walks)],
            "ms",
            higher_is_better=False,
            value=median(walks),
            detail=form,
        ),
        Figure(
            "push: paid trade in to touch out, p99",
            [min(walks), max(walks)],
            "ms",
            higher_is_better=False,
            value=percentile(walks, 0.99),
            detail=form,
        ),
    ]


def _waits(place: Stage, tenant: Tenant, port: int, per_second: int, seconds: int) -> list[float]:
    """Milliseconds from the moment each message is due to its acknowledgement, after two seconds of it."""
    place.run(lambda: client.pace(port, _people(tenant, 2 * per_second), per_second, b"success"))
    sent = place.run(lambda: client.pace(port, _people(tenant, seconds * per_second), per_second, b"success"))
    return [took * 1000 for _, took in sent]


def _acknowledged(name: str, waits: list[float], target: float | None, form: str) -> Figure:
    return Figure(
        name,
        [min(waits), max(waits)],
        "ms",
        target,
        higher_is_better=False,
        value=percentile(waits, 0.99),
        detail=f"{len(waits):,} messages, median {median(waits):,.1f} ms; {form}",
    )


async def _prepare(place: Stage, count: int) -> tuple[Tenant, population.People]:
    """A shop with stored thresholds."""
    tenant = await place.open_shop("push")
    people = await population.people(place, tenant, count)
    await population.orders(place, tenant, people, 4 * count)
    async with place.owner() as owner:
        await handwritten.rescore(owner, tenant.shop.id, tenant.shop.live_as_of(), tenant.shop.zone.key)
        await owner.execute("truncate domain_events")
    await population.settle(place)
    return tenant, people


async def _let_in(tenant: Tenant, port: int) -> None:
    source = {"client_id": _APP, "client_secret": _SECRET}
    await client.call(port, "POST", "/v1/push-sources", source, bearer=tenant.api_key)
    template = {"category": "transactional", "body": "欢迎成为VIP"}
    await client.call(port, "PUT", "/v1/templates/welcome", template, bearer=tenant.api_key)


async def _walk(
    place: Stage, tenant: Tenant, people: population.People, port: int, count: int, per_second: int
) -> tuple[list[float], int]:
    """Trades that lift somebody over the VIP threshold; the subscriber of `tier.changed` answers each with a touch.

    Returns: seconds from each push to the arrival of its touch, and how many never came.
    """
    async with place.owner() as owner:
        threshold, almost = await almost_vip(owner, tenant.shop.id)
    known = ((number, people.mobile_of(number)) for number in almost)
    risers = list(itertools.islice(((number, digits) for number, digits in known if digits), count + per_second))
    async with receiver.listening() as inbox:
        hook = {"url": inbox.url, "kinds": ["tier.changed", "touch.requested"]}
        secret = (await client.call(port, "POST", "/v1/webhooks", hook, bearer=tenant.api_key))["secret"]
        requests = [_trade(tenant, digits, threshold + 1) for _, digits in risers]
        subscriber = asyncio.create_task(_answer_with_touches(inbox, tenant, port))
        await client.pace(port, requests[:per_second], per_second, b"success")
        await inbox.until(2 * per_second, idle_seconds=_IDLE_SECONDS)
        sent = await client.pace(port, requests[per_second:], per_second, b"success")
        await inbox.until(2 * len(risers), idle_seconds=_IDLE_SECONDS)
        subscriber.cancel()
        arrived = {
            message["data"]["customer_id"]: moment
            for moment, message in inbox.verified(secret)
            if message["type"] == "touch.requested"
        }
    begun = {number: due for (number, _), (due, _) in zip(risers[per_second:], sent, strict=True)}
    return [arrived[number] - due for number, due in begun.items() if number in arrived], len(begun.keys() - arrived)


async def _answer_with_touches(inbox: receiver.Inbox, tenant: Tenant, port: int) -> None:
    """What a subscriber does: whoever became a VIP is greeted, once for each message."""
    seen = 0
    async with client.connected(port, 1) as (connection,):
        while True:
            for _, _, body in inbox.messages[seen:]:
                seen += 1
                message = orjson.loads(body)
                if message["type"] == "tier.changed":
                    wanted = {"template": "welcome", "audience": {"customer_ids": [message["data"]["customer_id"]]}}
                    ask = client.request("POST", "/v1/triggers/touches", orjson.dumps(wanted), bearer=tenant.api_key)
                    key = f"Idempotency-Key: {message['id']}" if "id" in message else f"Idempotency-Key: {seen}"
                    client.checked(await connection.ask(ask.replace(b"\r\n", f"\r\n{key}\r\n".encode(), 1)), b"")
            await asyncio.sleep(0.002)


def _people(tenant: Tenant, count: int) -> list[bytes]:
    """Messages about customers whom nobody knew."""
    requests = []
    for number in range(count):
        account = str(time.time_ns() % 10**9 * 1000 + number)
        inside = {
            "account_id": account,
            "account_type": "YouZanAccount",
            "name": "王雨桐",
            "gender": 2,
            "mobile": str(_NEW_MOBILES + int(account) % 90_000_000),
            "is_member": True,
            "src": 200,
        }
        requests.append(_push(tenant, "SCRM_CUSTOMER_EVENT", account, inside, "CUSTOMER_CREATED"))
    return requests


def _trade(tenant: Tenant, digits: str, amount_fen: int) -> bytes:
    """A paid order of somebody known by their mobile."""
    tid, yuan = f"E{uuid.uuid4().hex[:20]}", f"{amount_fen // 100}.{amount_fen % 100:02}"
    paid = datetime.now(UTC).astimezone(_CHINA).strftime("%Y-%m-%d %H:%M:%S")
    inside = {
        "tid": tid,
        "full_order_info": {
            "order_info": {"tid": tid, "status": "WAIT_SELLER_SEND_GOODS", "created": paid, "pay_time": paid},
            "buyer_info": {"buyer_phone": digits, "fans_id": 0},
            "pay_info": {"total_fee": yuan, "payment": yuan, "post_fee": "0.00"},
            "orders": [{"oid": "1", "title": "口红", "num": 1, "price": yuan, "payment": yuan, "item_id": 77}],
        },
    }
    return _push(tenant, "trade_TradePaid", tid, inside, "WAIT_SELLER_SEND_GOODS")


def _push(tenant: Tenant, kind: str, subject: str, inside: dict[str, Any], status: str) -> bytes:
    msg = quote(orjson.dumps(inside), safe="")
    body = orjson.dumps(
        {
            "client_id": _APP,
            "kdt_id": tenant.shop.id,
            "kdt_name": "店铺",
            "id": subject,
            "type": kind,
            "status": status,
            "msg": msg,
            "msg_id": str(uuid.uuid4()),
            "version": time.time_ns() // 1_000_000,
            "sendCount": 0,
            "sign": _signature(msg.encode()),
            "test": False,
            "mode": 1,
        }
    )
    ready = client.request("POST", f"/youzan/push/{tenant.shop.id}", body)
    headers = f"Event-Sign: {_signature(body)}\r\nEvent-Type: {kind}\r\nClient-Id: {_APP}"
    return ready.replace(b"\r\n", f"\r\n{headers}\r\n".encode(), 1)


def _signature(content: bytes) -> str:
    return md5(_APP.encode() + content + _SECRET.encode(), usedforsecurity=False).hexdigest()

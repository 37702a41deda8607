"""A subscriber in Youzan's form, written from the contract and from nothing of ours."""

import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import unquote, unquote_plus

from app.access.shops import Shop
from tests.conftest import Api, Rows
from tests.push.sender import md5
from tests.webhooks.receiver import Answer, Message, Receiver

Work = Callable[[], Awaitable[None]]
Json = dict[str, Any]
ACK = Answer(body=b'{"code":0,"msg":"success"}')


def read_push(message: Message, secret: str) -> tuple[Json, Json]:
    """The body and its inside, once both signatures, the headers and the encoding are what the contract says."""
    body: Json = json.loads(message.body)
    assert message.headers["event-sign"] == md5(f"{body['client_id']}{message.body.decode()}{secret}")
    assert body["sign"] == md5(f"{body['client_id']}{body['msg']}{secret}")
    assert message.headers["event-type"] == body["type"]
    assert message.headers["client-id"] == body["client_id"]
    assert message.headers["content-type"] == "application/json"
    # receivers that parse and write it again before they verify get the same bytes
    assert json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode() == message.body
    inside = unquote(body["msg"])
    assert unquote_plus(body["msg"]) == inside, "either decoder reads it"
    return body, json.loads(inside)


async def subscribe(api: Api, receiver: Receiver, **changes: Any) -> Json:
    """An endpoint in Youzan's form, with its secret."""
    told = {"url": receiver.url, "kinds": ["customer.created", "customer.updated"], "format": "youzan"}
    answer = await api.post("/v1/webhooks", told | changes)
    assert answer.status_code == 201, answer.text
    made: Json = answer.json()
    return made


async def due_now(rows: Rows, shop: Shop) -> None:
    """Time passes."""
    await rows(
        "update webhook_deliveries set due_at = now() where shop_id = $1 and state = 'pending' returning 1", shop.id
    )
    await rows("update webhook_endpoints set window_at = null where shop_id = $1 returning 1", shop.id)

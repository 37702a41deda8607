"""Contract 12: messages pushed to us, until what they say is there, and messages pushed to a subscriber."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import httpx

from tests.push.listener import ACK, Json, read_push
from tests.push.sender import NOT_TAKEN, TAKEN, Sender, customer, refund, trade
from tests.webhooks.receiver import receiving
from tests.youzan.conformance.patterns import MILLISECONDS, Has, Maybe, Text, fits
from tests.youzan.conformance.world import Case, World, call, data, new_mobile

MOBILE: Final = "13800000001"  # of those that are told of
_VERSION: Final = 1_893_456_000
_UUID: Final = Text(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PERSON: Final = ("SCRM_CUSTOMER_EVENT", "8801")

Message = Callable[[Sender], Json]


@dataclass(frozen=True)
class Taken:
    """What we are sent, what we reply to each message, and what then is there, or stays away (`shows` None)."""

    section: str
    says: str
    sent: tuple[Message, ...]
    shows: Any = None
    reply: Json | None = None
    header: str | None = None

    @property
    def name(self) -> str:
        """As the suite prints it."""
        return f"{self.section} {self.says}"

    async def ask(self, world: World, http: httpx.AsyncClient) -> None:
        """Push them, and ask the facade about the customer until the answer shows it."""
        sender, bearer = Sender(http, world.shop.id), _bearer(world)
        source = {"client_id": sender.client_id, "client_secret": sender.secret}
        assert (await http.post("/v1/push-sources", json=source, headers=bearer)).status_code == 201
        kept: set[str] = set()
        for message in self.sent:
            body = message(sender)
            answer = await sender.send(body, event_sign=self.header)
            assert answer.json() == (TAKEN if self.reply is None else self.reply)
            assert (answer.status_code == 200) is (self.reply is None)
            if self.shows is not None:
                kept.add(body["msg_id"])
                await _settled(http, bearer, kept)
        if self.shows is None:
            listed = await http.get("/v1/push-messages", headers=bearer)
            assert listed.json()["items"] == []
            return
        asked = call(
            "detail.get/1.0.1",
            {"account_info": {"account_type": 2, "account_id": MOBILE}, "fields": "user_base,behavior"},
        )
        until = time.monotonic() + 30
        while True:
            answer = await http.request(asked["method"], asked["path"], **world.told(asked["options"]))
            try:
                return data(Has(self.shows))(world, answer)
            except AssertionError:
                if time.monotonic() > until:
                    raise
            await asyncio.sleep(0.1)


@dataclass(frozen=True)
class Told:
    """What is done to a customer, and the message that a subscriber hears of it: its body and its inside."""

    section: str
    says: str
    done: tuple[Json, ...]
    body: Any
    inside: Any

    @property
    def name(self) -> str:
        """As the suite prints it."""
        return f"{self.section} {self.says}"

    async def ask(self, world: World, http: httpx.AsyncClient) -> None:
        """Subscribe, do it, and read the last message as a subscriber does."""
        async with receiving() as receiver:
            receiver.answer = lambda _: ACK
            wanted = {
                "url": receiver.url,
                "kinds": ["customer.created", "customer.updated"],
                "format": "youzan",
                "client_id": "their-app",
            }
            made = (await http.post("/v1/webhooks", json=wanted, headers=_bearer(world))).json()
            for number, request in enumerate(self.done, 1):
                answer = await http.request(request["method"], request["path"], **world.told(request["options"]))
                assert answer.json()["code"] == 200, answer.text
                await receiver.until(number, seconds=30)
            body, inside = read_push(receiver.messages[-1], made["secret"])
            await http.delete(f"/v1/webhooks/{made['id']}", headers=_bearer(world))
        fits(world.told(self.body), body, "body")
        fits(world.told(self.inside), inside, "msg")


async def _settled(http: httpx.AsyncClient, bearer: Json, kept: set[str]) -> None:
    """Wait until nothing is pending, so that each is applied by itself. Each is kept once."""
    until = time.monotonic() + 30
    while True:
        items = (await http.get("/v1/push-messages", headers=bearer)).json()["items"]
        if all(item["state"] != "pending" for item in items):
            break
        assert time.monotonic() < until, items
        await asyncio.sleep(0.1)
    assert sorted(item["msg_id"] for item in items) == sorted(kept)


def _bearer(world: World) -> Json:
    return {"Authorization": f"Bearer {world.api.client.api_key}"}


def _person(*, name: str = "王 A+B", **options: Any) -> Message:
    return lambda sender: sender.body(*_PERSON, customer(name=name), status="CUSTOMER_CREATED", **options)


def _trade(type_: str, inside: Json, **options: Any) -> Message:
    return lambda sender: sender.body(type_, inside["tid"], inside, **options)


def _named(name: str) -> Json:
    return {"name": name, "mobile": MOBILE, "gender": 2, "birthday": "1990-05-06 00:00:00"}


_PAID: Final = _trade("trade_TradePaid", trade("E1", payment="199.90"), status="WAIT_SELLER_SEND_GOODS")
_ACCEPTED: Final = {"tid": "E1", "refund_id": "R1", "refunded_fee": "19.99", "update_time": "2026-11-21 12:00:00"}

_RECEIVED: Final = (
    Taken("12.1 Event-Sign", "in lower case, with sign over msg as sent", (_person(),), _named("王 A+B")),
    Taken("12.1 Event-Sign", "a wrong one", (_person(),), reply=NOT_TAKEN, header="0" * 32),
    Taken("12.1 sign", "a wrong one", (_person(sign="0" * 32),), reply=NOT_TAKEN),
    Taken("12.1 msg", "a space as + and not as %20", (_person(plus=True),), _named("王 A+B")),
    Taken("12.1 msg_id", "twice is once", (_person(msg_id="m-1"), _person(msg_id="m-1")), _named("王 A+B")),
    Taken(
        "12.1 version",
        "the higher one wins, whichever comes first",
        (_person(name="新", version=_VERSION + 1), _person(name="旧", version=_VERSION)),
        _named("新"),
    ),
    Taken(
        "12.1 version",
        "seconds and milliseconds",
        (_person(name="旧", version=_VERSION * 1000), _person(name="新", version=_VERSION + 1)),
        _named("新"),
    ),
    Taken(
        "12.1 test",
        "a heartbeat is acknowledged whatever its signature, and not kept",
        (lambda sender: sender.body("", "", None, test=True),),
        header="",
    ),
    Taken("12.1 mode", "0 of an old shop", (_person(mode=0),), _named("王 A+B")),
    Taken(
        "12.3 SCRM_CUSTOMER_EVENT",
        "CUSTOMER_UPDATED",
        (
            _person(version=_VERSION),
            lambda sender: sender.body(*_PERSON, customer(name="改"), status="CUSTOMER_UPDATED", version=_VERSION + 1),
        ),
        _named("改"),
    ),
    Taken(
        "12.4 trade_TradePaid", "full_order_info in yuan", (_PAID,), {"total_trade_amount": 19_990, "trade_count": 1}
    ),
    Taken(
        "12.4 trade_TradeClose",
        "takes the order back",
        (
            _PAID,
            _trade("trade_TradePaid", trade("E2", payment="1.00")),
            _trade("trade_TradeClose", {"tid": "E1", "close_type": 1, "update_time": "2026-11-21 12:00:00"}),
        ),
        {"total_trade_amount": 100, "trade_count": 1},
    ),
    Taken(
        "12.4 trade_refund_RefundSuccess",
        "msg is encoded text",
        (_PAID, _trade("trade_refund_RefundSuccess", refund("E1", "R1", "19.99"))),
        {"refund_trade_amount": 1_999, "refund_count": 1},
    ),
    Taken(
        "12.4 youzan_trade_RefundSuccess",
        "msg is an object",
        (_PAID, _trade("youzan_trade_RefundSuccess", _ACCEPTED)),
        {"refund_trade_amount": 1_999, "refund_count": 1},
    ),
)

_BODY: Final = {
    "client_id": "their-app",
    "kdt_id": lambda world: world.shop.id,
    "kdt_name": "Conformance",
    "id": Text(r"\d+"),
    "type": "SCRM_CUSTOMER_EVENT",
    "status": "CUSTOMER_CREATED",
    "msg": str,
    "msg_id": _UUID,
    "version": MILLISECONDS,
    "sendCount": int,  # 0, unless the machine was too busy to be reached at once
    "sign": Text(r"[0-9a-f]{32}"),
    "test": False,
    "mode": 1,
}
_INSIDE: Final = {
    "account_id": Text(r"\d+"),
    "account_type": "YouZanAccount",
    "name": "王 A+B",
    "gender": 2,
    "birthday": "1990-05-06 00:00:00",
    "mobile": Text(r"1\d{10}"),
    "is_member": bool,
    "src": 400,
    "is_log_off": False,
    "external_request_id": Maybe(str),
}
_SOMEBODY: Final = {"name": "王 A+B", "gender": 2, "birthday": "1990-05-06"}
_MADE: Final = call("create/3.0.0", {"mobile": new_mobile, "customer_create": _SOMEBODY})

_SENT: Final = (
    Told("12.1 request", "signed, percent-encoded, compact", (_MADE,), _BODY, Has({"name": "王 A+B"})),
    Told("12.3 SCRM_CUSTOMER_EVENT", "CUSTOMER_CREATED to a subscriber", (_MADE,), Has({"mode": 1}), _INSIDE),
    Told(
        "12.3 SCRM_CUSTOMER_EVENT",
        "CUSTOMER_UPDATED to a subscriber",
        (
            call(
                "update/3.0.0",
                {"account": {"account_type": "YouZanAccount", "account_id": lambda world: world.account_id}}
                | {"customer_update": {"name": "改"}},
            ),
        ),
        Has({"status": "CUSTOMER_UPDATED", "id": lambda world: world.account_id}),
        Has({"name": "改"}),
    ),
)

ROWS: Final[tuple[Case, ...]] = (*_RECEIVED, *_SENT)

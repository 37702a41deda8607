"""Youzan as a sender of messages, written from the contract and from nothing of ours."""

import hashlib
import json
import uuid
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, quote_plus

import httpx

TAKEN = {"code": 0, "msg": "success"}
NOT_TAKEN = {"code": 1, "msg": "failed"}

Json = dict[str, Any]


def md5(text: str) -> str:
    """Lowercase hex."""
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


@dataclass
class Sender:
    """One Youzan app, pushing the messages of one shop."""

    http: httpx.AsyncClient
    shop_id: int
    client_id: str = "youzan-app-1"
    secret: str = "5ecret-of-the-app"

    def body(
        self,
        type_: str,
        subject: str,
        msg: Any,
        *,
        status: str = "",
        version: int = 1_893_456_000_000,
        msg_id: str | None = None,
        plus: bool = False,
        **changes: Any,
    ) -> Json:
        """A message, its `msg` encoded and signed unless it is an object."""
        if isinstance(msg, dict) and not type_.startswith("youzan_"):
            msg = json.dumps(msg, ensure_ascii=False, separators=(",", ":"))
            msg = quote_plus(msg) if plus else quote(msg, safe="")
        told: Json = {
            "client_id": self.client_id,
            "app_id": "",
            "kdt_id": self.shop_id,
            "kdt_name": "店铺",
            "id": subject,
            "type": type_,
            "status": status,
            "msg_id": msg_id or str(uuid.uuid4()),
            "version": version,
            "test": False,
            "mode": 1,
        }
        if msg is not None:
            told["msg"] = msg
            told["sign"] = md5(f"{self.client_id}{msg}{self.secret}") if isinstance(msg, str) else ""
        return told | changes

    async def send(self, told: Json, *, to: object = None, event_sign: str | None = None) -> httpx.Response:
        """POST it with its headers."""
        raw = json.dumps(told, ensure_ascii=False, separators=(",", ":"))
        headers: dict[str, Any] = {
            "Content-Type": "application/json",
            "Event-Sign": (md5(f"{self.client_id}{raw}{self.secret}") if event_sign is None else event_sign).encode(),
            "Event-Type": str(told.get("type", "")),
            "Client-Id": self.client_id,
        }
        path = f"/youzan/push/{self.shop_id if to is None else to}"
        return await self.http.post(path, content=raw.encode(), headers=headers)

    async def push(self, *arguments: Any, **options: Any) -> Json:
        """Send a message that is taken. Returns it."""
        told = self.body(*arguments, **options)
        answer = await self.send(told)
        assert (answer.status_code, answer.json()) == (200, TAKEN), answer.text
        return told


def customer(account: str = "8801", **said: Any) -> Json:
    """The inside of SCRM_CUSTOMER_EVENT."""
    return {
        "account_id": account,
        "account_type": "YouZanAccount",
        "name": "王 A+B",
        "gender": 2,
        "birthday": "1990-05-06",
        "mobile": "13800000001",
        "is_member": True,
        "src": 200,
        "is_log_off": False,
    } | said


def trade(tid: str, *, payment: str = "199.90", pay_time: str | None = "2026-11-20 10:00:00", **buyer: Any) -> Json:
    """The inside of a message that carries the whole order."""
    info = {"tid": tid, "status": "WAIT_SELLER_SEND_GOODS", "created": "2026-11-20 09:59:00"}
    return {
        "tid": tid,
        "full_order_info": {
            "order_info": info | ({"pay_time": pay_time} if pay_time else {}),
            "buyer_info": {"buyer_id": 8801, "buyer_phone": "13800000001", "fans_id": 0, "yz_open_id": "AbC-1"} | buyer,
            "pay_info": {"total_fee": "210.00", "payment": payment, "post_fee": "0.00"},
            "orders": [
                {"oid": "1", "title": "口红 05", "num": 2, "price": "99.95", "payment": payment, "item_id": 77},
                {"oid": "2", "title": "小样", "num": 1, "price": "0.00", "payment": "0.00", "outer_sku_id": "S-2"},
            ],
        },
    }


def refund(tid: str, number: str = "R-1", fee: str = "19.99") -> Json:
    """The inside of a refund's message."""
    return {"tid": tid, "refund_id": number, "refunded_fee": fee, "update_time": "2026-11-21 12:00:00", "oids": "1"}

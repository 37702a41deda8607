"""Youzan's message push (消息推送): its signatures, and the form in which subscribers that expect it are told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import md5
from typing import Any, Final, NamedTuple
from urllib.parse import quote
from uuid import UUID

import orjson

from app.core.db import Row
from app.customers.normalise import national
from app.customers.records import Customer

FORMAT: Final = "youzan"
CUSTOMER_EVENT: Final = "SCRM_CUSTOMER_EVENT"
STATUSES: Final = {"customer.created": "CUSTOMER_CREATED", "customer.updated": "CUSTOMER_UPDATED"}
TIMEOUT_SECONDS: Final = 5.0
PROBE_SECONDS: Final = 5.0  # between heartbeats while messages are held back
# Waits after each attempt, by how many there are; what fails once more is a dead letter.
_GUIDE: Final = (
    *(10.0, 30.0),
    *(60.0 * minutes for minutes in range(1, 11)),
    *(1_200.0, 1_800.0, 3_600.0, 7_200.0),
)
DELAYS_SECONDS: Final[Mapping[int, Sequence[float]]] = {17: _GUIDE, 5: (5.0, 320.0, 1_280.0, 7_200.0)}
_OTHER_SOURCE: Final = 400  # neither a follow, nor an order, nor an import


class Inside(NamedTuple):
    """What one message is about: the business id, the status, and `msg` before it is encoded."""

    subject: str
    status: str
    msg: dict[str, Any]
    moment: datetime
    test: bool = False


@dataclass(frozen=True, slots=True)
class Push:
    """What one endpoint is sent: prepared with the claim, signed anew with each attempt, and stored nowhere."""

    client_id: str
    secret: str
    shop_id: int
    shop_name: str
    inside: Mapping[UUID, Inside]
    delays: Sequence[float]

    def request(self, row: Row) -> tuple[bytes, dict[str, str]]:
        """The body and the headers of one attempt at a delivery."""
        told = self.inside[row["id"]]
        msg = quote(orjson.dumps(told.msg), safe="")  # a space as %20 and a plus as %2B: every decoder reads both
        body = orjson.dumps(
            {
                "client_id": self.client_id,
                "kdt_id": self.shop_id,
                "kdt_name": self.shop_name,
                "id": told.subject,
                "type": CUSTOMER_EVENT,
                "status": told.status,
                "msg": msg,
                "msg_id": row["message_id"],
                "version": int(told.moment.timestamp() * 1000),
                "sendCount": row["attempt"] - 1,
                "sign": signature(self.client_id, msg.encode(), self.secret),
                "test": told.test,
                "mode": 1,
            }
        )
        return body, {
            "Event-Sign": signature(self.client_id, body, self.secret),
            "Event-Type": CUSTOMER_EVENT,
            "Client-Id": self.client_id,
        }


def signature(client_id: str, content: bytes, secret: str) -> str:
    """The protocol's signature over a body or over `msg` as sent: lowercase hex MD5, because both ends speak only that.

    The secret comes last, so nothing can be appended to what was signed; it does not say when it was signed.
    """
    return md5(client_id.encode() + content + secret.encode(), usedforsecurity=False).hexdigest()


def acknowledged(status: int, body: bytes) -> bool:
    """Whether a reply accepts the message: HTTP 200 alone says nothing."""
    return status == 200 and b"success" in body


def about(customer: Customer, event: Mapping[str, Any], kind: str, *, unmasked: bool) -> Inside:
    """What is told of a customer as they are now; the event says what happened and when.

    Args:
        unmasked: else personal fields are left out: a receiver would take a masked one for the real one.
    """
    profile, birthday = customer.profile, customer.birthday
    personal: dict[str, Any] = {}
    if unmasked:
        personal["name"] = profile["name"] or ""
        if birthday is not None:
            personal["birthday"] = f"{birthday.isoformat()} 00:00:00"
        if customer.mobile is not None:
            personal["mobile"] = national(customer.mobile)[1]
    echo = event["data"].get("external_request_id")
    msg = {
        "account_id": str(customer.id),
        "account_type": "YouZanAccount",
        **personal,
        "gender": profile["gender"],
        "is_member": profile["member_since"] is not None,
        "src": _OTHER_SOURCE,
        "is_log_off": False,
        **({"external_request_id": echo} if echo is not None else {}),
    }
    return Inside(str(customer.id), STATUSES[kind], msg, moment_of(event))


def heartbeat(event: Mapping[str, Any]) -> Inside:
    """A message that only asks whether anyone is there."""
    return Inside("", "", {}, moment_of(event), test=True)


def moment_of(event: Mapping[str, Any]) -> datetime:
    """When it happened."""
    return datetime.fromisoformat(event["timestamp"])

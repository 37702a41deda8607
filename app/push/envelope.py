"""The outside of a pushed message: whom and what it is about, and whether it is from a holder of the secret."""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

import orjson

from app.webhooks.youzan import signature

_MILLISECONDS_FROM: Final = 10**11  # ten digits are seconds, thirteen are milliseconds
_LATEST: Final = 9 * 10**12
_SHOPS: Final = ("kdt_id", "root_kdt_id", "head_kdt_id")


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message before anyone looked into it. `shops`: the shop and the head office that it names."""

    test: bool
    msg_id: str
    type: str
    status: str | None
    subject: str
    version: int
    shops: frozenset[int]
    msg: str | None
    sign: str


def read(body: bytes) -> Envelope:
    """The envelope of a request's body; what is missing or odd gets a stand-in, so that nothing genuine is lost.

    Raises: ValueError when the body is not a JSON object.
    """
    given = orjson.loads(body)
    if not isinstance(given, dict):
        raise ValueError("not an object")
    # A message without an id of its own is known again by its content.
    msg_id = _plain(given.get("msg_id"), 128) or f"sha256:{sha256(body).hexdigest()}"
    msg = given.get("msg")
    return Envelope(
        test=given.get("test") in (True, "true"),
        msg_id=msg_id,
        type=_plain(given.get("type"), 64) or "-",
        status=_plain(given.get("status"), 64) or None,
        subject=_text(given.get("id")) or _text(given.get("yz_open_id")) or msg_id,
        version=version_of(given.get("version")),
        shops=frozenset(number for name in _SHOPS if (number := _number(given.get(name)))),
        msg=msg if isinstance(msg, str) else None,
        sign=_text(given.get("sign")),
    )


def genuine(envelope: Envelope, body: bytes, event_sign: str, client_id: str, secret: str) -> bool:
    """Whether both signatures fit: the header's over the whole body, the body's over `msg` exactly as sent.

    A message whose `msg` is an object, or that has none, carries no text to sign: the header alone covers it. Both
    are always computed and compared, so the time tells nothing about which one was wrong.
    """
    whole = _same(signature(client_id, body, secret), event_sign)
    if envelope.msg is None:
        return whole
    return whole & _same(signature(client_id, envelope.msg.encode(), secret), envelope.sign)


def version_of(value: Any) -> int:
    """A version in milliseconds, from seconds or milliseconds; 0 when there is none."""
    number = _number(value)
    return min(number * 1000 if number < _MILLISECONDS_FROM else number, _LATEST)


def headers_sign(headers: Mapping[str, str]) -> str:
    """The header's signature, as any spelling of hex."""
    return headers.get("event-sign", "")


def _same(ours: str, theirs: str) -> bool:
    return hmac.compare_digest(ours.encode(), theirs.strip().lower().encode("utf-8", "replace"))


def _number(value: Any) -> int:
    text = _text(value)
    return int(text) if text.isdecimal() and len(text) <= 16 else 0


def _text(value: Any) -> str:
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def _plain(value: Any, limit: int) -> str:
    text = _text(value)
    return text if text.isascii() and text.isprintable() and len(text) <= limit else ""

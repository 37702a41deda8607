"""The inside of a pushed message: decoded as it was sent, its values read exactly or not at all."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final, NoReturn
from urllib.parse import unquote_plus
from uuid import UUID

from app.access.shops import Shop
from app.core.clock import of_our_time
from app.core.db import Row
from app.push.errors import Unreadable
from app.push.service import BODY
from app.youzan.parameters import CHINA

Json = dict[str, Any]

_MOMENT: Final = re.compile(r"(\d{4}-\d{2}-\d{2})[ T](\d{2}:\d{2}:\d{2})", re.ASCII)
_MILLISECONDS_FROM: Final = 10**11
_LONGEST_AMOUNT: Final = 24


@dataclass(frozen=True, slots=True)
class Told:
    """A kept message, opened. `msg` holds the top-level fields too where the message has no inside of its own."""

    id: UUID
    msg_id: str
    type: str
    status: str
    subject_hash: bytes
    version: int
    state: str
    error: str | None
    failures: int
    body: Json
    msg: Json

    @property
    def rank(self) -> tuple[int, str]:
        """Its place among what is told of one thing. Versions may be equal; ids never are."""
        return self.version, self.msg_id

    @property
    def moment(self) -> datetime | None:
        """When it happened: what it says itself, else its version."""
        return china_moment(self.msg.get("update_time")) or china_moment(self.version)


def open_message(shop: Shop, row: Row) -> Told:
    """Raises Unreadable."""
    body = parse(shop.keys.open(BODY, row["body"]))
    return Told(
        id=row["id"],
        msg_id=row["msg_id"],
        type=row["type"],
        status=row["status"] or "",
        subject_hash=row["subject_hash"],
        version=row["version"],
        state=row["state"],
        error=row["error"],
        failures=row["failures"],
        body=body,
        msg=inside(body),
    )


def inside(body: Json) -> Json:
    """`msg` as an object: URL-encoded JSON with either spelling of a space, JSON text, an object, or the top level.

    Raises: Unreadable.
    """
    msg = body.get("msg")
    if msg is None or msg == "":
        return body
    if isinstance(msg, dict):
        return msg
    if not isinstance(msg, str):
        raise Unreadable
    if msg.lstrip().startswith("{"):  # not encoded, so a plus is a plus
        return parse(msg)
    try:
        return parse(unquote_plus(msg, errors="strict"))
    except UnicodeDecodeError:
        raise Unreadable from None


def parse(text: str) -> Json:
    """A JSON object with its decimals exactly as they were written. Raises Unreadable."""
    try:
        value = json.loads(text, parse_float=Decimal, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise Unreadable from None
    if not isinstance(value, dict):
        raise Unreadable
    return value


def _refuse(_: str) -> NoReturn:
    raise ValueError("not JSON")


def struct(value: Any) -> Json:
    """An object, empty where there is none."""
    return value if isinstance(value, dict) else {}


def structs(value: Any) -> Sequence[Json]:
    """The objects of a list, none where there is no list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def words(value: Any) -> str:
    """A text, or a number's; empty where there is none. NUL has no place in a text."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    return str(value).replace("\x00", "").strip()


def fen(value: Any) -> int | None:
    """An amount in yuan as fen, exactly; None where there is none. Raises ValueError for what is no amount of fen."""
    if value is None or value == "" or isinstance(value, bool):
        return None
    text = str(value).strip()
    try:
        yuan = Decimal(text)
    except InvalidOperation:
        raise ValueError("not an amount") from None
    # Short enough that nothing below rounds, small enough to be written out.
    if len(text) > _LONGEST_AMOUNT or not yuan.is_finite() or yuan.adjusted() > _LONGEST_AMOUNT:
        raise ValueError("not an amount")
    if (amount := yuan * 100) != int(amount):
        raise ValueError("not a whole number of fen")
    return int(amount)


def china_moment(value: Any) -> datetime | None:
    """A date-time text in China's time, or a Unix time in seconds or milliseconds; None for anything else."""
    if isinstance(value, str) and value.strip().isdecimal() and len(value) <= 16:
        value = int(value)
    try:
        if isinstance(value, str):
            found = _MOMENT.match(value.strip())
            moment = datetime.fromisoformat(f"{found[1]} {found[2]}") if found else None
            return of_our_time(moment).replace(tzinfo=CHINA) if moment else None
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return of_our_time(datetime.fromtimestamp(value / (1000 if value >= _MILLISECONDS_FROM else 1), UTC))
    except (ValueError, OverflowError, OSError):
        pass
    return None

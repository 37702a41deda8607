"""The old signature mode (contract 1.6): the parameters, signed with the app's secret, instead of a token."""

import hmac
from collections.abc import Callable, Iterable
from datetime import datetime
from hashlib import md5
from typing import Final, NamedTuple

from app.core import clock
from app.youzan.errors import GatewayRefusal
from app.youzan.parameters import CHINA

_DEVIATION_SECONDS: Final = 600
_APP_ID, _TIMESTAMP, _EMPTY, _METHOD = 40001, 40003, 40004, 40006


class Signed(NamedTuple):
    """Who claims to have signed, and the proof of it: given the app's secret, whether that made the signature."""

    app_id: str
    proof: Callable[[str], bool]


def signed(pairs: Iterable[tuple[str, str]], name: str) -> Signed:
    """The claim that a request's parameters make.

    Raises: GatewayRefusal 4004, 40001, 40003, 40004 or 40006 for what is wrong with it whatever the secret is.
    """
    once = set(pairs)
    given = dict(once)
    if len(given) != len(once):  # one value of a name is signed, and of `tags[]` every one would be read
        raise GatewayRefusal(4004, "a signed parameter has one value")
    app_id, signature = given.get("app_id", ""), given.pop("sign", "")
    if not app_id:
        raise GatewayRefusal(_APP_ID)
    if not _is_now(given.get("timestamp", "")):
        raise GatewayRefusal(_TIMESTAMP, f"expected yyyy-MM-dd HH:mm:ss in China, within {_DEVIATION_SECONDS} s of now")
    if not signature:
        raise GatewayRefusal(_EMPTY)
    if given.get("method", name) != name:
        raise GatewayRefusal(_METHOD)

    def proof(secret: str) -> bool:
        return hmac.compare_digest(sign(given, secret).encode(), signature.lower().encode())

    return Signed(app_id, proof)


def sign(given: dict[str, str], secret: str) -> str:
    """Lowercase hex MD5 of secret, the parameters sorted by name as name and value, and secret."""
    text = "".join(name + given[name] for name in sorted(given))
    return md5(f"{secret}{text}{secret}".encode("utf-8", "replace"), usedforsecurity=False).hexdigest()


def _is_now(text: str) -> bool:
    try:
        moment = datetime.strptime(text.strip(), "%Y-%m-%d %H:%M:%S").replace(tzinfo=CHINA)
    except ValueError:
        return False
    return abs((clock.now() - moment).total_seconds()) <= _DEVIATION_SECONDS

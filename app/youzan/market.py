"""What the app market tells an app through its callback URL (contract 12.5): a subscription, and a code."""

from base64 import b64encode
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode

import orjson
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7

from app.youzan.shapes import milliseconds

_IV: Final = b"0102030405060708"  # the protocol's own, the same for every message
_SUBSCRIBED: Final = 20


def with_code(callback: str, code: str) -> str:
    """The callback URL by which an app hears of a shop's authorisation."""
    return _with(callback, code=code)


def with_subscription(callback: str, secret: str, shop_id: int, moment: datetime) -> str:
    """The callback URL by which an app hears that a shop subscribes to it.

    Nothing is sold here, so price, period and version say nothing, and the app is not named: its secret opens it.
    """
    told = {
        "buyerPhone": "",
        "env": "PROD",
        "kdtId": shop_id,
        "orderNo": f"E{moment:%Y%m%d%H%M%S}{shop_id}",
        "payTime": milliseconds(moment),
        "price": 0,
        "skuIntervalText": "",
        "skuVersionText": "",
        "status": _SUBSCRIBED,
        "type": "APP_SUBSCRIBE",
    }
    return _with(callback, message=encrypted(orjson.dumps(told), secret))


def encrypted(plain: bytes, secret: str) -> str:
    """AES-128-CBC under the first 16 characters of the client's secret, base64: because apps can read only that.

    It hides nothing that matters and proves little: the vector never changes. Tokens and people do not travel so.
    """
    padder = PKCS7(AES.block_size).padder()
    padded = padder.update(plain) + padder.finalize()
    encryptor = Cipher(AES(secret[:16].encode()), CBC(_IV)).encryptor()
    return b64encode(encryptor.update(padded) + encryptor.finalize()).decode()


def _with(callback: str, **parameters: Any) -> str:
    return f"{callback}{'&' if '?' in callback else '?'}{urlencode(parameters)}"

"""Standard Webhooks signatures with shared secrets: signing what is sent, verifying what is received.

Source: github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md, version 1.0.0, symmetric scheme.
"""

import base64
import binascii
import hashlib
import hmac
import re
import secrets as random
from collections.abc import Mapping, Sequence

PREFIX = "whsec_"

# A full stop would let the id and the timestamp be cut at another place under the same signature.
_MESSAGE_ID = re.compile(r"[!-\-/-~]{1,255}")
_TIMESTAMP = re.compile(r"[0-9]{1,12}")


class BadSignature(Exception):
    """The message is not from a holder of a secret, is not what was signed, or is too old or too new."""


def new_secret() -> str:
    """A secret of 32 random bytes, as shown to the receiver: `whsec_` and base64."""
    return PREFIX + base64.b64encode(random.token_bytes(32)).decode()


def sign(secrets: Sequence[str], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers of one attempt, one signature per secret: during a rotation the new and the old one.

    Args:
        message_id: the same for every attempt: the receiver drops repeats by it.
        timestamp: of this attempt, in unix seconds.
    Raises: ValueError without secrets, or if a secret, the id or the timestamp is malformed.
    """
    if not secrets:
        raise ValueError("at least one secret is needed")
    if not _MESSAGE_ID.fullmatch(message_id) or not _TIMESTAMP.fullmatch(str(timestamp)):
        raise ValueError("a message id is printable ASCII without spaces and full stops, a timestamp unix seconds")
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(_signature(secret, message_id, str(timestamp), body) for secret in secrets),
    }


def verify(
    secrets: Sequence[str], headers: Mapping[str, str], body: bytes, now: float, tolerance_seconds: float = 300
) -> None:
    """Return if one of the signatures was made with one of the secrets, at most the tolerance away from now.

    Args:
        headers: of the request, names in any case.
        now: unix seconds.
    Raises: BadSignature whatever the headers hold; ValueError only for a malformed secret of our own.
    """
    found = {name.lower(): value for name, value in headers.items()}
    message_id, timestamp = found.get("webhook-id", ""), found.get("webhook-timestamp", "")
    if not _MESSAGE_ID.fullmatch(message_id) or not _TIMESTAMP.fullmatch(timestamp):
        raise BadSignature("headers missing or malformed")
    if abs(now - int(timestamp)) > tolerance_seconds:
        raise BadSignature("timestamp outside the tolerance")
    # Texts are compared, not decoded bytes: base64 has several spellings of one value, and we send only one.
    given = [signature.encode("utf-8", "replace") for signature in found.get("webhook-signature", "").split(" ")]
    expected = [_signature(secret, message_id, timestamp, body).encode() for secret in secrets]
    # A list, not a generator: every pair is compared, so the time tells nothing about which one matched.
    if not any([hmac.compare_digest(ours, theirs) for ours in expected for theirs in given]):
        raise BadSignature("no signature matches")


def _signature(secret: str, message_id: str, timestamp: str, body: bytes) -> str:
    digest = hmac.digest(_key(secret), f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256)
    return "v1," + base64.b64encode(digest).decode()


def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(PREFIX) or not 24 <= len(key) <= 64:
        raise ValueError("a signing secret is whsec_ and the base64 of 24 to 64 bytes")
    return key

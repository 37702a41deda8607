"""The text of API keys and access tokens: made here, told from typing errors here, stored elsewhere as hashes."""

import re
import secrets
import string
import zlib

PREFIX = "kehu_live_"
RANDOM_CHARS = 32
CHECKSUM_CHARS = 6

_BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
_SHAPE = re.compile(rf"{PREFIX}[0-9A-Za-z]{{{RANDOM_CHARS + CHECKSUM_CHARS}}}")


def new_api_key() -> str:
    """`kehu_live_`, 32 random characters (190 bits), 6 of checksum: scanners find it, typing errors fail offline."""
    body = PREFIX + "".join(secrets.choice(_BASE62) for _ in range(RANDOM_CHARS))
    return body + _checksum(body)


def is_well_formed(key: str) -> bool:
    """Whether the text can be one of our keys. Says nothing about whether it was issued; never raises."""
    if not _SHAPE.fullmatch(key):
        return False
    # The checksum is no secret; comparing it this way only keeps the answer's time the same for every key.
    return secrets.compare_digest(key[-CHECKSUM_CHARS:], _checksum(key[:-CHECKSUM_CHARS]))


def display_hint(key: str) -> str:
    """What may be shown after the key was handed out: its prefix and last 4 characters, which are checksum.

    Raises: ValueError if the text is not one of our keys: another secret's last characters are not ours to show.
    """
    if not is_well_formed(key):
        raise ValueError("not an API key")
    return f"{PREFIX}...{key[-4:]}"


def new_token() -> str:
    """An access token: 32 lower-case hexadecimal characters, 128 random bits."""
    return secrets.token_hex(16)


def _checksum(text: str) -> str:
    """CRC32 in base62, padded with zeros to six characters (62**6 exceeds 2**32)."""
    number, digits = zlib.crc32(text.encode()), ""
    for _ in range(CHECKSUM_CHARS):
        number, digit = divmod(number, 62)
        digits = _BASE62[digit] + digits
    return digits

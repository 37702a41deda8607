"""One spelling per identity: what is hashed for lookup is decided here, and nowhere else."""

import re
import unicodedata
from typing import Final, Literal, get_args

import phonenumbers

IdentityKind = Literal[
    "mobile",
    "email",
    "wechat_openid",
    "wechat_unionid",
    "wecom_external_userid",
    "fans_id",
    "open_user_id",
    "card_no",
    "external_id",
    "mobile_token",
    "device",
]
KINDS: Final = get_args(IdentityKind)
VERSION: Final = 1  # of these rules; kept with each identity, so that a change tells which are to be hashed again

_MAINLAND: Final = re.compile(r"(?:\+?86)?(1[3-9]\d{9})")
_EMAIL: Final = re.compile(r"[^@\s]{1,64}@[^@\s]{1,255}\.[^@\s.]{2,}")
_SEPARATORS: Final = str.maketrans("", "", " -()\u3000\u2013")


def normalise(kind: str, value: str) -> str:
    """The one spelling of an identity's value.

    Raises: ValueError naming what is wrong and what is expected.
    """
    text = (value if value.isascii() else unicodedata.normalize("NFKC", value)).strip()
    if not text:
        raise ValueError("an identity needs a value; leave the identity out when there is none")
    if "*" in text and kind in ("mobile", "email"):
        raise ValueError("a masked value was sent back; send the real value or leave the identity out")
    if not text.isprintable():
        raise ValueError("control characters are not allowed in an identity")
    if kind == "mobile":
        return mobile_e164(text)
    if kind == "email":
        if not _EMAIL.fullmatch(text):
            raise ValueError("not an email address; expected name@domain")
        return text.lower()
    if kind == "fans_id" and not text.isdigit():
        raise ValueError("fans_id is a whole number")
    return text


def mobile_e164(text: str, country_code: str = "+86") -> str:
    """A phone number as E.164; numbers without a country code are read in `country_code`.

    Raises: ValueError when it is not a possible phone number.
    """
    # Nearly every number, and nearly always without separators: two orders of magnitude faster than parsing.
    mainland = _MAINLAND.fullmatch(text)
    if mainland and country_code == "+86":
        return "+86" + mainland[1]
    bare = text.translate(_SEPARATORS)
    mainland = _MAINLAND.fullmatch(bare)
    if mainland and country_code == "+86":
        return "+86" + mainland[1]
    try:
        number = phonenumbers.parse(bare if bare.startswith("+") else f"{country_code}{bare}", None)
    except phonenumbers.NumberParseException:
        number = None
    if number is None or not phonenumbers.is_possible_number(number) or number.country_code == 86:
        raise ValueError("not a mobile number; expected 11 digits such as 138xxxxxxxx, or +<country code><number>")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def national(e164: str) -> tuple[str, str]:
    """Country code with `+`, and the number's own digits: Youzan's `country_code` and `mobile`."""
    if e164.startswith("+86"):
        return "+86", e164[3:]
    number = phonenumbers.parse(e164, None)
    return f"+{number.country_code}", phonenumbers.national_significant_number(number)

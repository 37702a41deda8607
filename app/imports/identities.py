"""Who a row is about: the identities its cells name, cleaned of what spreadsheets do to numbers."""

import re
import unicodedata
from collections.abc import Callable, Mapping

from app.customers.schemas import IdentityWrite
from app.imports.header import IDENTITY_COLUMNS
from app.imports.rows import Payload, text_cell

_MOBILE = re.compile(r"\+?\d{5,20}", re.ASCII)
_CHINA = re.compile(r"(?:\+|00)?86(1\d{10})", re.ASCII)
_SCIENTIFIC = re.compile(r"\d(?:\.\d+)?e\+?\d+", re.IGNORECASE | re.ASCII)


def mobile(text: str) -> str:
    """Digits with an optional plus; a mainland number loses its +86, so that all its spellings are one."""
    plain = re.sub(r"[\s()\-']", "", unicodedata.normalize("NFKC", text)).removesuffix(".0")
    if _SCIENTIFIC.fullmatch(plain):
        raise ValueError("a spreadsheet has rounded this number: its last digits are lost")
    if not _MOBILE.fullmatch(plain):
        raise ValueError("this is not a mobile number")
    mainland = _CHINA.fullmatch(plain)
    return mainland[1] if mainland else plain


def email(text: str) -> str:
    local, at, domain = text.rpartition("@")
    if not (local and at and "." in domain) or any(character.isspace() for character in text):
        raise ValueError("this is not an e-mail address")
    return text


PARSERS: Mapping[str, Callable[[str], str]] = {
    column: {"mobile": mobile, "email": email}.get(column, text_cell) for column in IDENTITY_COLUMNS
}


def identities(values: Mapping[str, str | None], *, appid: str | None, source: str) -> list[Payload]:
    """The identities named by a row's parsed cells, strongest columns first.

    An external id is scoped by the system it comes from, an openid by the app that issued it.
    """
    scopes = {"external_id": source, "wechat_openid": appid or ""}
    named = []
    for kind in IDENTITY_COLUMNS:
        if value := values.get(kind):
            identity = {"kind": kind, "value": value}
            if scope := scopes.get(kind):
                identity["scope"] = scope
            named.append(identity)
    return named


def key(identity: IdentityWrite) -> str:
    """One text per identity, equal when the server would find the same person by it."""
    return f"{identity.kind}\x1f{identity.scope}\x1f{identity.value}"

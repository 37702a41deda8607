"""Messages about customers: who is meant, and what is said of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import md5
from typing import Any, Final

from pydantic import ValidationError

from app.customers.schemas import CustomerUpdate, IdentityWrite
from app.customers.service import Write
from app.push.errors import Invalid
from app.push.reading import Json, Told, words

CUSTOMER: Final = "SCRM_CUSTOMER_EVENT"
CARD: Final = "SCRM_CUSTOMER_CARD"
AUTH_MOBILE: Final = "OPEN_PUSH_SCRM_CUSTOMER_AUTH_MOBILE"
PROFILE_TYPES: Final = (CUSTOMER, AUTH_MOBILE)

ACCOUNT_SCOPE: Final = "youzan"
OPEN_ID_SCOPE: Final = "youzan_open_id"
OUTER_SCOPE: Final = "youzan_outer"
_OUR_ECHO: Final = "kehu:"  # how our own requests to Youzan name themselves

_ACCOUNTS: Final = {
    "YouZanAccount": ("external_id", ACCOUNT_SCOPE),
    "FansID": ("fans_id", ""),
    "Mobile": ("mobile", ""),
    "OpenUserId": ("open_user_id", ""),
    "WeiXinOpenId": ("wechat_openid", ""),
    "YzOpenId": ("external_id", OPEN_ID_SCOPE),
}
_CUSTOMER_STATUSES: Final = ("CUSTOMER_CREATED", "CUSTOMER_UPDATED")
_CARD_STATUSES: Final = ("CUSTOMER_CARD_GIVEN", "CUSTOMER_CARD_TAKEN")


@dataclass(frozen=True, slots=True)
class Said:
    """What one message says of one person. `left_out`: fields that were sent and cannot be kept."""

    identities: list[IdentityWrite]
    fields: dict[str, Any]
    left_out: list[str]

    @property
    def mobile(self) -> str | None:
        """E.164, or None."""
        return next((identity.value for identity in self.identities if identity.kind == "mobile"), None)


def identity(kind: str, value: Any, scope: str = "") -> IdentityWrite | None:
    """An identity, or None: nothing was sent, or nothing that can be one (a masked or enciphered mobile)."""
    text = words(value)
    if text in ("", "0"):
        return None
    try:
        return IdentityWrite.model_validate({"kind": kind, "value": text, "scope": scope})
    except ValidationError:
        return None


def known(*found: IdentityWrite | None) -> list[IdentityWrite]:
    """Those that are there, once each."""
    return list(dict.fromkeys(one for one in found if one is not None))


def is_loop(told: Told) -> bool:
    """Whether the message tells of a change that we made ourselves."""
    echo = words(told.msg.get("external_request_id"))
    ours = md5(words(told.body.get("client_id")).encode(), usedforsecurity=False).hexdigest()
    return echo.startswith(_OUR_ECHO) or words(told.msg.get("client_hash")).lower() == ours


def ignored_because(told: Told) -> str | None:
    """Why a message about a customer or a card asks for nothing, or None when it does ask."""
    if is_loop(told):
        return "loop"
    if told.type == CUSTOMER:
        if told.status not in _CUSTOMER_STATUSES:
            return "unknown_status"
        return "log_off" if told.msg.get("is_log_off") in (True, "true", 1) else None
    if told.type == CARD:
        return None if told.status in _CARD_STATUSES else "card_status"
    return None


def said_by(told: Told) -> Said:
    """What a message about a profile says. Raises Invalid."""
    msg = told.msg
    mobile = identity("mobile", msg.get("mobile"))
    open_id = identity("external_id", msg.get("yz_open_id"), OPEN_ID_SCOPE)
    if told.type == AUTH_MOBILE:
        if mobile is None:
            raise Invalid("mobile")
        return Said(known(open_id, mobile), {"mobile_verified": True}, [])
    kind, scope = _ACCOUNTS.get(words(msg.get("account_type")) or "YouZanAccount", ("", ""))
    account = identity(kind, msg.get("account_id") or told.body.get("id"), scope) if kind else None
    identities = known(account, open_id, mobile)
    if not identities:
        raise Invalid("identities")
    fields, left_out = _fields(msg)
    if mobile is None and words(msg.get("mobile")):
        left_out.append("mobile")
    return Said(identities, fields, left_out)


def card_of(told: Told) -> list[IdentityWrite]:
    """A card with whoever holds it, the person first; empty when the message names only one of the two."""
    msg = told.msg
    card = identity("card_no", msg.get("card_no") or told.body.get("id"))
    holder = known(
        identity("external_id", msg.get("yz_open_id"), OPEN_ID_SCOPE),
        identity("mobile", msg.get("mobile")),
        identity("fans_id", msg.get("fans_id")),
    )
    return [*holder, card] if card and holder else []


def folded(claimed: Sequence[Told], newer: Sequence[Told]) -> tuple[Write, list[str]]:
    """One write for what several messages say of one person, and the fields that were left out.

    The newest word on each field counts, whatever order they came in. A word that was applied before is not applied
    again: someone may have changed the field since.

    Args:
        newer: messages about the same that were applied already; only the newer ones matter.
    Raises: Invalid.
    """
    said = {told.id: said_by(told) for told in claimed}
    person = set(said[claimed[0].id].identities)
    if any(person.isdisjoint(one.identities) for one in said.values()):
        raise Invalid("identities")  # of several people under one id: each message is taken alone
    fields: dict[str, Any] = {}
    keeps_mobile = False
    for told in sorted([*claimed, *newer], key=lambda told: told.rank):
        this = said.get(told.id)
        words_now = this if this is not None else said_by(told)
        if person.isdisjoint(words_now.identities):
            continue
        if words_now.mobile is not None:
            fields["mobile"], keeps_mobile = words_now.mobile, this is None
        for name, value in words_now.fields.items():
            if this is not None:
                fields[name] = value
            else:
                fields.pop(name, None)
    newest_first = [said[told.id] for told in sorted(claimed, key=lambda told: told.rank, reverse=True)]
    if keeps_mobile:
        del fields["mobile"]
    identities = known(*(one for words_then in newest_first for one in words_then.identities))
    left_out = sorted({name for words_then in newest_first for name in words_then.left_out})
    return Write(identities, fields, keeps_mobile=keeps_mobile), left_out


def _fields(msg: Json) -> tuple[dict[str, Any], list[str]]:
    """Profile fields; an empty text and an unknown gender say nothing."""
    gender = words(msg.get("gender"))
    given: dict[str, Any] = {
        "name": words(msg.get("name")),
        "gender": int(gender) if gender.isdecimal() and len(gender) < 4 else 0,
        "birthday": words(msg.get("birthday"))[:10],
    }
    fields: dict[str, Any] = {}
    left_out = []
    for name, value in given.items():
        if not value:
            continue
        try:
            fields |= CustomerUpdate.model_validate({name: value}).given()
        except ValidationError:
            left_out.append(name)
    return fields, left_out

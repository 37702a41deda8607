"""Whom an account means. The number 2 is a mobile in one system and a fan in another: the API's version decides."""

from collections.abc import Mapping, Sequence
from typing import Final

from app.customers.schemas import IdentityWrite
from app.youzan import repository
from app.youzan.calling import FacadeCall
from app.youzan.errors import INVALID, BusinessRefusal
from app.youzan.parameters import Parameters
from app.youzan.repository import Found

ACCOUNT_ID: Final = "account_id"  # our own number
OPEN_ID: Final = "open_id"  # our own number, enciphered

# System S: texts.
TEXT: Final[Mapping[str, str]] = {
    "FansID": "fans_id",
    "Mobile": "mobile",
    "YouZanAccount": ACCOUNT_ID,
    "OpenUserId": "open_user_id",
    "WeiXinOpenId": "wechat_openid",
    "YzOpenId": OPEN_ID,
}
# System N: the current numbers.
NUMBER: Final[Mapping[str, str]] = {"1": "fans_id", "2": "mobile", "3": "open_user_id", "5": OPEN_ID}
# Of account.check alone.
CHECKED: Final[Mapping[str, str]] = {"Mobile": "mobile", "UnionId": "wechat_unionid"}
# Where clients send either spelling.
EITHER: Final[Mapping[str, str]] = {**TEXT, **NUMBER}


class Account(Parameters):
    """`account`: a type of the API's system, and the value; a number as value is taken as its text."""

    account_type: str
    account_id: str


async def find(call: FacadeCall, account: Account, *, beside: str = "", figures: bool = False) -> Found | None:
    """The customer with that account, or None.

    Args:
        beside: a kind of identity to bring along.
        figures: bring the order figures along.
    Raises: BusinessRefusal when the type is not one of the API's, ValidationError when the value cannot be of its type.
    """
    meant = _meant(call, account)
    if meant is None:
        return None
    if isinstance(meant, int):
        return _noted(call, await repository.find_by_id(call.db, call.shop, meant, beside=beside, figures=figures))
    return _noted(call, await repository.find_by_identity(call.db, call.shop, meant, beside=beside, figures=figures))


async def find_identity(call: FacadeCall, kind: str, value: str, *, beside: str = "") -> Found | None:
    """The customer who holds an identity, or None. Raises ValidationError when the value cannot be of its kind."""
    # Refused by the identity's own rules, the same as when it is written.
    identity = IdentityWrite.model_validate({"kind": kind, "value": value})
    return _noted(call, await repository.find_by_identity(call.db, call.shop, identity, beside=beside))


async def find_all(call: FacadeCall, given: Sequence[Account]) -> list[int | None]:
    """The number of each account's record, None where there is none or they are logged off; one statement for all.

    Raises: as `find`.
    """
    found = await repository.present(call.db, call.shop, [_meant(call, account) for account in given])
    call.visit.concerns(sorted({number for number in found if number is not None}))
    return found


async def find_open_id(call: FacadeCall, open_id: str, *, beside: str = "") -> Found | None:
    """The customer behind a `yz_open_id` of this shop, or None."""
    customer_id = call.root.read_open_id(call.shop.id, open_id)
    if customer_id is None:
        return None
    return _noted(call, await repository.find_by_id(call.db, call.shop, customer_id, beside=beside))


def _meant(call: FacadeCall, account: Account) -> IdentityWrite | int | None:
    """The identity or the customer's number that an account names; None for an open id that is not this shop's."""
    kind = call.accounts.get(account.account_type)
    if kind is None:
        raise BusinessRefusal(INVALID, f"account_type is one of {', '.join(call.accounts)}")
    if kind == OPEN_ID:
        return call.root.read_open_id(call.shop.id, account.account_id)
    if kind == ACCOUNT_ID:
        if not (account.account_id.isascii() and account.account_id.isdigit()):
            raise BusinessRefusal(INVALID, "account_id: expected digits")
        return int(account.account_id[:20])
    # Refused by the identity's own rules, the same as when it is written.
    return IdentityWrite.model_validate({"kind": kind, "value": account.account_id})


def _noted(call: FacadeCall, found: Found | None) -> Found | None:
    """The access log tells whom the call concerned."""
    if found is not None:
        call.visit.concerns([found.customer.id])
    return found

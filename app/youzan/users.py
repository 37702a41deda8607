"""youzan.user.* and youzan.users.*: who is behind a mobile, an openid, a unionid or a number.

Youzan looks these up among all its accounts; here a user is a customer of the calling shop.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, NotRequired

from pydantic import AliasChoices, Field, TypeAdapter
from typing_extensions import TypedDict

from app.core.masking import MobileField
from app.customers.records import Customer
from app.youzan import accounts
from app.youzan.accounts import CHECKED, Account
from app.youzan.calling import Api, FacadeCall
from app.youzan.errors import INVALID, MISSING, NO_SUCH_ACCOUNT_TYPE, NOT_BOUND, BusinessRefusal
from app.youzan.parameters import Count, Number, Numbers, Parameters, Text
from app.youzan.repository import Found, values_of
from app.youzan.shapes import local_text, milliseconds, mobile_of

MOBILE_ACCOUNT: Final = 0
OFFICIAL_ACCOUNT: Final = 1
MINI_PROGRAM: Final = 2
YOUZAN_ACCOUNT: Final = 9  # Youzan's own official account
PLATFORMS: Final = (MOBILE_ACCOUNT, OFFICIAL_ACCOUNT, MINI_PROGRAM, YOUZAN_ACCOUNT)

NEITHER: Final = 2  # of `is_fans`: came by a silent login, neither following nor gone
_WECHAT: Final = ("wechat_openid", "wechat_unionid")


class UserParameters(Parameters):
    """A mobile or an open id, of which the open id wins."""

    mobile: Text = None
    country_code: Text = None
    yz_open_id: Text = None


class WeixinOpenIdParameters(UserParameters):
    """Of weixin.openid.get 3.0.0."""

    wechat_type: Count = None


class InfoParameters(Parameters):
    """Of users.info.query 1.0.0 and 1.0.1."""

    yz_open_id: Text = None
    mobile: Text = None
    weixin_union_id: Text = None
    weixin_open_id: Text = None
    open_id_type: Number = None
    result_type_list: Numbers = None


class NumberParameters(Parameters):
    """Of user.openid.get 1.0.0."""

    user_id: Annotated[int, Field(ge=1)]


class OpenIdParameters(Parameters):
    """Of user.openid.getbyopenid 1.0.0; the parameter's name is not published."""

    open_id: str = Field(validation_alias=AliasChoices("open_id", "weixin_open_id", "weixin_openid"))


class UnionIdParameters(Parameters):
    """Of user.unionid.get 1.0.0."""

    union_id: str


class PrimitiveInfo(TypedDict):
    """What every account of a user tells; times are China's."""

    yz_open_id: str
    nick_name: str
    avatar: str
    gender: int
    country: str
    province: str
    city: str
    created_time: str
    updated_time: str
    platform_type: int


class MobileInfo(TypedDict):
    """Of an account by mobile; a number from elsewhere than +86 as `+54-123`."""

    mobile: MobileField


class WechatInfo(TypedDict):
    """Of an account in WeChat; times in seconds, 0 for never."""

    wechat_type: int
    union_id: str
    is_fans: int
    follow_time: int
    unfollow_time: int
    last_talk_time: int


class PlatformInfo(TypedDict):
    """Under which id the platform knows the account."""

    weixin_open_id: str


class UserEntry(TypedDict):
    """One account of a user: by mobile, or in WeChat."""

    primitive_info: PrimitiveInfo
    mobile_info: NotRequired[MobileInfo]
    wechat_info: NotRequired[WechatInfo]
    platform_info: NotRequired[PlatformInfo]


class LatestInfo(TypedDict):
    """What the shop's back office shows."""

    avatar: str
    nick_name: str


class InfoData(TypedDict):
    """Of users.info.query."""

    user_list: list[UserEntry]
    latest_info: LatestInfo


class BasicData(TypedDict):
    """Of user.basic.get; the mobile and its country are left out when unknown."""

    yz_open_id: str
    nick_name: str
    avatar: str
    mobile: NotRequired[MobileField]
    country_code: NotRequired[str]


class WeixinOpenIdData(TypedDict):
    """Of user.weixin.openid.get."""

    open_id: str
    union_id: str
    is_fans: int


class NumberData(TypedDict):
    """Of user.openid.get; times in milliseconds."""

    yz_open_id: str
    user_id: int
    created_at: int
    updated_at: int


class OpenIdData(TypedDict):
    """Of user.openid.getbyopenid and user.unionid.get."""

    yz_open_id: str


INFO_DATA: Final = TypeAdapter(InfoData)
BASIC_DATA: Final = TypeAdapter(BasicData)
WEIXIN_OPENID_DATA: Final = TypeAdapter(WeixinOpenIdData)
NUMBER_DATA: Final = TypeAdapter(NumberData)
OPENID_DATA: Final = TypeAdapter(OpenIdData)
UNIONID_DATA: Final[TypeAdapter[OpenIdData | None]] = TypeAdapter(OpenIdData | None)
CHECK_DATA: Final = TypeAdapter(bool)


async def query_info(call: FacadeCall, given: InfoParameters) -> InfoData:
    """A user's accounts of the types asked for; nobody is an empty list. Raises BusinessRefusal 141500101."""
    platforms = list(dict.fromkeys(given.result_type_list or [MOBILE_ACCOUNT]))
    if unknown := [number for number in platforms if number not in PLATFORMS]:
        raise BusinessRefusal(INVALID, f"result_type_list: expected some of 0, 1, 2, 9, not {str(unknown[0])[:20]}")
    data: InfoData = {"user_list": [], "latest_info": {"avatar": "", "nick_name": ""}}
    customer = _present(await _find_by_info(call, given))
    if customer is None:
        return data
    entries = data["user_list"]
    mobile = mobile_of(customer)
    if MOBILE_ACCOUNT in platforms and mobile:
        number = mobile[1] if mobile[0] == "+86" else "-".join(mobile)
        entries.append(
            {"primitive_info": _primitive(call, customer, MOBILE_ACCOUNT), "mobile_info": {"mobile": number}}
        )
    # An openid is kept without its type, so each is told once, under the first type that it could be of.
    wechat = next((number for number in platforms if number in (OFFICIAL_ACCOUNT, MINI_PROGRAM)), None)
    if wechat is not None:
        held = await _held(call, customer, _WECHAT)
        union_id = held.get("wechat_unionid", [""])[-1]
        for open_id in held.get("wechat_openid", [""] if "wechat_unionid" in held else []):
            entries.append(
                {
                    "primitive_info": _primitive(call, customer, wechat),
                    "wechat_info": {
                        "wechat_type": wechat,
                        "union_id": _shown(call, union_id),
                        "is_fans": NEITHER,
                        "follow_time": 0,
                        "unfollow_time": 0,
                        "last_talk_time": 0,
                    },
                    "platform_info": {"weixin_open_id": _shown(call, open_id)},
                }
            )
    return data


async def get_basic(call: FacadeCall, given: UserParameters) -> BasicData:
    """A user by mobile or open id. Raises BusinessRefusal 141001107 or 141500101."""
    customer = _present(await _find_user(call, given))
    if customer is None:
        raise BusinessRefusal(MISSING)
    data: BasicData = {"yz_open_id": call.open_id(customer.id), "nick_name": "", "avatar": ""}
    if mobile := mobile_of(customer):
        data["country_code"], data["mobile"] = mobile
    return data


async def get_weixin_openid(call: FacadeCall, given: WeixinOpenIdParameters) -> WeixinOpenIdData:
    """A user's newest openid. Raises BusinessRefusal 135200021 when there is none, or 141500101."""
    if given.wechat_type not in (None, 0, OFFICIAL_ACCOUNT, MINI_PROGRAM):
        raise BusinessRefusal(INVALID, "wechat_type: expected 1 or 2")
    customer = _present(await _find_user(call, given))
    held = await _held(call, customer, _WECHAT) if customer else {}
    if "wechat_openid" not in held:
        raise BusinessRefusal(NOT_BOUND)
    return {
        "open_id": _shown(call, held["wechat_openid"][-1]),
        "union_id": _shown(call, held.get("wechat_unionid", [""])[-1]),
        "is_fans": NEITHER,
    }


async def get_by_number(call: FacadeCall, given: NumberParameters) -> NumberData:
    """A user by account number. Raises BusinessRefusal 141001107 or 141500101."""
    account = Account(account_type="YouZanAccount", account_id=str(given.user_id))
    customer = _present(await accounts.find(call, account))
    if customer is None:
        raise BusinessRefusal(MISSING)
    return {
        "yz_open_id": call.open_id(customer.id),
        "user_id": customer.id,
        "created_at": milliseconds(customer.created_at),
        "updated_at": milliseconds(customer.updated_at),
    }


async def get_by_openid(call: FacadeCall, given: OpenIdParameters) -> OpenIdData:
    """A user by openid. Raises BusinessRefusal 141001107 or 141500101."""
    customer = _present(await accounts.find_identity(call, "wechat_openid", given.open_id))
    if customer is None:
        raise BusinessRefusal(MISSING)
    return {"yz_open_id": call.open_id(customer.id)}


async def get_by_unionid(call: FacadeCall, given: UnionIdParameters) -> OpenIdData | None:
    """A user by unionid, or None. Raises BusinessRefusal 141500101."""
    customer = _present(await accounts.find_identity(call, "wechat_unionid", given.union_id))
    return {"yz_open_id": call.open_id(customer.id)} if customer else None


async def check_account(call: FacadeCall, given: Account) -> bool:
    """Whether somebody has the account. Raises BusinessRefusal 135200036 for other types, or 141500101."""
    if given.account_type not in call.accounts:
        raise BusinessRefusal(NO_SUCH_ACCOUNT_TYPE)
    return _present(await accounts.find(call, given)) is not None


async def _find_by_info(call: FacadeCall, given: InfoParameters) -> Found | None:
    """By the first that is given, in the published order of priority."""
    if given.yz_open_id:
        return await accounts.find_open_id(call, given.yz_open_id)
    if given.mobile:
        return await accounts.find_identity(call, "mobile", given.mobile)
    if given.weixin_union_id:
        return await accounts.find_identity(call, "wechat_unionid", given.weixin_union_id)
    if given.weixin_open_id:
        if given.open_id_type not in PLATFORMS[1:]:
            raise BusinessRefusal(INVALID, "open_id_type: expected 1, 2 or 9 beside weixin_open_id")
        return await accounts.find_identity(call, "wechat_openid", given.weixin_open_id)
    raise BusinessRefusal(INVALID, "one of yz_open_id, mobile, weixin_union_id and weixin_open_id is needed")


async def _find_user(call: FacadeCall, given: UserParameters) -> Found | None:
    if given.yz_open_id:
        return await accounts.find_open_id(call, given.yz_open_id)
    if not given.mobile:
        raise BusinessRefusal(INVALID, "mobile or yz_open_id is needed")
    country = (given.country_code or "+86").removeprefix("+")
    mobile = given.mobile if given.mobile.startswith("+") else f"+{country}-{given.mobile}"
    return await accounts.find_identity(call, "mobile", mobile)


def _present(found: Found | None) -> Customer | None:
    return None if found is None or found.gone else found.customer


async def _held(call: FacadeCall, customer: Customer, kinds: Sequence[str]) -> Mapping[str, list[str]]:
    return (await values_of(call.db, call.shop, [customer.id], kinds)).get(customer.id, {})


def _shown(call: FacadeCall, value: str) -> str:
    """An id of WeChat's names a person and has no masked form: without the right to see it there is none."""
    return value if call.caller.unmasked else ""


def _primitive(call: FacadeCall, customer: Customer, platform: int) -> PrimitiveInfo:
    return {
        "yz_open_id": call.open_id(customer.id),
        "nick_name": "",
        "avatar": "",
        "gender": customer.profile["gender"],
        "country": "",
        "province": "",
        "city": "",
        "created_time": local_text(customer.created_at),
        "updated_time": local_text(customer.updated_at),
        "platform_type": platform,
    }


_READ: Final = "customers:read"
_NO_NICKNAME: Final = "nickname and avatar are empty"
_INFO_MISSING: Final = (
    "nickname, avatar and region are empty; WeChat's types are not told apart, and of 9 there is none; following is "
    "not recorded: `is_fans` is 2, its times are 0"
)
APIS: Final[tuple[Api[Any, Any], ...]] = (
    *(
        Api(
            "youzan.users.info.query",
            version,
            _READ,
            InfoParameters,
            INFO_DATA,
            query_info,
            missing=_INFO_MISSING,
        )
        for version in ("1.0.0", "1.0.1")
    ),
    *(
        Api("youzan.user.basic.get", version, _READ, UserParameters, BASIC_DATA, get_basic, missing=_NO_NICKNAME)
        for version in ("3.0.0", "3.0.1")
    ),
    Api(
        "youzan.user.weixin.openid.get",
        "3.0.0",
        _READ,
        WeixinOpenIdParameters,
        WEIXIN_OPENID_DATA,
        get_weixin_openid,
        missing="WeChat's types are not told apart; following is not recorded: `is_fans` is 2",
    ),
    Api("youzan.user.openid.get", "1.0.0", _READ, NumberParameters, NUMBER_DATA, get_by_number, accounts.TEXT),
    Api("youzan.user.openid.getbyopenid", "1.0.0", _READ, OpenIdParameters, OPENID_DATA, get_by_openid),
    Api("youzan.user.unionid.get", "1.0.0", _READ, UnionIdParameters, UNIONID_DATA, get_by_unionid),
    Api("youzan.users.account.check", "1.0.0", _READ, Account, CHECK_DATA, check_account, CHECKED),
)

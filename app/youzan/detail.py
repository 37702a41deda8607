"""youzan.scrm.customer.detail.get: one flat object, filled by the groups that are asked for."""

from collections.abc import Callable
from typing import Any, Final, NotRequired

from pydantic import TypeAdapter
from typing_extensions import TypedDict

from app.core.masking import BirthdayField, IdentifierField, MobileField, NameField, RemarkField, WechatIdField
from app.directory.repository import OrderFigures
from app.tags.repository import of_customers
from app.youzan import accounts
from app.youzan.accounts import NUMBER, Account
from app.youzan.calling import Api, FacadeCall
from app.youzan.errors import INVALID, LOGGED_OFF, MISSING, OTHER_SHOP, BusinessRefusal
from app.youzan.parameters import Parameters, Text
from app.youzan.repository import Found
from app.youzan.shapes import (
    ANONYMOUS,
    UNKNOWN_CHANNEL,
    ShowName,
    milliseconds,
    mobile_of,
    name_of,
    owner_of,
    seconds,
)

# What each group answers while nothing fills it.
_EMPTY: Final[dict[str, dict[str, Any]]] = {
    "user_base": {},
    "behavior": {},
    "tags": {"tags": [], "tag_ids": []},
    "benefit_cards": {"cards": []},
    "benefit_rights": {"rights": []},
    "benefit_level": {"level": 0, "level_infos": []},
    "level": {"level": 0, "level_infos": []},
    "credit": {"points": 0},
    "giftcard": {"giftcard_balance": 0},
    "prepaid": {"prepaid_balance": 0},
    "coupon": {"coupon_num": 0},
    "auth_info": {},
}


class AccountInfo(Parameters):
    """An account of system N, or an open id."""

    account_type: Text = None
    account_id: Text = None
    yz_open_id: Text = None


class DetailParameters(Parameters):
    """Of detail.get 1.0.0 and 1.0.1."""

    yz_open_id: Text = None
    account_info: AccountInfo = AccountInfo()
    fields: str


class DetailTag(TypedDict):
    """A tag that the customer carries."""

    tag_id: int
    tag_name: str


class DetailData(TypedDict):
    """Of detail.get. The keys that are never left out are those that clients unbox or count without looking."""

    yz_open_id: str
    gender: int
    points: int
    member_source_kdt_id: int
    customer_attrinfos: list[Any]

    name: NotRequired[NameField]
    show_name: NotRequired[ShowName]
    remark: NotRequired[RemarkField]
    wei_xin: NotRequired[WechatIdField]
    mobile: NotRequired[MobileField]
    mobile_country_code: NotRequired[str]
    birthday: NotRequired[BirthdayField]
    latest_avatar: NotRequired[str]
    latest_nickname: NotRequired[str]
    wx_avatar: NotRequired[str]
    wx_nickname: NotRequired[str]
    province_name: NotRequired[str]
    city_name: NotRequired[str]
    county_name: NotRequired[str]
    area_code: NotRequired[int]
    ascription_kdt_id: NotRequired[int]
    source_channel: NotRequired[int]
    member_source_channel: NotRequired[int]
    created_at: NotRequired[int]
    updated_at: NotRequired[int]
    member_created_at: NotRequired[int]
    outer_card_no: NotRequired[IdentifierField]

    trade_count: NotRequired[int]
    total_trade_amount: NotRequired[int]
    last_trade_at: NotRequired[int]
    refund_count: NotRequired[int]
    refund_trade_amount: NotRequired[int]

    level: NotRequired[int]
    level_infos: NotRequired[list[Any]]
    tags: NotRequired[list[DetailTag]]
    tag_ids: NotRequired[list[int]]
    cards: NotRequired[list[Any]]
    rights: NotRequired[list[Any]]
    giftcard_balance: NotRequired[int]
    prepaid_balance: NotRequired[int]
    coupon_num: NotRequired[int]


DETAIL_DATA: Final = TypeAdapter(DetailData)


async def detail(call: FacadeCall, given: DetailParameters) -> DetailData:
    """One customer with the groups of `fields`; unknown group names are passed over, none known is refused.

    Raises: BusinessRefusal 141001107, 144100000, 144100001 or 141500101.
    """
    groups = {name.strip() for name in given.fields.split(",")} & _EMPTY.keys()
    if not groups:
        raise BusinessRefusal(INVALID, f"fields: expected some of {', '.join(_EMPTY)}")
    found = await _find(call, given, figures="behavior" in groups)
    unit = milliseconds if call.shop.settings.facade.detail_time_unit == "ms" else seconds
    profile = found.customer.profile
    data: DetailData = {
        "yz_open_id": call.open_id(found.customer.id),
        "gender": profile["gender"],
        "points": 0,
        "member_source_kdt_id": owner_of(call.shop, found.customer) if profile["member_since"] else 0,
        "customer_attrinfos": [],
    }
    for group in groups:
        data.update(_EMPTY[group])  # type: ignore[typeddict-item]
    if "user_base" in groups:
        _put_base(data, call, found, unit)
    if found.figures is not None:
        _put_behavior(data, found.figures, unit)
    if "tags" in groups:
        carried = await of_customers(call.db, call.shop.id, [found.customer.id])
        data["tags"] = [{"tag_id": tag["id"], "tag_name": tag["name"]} for tag in carried]
        data["tag_ids"] = [tag["id"] for tag in carried]
    return data


async def _find(call: FacadeCall, given: DetailParameters, *, figures: bool) -> Found:
    info = given.account_info
    open_id = given.yz_open_id or info.yz_open_id
    if not open_id and not (info.account_type and info.account_id):
        raise BusinessRefusal(INVALID, "yz_open_id or account_info is needed")
    account = Account(account_type="5", account_id=open_id) if open_id else Account.model_validate(info.model_dump())
    found = await accounts.find(call, account, beside="card_no", figures=figures)
    if found is not None and not found.gone:
        return found
    if account.account_type != "5":
        raise BusinessRefusal(LOGGED_OFF if found else MISSING)
    ours = call.root.read_open_id(call.shop.id, account.account_id) is not None
    raise BusinessRefusal(LOGGED_OFF if ours else OTHER_SHOP)


def _put_base(data: DetailData, call: FacadeCall, found: Found, unit: Callable[[Any], int]) -> None:
    customer, profile = found.customer, found.customer.profile
    mobile = mobile_of(customer)
    channel = profile["source_channel"]
    data["name"] = name_of(customer)
    data["show_name"] = name_of(customer) or (mobile[1] if mobile else ANONYMOUS)
    data["remark"] = profile["remark"] or ""
    data["wei_xin"] = profile["wei_xin"] or ""
    if mobile:
        data["mobile_country_code"], data["mobile"] = mobile
    if customer.birthday:
        data["birthday"] = f"{customer.birthday.isoformat()} 00:00:00"
    data["latest_avatar"] = data["latest_nickname"] = data["wx_avatar"] = data["wx_nickname"] = ""
    data["province_name"] = data["city_name"] = data["county_name"] = ""
    data["area_code"] = int(profile["area_code"] or 0)
    data["ascription_kdt_id"] = owner_of(call.shop, customer)
    data["source_channel"] = UNKNOWN_CHANNEL if channel is None else channel
    data["member_source_channel"] = UNKNOWN_CHANNEL
    data["created_at"] = unit(customer.created_at)
    data["updated_at"] = unit(customer.updated_at)
    data["member_created_at"] = unit(profile["member_since"])
    data["outer_card_no"] = found.beside or ""


def _put_behavior(data: DetailData, figures: OrderFigures, unit: Callable[[Any], int]) -> None:
    data["trade_count"] = figures.orders
    data["total_trade_amount"] = figures.gross_fen
    data["last_trade_at"] = unit(figures.last_paid_at)
    data["refund_count"] = figures.refund_orders
    data["refund_trade_amount"] = figures.refund_fen


_MISSING: Final = "`user_base`, `behavior` and `tags` are real; the other groups answer their empty values (below)"
APIS: Final = tuple(
    Api(
        "youzan.scrm.customer.detail.get",
        version,
        "customers:read",
        DetailParameters,
        DETAIL_DATA,
        detail,
        NUMBER,
        _MISSING,
    )
    for version in ("1.0.0", "1.0.1")
)

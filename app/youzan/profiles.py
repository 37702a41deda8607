"""youzan.scrm.customer.get 3.0.0 and info.get 3.0.0: one customer in the older shapes, by fan, mobile or card."""

from typing import Final, NotRequired

from pydantic import TypeAdapter
from typing_extensions import TypedDict

from app.core.masking import BirthdayField, MobileField, NameField, RemarkField
from app.directory.repository import order_figures
from app.tags.repository import of_customers
from app.youzan import accounts
from app.youzan.calling import Api, FacadeCall
from app.youzan.errors import INVALID, MISSING, NO_CARD_NUMBER, BusinessRefusal
from app.youzan.parameters import Count, Number, Parameters, Text
from app.youzan.repository import fans_number
from app.youzan.shapes import OWN_FANS, local_text, mobile_of, name_of


class OlderGetParameters(Parameters):
    """Of get 3.0.0; clients send 0 and the empty text for the one that they do not have."""

    fans_id: Count = None
    fans_type: Number = None
    mobile: Text = None


class AreaData(TypedDict):
    """A region and those around it, 0 where the code says nothing; names are not known here."""

    province_id: int
    province_name: str
    city_id: int
    city_name: str
    county_id: int
    county_name: str


class OlderGetData(TypedDict):
    """Of get 3.0.0; `mobile` is left out when unknown, times are China's."""

    name: NameField
    gender: int
    birthday: BirthdayField
    area: AreaData
    mobile: NotRequired[MobileField]
    source_type: int
    tag_names: str
    remark: RemarkField
    current_points: int
    trade_count: int
    last_trade_time: str
    first_time: str


class CardParameters(Parameters):
    """Of info.get 3.0.0."""

    card_no: str


class CardData(TypedDict):
    """Of info.get 3.0.0; `mobile` is left out when unknown."""

    card_name: str
    card_alias: str
    name: NameField
    mobile: NotRequired[MobileField]
    fans_id: int
    fans_type: int
    yz_open_id: str
    activated_time: str
    card_start_time: str
    card_end_time: str
    take_card_time: str
    is_experience_card: bool


OLDER_GET_DATA: Final = TypeAdapter(OlderGetData)
CARD_DATA: Final = TypeAdapter(CardData)


async def get(call: FacadeCall, given: OlderGetParameters) -> OlderGetData:
    """One customer by fan number, else by mobile. Raises BusinessRefusal 141001107 or 141500101."""
    if given.fans_id:
        found = await accounts.find_identity(call, "fans_id", str(given.fans_id))
    elif given.mobile:
        found = await accounts.find_identity(call, "mobile", given.mobile)
    else:
        raise BusinessRefusal(INVALID, "fans_id or mobile is needed")
    if found is None or found.gone:
        raise BusinessRefusal(MISSING)
    customer, profile = found.customer, found.customer.profile
    figures = await order_figures(call.db, call.shop.id, customer.id)
    carried = await of_customers(call.db, call.shop.id, [customer.id])
    data: OlderGetData = {
        "name": name_of(customer),
        "gender": profile["gender"],
        "birthday": customer.birthday.isoformat() if customer.birthday else "",
        "area": _area(profile["area_code"] or "000000"),
        "source_type": 0,
        "tag_names": ",".join(tag["name"] for tag in carried),
        "remark": profile["remark"] or "",
        "current_points": 0,
        "trade_count": figures.orders,
        "last_trade_time": local_text(figures.last_paid_at),
        "first_time": local_text(profile["member_since"]),
    }
    if mobile := mobile_of(customer):
        data["mobile"] = mobile[1]
    return data


async def info(call: FacadeCall, given: CardParameters) -> CardData:
    """Who holds a card number. Raises BusinessRefusal 141502107 or 141500101."""
    found = await accounts.find_identity(call, "card_no", given.card_no, beside="fans_id")
    if found is None or found.gone:
        raise BusinessRefusal(NO_CARD_NUMBER)
    # A fan number identifies a person and has no masked form: without the right to see it there is none.
    fans_id = fans_number(found.beside) if call.caller.unmasked else 0
    data: CardData = {
        "card_name": "",
        "card_alias": "",
        "name": name_of(found.customer),
        "fans_id": fans_id,
        "fans_type": OWN_FANS if fans_id else 0,
        "yz_open_id": call.open_id(found.customer.id),
        "activated_time": "",
        "card_start_time": "",
        "card_end_time": "",
        "take_card_time": "",
        "is_experience_card": False,
    }
    if mobile := mobile_of(found.customer):
        data["mobile"] = mobile[1]
    return data


def _area(code: str) -> AreaData:
    """Six digits tell province, city and county by two each; the last of them may be zero."""
    province, city, county = (int(code[:length].ljust(6, "0")) for length in (2, 4, 6))
    return {
        "province_id": province,
        "province_name": "",
        "city_id": city if city != province else 0,
        "city_name": "",
        "county_id": county if county != city else 0,
        "county_name": "",
    }


APIS: Final = (
    Api(
        "youzan.scrm.customer.get",
        "3.0.0",
        "customers:read",
        OlderGetParameters,
        OLDER_GET_DATA,
        get,
        missing="region names are empty, `source_type` and `current_points` are 0",
    ),
    Api(
        "youzan.scrm.customer.info.get",
        "3.0.0",
        "customers:read",
        CardParameters,
        CARD_DATA,
        info,
        missing="what the card itself tells is empty: its name, alias and times",
    ),
)

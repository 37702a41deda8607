"""youzan.scrm.customer.list.phone and list.yzopenid 1.0.0: up to fifty customers by what they are known by."""

from typing import Final

from pydantic import TypeAdapter
from typing_extensions import TypedDict

from app.core.masking import MobileField, RemarkField, WechatIdField
from app.customers.normalise import national
from app.customers.records import Customer
from app.customers.schemas import IdentityWrite
from app.youzan import repository
from app.youzan.calling import Api, FacadeCall
from app.youzan.parameters import Parameters, Texts
from app.youzan.shapes import milliseconds, mobile_of, owner_of


class PhonesParameters(Parameters):
    """Of list.phone 1.0.0."""

    phones: Texts


class OpenIdsParameters(Parameters):
    """Of list.yzopenid 1.0.0."""

    yz_open_ids: Texts


class LabelInfo(TypedDict):
    """Membership and remark; times in milliseconds, 0 for never."""

    is_member: bool
    remark: RemarkField
    node_kdt_id: int
    customer_node_kdt_id: int
    member_node_kdt_id: int
    member_created_time: int
    member_expired_time: int


class SocialInfo(TypedDict):
    """How to reach them; empty texts for what is unknown."""

    wx_nickname: str
    mobile: MobileField
    weixin: WechatIdField


class KnownRow(TypedDict):
    """A customer of either list; times in milliseconds."""

    yz_open_id: str
    created_time: int
    updated_time: int
    label_info: LabelInfo
    social_info: SocialInfo


KNOWN_DATA: Final = TypeAdapter(list[KnownRow])


async def list_phone(call: FacadeCall, given: PhonesParameters) -> list[KnownRow]:
    """A row for each phone that somebody holds, in the order asked, with that phone as its `mobile`.

    Raises: ValidationError when one cannot be a mobile.
    """
    asked = [IdentityWrite.model_validate({"kind": "mobile", "value": phone}) for phone in given.phones]
    found = await repository.customers_by_mobile(call.db, call.shop, asked) if asked else {}
    call.visit.concerns([customer.id for customer in found.values()])
    mobiles = dict.fromkeys(identity.value for identity in asked)
    return [_row(call, found[mobile], national(mobile)[1]) for mobile in mobiles if mobile in found]


async def list_yzopenid(call: FacadeCall, given: OpenIdsParameters) -> list[KnownRow]:
    """A row for each person that an open id of this shop names, in the order asked."""
    read = (call.root.read_open_id(call.shop.id, open_id) for open_id in given.yz_open_ids)
    ids = list(dict.fromkeys(number for number in read if number is not None))
    found = await repository.customers_by_id(call.db, call.shop, ids) if ids else {}
    people = {found[number].id: found[number] for number in ids if number in found}
    call.visit.concerns(list(people))
    return [_row(call, customer, (mobile_of(customer) or ("", ""))[1]) for customer in people.values()]


def _row(call: FacadeCall, customer: Customer, mobile: str) -> KnownRow:
    profile = customer.profile
    owner = owner_of(call.shop, customer)
    member_since = profile["member_since"]
    return {
        "yz_open_id": call.open_id(customer.id),
        "created_time": milliseconds(customer.created_at),
        "updated_time": milliseconds(customer.updated_at),
        "label_info": {
            "is_member": member_since is not None,
            "remark": profile["remark"] or "",
            "node_kdt_id": owner,
            "customer_node_kdt_id": owner,
            "member_node_kdt_id": owner if member_since else 0,
            "member_created_time": milliseconds(member_since),
            "member_expired_time": 0,
        },
        "social_info": {"wx_nickname": "", "mobile": mobile, "weixin": profile["wei_xin"] or ""},
    }


_MISSING: Final = "`wx_nickname` is empty, `member_expired_time` is 0"
APIS: Final = (
    Api(
        "youzan.scrm.customer.list.phone",
        "1.0.0",
        "customers:read",
        PhonesParameters,
        KNOWN_DATA,
        list_phone,
        missing=_MISSING,
    ),
    Api(
        "youzan.scrm.customer.list.yzopenid",
        "1.0.0",
        "customers:read",
        OpenIdsParameters,
        KNOWN_DATA,
        list_yzopenid,
        missing=_MISSING,
    ),
)

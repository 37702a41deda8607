"""youzan.scrm.customer.create, update, remark.update and get: one customer written and read."""

import re
from typing import Annotated, Any, Final, NotRequired

from pydantic import Field, TypeAdapter
from typing_extensions import TypedDict

from app.core import clock
from app.core.masking import AddressField, BirthdayField, IdentifierField, MobileField, NameField, RemarkField
from app.customers import service
from app.customers.errors import CustomerExists, CustomerNotFound
from app.customers.normalise import mobile_e164
from app.customers.schemas import CustomerUpdate, IdentityWrite
from app.customers.service import Write
from app.youzan import accounts
from app.youzan.accounts import TEXT, Account
from app.youzan.calling import Api, FacadeCall
from app.youzan.errors import INVALID, MISSING, BusinessRefusal
from app.youzan.parameters import Flag, LocalDate, LocalMoment, Number, Parameters, Text
from app.youzan.shapes import mobile_of, name_of

_MAINLAND: Final = re.compile(r"1[3-9]\d{9}", re.ASCII)
_COUNTRY: Final = re.compile(r"\+?([1-9]\d{0,2})", re.ASCII)

# Where it stands in the request is not published, so it is taken in both places.
RequestId = Annotated[str, Field(max_length=128)] | None


class ContactAddress(Parameters):
    """Region code and street."""

    area_code: Number = None
    address: Text = None


class ProfileChange(Parameters):
    """What an update can change; only the keys that are given count, and an empty text clears."""

    name: Text = None
    gender: Number = None
    birthday: LocalDate = None
    remark: Text = None
    contact_address: ContactAddress | None = None
    ascription_kdt_id: Number = None


class NewProfile(ProfileChange):
    """What a creation can say beyond it."""

    wei_xin: Text = None
    outer_card_no: Text = None


class LabelInfo(Parameters):
    """How they came in."""

    src_way: Number = None
    src_channel: Number = None


class CreateParameters(Parameters):
    """Of create 3.0.0."""

    mobile: str
    country_code: Text = None
    is_mobile_auth: Flag = None
    customer_create: NewProfile = NewProfile()
    label_info: LabelInfo = LabelInfo()
    create_date: LocalMoment = None


class CreateData(TypedDict):
    """Of create 3.0.0."""

    account_id: str
    account_type: str
    yz_open_id: str


class UpdatedProfile(ProfileChange):
    """What an update can say beyond it."""

    external_request_id: RequestId = None


class UpdateParameters(Parameters):
    """Of update 3.0.0."""

    account: Account
    customer_update: UpdatedProfile
    external_request_id: RequestId = None


class RemarkParameters(Parameters):
    """Of remark.update 3.0.0; an empty remark clears."""

    account: Account
    remark: str


class GetParameters(Parameters):
    """Of get 3.1.0."""

    account: Account


class ContactAddressData(TypedDict):
    """The region under both of its published names: a number under the first, as the official sample has it, and under
    the second a text, which the Java SDK reads into its Long and the Go client into its string."""

    area_code: int
    areaCode: str
    province: str
    city: str
    county: str
    address: AddressField


class GetData(TypedDict):
    """Of get 3.1.0; `mobile`, `birthday` and `out_user_id` are left out when unknown."""

    name: NameField
    gender: int
    birthday: NotRequired[BirthdayField]
    mobile: NotRequired[MobileField]
    is_member: bool
    remark: RemarkField
    out_user_id: NotRequired[IdentifierField]
    contact_address: ContactAddressData


CREATE_DATA: Final = TypeAdapter(CreateData)
UPDATE_DATA: Final = TypeAdapter(bool)
GET_DATA: Final = TypeAdapter(GetData)


async def create(call: FacadeCall, given: CreateParameters) -> CreateData:
    """A new customer; whoever holds the mobile or the card number already is refused, never changed.

    Raises: BusinessRefusal with the shop's `exists_code`, or 141500101.
    """
    profile = given.customer_create
    fields = _fields(call, profile) | {
        "wei_xin": profile.wei_xin or None,
        "source_way": given.label_info.src_way,
        "source_channel": given.label_info.src_channel,
        "mobile_verified": bool(given.is_mobile_auth),
    }
    # model_construct: the mobile has its one spelling already.
    identities = [IdentityWrite.model_construct(kind="mobile", value=_mobile(given), scope="")]
    if profile.outer_card_no:
        identities.append(IdentityWrite.model_validate({"kind": "card_no", "value": profile.outer_card_no}))
    if given.create_date is not None and given.create_date > clock.now():
        raise BusinessRefusal(INVALID, "create_date lies in the future")
    write = Write(identities, CustomerUpdate.model_validate(fields).given(), given.create_date)
    try:
        customer_id = await service.create(call.db, call.shop, call.ids, write, source=call.caller.client_id)
    except CustomerExists:
        raise BusinessRefusal(call.shop.settings.facade.exists_code) from None
    call.visit.concerns([customer_id])
    return {
        "account_id": str(customer_id),
        "account_type": "YouZanAccount",
        "yz_open_id": call.open_id(customer_id),
    }


async def update(call: FacadeCall, given: UpdateParameters) -> bool:
    """Change the keys that are given; a request id is told with the change, so that the caller knows its own again.

    Raises: BusinessRefusal with the shop's `update_missing_code`, or 141500101.
    """
    request_id = given.external_request_id or given.customer_update.external_request_id
    told = {"external_request_id": request_id} if request_id else {}
    return await _change(call, given.account, _fields(call, given.customer_update), told)


async def update_remark(call: FacadeCall, given: RemarkParameters) -> bool:
    """Change the remark. Raises BusinessRefusal with the shop's `update_missing_code`, or 141500101."""
    return await _change(call, given.account, {"remark": given.remark or None}, {})


async def get(call: FacadeCall, given: GetParameters) -> GetData:
    """One customer by account. Raises BusinessRefusal 141001107 or 141500101."""
    found = await accounts.find(call, given.account, beside="open_user_id")
    if found is None or found.gone:
        raise BusinessRefusal(MISSING)
    customer = found.customer
    profile = customer.profile
    data: GetData = {
        "name": name_of(customer),
        "gender": profile["gender"],
        "is_member": profile["member_since"] is not None,
        "remark": profile["remark"] or "",
        "contact_address": {
            "area_code": int(profile["area_code"] or 0),
            "areaCode": profile["area_code"] or "",
            "province": "",
            "city": "",
            "county": "",
            "address": profile["address"] or "",
        },
    }
    if customer.birthday:
        data["birthday"] = customer.birthday.isoformat()
    if mobile := mobile_of(customer):
        data["mobile"] = mobile[1]
    if found.beside:
        data["out_user_id"] = found.beside
    return data


async def _change(call: FacadeCall, account: Account, fields: dict[str, Any], told: dict[str, str]) -> bool:
    missing = call.shop.settings.facade.update_missing_code
    found = await accounts.find(call, account)
    if found is None or found.gone:
        raise BusinessRefusal(missing)
    changes = CustomerUpdate.model_validate(fields).given()
    try:
        await service.patch(call.db, call.shop, found.record, changes, [], told=told, source=call.caller.client_id)
    except CustomerNotFound:
        raise BusinessRefusal(missing) from None
    return True


def _mobile(given: CreateParameters) -> str:
    country = _COUNTRY.fullmatch(given.country_code or "+86")
    if country is None:
        raise BusinessRefusal(INVALID, "country_code: expected a form such as +86")
    if country[1] == "86":
        if not _MAINLAND.fullmatch(given.mobile):
            raise BusinessRefusal(INVALID, "mobile: expected 11 digits such as 138xxxxxxxx")
        return "+86" + given.mobile
    try:
        return mobile_e164(given.mobile, f"+{country[1]}")
    except ValueError as error:
        raise BusinessRefusal(INVALID, f"mobile: {error}") from None


def _fields(call: FacadeCall, profile: ProfileChange) -> dict[str, Any]:
    """The profile under the house's names; typed clients send 0 and empty texts for what they do not set."""
    sent = profile.model_fields_set
    fields: dict[str, Any] = {name: getattr(profile, name) or None for name in ("name", "remark") if name in sent}
    if "gender" in sent:
        fields["gender"] = profile.gender
    if "birthday" in sent:
        fields["birthday"] = profile.birthday
    if profile.contact_address is not None:
        address = profile.contact_address
        if "address" in address.model_fields_set:
            fields["address"] = address.address or None
        if address.area_code:
            fields["area_code"] = str(address.area_code)
    if profile.ascription_kdt_id:
        head_office = profile.ascription_kdt_id == call.shop.id
        fields["store_id"] = None if head_office else profile.ascription_kdt_id
    return fields


APIS: Final = (
    Api("youzan.scrm.customer.create", "3.0.0", "customers:write", CreateParameters, CREATE_DATA, create),
    Api("youzan.scrm.customer.update", "3.0.0", "customers:write", UpdateParameters, UPDATE_DATA, update, TEXT),
    Api(
        "youzan.scrm.customer.remark.update",
        "3.0.0",
        "customers:write",
        RemarkParameters,
        UPDATE_DATA,
        update_remark,
        TEXT,
    ),
    Api(
        "youzan.scrm.customer.get",
        "3.1.0",
        "customers:read",
        GetParameters,
        GET_DATA,
        get,
        TEXT,
        "region names: `province`, `city`, `county` are empty",
    ),
)

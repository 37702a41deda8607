"""youzan.users.weixin.follower.tags: the tags of a customer who is known by a WeChat openid or a fan number."""

from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, TypeAdapter
from typing_extensions import TypedDict

from app.core.masking import IdentifierField
from app.customers.records import open_identities
from app.customers.repository import identities_of
from app.directory.repository import order_figures
from app.tags import repository, service
from app.youzan import accounts
from app.youzan.accounts import TEXT, Account
from app.youzan.calling import Api, FacadeCall
from app.youzan.errors import INVALID, NO_FOLLOWER, BusinessRefusal
from app.youzan.parameters import Parameters, Text, array
from app.youzan.repository import Found
from app.youzan.tags import MAX_TAGS, RelationTag, TagName

_SEX: Final = {1: "m", 2: "f"}


def _comma_list(value: Any) -> Any:
    """Names with commas between them, or a list."""
    if isinstance(value, str) and not value.lstrip().startswith("["):
        return [name for name in value.split(",") if name.strip()]
    return array(value)


Names = Annotated[list[TagName], Field(min_length=1, max_length=MAX_TAGS), BeforeValidator(_comma_list)]


class FollowerParameters(Parameters):
    """Of get 3.0.0; the openid wins over the fan number."""

    weixin_openid: Text = None
    fans_id: Text = None


class FollowerChange(FollowerParameters):
    """Of add and delete 3.0.0."""

    tags: Names


class Follower(TypedDict):
    """What the house knows of a follower; `traded_money` is yuan."""

    user_id: int
    weixin_openid: IdentifierField
    union_id: IdentifierField
    sex: str
    traded_num: int
    traded_money: str
    tags: list[RelationTag]


class AddData(TypedDict):
    """Of add 3.0.0."""

    user: Follower


class FollowerTag(TypedDict):
    """A tag in get."""

    tag_id: int
    tag_name: str


class GetData(TypedDict):
    """Of get 3.0.0."""

    tags: list[FollowerTag]


class DeleteData(TypedDict):
    """Of delete 3.0.0."""

    is_success: bool


ADD_DATA: Final = TypeAdapter(AddData)
GET_DATA: Final = TypeAdapter(GetData)
DELETE_DATA: Final = TypeAdapter(DeleteData)


async def add(call: FacadeCall, given: FollowerChange) -> AddData:
    """Tag a follower; tags that are not there are made. Raises BusinessRefusal 141500201 or 141500101."""
    found = await _follower(call, given)
    wanted = {found.customer.id: given.tags}
    await service.add(call.db, call.shop.id, wanted, source="facade", actor=call.caller.client_id)
    return {"user": await _shown(call, found)}


async def get(call: FacadeCall, given: FollowerParameters) -> GetData:
    """A follower's tags. Raises BusinessRefusal 141500201 or 141500101."""
    found = await _follower(call, given)
    rows = await repository.of_customers(call.db, call.shop.id, [found.customer.id])
    return {"tags": [{"tag_id": row["id"], "tag_name": row["name"]} for row in rows]}


async def delete(call: FacadeCall, given: FollowerChange) -> DeleteData:
    """Take tags off a follower, those they lack included. Raises BusinessRefusal 141500201 or 141500101."""
    found = await _follower(call, given)
    await service.remove(call.db, call.shop.id, {found.customer.id: given.tags})
    return {"is_success": True}


async def _follower(call: FacadeCall, given: FollowerParameters) -> Found:
    if given.weixin_openid:
        account = Account(account_type="WeiXinOpenId", account_id=given.weixin_openid)
    elif given.fans_id and given.fans_id != "0":
        account = Account(account_type="FansID", account_id=given.fans_id)
    else:
        raise BusinessRefusal(INVALID, "weixin_openid or fans_id is needed")
    found = await accounts.find(call, account)
    if found is None or found.gone:
        raise BusinessRefusal(NO_FOLLOWER)
    return found


async def _shown(call: FacadeCall, found: Found) -> Follower:
    number = found.customer.id
    identities = open_identities(call.shop, await identities_of(call.db, call.shop.id, number))
    newest = {identity.kind: identity.value or "" for identity in identities if not identity.scope}
    fan = newest.get("fans_id", "")
    figures = await order_figures(call.db, call.shop.id, number)
    rows = await repository.of_customers(call.db, call.shop.id, [number])
    return {
        # A fan number has no masked form: without the right to see it there is none.
        "user_id": int(fan) if call.caller.unmasked and fan.isdecimal() and len(fan) < 19 else 0,
        "weixin_openid": newest.get("wechat_openid", ""),
        "union_id": newest.get("wechat_unionid", ""),
        "sex": _SEX.get(found.customer.profile["gender"], ""),
        "traded_num": figures.orders,
        "traded_money": f"{figures.gross_fen // 100}.{figures.gross_fen % 100:02d}",
        "tags": [{"id": row["id"], "name": row["name"]} for row in rows],
    }


_NAME: Final = "youzan.users.weixin.follower.tags."
APIS: Final = (
    Api(
        _NAME + "add",
        "3.0.0",
        "customers:write",
        FollowerChange,
        ADD_DATA,
        add,
        TEXT,
        "`user` without `nick`, `avatar`, `city`, `follow_time`, `is_follow`, `points`, `level_info`",
    ),
    Api(_NAME + "get", "3.0.0", "customers:read", FollowerParameters, GET_DATA, get, TEXT),
    Api(_NAME + "delete", "3.0.0", "customers:write", FollowerChange, DELETE_DATA, delete, TEXT),
)

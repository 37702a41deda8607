"""youzan.users.weixin.follower.*: a customer who is known by a WeChat openid or a fan number, and their tags."""

from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, TypeAdapter
from typing_extensions import TypedDict

from app.directory.repository import order_figures
from app.tags import repository, service
from app.tags.errors import TagIsAutomatic
from app.youzan import accounts
from app.youzan.calling import Api, FacadeCall
from app.youzan.errors import INVALID, NO_FOLLOWER, TAGGING, BusinessRefusal
from app.youzan.parameters import Count, Parameters, Text, array
from app.youzan.repository import Found, fans_number, values_of
from app.youzan.tags import MAX_TAGS, RelationTag, TagName

_SEX: Final = {1: "m", 2: "f"}


def _comma_list(value: Any) -> Any:
    """Names with commas between them, or a list."""
    if isinstance(value, str) and not value.lstrip().startswith("["):
        return [name for name in value.split(",") if name.strip()]
    return array(value)


Names = Annotated[list[TagName], Field(min_length=1, max_length=MAX_TAGS), BeforeValidator(_comma_list)]


class FollowerParameters(Parameters):
    """Who is meant; the openid wins over the fan number."""

    weixin_openid: Text = None
    fans_id: Count = None


class GetParameters(FollowerParameters):
    """Of follower.get 3.0.0 and 3.0.1."""

    fields: Text = None


class TagsChange(FollowerParameters):
    """Of follower.tags.add and delete 3.0.0."""

    tags: Names


class Level(TypedDict):
    """A follower's level."""

    level_id: int
    level_name: str


class Follower(TypedDict, total=False):
    """A follower, or those of the fields that were asked for; money in yuan."""

    user_id: int
    weixin_openid: str
    union_id: str
    nick: str
    avatar: str
    sex: str
    city: str
    follow_time: str
    is_follow: bool
    points: int
    traded_num: int
    traded_money: float
    tags: list[RelationTag]
    level_info: Level


class FollowerData(TypedDict):
    """Of follower.get and follower.tags.add."""

    user: Follower


class FollowerTag(TypedDict):
    """A tag in follower.tags.get."""

    tag_id: int
    tag_name: str


class TagsData(TypedDict):
    """Of follower.tags.get 3.0.0."""

    tags: list[FollowerTag]


class DeleteData(TypedDict):
    """Of follower.tags.delete 3.0.0."""

    is_success: bool


FOLLOWER_DATA: Final = TypeAdapter(FollowerData)
TAGS_DATA: Final = TypeAdapter(TagsData)
DELETE_DATA: Final = TypeAdapter(DeleteData)


async def get(call: FacadeCall, given: GetParameters) -> FollowerData:
    """A follower with the keys of `fields`, by default all; unknown ones are passed over, none known is refused.

    Raises: BusinessRefusal 141500201 or 141500101.
    """
    asked = {name.strip() for name in (given.fields or "").split(",")} - {""}
    names = [name for name in Follower.__annotations__ if not asked or name in asked]
    if not names:
        raise BusinessRefusal(INVALID, f"fields: expected some of {', '.join(Follower.__annotations__)}")
    everything = await _shown(call, await _found(call, given))
    return {"user": {name: everything[name] for name in names}}  # type: ignore[literal-required, typeddict-item]


async def add_tags(call: FacadeCall, given: TagsChange) -> FollowerData:
    """Tag a follower; tags that are not there are made. Who may only write is shown nothing of them.

    Raises: BusinessRefusal 141500201 or 141500101; 142400105 for a tag that a rule gives.
    """
    found = await _found(call, given)
    wanted = {found.customer.id: given.tags}
    try:
        await service.add(call.db, call.shop.id, wanted, source="facade", actor=call.caller.client_id)
    except TagIsAutomatic as error:
        raise BusinessRefusal(TAGGING, error.detail or "") from None
    return {"user": await _shown(call, found) if "customers:read" in call.caller.scopes else {}}


async def get_tags(call: FacadeCall, given: FollowerParameters) -> TagsData:
    """A follower's tags. Raises BusinessRefusal 141500201 or 141500101."""
    found = await _found(call, given)
    rows = await repository.of_customers(call.db, call.shop.id, [found.customer.id])
    return {"tags": [{"tag_id": row["id"], "tag_name": row["name"]} for row in rows]}


async def delete_tags(call: FacadeCall, given: TagsChange) -> DeleteData:
    """Take tags off a follower, those they lack included.

    Raises: BusinessRefusal 141500201 or 141500101; 142400105 for a tag that a rule gives.
    """
    found = await _found(call, given)
    try:
        await service.remove(call.db, call.shop.id, {found.customer.id: given.tags}, source="facade")
    except TagIsAutomatic as error:
        raise BusinessRefusal(TAGGING, error.detail or "") from None
    return {"is_success": True}


async def _found(call: FacadeCall, given: FollowerParameters) -> Found:
    if given.weixin_openid:
        found = await accounts.find_identity(call, "wechat_openid", given.weixin_openid)
    elif given.fans_id:
        found = await accounts.find_identity(call, "fans_id", str(given.fans_id))
    else:
        raise BusinessRefusal(INVALID, "weixin_openid or fans_id is needed")
    if found is None or found.gone:
        raise BusinessRefusal(NO_FOLLOWER)
    return found


async def _shown(call: FacadeCall, found: Found) -> Follower:
    customer = found.customer
    held: dict[str, list[str]] = {}
    if call.caller.unmasked:  # fan numbers, openids and unionids have no masked form: without the right there are none
        kinds = ["fans_id", "wechat_openid", "wechat_unionid"]
        held = (await values_of(call.db, call.shop, [customer.id], kinds)).get(customer.id, {})
    figures = await order_figures(call.db, call.shop.id, customer.id)
    rows = await repository.of_customers(call.db, call.shop.id, [customer.id])
    return {
        "user_id": fans_number(held.get("fans_id", [""])[-1]),
        "weixin_openid": held.get("wechat_openid", [""])[-1],
        "union_id": held.get("wechat_unionid", [""])[-1],
        "nick": "",
        "avatar": "",
        "sex": _SEX.get(customer.profile["gender"], ""),
        "city": "",
        "follow_time": "",
        "is_follow": False,
        "points": 0,
        "traded_num": figures.orders,
        "traded_money": figures.gross_fen / 100,
        "tags": [{"id": row["id"], "name": row["name"]} for row in rows],
        "level_info": {"level_id": 0, "level_name": ""},
    }


_NAME: Final = "youzan.users.weixin.follower."
_MISSING: Final = (
    "nickname, avatar, city and level are empty, `points` is 0; following is not recorded: `is_follow` is false, "
    "`follow_time` empty"
)
APIS: Final[tuple[Api[Any, Any], ...]] = (
    *(
        Api(_NAME + "get", version, "customers:read", GetParameters, FOLLOWER_DATA, get, missing=_MISSING)
        for version in ("3.0.0", "3.0.1")
    ),
    Api(_NAME + "tags.add", "3.0.0", "customers:write", TagsChange, FOLLOWER_DATA, add_tags, missing=_MISSING),
    Api(_NAME + "tags.get", "3.0.0", "customers:read", FollowerParameters, TAGS_DATA, get_tags),
    Api(_NAME + "tags.delete", "3.0.0", "customers:write", TagsChange, DELETE_DATA, delete_tags),
)

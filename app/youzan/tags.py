"""youzan.scrm.tag.relation, tagrelation, tag.addformany and tag.category.get: what customers are tagged with."""

from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, TypeAdapter
from typing_extensions import TypedDict

from app.core.db import Row
from app.tags import repository, service
from app.tags.errors import TagIsAutomatic, TagNotFound
from app.tags.models import NAME_LIMIT
from app.youzan import accounts
from app.youzan.accounts import EITHER, TEXT, Account
from app.youzan.calling import Api, FacadeCall
from app.youzan.errors import INVALID, TAGGING, BusinessRefusal
from app.youzan.parameters import Flag, Number, Parameters, array
from app.youzan.repository import Found

MAX_TAGS: Final = 20
MAX_ACCOUNTS: Final = 100
NO_CATEGORY: Final = 0  # what a tag without a category shows, and the category that holds those tags
NO_CATEGORY_NAME: Final = "未分组"
HIDDEN: Final = 0

TagName = Annotated[str, Field(min_length=1, max_length=NAME_LIMIT)]


class NamedTag(Parameters):
    """A tag by its name."""

    tag_name: TagName


NamedTags = Annotated[list[NamedTag], Field(min_length=1, max_length=MAX_TAGS), BeforeValidator(array)]


class RelationParameters(Account):
    """Of tag.relation.get 4.0.0."""


class RelationChange(RelationParameters):
    """Of tag.relation.add and delete 4.0.0."""

    tags: NamedTags


class TagrelationChange(Parameters):
    """Of tagrelation.add and delete 1.0.0."""

    account: Account
    tags: NamedTags


class TagrelationParameters(Parameters):
    """Of tagrelation.query 1.0.0."""

    account: Account
    display_type: Number = Field(None, ge=0, le=2)
    filter_invalid_tag: Flag = True
    filter_category_tag: Flag = True


class AccountTags(Parameters):
    """Whom to tag, with what."""

    account: Account
    user_tag_creates: NamedTags


class ForManyParameters(Parameters):
    """Of tag.addformany 1.0.0."""

    account_list_request_dtos: Annotated[
        list[AccountTags], Field(min_length=1, max_length=MAX_ACCOUNTS), BeforeValidator(array)
    ]


class CategoryParameters(Parameters):
    """Of tag.category.get 1.0.0."""

    tag_category_id: int


class RelationTag(TypedDict):
    """A tag in tag.relation.get."""

    id: int
    name: str


class RelationData(TypedDict):
    """Of tag.relation.get, in shops that chose the declared shape."""

    tags: list[RelationTag]


class TagrelationTag(TypedDict):
    """A tag in tagrelation.query; 0 and an empty name where it has no category."""

    name: str
    tag_id: int
    category_name: str
    category_id: int


class TagrelationData(TypedDict):
    """Of tagrelation.query 1.0.0."""

    tags: list[TagrelationTag]
    yz_open_id: str


class CategoryTag(TypedDict):
    """A tag of a category; its status is 0 normal, 1 disabled."""

    tag_id: int
    tag_name: str
    tag_status: int


class CategoryData(TypedDict):
    """Of tag.category.get 1.0.0."""

    tag_category_id: int
    tag_category_name: str
    tag_category_status: int
    kdt_id: int
    tag_add_rule: int
    support_tag_type: int
    sync_external: bool
    allow_view_roles: list[Any]
    allow_edit_roles: list[Any]
    tags: list[CategoryTag]


DONE: Final = TypeAdapter(bool)
RELATION_DATA: Final[TypeAdapter[list[RelationTag] | RelationData]] = TypeAdapter(list[RelationTag] | RelationData)
TAGRELATION_DATA: Final = TypeAdapter(TagrelationData)
CATEGORY_DATA: Final = TypeAdapter(CategoryData)


async def add_relation(call: FacadeCall, given: RelationChange) -> bool:
    """Tag one customer; tags that are not there are made. Raises BusinessRefusal 142400105 or 141500101."""
    return await _add(call, given, given.tags)


async def delete_relation(call: FacadeCall, given: RelationChange) -> bool:
    """Take tags off one customer, those they lack included. Raises BusinessRefusal 142400105 or 141500101."""
    return await _delete(call, given, given.tags)


async def get_relation(call: FacadeCall, given: RelationParameters) -> list[RelationTag] | RelationData:
    """The tags of one customer. Raises BusinessRefusal 142400105 or 141500101."""
    tags: list[RelationTag] = [{"id": tag["id"], "name": tag["name"]} for tag in await _carried(call, given)]
    return {"tags": tags} if call.shop.settings.facade.tag_relation_shape == "object" else tags


async def add_tagrelation(call: FacadeCall, given: TagrelationChange) -> bool:
    """Tag one customer; tags that are not there are made. Raises BusinessRefusal 142400105 or 141500101."""
    return await _add(call, given.account, given.tags)


async def delete_tagrelation(call: FacadeCall, given: TagrelationChange) -> bool:
    """Take tags off one customer, those they lack included. Raises BusinessRefusal 142400105 or 141500101."""
    return await _delete(call, given.account, given.tags)


async def query_tagrelation(call: FacadeCall, given: TagrelationParameters) -> TagrelationData:
    """The tags of one customer with their categories. Raises BusinessRefusal 142400105 or 141500101.

    No tag is hidden. Disabled tags, and tags of disabled categories, are left out unless the filter is switched off.
    """
    found = await _customer(call, given.account)
    rows = await repository.of_customers(call.db, call.shop.id, [found.customer.id])
    shown = [
        row
        for row in rows
        if given.display_type != HIDDEN
        and not (given.filter_invalid_tag is not False and row["status"])
        and not (given.filter_category_tag is not False and row["category_status"])
    ]
    return {"tags": [_tagrelation_tag(row) for row in shown], "yz_open_id": call.open_id(found.customer.id)}


async def add_for_many(call: FacadeCall, given: ForManyParameters) -> bool:
    """Tag many customers with tags that are there, all or nobody. Raises BusinessRefusal 142400105 or 141500101."""
    asked = given.account_list_request_dtos
    numbers = await accounts.find_all(call, [one.account for one in asked])
    wanted: dict[int, set[str]] = {}
    for place, (number, one) in enumerate(zip(numbers, asked, strict=True)):
        if number is None:
            raise BusinessRefusal(TAGGING, f"account_list_request_dtos.{place}: nobody has the account")
        wanted.setdefault(number, set()).update(tag.tag_name for tag in one.user_tag_creates)
    try:
        await service.add(call.db, call.shop.id, wanted, source="facade", actor=call.caller.client_id, make=False)
    except (TagNotFound, TagIsAutomatic) as error:
        raise BusinessRefusal(TAGGING, error.detail or "") from None
    return True


async def get_category(call: FacadeCall, given: CategoryParameters) -> CategoryData:
    """One category with its tags; 0 holds the tags without one. Raises BusinessRefusal 141500101."""
    number, row = given.tag_category_id, None
    if 0 < number < 2**53:
        row = await repository.category(call.db, call.shop.id, number)
    if row is None and number != NO_CATEGORY:
        raise BusinessRefusal(INVALID, "tag_category_id: there is no such category")
    tags = await repository.of_category(call.db, call.shop.id, row["id"] if row else None)
    return {
        "tag_category_id": number,
        "tag_category_name": row["name"] if row else NO_CATEGORY_NAME,
        "tag_category_status": row["status"] if row else 0,
        "kdt_id": call.shop.id,
        "tag_add_rule": row["add_rule"] if row else 0,
        "support_tag_type": row["support_tag_type"] if row else 0,
        "sync_external": row["sync_external"] if row else False,
        "allow_view_roles": [],
        "allow_edit_roles": [],
        "tags": [{"tag_id": tag["id"], "tag_name": tag["name"], "tag_status": tag["status"]} for tag in tags],
    }


async def _customer(call: FacadeCall, account: Account) -> Found:
    found = await accounts.find(call, account)
    if found is None or found.gone:
        raise BusinessRefusal(TAGGING)
    return found


async def _carried(call: FacadeCall, account: Account) -> list[Row]:
    found = await _customer(call, account)
    return await repository.of_customers(call.db, call.shop.id, [found.customer.id])


async def _add(call: FacadeCall, account: Account, tags: list[NamedTag]) -> bool:
    found = await _customer(call, account)
    wanted = {found.record: [tag.tag_name for tag in tags]}
    try:
        await service.add(call.db, call.shop.id, wanted, source="facade", actor=call.caller.client_id)
    except TagIsAutomatic as error:
        raise BusinessRefusal(TAGGING, error.detail or "") from None
    return True


async def _delete(call: FacadeCall, account: Account, tags: list[NamedTag]) -> bool:
    found = await _customer(call, account)
    unwanted = {found.customer.id: [tag.tag_name for tag in tags]}
    try:
        await service.remove(call.db, call.shop.id, unwanted, source="facade")
    except TagIsAutomatic as error:
        raise BusinessRefusal(TAGGING, error.detail or "") from None
    return True


def _tagrelation_tag(row: Row) -> TagrelationTag:
    return {
        "name": row["name"],
        "tag_id": row["id"],
        "category_name": row["category_name"] or "",
        "category_id": row["category_id"] or NO_CATEGORY,
    }


_LIST_INFERRED: Final = "the list's name is not published: `tags`, as in tag.relation"
_READ: Final = "customers:read"
_WRITE: Final = "customers:write"
APIS: Final = (
    Api("youzan.scrm.tag.relation.add", "4.0.0", _WRITE, RelationChange, DONE, add_relation, TEXT),
    Api("youzan.scrm.tag.relation.delete", "4.0.0", _WRITE, RelationChange, DONE, delete_relation, TEXT),
    Api("youzan.scrm.tag.relation.get", "4.0.0", _READ, RelationParameters, RELATION_DATA, get_relation, TEXT),
    Api(
        "youzan.scrm.tagrelation.add",
        "1.0.0",
        _WRITE,
        TagrelationChange,
        DONE,
        add_tagrelation,
        EITHER,
        _LIST_INFERRED,
    ),
    Api(
        "youzan.scrm.tagrelation.delete",
        "1.0.0",
        _WRITE,
        TagrelationChange,
        DONE,
        delete_tagrelation,
        EITHER,
        _LIST_INFERRED,
    ),
    Api(
        "youzan.scrm.tagrelation.query",
        "1.0.0",
        _READ,
        TagrelationParameters,
        TAGRELATION_DATA,
        query_tagrelation,
        EITHER,
        "no tag is hidden: `display_type` 0 finds none",
    ),
    Api("youzan.scrm.tag.addformany", "1.0.0", _WRITE, ForManyParameters, DONE, add_for_many, EITHER),
    Api(
        "youzan.scrm.tag.category.get",
        "1.0.0",
        _READ,
        CategoryParameters,
        CATEGORY_DATA,
        get_category,
        missing="roles are not kept: `allow_view_roles` and `allow_edit_roles` are empty",
    ),
)

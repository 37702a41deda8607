"""Which tags and categories a shop has: made, changed and dropped, under the locks that their users take."""

from collections.abc import Mapping
from typing import Any, Final

import asyncpg
from sqlalchemy import bindparam as p
from sqlalchemy import select, text

from app.changes import jobs
from app.core import clock
from app.core.db import Connection, Row, statement
from app.core.errors import StartOver
from app.tags.errors import (
    CategoryExists,
    CategoryHoldsTags,
    CategoryNotFound,
    TagCarried,
    TagExists,
    TagIsAutomatic,
    TagNotFound,
)
from app.tags.models import tag_categories, tags
from app.uses import service as uses

MANUAL: Final = "manual"
AUTOMATIC: Final = "automatic"
NORMAL: Final = 0
DISABLED: Final = 1
REMOVE_ASSIGNMENTS: Final = "tag_assignments"
_MOST_TOLD: Final = 20

_SHOWN: Final = """
    select t.id, t.name, t.status, t.kind, t.category_id, c.name as category, t.created_at, t.updated_at
    from tags t
    left join tag_categories c on c.shop_id = t.shop_id and c.id = t.category_id
    where t.shop_id = :shop_id
"""
GET_TAG = statement(text(f"{_SHOWN} and t.id = :id"))
# A shop has hundreds of tags, so that filters are looked at row by row. Category 0 holds those without one.
LIST_TAGS = statement(
    text(
        f"""
        {_SHOWN} and t.id > :after
            and (cast(:category_id as bigint) is null or coalesce(t.category_id, 0) = cast(:category_id as bigint))
            and (cast(:status as smallint) is null or t.status = cast(:status as smallint))
            and (cast(:kind as text) is null or t.kind = cast(:kind as text))
            and (cast(:name_prefix as text) is null or starts_with(t.name, cast(:name_prefix as text)))
        order by t.id limit :limit
        """
    )
)
LOCK_TAG = statement(select(tags).where(tags.c.shop_id == p("shop_id"), tags.c.id == p("id")).with_for_update())
ADD_TAG = statement(
    text(
        """
        insert into tags (shop_id, name, category_id, created_at, updated_at)
        values (:shop_id, :name, :category_id, :moment, :moment)
        on conflict do nothing
        returning id
        """
    )
)
CHANGE_TAG = statement(
    text(
        """
        update tags set name = :name, category_id = :category_id, status = :status, updated_at = :moment
        where shop_id = :shop_id and id = :id
        """
    )
)
SET_KIND = statement(
    text("update tags set kind = :kind, updated_at = :moment where shop_id = :shop_id and id = :id and kind <> :kind")
)
DROP_TAG = statement(text("delete from tags where shop_id = :shop_id and id = :id"))
TAG_OF_NAME = statement(select(tags.c.id).where(tags.c.shop_id == p("shop_id"), tags.c.name == p("name")))
# Two looks at the tag's own index, which holds when an assignment runs out.
CARRIED = statement(
    text(
        """
        select exists (select from customer_tags where shop_id = :shop_id and tag_id = :id) as held,
               exists (
                   select from customer_tags
                   where shop_id = :shop_id and tag_id = :id and (valid_until is null or valid_until > now())
               ) as carried
        """
    )
)

_CATEGORIES: Final = """
    select c.id, c.name, c.status, c.created_at, c.updated_at,
           (select count(*) from tags t where t.shop_id = c.shop_id and t.category_id = c.id) as tags
    from tag_categories c
    where c.shop_id = :shop_id
"""
GET_CATEGORY = statement(text(f"{_CATEGORIES} and c.id = :id"))
LIST_CATEGORIES = statement(text(f"{_CATEGORIES} and c.id > :after order by c.id limit :limit"))
_CATEGORY: Final = select(tag_categories).where(
    tag_categories.c.shop_id == p("shop_id"), tag_categories.c.id == p("id")
)
LOCK_CATEGORY = statement(_CATEGORY.with_for_update())
HOLD_CATEGORY = statement(_CATEGORY.with_for_update(read=True, key_share=True))
ADD_CATEGORY = statement(
    text(
        """
        insert into tag_categories (shop_id, name, created_at, updated_at)
        values (:shop_id, :name, :moment, :moment)
        on conflict do nothing
        returning id
        """
    )
)
CHANGE_CATEGORY = statement(
    text(
        """
        update tag_categories set name = :name, status = :status, updated_at = :moment
        where shop_id = :shop_id and id = :id
        """
    )
)
DROP_CATEGORY = statement(text("delete from tag_categories where shop_id = :shop_id and id = :id"))
CATEGORY_OF_NAME = statement(
    select(tag_categories.c.id).where(tag_categories.c.shop_id == p("shop_id"), tag_categories.c.name == p("name"))
)
IN_CATEGORY = statement(
    text(
        """
        select id, name, count(*) over () as total from tags
        where shop_id = :shop_id and category_id = :id order by id limit :limit
        """
    )
)


# ---- Tags


async def get_tag(db: Connection, shop_id: int, tag_id: int) -> Row:
    """One tag with its category's name. Raises TagNotFound."""
    row = await db.fetch_one(GET_TAG, shop_id=shop_id, id=tag_id)
    if row is None:
        raise TagNotFound(field="tag_id")
    return row


async def create_tag(db: Connection, shop_id: int, name: str, category_id: int | None) -> Row:
    """Make a tag. Raises TagExists, CategoryNotFound."""
    await _hold_category(db, shop_id, category_id)
    tag_id = await db.fetch_value(ADD_TAG, shop_id=shop_id, name=name, category_id=category_id, moment=clock.now())
    if tag_id is None:
        raise TagExists(f"The tag {name} is there: see GET /v1/tags?name_prefix=…", field="name")
    return await get_tag(db, shop_id, tag_id)


async def change_tag(db: Connection, shop_id: int, tag_id: int, given: Mapping[str, Any]) -> Row:
    """Rename, move, disable a tag. Twice is harmless.

    Args:
        given: name, category_id (None: none), status; what is absent stays.
    Raises: TagNotFound, TagExists, CategoryNotFound, StillUsed; StartOver.
    """
    if "category_id" in given:
        await _hold_category(db, shop_id, given["category_id"])
    before = await locked(db, shop_id, tag_id)
    after = {name: given.get(name, before[name]) for name in ("name", "category_id", "status")}
    if after["name"] != before["name"]:
        # Rules name tags as people do.
        await uses.refuse_used(db, shop_id, "tag", str(tag_id))
    if any(after[name] != before[name] for name in after):
        other = await db.fetch_value(TAG_OF_NAME, shop_id=shop_id, name=after["name"])
        if other not in (None, tag_id):
            raise TagExists(f"Tag {other} has the name {after['name']}: take another", field="name")
        await _change(db, CHANGE_TAG, shop_id, tag_id, after)
    return await get_tag(db, shop_id, tag_id)


async def drop_tag(db: Connection, shop_id: int, tag_id: int, *, with_assignments: bool) -> None:
    """Have a tag no longer. Who carried it is told of it by a job.

    Raises: TagNotFound, StillUsed, TagCarried.
    """
    tag = await locked(db, shop_id, tag_id)
    await uses.refuse_used(db, shop_id, "tag", str(tag_id))
    found = await db.fetch_one(CARRIED, shop_id=shop_id, id=tag_id)
    assert found is not None  # noqa: S101 the statement answers one row
    if found["carried"] and not with_assignments:
        raise TagCarried(f"To take it from them too: DELETE /v1/tags/{tag_id}?with_assignments=true", field="tag_id")
    await db.execute(DROP_TAG, shop_id=shop_id, id=tag_id)
    if found["held"]:
        await jobs.enqueue(db, shop_id, REMOVE_ASSIGNMENTS, {"tag_id": tag_id, "name": tag["name"]})


async def take_for_rule(db: Connection, shop_id: int, name: str) -> int:
    """The number of a tag that a rule gives from now on, made where there is none.

    Raises: TagIsAutomatic, TagCarried where hands have given it, so that exactly those carry it whom the rule means.
    """
    await db.execute(ADD_TAG, shop_id=shop_id, name=name, category_id=None, moment=clock.now())
    tag_id: int = await db.fetch_value(TAG_OF_NAME, shop_id=shop_id, name=name)
    tag = await locked(db, shop_id, tag_id)
    if tag["kind"] == AUTOMATIC:
        raise TagIsAutomatic(name)
    found = await db.fetch_one(CARRIED, shop_id=shop_id, id=tag_id)
    assert found is not None  # noqa: S101 the statement answers one row
    if found["held"]:
        raise TagCarried(f"Customers carry {name} already: take it from them first, or use another tag", field="tag")
    await db.execute(SET_KIND, shop_id=shop_id, id=tag_id, kind=AUTOMATIC, moment=clock.now())
    return tag_id


async def give_back(db: Connection, shop_id: int, tag_id: int) -> None:
    """A rule gives the tag no more: hands may. May run twice."""
    await db.execute(SET_KIND, shop_id=shop_id, id=tag_id, kind=MANUAL, moment=clock.now())


async def locked(db: Connection, shop_id: int, tag_id: int) -> Row:
    """The tag's row, locked against whoever assigns or uses it. Raises TagNotFound."""
    row = await db.fetch_one(LOCK_TAG, shop_id=shop_id, id=tag_id)
    if row is None:
        raise TagNotFound(field="tag_id")
    return row


# ---- Categories


async def get_category(db: Connection, shop_id: int, category_id: int) -> Row:
    """One category with how many tags are in it. Raises CategoryNotFound."""
    row = await db.fetch_one(GET_CATEGORY, shop_id=shop_id, id=category_id)
    if row is None:
        raise CategoryNotFound(field="category_id")
    return row


async def create_category(db: Connection, shop_id: int, name: str) -> Row:
    """Make a category. Raises CategoryExists."""
    category_id = await db.fetch_value(ADD_CATEGORY, shop_id=shop_id, name=name, moment=clock.now())
    if category_id is None:
        raise CategoryExists(field="name")
    return await get_category(db, shop_id, category_id)


async def change_category(db: Connection, shop_id: int, category_id: int, given: Mapping[str, Any]) -> Row:
    """Rename or disable a category; `given`: name, status, what is absent stays. Twice is harmless.

    Raises: CategoryNotFound, CategoryExists; StartOver.
    """
    before = await _locked_category(db, shop_id, category_id)
    after = {name: given.get(name, before[name]) for name in ("name", "status")}
    if any(after[name] != before[name] for name in after):
        other = await db.fetch_value(CATEGORY_OF_NAME, shop_id=shop_id, name=after["name"])
        if other not in (None, category_id):
            raise CategoryExists(f"Category {other} has the name {after['name']}: take another", field="name")
        await _change(db, CHANGE_CATEGORY, shop_id, category_id, after)
    return await get_category(db, shop_id, category_id)


async def drop_category(db: Connection, shop_id: int, category_id: int) -> None:
    """Have an empty category no longer. Raises CategoryNotFound, CategoryHoldsTags."""
    await _locked_category(db, shop_id, category_id)
    held = await db.fetch(IN_CATEGORY, shop_id=shop_id, id=category_id, limit=_MOST_TOLD)
    if held:
        raise CategoryHoldsTags(
            f"{held[0]['total']} tags are in it: move them with PATCH /v1/tags/<id>, or delete them first",
            field="category_id",
            tags=[{"id": row["id"], "name": row["name"]} for row in held],
        )
    await db.execute(DROP_CATEGORY, shop_id=shop_id, id=category_id)


async def _locked_category(db: Connection, shop_id: int, category_id: int) -> Row:
    row = await db.fetch_one(LOCK_CATEGORY, shop_id=shop_id, id=category_id)
    if row is None:
        raise CategoryNotFound(field="category_id")
    return row


async def _hold_category(db: Connection, shop_id: int, category_id: int | None) -> None:
    """Until this transaction ends, nobody drops it. Raises CategoryNotFound."""
    if category_id is not None and await db.fetch_one(HOLD_CATEGORY, shop_id=shop_id, id=category_id) is None:
        raise CategoryNotFound(field="category_id")


async def _change(db: Connection, query: Any, shop_id: int, id_: int, after: Mapping[str, Any]) -> None:
    try:
        await db.execute(query, shop_id=shop_id, id=id_, moment=clock.now(), **after)
    except asyncpg.UniqueViolationError:
        raise StartOver from None  # somebody took the name meanwhile, which a new transaction sees

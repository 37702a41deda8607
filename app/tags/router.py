"""/v1/tags, /v1/tag-categories and /v1/customers/{id}/tags: which tags there are, and who carries them."""

from collections.abc import Sequence
from typing import Annotated, Final

from fastapi import APIRouter, Query

from app.access.door import DoorRoute, door
from app.access.entry import Call
from app.core.db import Row
from app.core.errors import Forbidden, Unauthorized, Unprocessable
from app.core.pagination import Cursor, Limit, decode_cursor, encode_cursor
from app.core.problems import problems
from app.customers import service as customers
from app.customers.errors import CustomerNotFound
from app.customers.schemas import CustomerId
from app.tags import declarations, repository, service
from app.tags.errors import (
    CategoryExists,
    CategoryHoldsTags,
    CategoryNotFound,
    TagCarried,
    TagDisabled,
    TagExists,
    TagIsAutomatic,
    TagNotFound,
)
from app.tags.report import report
from app.tags.schemas import (
    Added,
    AssignmentsResult,
    AssignmentsWrite,
    CarriedTag,
    CarriedTags,
    Carrier,
    CarrierPage,
    CarriersAdded,
    CarriersRemoval,
    CarriersRemoved,
    CarriersWrite,
    CategoryCreate,
    CategoryId,
    CategoryPage,
    CategoryPatch,
    CategoryRead,
    NamePrefix,
    OfCategory,
    Pair,
    Removed,
    ReportLimit,
    StaleDays,
    Status,
    TagCreate,
    TagFigures,
    TagId,
    TagKind,
    TagPage,
    TagPatch,
    TagRead,
    TagReport,
    fields,
    kept_status,
)
from app.uses import service as uses
from app.uses.errors import StillUsed
from app.uses.schemas import used_by

router = APIRouter(prefix="/v1", tags=["tags"], route_class=DoorRoute, responses=problems(Unauthorized, Forbidden))

Reader = Annotated[Call, door("tags:read")]
Writer = Annotated[Call, door("tags:write")]
Watcher = Annotated[Call, door("tags:read", "customers:read")]  # who carries what is about people
_STALE_DAYS: Final = 90


# ---- Categories


@router.post("/tag-categories", status_code=201, responses=problems(CategoryExists))
async def create_tag_category(call: Writer, body: CategoryCreate) -> CategoryRead:
    """Make a category for tags."""
    return CategoryRead(**fields(await declarations.create_category(call.db, call.shop.id, body.name)))


@router.get("/tag-categories")
async def list_tag_categories(call: Reader, limit: Limit = 50, cursor: Cursor = None) -> CategoryPage:
    """Categories, oldest first."""
    rows = await call.db.fetch(declarations.LIST_CATEGORIES, shop_id=call.shop.id, after=_after(cursor), limit=limit)
    return CategoryPage(items=[CategoryRead(**fields(row)) for row in rows], next_cursor=_next(rows, limit))


@router.get("/tag-categories/{category_id}", responses=problems(CategoryNotFound))
async def get_tag_category(call: Reader, category_id: CategoryId) -> CategoryRead:
    """One category."""
    return CategoryRead(**fields(await declarations.get_category(call.db, call.shop.id, category_id)))


@router.patch("/tag-categories/{category_id}", responses=problems(CategoryNotFound, CategoryExists))
async def change_tag_category(call: Writer, category_id: CategoryId, body: CategoryPatch) -> CategoryRead:
    """Rename or disable a category. Its tags stay as they are."""
    row = await declarations.change_category(call.db, call.shop.id, category_id, body.given())
    return CategoryRead(**fields(row))


@router.delete(
    "/tag-categories/{category_id}", status_code=204, responses=problems(CategoryNotFound, CategoryHoldsTags)
)
async def remove_tag_category(call: Writer, category_id: CategoryId) -> None:
    """Delete a category that is empty."""
    await declarations.drop_category(call.db, call.shop.id, category_id)


# ---- Tags


@router.post("/tags", status_code=201, responses=problems(TagExists, CategoryNotFound))
async def create_tag(call: Writer, body: TagCreate) -> TagRead:
    """Make a tag. Its name is taken once in a shop, whatever the category."""
    return await _read(call, await declarations.create_tag(call.db, call.shop.id, body.name, body.category_id))


@router.get("/tags")
async def list_tags(
    call: Reader,
    category_id: OfCategory = None,
    status: Status | None = None,
    kind: TagKind | None = None,
    name_prefix: NamePrefix = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> TagPage:
    """Tags, oldest first, of one category, status, kind, or whose names begin alike."""
    rows = await call.db.fetch(
        declarations.LIST_TAGS,
        shop_id=call.shop.id,
        category_id=category_id,
        status=kept_status(status),
        kind=kind,
        name_prefix=name_prefix.replace("\0", "") if name_prefix else None,
        after=_after(cursor),
        limit=limit,
    )
    users = await uses.of_many(call.db, call.shop.id, "tag", [str(row["id"]) for row in rows])
    items = [TagRead(**fields(row), used_by=used_by(users[str(row["id"])])) for row in rows]
    return TagPage(items=items, next_cursor=_next(rows, limit))


@router.get("/tags/report")
async def report_on_tags(
    call: Reader, stale_days: StaleDays = _STALE_DAYS, limit: ReportLimit = 1000, cursor: Cursor = None
) -> TagReport:
    """What each tag comes to now: how many carry it, by whose doing, and whether it is given any more."""
    rows = await report(call.db, call.shop.id, stale_days=stale_days, after=_after(cursor), limit=limit)
    users = await uses.of_many(call.db, call.shop.id, "tag", [str(row["id"]) for row in rows])
    items = [TagFigures(**fields(row), used_by=used_by(users[str(row["id"])])) for row in rows]
    return TagReport(items=items, next_cursor=_next(rows, limit))


@router.post("/tags/assignments", responses=problems(TagNotFound, TagIsAutomatic, TagDisabled))
async def assign_tags(call: Writer, body: AssignmentsWrite) -> AssignmentsResult:
    """Put tags on customers and take others off, up to 1,000 in one step. A tag that is refused refuses all of it."""
    valid_until = service.until(call.shop, body.valid_until)
    ids = await service.resolve(call.db, call.shop.id, {pair.tag for pair in (*body.add, *body.remove)})
    wanted, unwanted = _numbered(body.add, ids), _numbered(body.remove, ids)
    if both := set(wanted) & set(unwanted):
        customer_id, tag_id = min(both)
        raise Unprocessable(f"Tag {tag_id} of customer {customer_id} is to be added and to be removed", field="remove")
    call.visit.concerns([customer_id for customer_id, _ in (*wanted, *unwanted)])
    taken = await service.take(call.db, call.shop.id, unwanted, source="manual") if unwanted else {}
    given = {}
    if wanted:
        given = await service.give(
            call.db,
            call.shop.id,
            wanted,
            source="manual",
            actor=call.caller.client_id,
            valid_until=valid_until,
            reason=body.reason,
        )
    return AssignmentsResult(
        add=[Added(customer_id=pair[0], tag_id=pair[1], status=given[pair]) for pair in wanted],
        remove=[Removed(customer_id=pair[0], tag_id=pair[1], status=taken[pair]) for pair in unwanted],
    )


@router.get("/tags/{tag_id}", responses=problems(TagNotFound))
async def get_tag(call: Reader, tag_id: TagId) -> TagRead:
    """One tag, and what uses it."""
    return await _read(call, await declarations.get_tag(call.db, call.shop.id, tag_id))


@router.patch("/tags/{tag_id}", responses=problems(TagNotFound, TagExists, CategoryNotFound))
async def change_tag(call: Writer, tag_id: TagId, body: TagPatch) -> TagRead:
    """Rename, move or disable a tag. Whoever carries it goes on to."""
    return await _read(call, await declarations.change_tag(call.db, call.shop.id, tag_id, body.given()))


@router.delete("/tags/{tag_id}", status_code=204, responses=problems(TagNotFound, StillUsed, TagCarried))
async def remove_tag(
    call: Writer,
    tag_id: TagId,
    with_assignments: Annotated[bool, Query(description="Take it from those who carry it, too")] = False,
) -> None:
    """Delete a tag that nothing uses. It is out of sight at once, and soon taken from whoever carried it."""
    await declarations.drop_tag(call.db, call.shop.id, tag_id, with_assignments=with_assignments)


# ---- Who carries a tag


@router.get("/tags/{tag_id}/customers", responses=problems(TagNotFound))
async def list_tag_customers(call: Watcher, tag_id: TagId, limit: Limit = 50, cursor: Cursor = None) -> CarrierPage:
    """Customers who carry the tag now, by number."""
    await declarations.get_tag(call.db, call.shop.id, tag_id)
    rows = await call.db.fetch(
        repository.CARRIERS, shop_id=call.shop.id, tag_id=tag_id, after=_after(cursor), limit=limit
    )
    call.visit.concerns([row["customer_id"] for row in rows])
    return CarrierPage(items=[Carrier(**row) for row in rows], next_cursor=_next(rows, limit, "customer_id"))


@router.post("/tags/{tag_id}/customers", responses=problems(TagNotFound, TagIsAutomatic, TagDisabled))
async def give_tag(call: Writer, tag_id: TagId, body: CarriersWrite) -> CarriersAdded:
    """Put the tag on up to 1,000 customers."""
    pairs = _of_tag(tag_id, body.customer_ids)
    call.visit.concerns(list(body.customer_ids))
    given = await service.give(
        call.db,
        call.shop.id,
        pairs,
        source="manual",
        actor=call.caller.client_id,
        valid_until=service.until(call.shop, body.valid_until),
        reason=body.reason,
    )
    return CarriersAdded(results=[Added(customer_id=pair[0], tag_id=tag_id, status=given[pair]) for pair in pairs])


@router.post("/tags/{tag_id}/customers/removal", responses=problems(TagNotFound, TagIsAutomatic))
async def take_tag(call: Writer, tag_id: TagId, body: CarriersRemoval) -> CarriersRemoved:
    """Take the tag off up to 1,000 customers."""
    pairs = _of_tag(tag_id, body.customer_ids)
    call.visit.concerns(list(body.customer_ids))
    taken = await service.take(call.db, call.shop.id, pairs, source="manual")
    return CarriersRemoved(results=[Removed(customer_id=pair[0], tag_id=tag_id, status=taken[pair]) for pair in pairs])


@router.get("/customers/{customer_id}/tags", responses=problems(CustomerNotFound))
async def list_customer_tags(call: Watcher, customer_id: CustomerId) -> CarriedTags:
    """The tags that a customer carries now, in the order they were assigned."""
    customer_id = await customers.answering(call.db, call.shop, customer_id)
    call.visit.concerns([customer_id])
    rows = await repository.of_customers(call.db, call.shop.id, [customer_id])
    return CarriedTags(items=[CarriedTag(**fields(row) | {"category": row["category_name"]}) for row in rows])


async def _read(call: Call, row: Row) -> TagRead:
    users = await uses.of(call.db, call.shop.id, "tag", str(row["id"]))
    return TagRead(**fields(row), used_by=used_by(users))


def _numbered(pairs: Sequence[Pair], ids: dict[int | str, int]) -> list[tuple[int, int]]:
    """Customers and numbers of tags, each pair once."""
    return list(dict.fromkeys((pair.customer_id, ids[pair.tag]) for pair in pairs))


def _of_tag(tag_id: int, customer_ids: Sequence[int]) -> list[tuple[int, int]]:
    return [(customer_id, tag_id) for customer_id in dict.fromkeys(customer_ids)]


def _after(cursor: str | None) -> int:
    return int(decode_cursor(cursor, int)[0]) if cursor else 0


def _next(rows: Sequence[Row], limit: int, key: str = "id") -> str | None:
    return encode_cursor(rows[-1][key]) if len(rows) == limit else None

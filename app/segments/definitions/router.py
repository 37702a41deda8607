"""/v1/segments: define segments, change, build and archive them, and keep the lists of static ones."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Header, Path, Query

from app.access.door import DoorRoute, door
from app.access.entry import Call
from app.access.errors import ScopeMissing
from app.core.errors import Forbidden, Unauthorized
from app.core.pagination import Cursor, InvalidCursor, Limit, decode_cursor, encode_cursor
from app.core.problems import problems
from app.segments.definitions import listing, repository, service
from app.segments.definitions.schemas import (
    BuildAccepted,
    ListChange,
    ListChanged,
    SegmentCreate,
    SegmentDefined,
    SegmentDetail,
    SegmentPage,
    SegmentPatch,
    SegmentRead,
    VersionPage,
)
from app.segments.errors import (
    RuleUnfit,
    RuleUnreadable,
    SegmentArchived,
    SegmentChanged,
    SegmentCircle,
    SegmentExists,
    SegmentKind,
    SegmentNotFound,
    TooManySegments,
)
from app.tags.errors import TagCarried, TagIsAutomatic
from app.uses.errors import StillUsed

router = APIRouter(
    prefix="/v1/segments", tags=["segments"], route_class=DoorRoute, responses=problems(Unauthorized, Forbidden)
)

SegmentId = Annotated[int, Path(ge=1, lt=2**53)]
Reader = Annotated[Call, door("segments:read")]
Writer = Annotated[Call, door("segments:write")]


@router.post(
    "",
    status_code=201,
    responses=problems(
        ScopeMissing,
        RuleUnreadable,
        RuleUnfit,
        SegmentExists,
        SegmentCircle,
        TooManySegments,
        TagIsAutomatic,
        TagCarried,
    ),
)
async def create_segment(call: Writer, body: SegmentCreate) -> SegmentDefined:
    """Define a segment. Who is in it can be read once the build that this starts is done."""
    segment_id, job_id = await service.create(
        call.db, call.shop, body, call.caller.client_id, unmasked=call.caller.unmasked
    )
    return await _defined(call, segment_id, job_id)


@router.get("", responses=problems(InvalidCursor))
async def list_segments(
    call: Reader,
    state: Literal["active", "archiving", "archived"] | None = None,
    kind: Literal["dynamic", "static"] | None = None,
    folder: Annotated[str | None, Query(max_length=100)] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> SegmentPage:
    """Segments, newest first."""
    before = decode_cursor(cursor, int)[0] if cursor else 2**53
    filters = {"state": state, "kind": kind, "folder": folder and folder.replace("\0", "")}
    rows = await call.db.fetch(repository.LIST, shop_id=call.shop.id, before=before, limit=limit, **filters)
    return SegmentPage(
        items=[SegmentRead(**row) for row in rows],
        next_cursor=encode_cursor(rows[-1]["segment_id"]) if len(rows) == limit else None,
    )


@router.get("/{segment_id}", responses=problems(SegmentNotFound))
async def get_segment(call: Reader, segment_id: SegmentId) -> SegmentDetail:
    """One segment with its newest rule, how it stands, and what uses it."""
    return await listing.detail(call.db, call.shop, segment_id, unmasked=call.caller.unmasked)


@router.patch(
    "/{segment_id}",
    responses=problems(
        ScopeMissing,
        SegmentNotFound,
        SegmentArchived,
        SegmentChanged,
        SegmentExists,
        SegmentKind,
        RuleUnreadable,
        RuleUnfit,
        SegmentCircle,
    ),
)
async def change_segment(call: Writer, segment_id: SegmentId, body: SegmentPatch) -> SegmentDefined:
    """Change a segment. A new rule counts once the build that this starts is done; until then the former one does."""
    job_id = await service.change(
        call.db, call.shop, segment_id, body, call.caller.client_id, unmasked=call.caller.unmasked
    )
    return await _defined(call, segment_id, job_id)


@router.post("/{segment_id}/archive", responses=problems(SegmentNotFound, SegmentArchived, StillUsed))
async def archive_segment(call: Writer, segment_id: SegmentId) -> SegmentDefined:
    """Keep a segment no more: everybody leaves it. Its log stays, and it can be asked who was in it."""
    job_id = await service.archive(call.db, call.shop, segment_id, call.caller.client_id)
    return await _defined(call, segment_id, job_id)


@router.get("/{segment_id}/versions", responses=problems(SegmentNotFound, InvalidCursor))
async def list_versions(call: Reader, segment_id: SegmentId, limit: Limit = 50, cursor: Cursor = None) -> VersionPage:
    """The rules that a segment has had, newest first."""
    before = decode_cursor(cursor, int)[0] if cursor else 2**31 - 1
    page = {"segment_id": segment_id, "before": min(before, 2**31 - 1), "limit": limit}
    rows = await call.db.fetch(repository.VERSIONS, shop_id=call.shop.id, **page)
    if not rows and not cursor:
        raise SegmentNotFound(field="segment_id")
    return VersionPage(
        items=[listing.version_read(row, unmasked=call.caller.unmasked) for row in rows],
        next_cursor=encode_cursor(rows[-1]["version"]) if len(rows) == limit else None,
    )


@router.post("/{segment_id}/build", status_code=202, responses=problems(SegmentNotFound, SegmentArchived))
async def build_segment(
    call: Annotated[Call, door("triggers")],
    segment_id: SegmentId,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=128)] = None,
) -> BuildAccepted:
    """Ask everybody again. Membership is kept as things change and time passes: this is for when you doubt it."""
    key = f"key:{segment_id}:{idempotency_key}" if idempotency_key else None
    return BuildAccepted(job_id=await service.rebuild(call.db, call.shop, segment_id, key))


@router.post("/{segment_id}/list", responses=problems(SegmentNotFound, SegmentArchived, SegmentKind))
async def put_on_list(call: Writer, segment_id: SegmentId, body: ListChange) -> ListChanged:
    """Put customers on the list of a static segment; who is merged stands for who answers for them."""
    done = await service.put_on_list(call.db, call.shop, segment_id, body.customer_ids, call.caller.client_id)
    call.visit.concerns(body.customer_ids)
    return ListChanged(**done._asdict())


@router.post("/{segment_id}/list/removal", responses=problems(SegmentNotFound, SegmentArchived, SegmentKind))
async def take_off_list(call: Writer, segment_id: SegmentId, body: ListChange) -> ListChanged:
    """Take customers off the list of a static segment."""
    done = await service.take_off_list(call.db, call.shop, segment_id, body.customer_ids)
    call.visit.concerns(body.customer_ids)
    return ListChanged(**done._asdict())


async def _defined(call: Call, segment_id: int, job_id: UUID | None) -> SegmentDefined:
    found = await listing.detail(call.db, call.shop, segment_id, unmasked=call.caller.unmasked)
    return SegmentDefined(**found.model_dump(), job_id=job_id)

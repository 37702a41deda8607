"""/v1/exports."""

from collections.abc import AsyncIterator
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import StreamingResponse

from app.access.door import DoorRoute, door
from app.access.entry import Call, Entry
from app.access.errors import ScopeMissing
from app.core.db import Row
from app.core.errors import Forbidden, Unauthorized, Unprocessable
from app.core.pagination import Cursor, InvalidCursor, Limit, decode_cursor, encode_cursor
from app.core.problems import problems
from app.exports import repository, service
from app.exports.errors import ExportGone, ExportNotFound, ExportNotReady, ExportsWaiting, RangeBeyondContent
from app.exports.lines import MEDIA_TYPES
from app.exports.ranges import Span, span_of
from app.exports.schemas import ExportCreate, ExportPage, ExportRead

router = APIRouter(
    prefix="/v1/exports", tags=["exports"], route_class=DoorRoute, responses=problems(Unauthorized, Forbidden)
)

Reader = Annotated[Call, door("customers:read")]
_NEWEST: Final = UUID(int=2**128 - 1)
_CONTENT: Final[dict[str, Any]] = {kind.partition(";")[0]: {} for kind in MEDIA_TYPES.values()}


@router.post("", status_code=202, responses=problems(ExportsWaiting, Unprocessable))
async def ask_for_export(request: Request, call: Reader, body: ExportCreate) -> ExportRead:
    """Ask for a file of the shop's rows; the workers write it. Unmasked with `pii:read` and a reason only."""
    # Its row is more than one in the access log: whoever is told 202 must find it.
    await call.db.execute(repository.WRITE_THROUGH)
    keep_hours = request.app.state.settings.export_keep_hours
    row = await service.ask(call.db, call.shop, call.caller, body, keep_hours=keep_hours)
    _note(call, row, f"POST /v1/exports/{row['id']}")
    return service.read_model(row)


@router.get("", responses=problems(InvalidCursor))
async def list_exports(call: Reader, limit: Limit = 50, cursor: Cursor = None) -> ExportPage:
    """The shop's exports, the last first; they stay listed when their content is gone."""
    before = _position(cursor) if cursor else _NEWEST
    rows = await call.db.fetch(repository.LIST, shop_id=call.shop.id, before=before, limit=limit)
    more = encode_cursor(str(rows[-1]["id"])) if len(rows) == limit else None
    return ExportPage(items=[service.read_model(row) for row in rows], next_cursor=more)


@router.get("/{export_id}", responses=problems(ExportNotFound))
async def get_export(call: Reader, export_id: UUID) -> ExportRead:
    """How far an export is."""
    return service.read_model(await service.get(call.db, call.shop.id, export_id))


@router.get(
    "/{export_id}/content",
    response_class=StreamingResponse,
    responses={
        **problems(ExportNotFound, ScopeMissing, ExportNotReady, ExportGone, RangeBeyondContent),
        200: {"content": _CONTENT, "description": "The file"},
        206: {"content": _CONTENT, "description": "The bytes asked for by `Range`"},
    },
)
async def read_export(
    request: Request,
    call: Reader,
    export_id: UUID,
    range: Annotated[str | None, Header(max_length=100)] = None,
    if_range: Annotated[str | None, Header(max_length=100)] = None,
) -> Response:
    """The file, as a stream; one that broke off goes on with `Range: bytes=…`."""
    export = await service.get(call.db, call.shop.id, export_id)
    service.readable(export, call.caller)
    tag = f'"{export_id}"'
    asked = span_of(range if if_range in (None, tag) else None, export["bytes"])
    span = asked or Span(0, export["bytes"])
    part = await call.db.fetch_one(
        repository.SPAN, shop_id=call.shop.id, export_id=export_id, start=span.start, end=span.end
    )
    assert part is not None  # noqa: S101 the statement answers one row
    _note(call, export, f"GET /v1/exports/{export_id}/content")
    call.visit.objects = part["rows"]
    headers = {
        "Accept-Ranges": "bytes",
        "Cache-Control": "no-store",
        "Content-Disposition": f'attachment; filename="{export["kind"]}-{export_id}.{export["format"]}"',
        "Content-Length": str(span.end - span.start),
        "Content-Type": MEDIA_TYPES[export["format"]],
        "ETag": tag,
    }
    if asked:
        headers["Content-Range"] = f"bytes {span.start}-{span.end - 1}/{export['bytes']}"
    entry: Entry = request.app.state.entry
    return StreamingResponse(_stream(entry, call, export, part, span), 206 if asked else 200, headers)


@router.delete("/{export_id}", status_code=204, responses=problems(ExportNotFound, ScopeMissing))
async def end_export(call: Reader, export_id: UUID) -> None:
    """Cancel an export, or give up its content; another client's with `admin` only."""
    await call.db.execute(repository.WRITE_THROUGH)
    row = await service.cancel(call.db, call.shop, call.caller, export_id)
    _note(call, row, f"DELETE /v1/exports/{export_id}")


async def _stream(entry: Entry, call: Call, export: Row, part: Row, span: Span) -> AsyncIterator[bytes]:
    """One chunk after the other, each in a transaction of its own, which asks again whether the caller may.

    Raises: ExportGone, so that the connection breaks rather than a shorter file ends as if it were whole.
    """
    if part["first"] is None:
        return
    key = service.file_key(call.shop, export)
    for no in range(part["first"], part["last"] + 1):
        async with entry.database.transaction(call.shop.id, admit=call.caller.admission) as db:
            chunk = await db.fetch_one(repository.CHUNK, shop_id=call.shop.id, export_id=export["id"], no=no)
        if chunk is None:
            raise ExportGone
        yield service.opened(key, chunk, span)


def _note(call: Call, export: Row, name: str) -> None:
    """In the access log each line names its export, whose row keeps the reason."""
    call.visit.call, call.visit.masked = name, not export["unmasked"]
    call.visit.purpose = " ".join(
        ("customers:read", *service.further_scopes(export["kind"], unmasked=export["unmasked"]))
    )


def _position(cursor: str) -> UUID:
    try:
        return UUID(decode_cursor(cursor, str)[0])
    except ValueError:
        raise InvalidCursor from None

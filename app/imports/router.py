"""/v1/imports: files of any size in, followed until they are in."""

from collections.abc import AsyncIterator
from hashlib import sha256
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Header, Request, Response

from app.access.door import DoorRoute, Gate, UploadRoute, door
from app.access.entry import Call
from app.access.scopes import Scope
from app.core.errors import AppError, Forbidden, TooLarge, Unauthorized
from app.core.pagination import Cursor, InvalidCursor, Limit, decode_cursor, encode_cursor
from app.core.problems import problems
from app.customers.service import Policy
from app.imports import repository, service
from app.imports.errors import ImportEnded, ImportNotFound
from app.imports.remedies import remedy
from app.imports.rows import RowError
from app.imports.schemas import (
    Format,
    ImportErrorPage,
    ImportErrorRead,
    ImportKind,
    ImportPage,
    ImportRead,
    Source,
)
from app.imports.unpacking import unpacked

PATH: Final = "/v1/imports"
# What sending the same rows in calls needs.
SCOPES: Final[dict[str, Scope]] = {
    "customers": "customers:write",
    "orders": "orders:write",
    "events": "events:write",
    "identities": "customers:write",
    "tags": "customers:write",
    "segments": "segments:write",
}
_NEWEST: Final = UUID(int=2**128 - 1)
_FILE: Final = {
    "requestBody": {
        "required": True,
        "description": "The file itself, of any size, also with `Content-Encoding: gzip`",
        "content": {
            kind: {"schema": {"type": "string", "format": "binary"}} for kind in ("text/csv", "application/x-ndjson")
        },
    }
}

uploads = APIRouter(prefix=PATH, tags=["imports"], route_class=UploadRoute, responses=problems(Unauthorized, Forbidden))
router = APIRouter(prefix=PATH, tags=["imports"], route_class=DoorRoute, responses=problems(Unauthorized, Forbidden))


@uploads.post(
    "", status_code=202, response_model=ImportRead, responses=problems(ImportEnded, TooLarge), openapi_extra=_FILE
)
async def start_import(
    request: Request,
    gate: Annotated[Gate, door("imports")],
    kind: ImportKind,
    format: Format = "csv",
    policy: Policy = "overwrite",
    dry_run: bool = False,
    source: Source = "import",
    content_encoding: Annotated[str, Header(include_in_schema=False)] = "",
    _: Annotated[str | None, Header(alias="Idempotency-Key", min_length=1, max_length=128)] = None,
) -> Response:
    """Upload a file of customers, orders, events, identities, tags or lists; needs the kind's scope, too.

    `policy` is for customers who are there: overwrite what the row brings, fill only what is empty, or skip them.
    """
    asked = {"kind": kind, "format": format, "policy": policy, "dry_run": dry_run, "source": source}
    limit, needed = request.app.state.settings.upload_limit_bytes, SCOPES[kind]

    async def begin(call: Call) -> UUID:
        return await service.open_import(call.db, call.shop, call.caller.client_id, **asked)

    import_id = await gate.call(begin, needed)
    fresh, drop = False, service.abandon

    async def accept(call: Call) -> Response:
        accepted = await service.accept(call.db, call.shop, import_id)
        return Response(accepted.model_dump_json(), 202, media_type="application/json")

    try:
        pieces = service.chunked(unpacked(gate.pieces(), content_encoding.strip().lower()), limit=limit)
        digest = await _keep(gate, import_id, pieces)
        response, fresh = await gate.once(digest, accept, needed)
        drop = service.forget  # it was the answer of an upload before
        return response
    except AppError:
        drop = service.forget
        raise
    finally:
        if not fresh:
            entry = request.app.state.entry
            async with entry.shop(gate.shop.id) as (db, shop):
                await drop(db, shop, import_id)


@router.get("")
async def list_imports(call: Annotated[Call, door("imports")], limit: Limit = 50, cursor: Cursor = None) -> ImportPage:
    """Imports, newest first."""
    before = _position(cursor) if cursor else _NEWEST
    rows = await call.db.fetch(repository.LIST, shop_id=call.shop.id, before=before, limit=limit)
    more = encode_cursor(str(rows[-1]["id"])) if len(rows) == limit else None
    return ImportPage(items=[service.import_read(row) for row in rows], next_cursor=more)


@router.get("/{import_id}", responses=problems(ImportNotFound))
async def get_import(call: Annotated[Call, door("imports")], import_id: UUID) -> ImportRead:
    """One import: how far it is, how fast it goes, and what became of its rows."""
    return await service.get(call.db, call.shop, import_id)


@router.get("/{import_id}/errors", responses=problems(ImportNotFound))
async def list_import_errors(
    call: Annotated[Call, door("imports")], import_id: UUID, limit: Limit = 50, cursor: Cursor = None
) -> ImportErrorPage:
    """The rows that were left out, in the order of their lines, each with the reason and the remedy."""
    after = decode_cursor(cursor, int)[0] if cursor else 0
    await service.get(call.db, call.shop, import_id)
    rows = await call.db.fetch(repository.ERRORS, shop_id=call.shop.id, import_id=import_id, after=after, limit=limit)
    items = [ImportErrorRead(**row, remedy=remedy(RowError(**row))) for row in rows]
    return ImportErrorPage(items=items, next_cursor=encode_cursor(rows[-1]["line"]) if len(rows) == limit else None)


@router.delete("/{import_id}", responses=problems(ImportNotFound))
async def cancel_import(call: Annotated[Call, door("imports")], import_id: UUID) -> ImportRead:
    """End an import. What is in stays in; what is not stays out; the file is dropped."""
    return await service.cancel(call.db, call.shop, import_id)


async def _keep(gate: Gate, import_id: UUID, pieces: AsyncIterator[bytes]) -> bytes:
    """Store the file. Returns its digest."""
    digest, number = sha256(), 0
    async for piece in pieces:
        async with gate.piece() as (db, shop):
            await service.add_chunk(db, shop, import_id, number, piece)
        digest.update(piece)
        number += 1
    return digest.digest()


def _position(cursor: str) -> UUID:
    try:
        return UUID(decode_cursor(cursor, str)[0])
    except ValueError:
        raise InvalidCursor from None

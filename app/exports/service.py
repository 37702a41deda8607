"""Asking for an export, what may be read of one, and ending it."""

import zlib
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from app.access.entry import Caller, require
from app.access.scopes import Scope
from app.access.shops import Shop
from app.changes import jobs
from app.core import clock
from app.core.crypto import FileKey
from app.core.db import Connection, Row
from app.core.errors import Unprocessable
from app.core.ids import new_id
from app.exports import kinds, repository
from app.exports.errors import ExportGone, ExportNotFound, ExportNotReady, ExportsWaiting
from app.exports.ranges import Span
from app.exports.schemas import ExportCreate, ExportFilters, ExportRead
from app.scoring.tiers import service as tiers

JOB: Final = "export"
KEY: Final = "exports.key"


async def ask(db: Connection, shop: Shop, caller: Caller, body: ExportCreate, *, keep_hours: float) -> Row:
    """Queue an export. Returns its row.

    Raises: ScopeMissing, Unprocessable for a column or filter that the kind does not have, ExportsWaiting.
    """
    require(caller, *further_scopes(body.kind, unmasked=body.unmasked))
    filters = body.filters.given()
    if body.filters.tier is not None:
        await tiers.check_name(db, shop.id, body.filters.tier, field="filters.tier")
    for field, remedy in kinds.unknown(body.kind, body.columns, filters):
        raise Unprocessable(remedy, field=field)
    export_id, moment = new_id(), clock.now()
    _, sealed = shop.keys.new_file(KEY, export_id)
    added = await repository.add(
        db,
        shop.id,
        {
            "id": export_id,
            "client": caller.client,
            "client_id": caller.client_id,
            "kind": body.kind,
            "format": body.format,
            "filters": kinds.localised(filters, shop),
            "columns": body.columns or kinds.KINDS[body.kind].columns,
            "unmasked": body.unmasked,
            "reason": body.reason,
            "key": sealed,
            "moment": moment,
            "expires_at": moment + timedelta(hours=keep_hours),
        },
    )
    if not added:
        raise ExportsWaiting
    await jobs.enqueue(db, shop.id, JOB, {"export_id": str(export_id)}, key=str(export_id))
    return await get(db, shop.id, export_id)


def further_scopes(kind: str, *, unmasked: bool) -> tuple[Scope, ...]:
    """What it takes beyond customers:read, to ask for an export and to read it."""
    return (*kinds.KINDS[kind].scopes, *(("pii:read",) if unmasked else ()))


async def get(db: Connection, shop_id: int, export_id: UUID) -> Row:
    """Raises ExportNotFound."""
    row = await db.fetch_one(repository.GET, shop_id=shop_id, id=export_id)
    if row is None:
        raise ExportNotFound(field="export_id")
    return row


async def cancel(db: Connection, shop: Shop, caller: Caller, export_id: UUID) -> Row:
    """End an export that is under way, or give up the content of one that is done. Twice is harmless.

    Raises: ExportNotFound; ScopeMissing for another client's without `admin`.
    """
    row = await get(db, shop.id, export_id)
    if row["client"] != caller.client:
        require(caller, "admin")
    await repository.end(db, shop.id, export_id, "cancelled", clock.now())
    return row


def readable(row: Row, caller: Caller) -> None:
    """Whether its content may be read, and is there.

    Raises: ScopeMissing, ExportNotReady, ExportGone.
    """
    require(caller, *further_scopes(row["kind"], unmasked=row["unmasked"]))
    if row["state"] == "expired" or (row["state"] == "done" and row["expires_at"] <= clock.now()):
        raise ExportGone
    if row["state"] != "done":
        raise ExportNotReady(f"The export is {row['told']}")


def file_key(shop: Shop, row: Row) -> FileKey:
    """What opens the chunks."""
    return shop.keys.file(KEY, row["id"], row["key"])


def opened(key: FileKey, chunk: Row, span: Span) -> bytes:
    """What a chunk holds of these bytes."""
    content = zlib.decompress(key.open(chunk["no"], chunk["content"]))
    return content[max(0, span.start - chunk["begins"]) : span.end - chunk["begins"]]


def sealed(key: FileKey, no: int, content: bytes) -> bytes:
    """A chunk as it is kept."""
    return key.seal(no, zlib.compress(content, 1))


async def forget(db: Connection, shop: Shop) -> int:
    """Remove some of the content whose time is over. Returns how many exports were looked at: one, or none."""
    row = await db.fetch_one(repository.LOCK_EXPIRED, shop_id=shop.id)
    if row is None:
        return 0
    moment = clock.now()
    await repository.end(db, shop.id, row["id"], "failed", moment)
    await repository.drop_chunks(db, shop.id, row, moment)
    return 1


def read_model(row: Row) -> ExportRead:
    """As callers see it."""
    seconds = _seconds(row["started_at"], row["finished_at"] or row["progressed_at"])
    left = None
    if row["told"] == "running" and seconds and row["scanned"] and row["total"] is not None:
        left = round(max(0, row["total"] - row["scanned"]) * seconds / row["scanned"], 1)
    fields: dict[str, Any] = {name: row[name] for name in ExportRead.model_fields if name in row}
    return ExportRead(
        **fields
        | {
            "state": row["told"],
            "filters": ExportFilters.model_validate(row["filters"]),
            "rows_per_second": round(row["rows"] / seconds, 1) if seconds else None,
            "seconds_left": left,
        }
    )


def _seconds(since: datetime | None, until: datetime | None) -> float:
    return (until - since).total_seconds() if since is not None and until is not None else 0.0

"""Writing an export: a few thousand rows in each transaction, sealed and kept together with how far it came."""

import asyncio
import time
from datetime import timedelta
from functools import partial
from typing import Any, Final
from uuid import UUID

from app.access.audit import Visit
from app.access.entry import in_shop
from app.access.shops import Shop
from app.changes.jobs import Lease, LeaseLost, Paused
from app.core import clock
from app.core.db import Connection, Row
from app.core.errors import DatabaseUnavailable
from app.core.races import RETRIABLE
from app.exports import kinds, lines, repository, service
from app.exports.schemas import ExportFilters
from app.scoring.service import standing

CHUNK: Final = 2_000
TURN_SECONDS: Final = 5.0  # then the shop's other jobs go first
_BREATH: Final = 200  # rows, and the worker's other work gets on


async def run(lease: Lease, *, keep_hours: float) -> dict[str, Any]:
    """The job. Goes on at the chunk where a dead worker stopped.

    Raises: Paused, LeaseLost.
    """
    export_id, begun = UUID(lease.arguments["export_id"]), time.monotonic()
    step = partial(_chunk, lease=lease, export_id=export_id, keep_hours=keep_hours)
    try:
        while (ended := await in_shop(lease.entry, lease.shop_id, step)) is None:
            if time.monotonic() - begun > TURN_SECONDS:
                raise Paused
    except (Paused, LeaseLost, DatabaseUnavailable, *RETRIABLE):
        raise
    except Exception:
        async with lease.entry.database.transaction(lease.shop_id) as db:
            await repository.end(db, lease.shop_id, export_id, "failed", clock.now())
        raise
    return ended


async def _chunk(
    db: Connection, shop: Shop, *, lease: Lease, export_id: UUID, keep_hours: float
) -> dict[str, Any] | None:
    """One chunk. Returns how it ended, or None when there may be more."""
    export = await db.fetch_one(repository.LOCK, shop_id=shop.id, id=export_id)
    if export is None or export["state"] not in ("queued", "running"):
        return {"state": export["state"] if export else "gone"}
    if not await _still_may(db, shop, export):
        await repository.end(db, shop.id, export_id, "cancelled", clock.now())
        return {"state": "cancelled"}
    filters = ExportFilters.model_validate(export["filters"]).given()
    total, content = export["total"], b""
    if export["state"] == "queued":
        total = await _begin(db, shop, export, filters)
        if export["format"] == "csv":
            content = lines.header(export["columns"])
    query, values = kinds.next_keys(export["kind"], filters, export["reached"])
    keys = await db.fetch(query, shop_id=shop.id, limit=CHUNK, **values)
    rows: list[Row] = []
    reached = export["reached"]
    if keys:
        reached = kinds.reached_after(export["kind"], keys[-1])
        query, values = kinds.rows_through(export["kind"], filters, export["reached"], reached)
        rows = await db.fetch(query, shop_id=shop.id, **values)
        reading = kinds.Reading(lease.entry.root, shop, await standing(db, shop))
        content += await _lines(reading, export, rows)
    if content:
        await _keep(db, shop, export, content, len(rows))
    moment, ended = clock.now(), len(keys) < CHUNK
    await db.execute(
        repository.PROGRESS,
        shop_id=shop.id,
        id=export_id,
        reached=reached,
        scanned=len(keys),
        rows=len(rows),
        bytes=len(content),
        chunks=int(bool(content)),
        moment=moment,
    )
    if ended:
        expires_at = moment + timedelta(hours=keep_hours)
        await db.execute(repository.FINISH, shop_id=shop.id, id=export_id, moment=moment, expires_at=expires_at)
    await lease.report_in(db, export["scanned"] + len(keys), total, {})
    if rows:
        visit = Visit(f"export.run {export_id}", actor=export["client_id"], purpose=_purpose(export))
        visit.objects, visit.masked = len(rows), not export["unmasked"]
        db.parting = visit.sql(shop.id)
    return {"state": "done", "rows": export["rows"] + len(rows)} if ended else None


async def _still_may(db: Connection, shop: Shop, export: Row) -> bool:
    """Whether who asked still holds what it took."""
    scopes = await db.fetch_value(repository.SCOPES, shop_id=shop.id, client=export["client"])
    return scopes is not None and set(_purpose(export).split()) <= set(scopes.split())


def _purpose(export: Row) -> str:
    return " ".join(("customers:read", *service.further_scopes(export["kind"], unmasked=export["unmasked"])))


async def _begin(db: Connection, shop: Shop, export: Row, filters: dict[str, Any]) -> int | None:
    """Say that it has begun, and how many rows there are to look at."""
    query, values = kinds.count(export["kind"], filters)
    found = int(await db.fetch_value(query, shop_id=shop.id, **values))
    total = found if found < kinds.COUNTED_TO else None
    await db.execute(repository.BEGIN, shop_id=shop.id, id=export["id"], moment=clock.now(), total=total)
    return total


async def _lines(reading: kinds.Reading, export: Row, rows: list[Row]) -> bytes:
    """The rows as they are fetched; now and then the worker's other work gets on."""
    kind, write = kinds.KINDS[export["kind"]], lines.WRITERS[export["format"]]
    content = []
    for start in range(0, len(rows), _BREATH):
        opened = (kind.opened(reading, row) for row in rows[start : start + _BREATH])
        shown = (lines.shown(kind.line, fields, unmasked=export["unmasked"]) for fields in opened)
        content.append(write(export["columns"], shown))
        await asyncio.sleep(0)
    return b"".join(content)


async def _keep(db: Connection, shop: Shop, export: Row, content: bytes, rows: int) -> None:
    await db.execute(
        repository.ADD_CHUNK,
        shop_id=shop.id,
        export_id=export["id"],
        no=export["chunks"],
        begins=export["bytes"],
        length=len(content),
        rows=rows,
        content=service.sealed(service.file_key(shop, export), export["chunks"], content),
    )

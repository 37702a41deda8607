"""Files in: opened, taken in piece by piece, handed to a worker, followed, cancelled, and tidied up after."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from app.access.shops import Shop
from app.changes import jobs
from app.core import clock
from app.core.db import Connection, Row
from app.core.errors import TooLarge, Unprocessable
from app.core.ids import new_id
from app.imports import repository
from app.imports.errors import ImportEnded, ImportNotFound
from app.imports.repository import BELL, KIND
from app.imports.schemas import ImportRead

CHUNK_BYTES: Final = 512 * 1024
CHUNK_COLUMN: Final = "import_chunks.content"
_BROKEN_OFF: Final = timedelta(hours=1)  # without a byte


async def open_import(db: Connection, shop: Shop, client_id: str, **asked: Any) -> UUID:
    """An import whose file is on its way.

    Args:
        asked: kind, format, policy, dry_run, source.
    Raises: Unprocessable for a policy that the kind does not have.
    """
    if asked["kind"] != "customers" and asked["policy"] != "overwrite":
        raise Unprocessable(
            "Only customers have fields to fill or skip; leave policy out: what is newer wins", field="policy"
        )
    import_id, moment = new_id(), clock.now()
    await db.execute(
        repository.OPEN,
        shop_id=shop.id,
        id=import_id,
        client_id=client_id,
        created_at=moment,
        touched_at=moment,
        **asked,
    )
    return import_id


async def add_chunk(db: Connection, shop: Shop, import_id: UUID, number: int, content: bytes) -> None:
    """Keep a piece of the file, sealed. Raises ImportEnded when the import was cancelled meanwhile."""
    kept = await db.fetch_value(repository.TOUCH, shop_id=shop.id, id=import_id, bytes=len(content), moment=clock.now())
    if not kept:
        raise ImportEnded
    await db.execute(
        repository.ADD_CHUNK,
        shop_id=shop.id,
        id=new_id(),
        import_id=import_id,
        number=number,
        content=shop.keys.seal_bytes(CHUNK_COLUMN, content),
    )


async def accept(db: Connection, shop: Shop, import_id: UUID) -> ImportRead:
    """The file is whole: a worker may begin. Raises ImportEnded when the import was cancelled meanwhile."""
    if not await db.fetch_value(repository.ACCEPT, shop_id=shop.id, id=import_id, moment=clock.now()):
        raise ImportEnded
    await jobs.enqueue(db, shop.id, KIND, {"import_id": str(import_id)}, key=str(import_id), bell=BELL)
    return await get(db, shop, import_id)


async def forget(db: Connection, shop: Shop, import_id: UUID) -> None:
    """The upload was refused: nothing of it stays. One that was accepted all the same is left alone."""
    if await db.execute(repository.DROP, shop_id=shop.id, id=import_id):
        await db.execute(repository.DROP_CHUNKS, shop_id=shop.id, id=import_id)


async def abandon(db: Connection, shop: Shop, import_id: UUID) -> None:
    """The upload broke off. One whose acceptance was committed, and the word of it lost, is left alone."""
    await repository.end(
        db, shop.id, import_id, "abandoned", clock.now(), reason="the upload broke off", among=("uploading",)
    )


async def get(db: Connection, shop: Shop, import_id: UUID) -> ImportRead:
    """Raises ImportNotFound."""
    row = await repository.get(db, shop.id, import_id)
    if row is None:
        raise ImportNotFound(field="import_id")
    return import_read(row)


async def cancel(db: Connection, shop: Shop, import_id: UUID) -> ImportRead:
    """End an import; batches that are in stay in. One that has ended stays as it is. Raises ImportNotFound."""
    if await repository.end(db, shop.id, import_id, "cancelled", clock.now()):
        await db.execute(repository.DROP_JOB, shop_id=shop.id, id=str(import_id))
    return await get(db, shop, import_id)


async def tidy(db: Connection, shop: Shop) -> int:
    """End what will not go on by itself: uploads that broke off, imports whose job failed. Returns how many."""
    moment = clock.now()
    rows = await db.fetch(repository.STRANDED, shop_id=shop.id, before=moment - _BROKEN_OFF)
    for row in rows:  # few, and each is a file to drop
        state = "abandoned" if row["state"] == "uploading" else "failed"
        reason = "the upload broke off" if row["state"] == "uploading" else "a fault of ours: see the worker's log"
        await repository.end(db, shop.id, row["id"], state, moment, reason=reason)
    return len(rows)


def import_read(row: Row) -> ImportRead:
    """The row in the form that callers see."""
    rate = left = None
    if row["started_at"] is not None:
        seconds = ((row["finished_at"] or clock.now()) - row["started_at"]).total_seconds()
        rate = round(row["rows"] / seconds, 1) if seconds > 0 else None
        if row["finished_at"] is None and row["share"] > 0:
            left = round(seconds * (1 - row["share"]) / row["share"], 1)
    named = {name: row[name] for name in ImportRead.model_fields if name in row.keys()}  # noqa: SIM118 an asyncpg row
    return ImportRead(**named | {"state": row["shown"]}, rows_per_second=rate, seconds_left=left)


async def chunked(pieces: AsyncIterator[bytes], *, limit: int) -> AsyncIterator[bytes]:
    """The file in pieces of CHUNK_BYTES, the last one smaller. Raises TooLarge, and Unprocessable for an empty file."""
    buffer, seen = bytearray(), 0
    async for piece in pieces:
        buffer += piece
        seen += len(piece)
        if seen > limit:
            raise TooLarge(f"A file holds at most {limit} bytes, unpacked; send it in parts")
        while len(buffer) >= CHUNK_BYTES:
            yield bytes(buffer[:CHUNK_BYTES])
            del buffer[:CHUNK_BYTES]
    if not seen:
        raise Unprocessable("The file is empty", field="body")
    if buffer:
        yield bytes(buffer)

"""The exports room's SQL: what was asked for, how far it is, and its content in chunks."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text

from app.core.db import Connection, Row, statement

EXPORTS_BELL: Final = "exports"  # rings when content is to go
UNFINISHED_LIMIT: Final = 20
_CHUNKS_AT_ONCE: Final = 100

# The limit is kept among those who ask one after the other; two at the same moment may be one too many.
ADD = statement(
    text(
        """
        insert into exports (shop_id, id, client, client_id, kind, format, filters, columns, unmasked, reason, key,
                             created_at, expires_at)
        select :shop_id, :id, :client, :client_id, :kind, :format, cast(:filters as jsonb), cast(:columns as jsonb),
               :unmasked, :reason, :key, :moment, :expires_at
        where (
            select count(*) from exports where shop_id = :shop_id and state in ('queued', 'running')
        ) < :unfinished_limit
        """
    )
)
# A job that failed without being able to say so, as one that crashes its worker each time, has failed here too.
_TOLD: Final = """
    select e.*, case when e.state in ('queued', 'running') and j.state in ('failed', 'quarantined')
                     then 'failed' else e.state end as told
    from exports e
    left join queued_jobs j on j.shop_id = e.shop_id and j.kind = 'export' and j.key = cast(e.id as text)
"""
GET = statement(text(f"{_TOLD} where e.shop_id = :shop_id and e.id = :id"))
LIST = statement(
    text(f"{_TOLD} where e.shop_id = :shop_id and e.id < cast(:before as uuid) order by e.id desc limit :limit")
)
# Reading calls do not wait for the disk, and these need no scope that writes.
WRITE_THROUGH = statement(text("set local synchronous_commit = on"))
LOCK = statement(text("select * from exports where shop_id = :shop_id and id = :id for update"))
# The caller may have been revoked, or lost a scope, since the export was asked for.
SCOPES = statement(
    text("select scopes from api_clients where shop_id = :shop_id and id = :client and revoked_at is null")
)
BEGIN = statement(
    text(
        """
        update exports set state = 'running', started_at = :moment, total = :total
        where shop_id = :shop_id and id = :id
        """
    )
)
ADD_CHUNK = statement(
    text(
        """
        insert into export_chunks (shop_id, export_id, no, begins, length, rows, content)
        values (:shop_id, :export_id, :no, :begins, :length, :rows, :content)
        """
    )
)
PROGRESS = statement(
    text(
        """
        update exports set
            reached = cast(:reached as jsonb), scanned = scanned + :scanned, rows = rows + :rows,
            bytes = bytes + :bytes, chunks = chunks + :chunks, progressed_at = :moment
        where shop_id = :shop_id and id = :id
        """
    )
)
FINISH = statement(
    text(
        """
        update exports set state = 'done', finished_at = :moment, expires_at = :expires_at
        where shop_id = :shop_id and id = :id
        """
    )
)
# Without its key the content is lost at once; the chunks go in the workers' own time.
END = statement(
    text(
        """
        update exports set
            state = case when state = 'done' then 'expired' else :state end, key = null,
            finished_at = coalesce(finished_at, :moment), expires_at = least(expires_at, :moment)
        where shop_id = :shop_id and id = :id and state in ('queued', 'running', 'done')
        """
    )
)
SPAN = statement(
    text(
        """
        select min(no) as first, max(no) as last, coalesce(sum(rows), 0)::bigint as rows from export_chunks
        where shop_id = :shop_id and export_id = :export_id and begins < :end and begins + length > :start
        """
    )
)
CHUNK = statement(
    text(
        """
        select k.* from export_chunks k join exports e on e.shop_id = k.shop_id and e.id = k.export_id
        where k.shop_id = :shop_id and k.export_id = :export_id and k.no = :no and e.key is not null
        """
    )
)
HAS_EXPIRED = statement(
    text(
        """
        select exists (
            select from exports where shop_id = :shop_id and emptied_at is null and expires_at <= now()
        )
        """
    )
)
LOCK_EXPIRED = statement(
    text(
        """
        select * from exports where shop_id = :shop_id and emptied_at is null and expires_at <= now()
        order by expires_at limit 1 for update skip locked
        """
    )
)
DROP_CHUNKS = statement(
    text(
        """
        delete from export_chunks where shop_id = :shop_id and export_id = :export_id and no = any(array(
            select no from export_chunks where shop_id = :shop_id and export_id = :export_id order by no limit :limit
        ))
        """
    )
)
EMPTIED = statement(text("update exports set emptied_at = :moment where shop_id = :shop_id and id = :id"))


async def add(db: Connection, shop_id: int, values: Mapping[str, Any]) -> bool:
    """Write an export that was asked for; False where too many of the shop are unfinished."""
    return bool(await db.execute(ADD, shop_id=shop_id, unfinished_limit=UNFINISHED_LIMIT, **values))


async def end(db: Connection, shop_id: int, export_id: UUID, state: str, moment: datetime) -> None:
    """No more of it: what is unfinished ends in that state, and what is done is over. Its content is lost."""
    await db.execute(END, shop_id=shop_id, id=export_id, state=state, moment=moment)
    db.ring(EXPORTS_BELL)


async def drop_chunks(db: Connection, shop_id: int, export: Row, moment: datetime) -> int:
    """Remove some of the content of an export that is over. Returns how many chunks."""
    dropped = await db.execute(DROP_CHUNKS, shop_id=shop_id, export_id=export["id"], limit=_CHUNKS_AT_ONCE)
    if dropped < _CHUNKS_AT_ONCE:
        await db.execute(EMPTIED, shop_id=shop_id, id=export["id"], moment=moment)
    return dropped

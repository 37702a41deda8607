"""The imports room's SQL: a file comes in by pieces, and each batch of it goes in with how far it is."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import bindparam as p
from sqlalchemy import insert, select, text

from app.core.db import Connection, Row, columns, statement
from app.imports.models import import_chunks, import_errors, imports
from app.imports.rows import RowError

BELL: Final = "imports"
KIND: Final = "import"
ERRORS_KEPT: Final = 100_000

OPEN = statement(
    insert(imports).values(
        {
            name: p(name)
            for name in (
                *("shop_id", "id", "kind", "format", "policy", "dry_run", "source"),
                *("client_id", "created_at", "touched_at"),
            )
        }
    )
)
ADD_CHUNK = statement(
    insert(import_chunks).values({name: p(name) for name in ("shop_id", "id", "import_id", "number", "content")})
)
TOUCH = statement(
    text(
        """
        update imports set bytes = bytes + :bytes, touched_at = :moment
        where shop_id = :shop_id and id = :id and state = 'uploading'
        returning 1
        """
    )
)
ACCEPT = statement(
    text(
        """
        update imports set state = 'accepted', touched_at = :moment
        where shop_id = :shop_id and id = :id and state = 'uploading'
        returning 1
        """
    )
)
# How far an accepted one is, its job says; a client's own word for it is one state.
_READ: Final = f"""
    select i.*, case i.state when 'accepted' then j.state else i.state end as shown, j.crashes
    from imports i
    left join queued_jobs j on j.shop_id = i.shop_id and j.kind = '{KIND}' and j.key = i.id::text
    where i.shop_id = :shop_id
"""  # noqa: S608 a word of our own
GET = statement(text(f"{_READ} and i.id = :id"))
LIST = statement(text(f"{_READ} and i.id < :before order by i.id desc limit :limit"))
START = statement(
    text(
        """
        update imports set started_at = coalesce(started_at, cast(:moment as timestamptz)), touched_at = :moment
        where shop_id = :shop_id and id = :id and state = 'accepted'
        returning *
        """
    )
)
CHUNK = statement(
    select(import_chunks.c.content).where(
        import_chunks.c.shop_id == p("shop_id"),
        import_chunks.c.import_id == p("import_id"),
        import_chunks.c.number == p("number"),
    )
)
# The last statement of a batch, so that batches side by side hold each other up no longer than a commit takes.
ADVANCE = statement(
    text(
        """
        update imports set
            rows = greatest(rows, :rows), share = greatest(share, cast(:share as float)), touched_at = :moment,
            created = created + :created, updated = updated + :updated, unchanged = unchanged + :unchanged,
            refused = refused + :refused, unknown_columns = cast(:unknown_columns as jsonb),
            reached = greatest(reached, :reached),
            ahead = array(
                select batch from unnest(ahead || cast(:batches as bigint[])) as t (batch)
                where batch >= greatest(reached, :reached)
            )
        where shop_id = :shop_id and id = :id and state = 'accepted'
        returning refused
        """
    )
)
END = statement(
    text(
        """
        update imports set
            state = :state, reason = :reason, finished_at = :moment, touched_at = :moment, rows = greatest(rows, :rows),
            share = case :state when 'done' then 1 else share end
        where shop_id = :shop_id and id = :id and state = any(cast(:among as text[]))
        returning 1
        """
    )
)
DROP_CHUNKS = statement(text("delete from import_chunks where shop_id = :shop_id and import_id = :id"))
DROP = statement(text("delete from imports where shop_id = :shop_id and id = :id and state = 'uploading'"))
DROP_JOB = statement(
    text(
        f"""
        delete from queued_jobs
        where shop_id = :shop_id and kind = '{KIND}' and key = cast(:id as text) and state = 'queued'
        """  # noqa: S608 a word of our own
    )
)
# Uploads that broke off, and imports whose job will not go on.
STRANDED = statement(
    text(
        f"""
        select i.id, i.state from imports i
        where i.shop_id = :shop_id and (
            (i.state = 'uploading' and i.touched_at < :before)
            or (i.state = 'accepted' and exists (
                select from queued_jobs j
                where j.shop_id = i.shop_id and j.kind = '{KIND}' and j.key = i.id::text
                    and j.state in ('failed', 'quarantined')
            ))
        )
        order by i.id limit 100
        """  # noqa: S608 a word of our own
    )
)
ADD_ERRORS = statement(
    text(
        """
        insert into import_errors (shop_id, import_id, line, field, code, reason)
        select :shop_id, :import_id, line, field, code, reason
        from unnest(cast(:lines as bigint[]), cast(:fields as text[]), cast(:codes as text[]),
                    cast(:reasons as text[])) as t (line, field, code, reason)
        on conflict do nothing
        """
    )
)
ERRORS = statement(
    select(import_errors.c.line, import_errors.c.field, import_errors.c.code, import_errors.c.reason)
    .where(
        import_errors.c.shop_id == p("shop_id"),
        import_errors.c.import_id == p("import_id"),
        import_errors.c.line > p("after"),
    )
    .order_by(import_errors.c.line)
    .limit(p("limit"))
)


async def get(db: Connection, shop_id: int, import_id: UUID) -> Row | None:
    """The import with how far its job is (`shown`), or None."""
    return await db.fetch_one(GET, shop_id=shop_id, id=import_id)


async def end(
    db: Connection,
    shop_id: int,
    import_id: UUID,
    state: str,
    moment: datetime,
    *,
    reason: str | None = None,
    rows: int = 0,
    among: Sequence[str] = ("uploading", "accepted"),
) -> bool:
    """Close an import in one of these states and drop its file; False when it is in another."""
    ended = await db.fetch_value(
        END,
        shop_id=shop_id,
        id=import_id,
        state=state,
        reason=reason,
        moment=moment,
        rows=rows,
        among=list(among),
    )
    if ended:
        await db.execute(DROP_CHUNKS, shop_id=shop_id, id=import_id)
    return bool(ended)


async def add_errors(db: Connection, shop_id: int, import_id: UUID, errors: Sequence[RowError]) -> None:
    """Keep why rows were left out; one for each line."""
    rows: list[tuple[Any, ...]] = [(error.line, error.field, error.code, error.reason) for error in errors]
    await db.execute(
        ADD_ERRORS,
        shop_id=shop_id,
        import_id=import_id,
        **columns(("lines", "fields", "codes", "reasons"), rows),
    )

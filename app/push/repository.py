"""The push room's SQL: sources, messages kept, claimed, and written back. Sets in, sets out."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import bindparam as p
from sqlalchemy import exists, select, text
from sqlalchemy.sql import func

from app.core.db import Connection, Row, statement
from app.push.models import push_messages, push_sources

PUSH_BELL: Final = "push"

PUT_SOURCE = statement(
    text(
        """
        insert into push_sources (shop_id, client_id, secret, state, created_at)
        values (:shop_id, :client_id, :secret, :state, :moment)
        on conflict (shop_id) do update set
            client_id = excluded.client_id, secret = excluded.secret, state = excluded.state,
            created_at = excluded.created_at
        returning client_id, state, created_at
        """
    )
)
GET_SOURCE = statement(select(push_sources).where(push_sources.c.shop_id == p("shop_id")))
DROP_SOURCE = statement(text("delete from push_sources where shop_id = :shop_id and client_id = :client_id"))
SOURCE_FOR = statement(
    text(
        """
        select client_id, secret,
            exists (select from stores where shop_id = :shop_id and id = any(cast(:shops as bigint[]))) as has_store
        from push_sources where shop_id = :shop_id and state = 'enabled'
        """
    )
)
KEEP = statement(
    text(
        """
        insert into push_messages
            (shop_id, id, msg_id, type, status, subject_hash, version, body, received_at, due_at)
        values (:shop_id, :id, :msg_id, :type, :status, :subject_hash, :version, :body, :moment, :moment)
        on conflict (shop_id, msg_id) do nothing
        """
    )
)

_READ: Final = [
    push_messages.c[name]
    for name in (
        *("id", "msg_id", "type", "status", "version", "state", "failures", "error", "note"),
        *("received_at", "applied_at", "due_at"),
    )
]
_PAGE = (
    select(*_READ)
    .where(push_messages.c.shop_id == p("shop_id"), push_messages.c.id < p("before"))
    .order_by(push_messages.c.id.desc())
    .limit(p("limit"))
)
LIST: Final = statement(_PAGE)
LIST_IN_STATE: Final = statement(_PAGE.where(push_messages.c.state == p("state")))
REPLAY = statement(
    text(
        f"""
        update push_messages set
            state = 'pending', failures = 0, error = null, note = null, applied_at = null, due_at = now()
        where shop_id = :shop_id and id = :id
        returning {", ".join(column.name for column in _READ)}
        """  # noqa: S608 column names of our own
    )
)

HAS_DUE = statement(
    select(
        exists().where(
            push_messages.c.shop_id == p("shop_id"),
            push_messages.c.state == "pending",
            push_messages.c.due_at <= func.now(),
        )
    )
)
CLAIM = statement(
    text(
        """
        select * from push_messages
        where shop_id = :shop_id and state = 'pending' and due_at <= now()
        order by due_at, id limit :limit for update skip locked
        """
    )
)
# One thing is told of by one worker at a time, or an older telling could be written over a newer one. Held until the
# commit; given in order, so that two workers cannot wait for each other.
LOCK_SUBJECTS = statement(text("select pg_advisory_xact_lock(key) from unnest(cast(:keys as bigint[])) as t (key)"))
# Read after the locks: what another worker has just committed is seen.
KIN = statement(
    text(
        """
        select m.* from unnest(cast(:types as text[]), cast(:subjects as bytea[]), cast(:since as bigint[]))
            as t (type, subject_hash, since)
        join push_messages m
            on m.shop_id = :shop_id and m.type = t.type and m.subject_hash = t.subject_hash and m.version >= t.since
        """
    )
)
WRITE_BACK = statement(
    text(
        """
        update push_messages m set
            state = t.state, error = t.error, note = t.note, failures = m.failures + t.failed::int,
            applied_at = case when t.state = 'applied' then now() end,
            due_at = now() + make_interval(secs => t.delay)
        from unnest(cast(:ids as uuid[]), cast(:states as text[]), cast(:errors as text[]), cast(:notes as text[]),
                    cast(:failed as boolean[]), cast(:delays as float8[])) as t (id, state, error, note, failed, delay)
        where m.shop_id = :shop_id and m.id = any(cast(:ids as uuid[])) and m.id = t.id
        """
    )
)
# Skipped where another worker holds them: it looks again itself, after our commit.
WAKE = statement(
    text(
        """
        update push_messages m set state = 'pending', due_at = now()
        where m.shop_id = :shop_id and m.id = any(array(
            select id from push_messages
            where shop_id = :shop_id and id = any(cast(:ids as uuid[])) and state in ('pending', 'failed')
                and error = any(cast(:errors as text[]))
            for update skip locked
        ))
        """
    )
)


async def claim(db: Connection, shop_id: int, limit: int) -> list[Row]:
    """Messages that are due and that nobody else holds, oldest first, locked until this transaction ends."""
    return await db.fetch(CLAIM, shop_id=shop_id, limit=limit)


async def lock_subjects(db: Connection, keys: Sequence[int]) -> None:
    """Wait until nobody else applies a message about these."""
    await db.fetch(LOCK_SUBJECTS, keys=sorted(keys))


async def kin(db: Connection, shop_id: int, since: Mapping[tuple[str, bytes], int]) -> list[Row]:
    """Every message of these types about these subjects, from a version on."""
    return await db.fetch(
        KIN,
        shop_id=shop_id,
        types=[type_ for type_, _ in since],
        subjects=[subject for _, subject in since],
        since=list(since.values()),
    )


async def write_back(db: Connection, shop_id: int, columns: Mapping[str, Sequence[Any]]) -> None:
    """What became of claimed messages: arrays ids, states, errors, notes, failed, delays (seconds)."""
    await db.execute(WRITE_BACK, shop_id=shop_id, **columns)


async def wake(db: Connection, shop_id: int, ids: Sequence[UUID], errors: Sequence[str]) -> None:
    """Look again now at messages that waited for one of these reasons."""
    if ids and await db.execute(WAKE, shop_id=shop_id, ids=list(ids), errors=list(errors)):
        db.ring(PUSH_BELL)


async def list_messages(db: Connection, shop_id: int, *, state: str | None, before: UUID, limit: int) -> list[Row]:
    """Messages older than a position, newest first."""
    if state is None:
        return await db.fetch(LIST, shop_id=shop_id, before=before, limit=limit)
    return await db.fetch(LIST_IN_STATE, shop_id=shop_id, state=state, before=before, limit=limit)

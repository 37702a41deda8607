"""Long work as rows: asked for once, leased, fenced, resumed after a crash, followed by its progress."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import structlog
from pydantic import BaseModel
from sqlalchemy import Text, any_, cast, exists, or_, select, text
from sqlalchemy import bindparam as p
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql import func

from app.access.entry import Entry
from app.changes.models import queued_jobs
from app.core import clock
from app.core.db import Connection, Row, Statement, statement
from app.core.errors import DatabaseUnavailable, NotFound
from app.core.ids import new_id
from app.core.races import RETRIABLE

log = structlog.get_logger(__name__)

JOBS_BELL: Final = "jobs"
CRASHES_BEFORE_QUARANTINE: Final = 3

ADD = statement(
    text(
        """
        insert into queued_jobs (shop_id, id, kind, key, arguments, due_at, created_at)
        values (:shop_id, :id, :kind, :key, :arguments, :due_at, :moment)
        on conflict (shop_id, kind, key) do nothing
        """
    )
)
BY_KEY = statement(
    select(queued_jobs).where(
        queued_jobs.c.shop_id == p("shop_id"), queued_jobs.c.kind == p("kind"), queued_jobs.c.key == p("key")
    )
)
GET = statement(select(queued_jobs).where(queued_jobs.c.shop_id == p("shop_id"), queued_jobs.c.id == p("id")))
# A running row is due again when its lease is over: its worker died, and that is counted apart from a failure.
# Materialized: inside a join, the planner may run the look again for each row, and each time it claims another job.
CLAIM = statement(
    text(
        """
        with due as materialized (
            select id from queued_jobs
            where shop_id = :shop_id and state in ('queued', 'running') and due_at <= now()
                and kind = any(cast(:kinds as text[]))
            order by due_at limit 1 for update skip locked
        )
        update queued_jobs j set
            state = case when j.state = 'running' and j.crashes + 1 >= :crash_limit
                         then 'quarantined' else 'running' end,
            crashes = j.crashes + (j.state = 'running')::int,
            attempt = j.attempt + 1,
            lease_until = now() + make_interval(secs => :lease_seconds),
            due_at = now() + make_interval(secs => :lease_seconds)
        from due where j.shop_id = :shop_id and j.id = due.id
        returning j.*
        """
    )
)
# Who gets on is not what kills workers, so the crashes are forgotten: a long job outlives any number of restarts.
PROGRESS = statement(
    text(
        """
        update queued_jobs set
            done = :done, total = :total, arguments = arguments || :resume,
            crashes = case when cast(:further as boolean) then 0 else crashes end,
            lease_until = now() + make_interval(secs => :lease_seconds),
            due_at = now() + make_interval(secs => :lease_seconds)
        where shop_id = :shop_id and id = :id and attempt = :attempt and state = 'running'
        returning id
        """
    )
)
BEAT = statement(
    text(
        """
        update queued_jobs set
            lease_until = now() + make_interval(secs => :lease_seconds),
            due_at = now() + make_interval(secs => :lease_seconds)
        where shop_id = :shop_id and id = :id and attempt = :attempt and state = 'running'
        """
    )
)
FINISH = statement(
    text(
        """
        update queued_jobs set
            state = :state, result = :result, error = :error, finished_at = :moment, lease_until = null
        where shop_id = :shop_id and id = :id and attempt = :attempt and state = 'running'
        returning id
        """
    )
)


# Behind whatever else is due: the rows claimed first are those that have waited longest.
PAUSE = statement(
    text(
        """
        update queued_jobs set state = 'queued', due_at = :moment, lease_until = null
        where shop_id = :shop_id and id = :id and attempt = :attempt and state = 'running'
        """
    )
)


class Paused(Exception):
    """Raised by a handler that has reported how far it is and lets the shop's other jobs go first."""


class LeaseLost(Exception):
    """Another worker has taken over; this one's result is refused."""


class JobRead(BaseModel):
    """A job and how far it is."""

    job_id: UUID
    kind: str
    state: str
    done: int
    total: int | None
    result: dict[str, Any] | None
    error: str | None
    created_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on one job, until someone else's attempt is higher."""

    entry: Entry
    shop_id: int
    job_id: UUID
    attempt: int
    arguments: dict[str, Any]
    seconds: float

    async def report(self, done: int, total: int | None, resume: dict[str, Any]) -> None:
        """Record progress and where to resume, and extend the lease.

        Raises: LeaseLost.
        """
        async with self.entry.database.transaction(self.shop_id) as db:
            await self.report_in(db, done, total, resume)

    async def report_in(
        self, db: Connection, done: int, total: int | None, resume: dict[str, Any], *, further: bool = True
    ) -> None:
        """The same inside the step's own transaction, so that a stale worker's step rolls back. Raises LeaseLost.

        Args:
            further: False while a job only comes back to where a dead worker was: its crashes are not forgotten then.
        """
        kept = await db.fetch_value(
            PROGRESS,
            shop_id=self.shop_id,
            id=self.job_id,
            attempt=self.attempt,
            done=done,
            total=total,
            resume=resume,
            further=further,
            lease_seconds=self.seconds,
        )
        if kept is None:
            raise LeaseLost

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Extend the lease again and again meanwhile: for one long step that has no progress to report."""
        beating = asyncio.create_task(self._beat())
        try:
            yield
        finally:
            beating.cancel()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self.seconds / 3)
            try:
                async with self.entry.database.transaction(self.shop_id) as db:
                    await db.execute(
                        BEAT,
                        shop_id=self.shop_id,
                        id=self.job_id,
                        attempt=self.attempt,
                        lease_seconds=self.seconds,
                    )
            except (DatabaseUnavailable, *RETRIABLE):
                log.warning("job_beat_missed", job_id=str(self.job_id))


Handler = Callable[[Lease], Awaitable[dict[str, Any]]]


def has_due(kinds: Iterable[str]) -> Statement:
    """Whether the shop has a due job of these kinds."""
    return statement(
        select(
            exists().where(
                queued_jobs.c.shop_id == p("shop_id"),
                queued_jobs.c.due_at <= func.now(),
                or_(queued_jobs.c.state == "queued", queued_jobs.c.state == "running"),
                queued_jobs.c.kind == any_(cast(p("kinds", list(kinds)), ARRAY(Text))),
            )
        )
    )


async def enqueue(
    db: Connection,
    shop_id: int,
    kind: str,
    arguments: dict[str, Any],
    *,
    key: str | None = None,
    due_at: datetime | None = None,
    bell: str = JOBS_BELL,
) -> Row:
    """Ask for a job, now or later; the same kind and key is the same job. Returns its row."""
    job_id, moment = new_id(), clock.now()
    values = {"kind": kind, "key": key or str(job_id)}
    await db.execute(
        ADD, shop_id=shop_id, id=job_id, arguments=arguments, due_at=due_at or moment, moment=moment, **values
    )
    db.ring(bell)
    row = await db.fetch_one(BY_KEY, shop_id=shop_id, **values)
    assert row is not None  # noqa: S101 inserted above, or there before
    return row


async def get_job(db: Connection, shop_id: int, job_id: UUID) -> JobRead:
    """Raises NotFound."""
    row = await db.fetch_one(GET, shop_id=shop_id, id=job_id)
    if row is None:
        raise NotFound("There is no such job", field="job_id")
    return job_read(row)


def job_read(row: Row) -> JobRead:
    """The row in the form that callers see."""
    fields = {name: row[name] for name in JobRead.model_fields if name != "job_id"}
    return JobRead(job_id=row["id"], **fields)


async def run_due(entry: Entry, shop_id: int, handlers: Mapping[str, Handler], *, lease_seconds: float) -> int:
    """Run one due job of the shop, of a kind that has a handler here. Returns 1 if there was one.

    Safe to run twice and side by side.
    """
    async with entry.database.transaction(shop_id) as db:
        row = await db.fetch_one(
            CLAIM,
            shop_id=shop_id,
            kinds=list(handlers),
            lease_seconds=lease_seconds,
            crash_limit=CRASHES_BEFORE_QUARANTINE,
        )
    if row is None:
        return 0
    if row["state"] == "quarantined":
        log.error("job_quarantined", job_id=str(row["id"]), kind=row["kind"])
        return 1
    lease = Lease(entry, shop_id, row["id"], row["attempt"], row["arguments"], lease_seconds)
    state, result, failure = "done", None, None
    try:
        result = await handlers[row["kind"]](lease)
    except Paused:
        async with entry.database.transaction(shop_id) as db:
            await db.execute(PAUSE, shop_id=shop_id, id=row["id"], attempt=row["attempt"], moment=clock.now())
        return 1
    except LeaseLost:
        log.warning("job_lease_lost", job_id=str(row["id"]))
        return 1
    except (DatabaseUnavailable, *RETRIABLE):
        raise  # nobody's fault: the lease runs out, and the job goes on from where it was
    except Exception as error:
        log.exception("job_failed", job_id=str(row["id"]), kind=row["kind"])
        state, failure = "failed", f"{type(error).__name__}: see the worker's log"
    async with entry.database.transaction(shop_id) as db:
        await db.execute(
            FINISH,
            shop_id=shop_id,
            id=row["id"],
            attempt=row["attempt"],
            state=state,
            result=result,
            error=failure,
            moment=clock.now(),
        )
    return 1

"""The deliveries as a queue: put in, claimed, written back under a fence. Sets in, sets out."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import orjson
from sqlalchemy import bindparam as p
from sqlalchemy import select, text

from app.core import clock
from app.core.db import Connection, Row, Statement, statement
from app.core.ids import new_id
from app.webhooks.models import webhook_endpoints

DELIVERIES_BELL: Final = "deliveries"
HEARTBEAT: Final = "heartbeat"  # a kind that is asked for, and no fact
CRASHES_BEFORE_QUARANTINE: Final = 3
FAILING_DAYS: Final = 3

# Held until the fan-out commits: a subscription that is being removed waits, and then cancels what it is owed.
SUBSCRIPTIONS = statement(
    select(webhook_endpoints.c.id, webhook_endpoints.c.kinds)
    .where(webhook_endpoints.c.shop_id == p("shop_id"), webhook_endpoints.c.state == "enabled")
    .order_by(webhook_endpoints.c.id)
    .with_for_update(read=True, key_share=True)
)
ADD = statement(
    text(
        """
        insert into webhook_deliveries
            (shop_id, id, endpoint_id, message_id, touch_id, kind, body, due_at, created_at)
        select :shop_id, id, endpoint_id, message_id, touch_id, kind, body,
               now() + make_interval(secs => :after_seconds), now()
        from unnest(cast(:ids as uuid[]), cast(:endpoint_ids as uuid[]), cast(:message_ids as text[]),
                    cast(:touch_ids as uuid[]), cast(:kinds as text[]), cast(:bodies as text[]))
            as t (id, endpoint_id, message_id, touch_id, kind, body)
        on conflict do nothing
        """
    )
)

# While an endpoint's breaker is open, only its heartbeat is due.
_DUE: Final = """
    select e.id,
        case when e.probe_id is null then exists (
            select 1 from webhook_deliveries d
            where d.shop_id = :shop_id and d.endpoint_id = e.id and d.state = 'pending' and d.due_at <= now()
        ) else exists (
            select 1 from webhook_deliveries d
            where d.shop_id = :shop_id and d.id = e.probe_id and d.state = 'pending' and d.due_at <= now()
        ) end as pending,
        exists (
            select 1 from webhook_deliveries d
            where d.shop_id = :shop_id and d.endpoint_id = e.id and d.state = 'sending' and d.due_at <= now()
        ) as abandoned
    from webhook_endpoints e where e.shop_id = :shop_id and e.state = 'enabled'
"""
DUE = statement(text(_DUE))
HAS_DUE = statement(text(f"select exists (select 1 from ({_DUE}) as due where pending or abandoned)"))  # noqa: S608

_TARGET: Final = select(webhook_endpoints).where(
    webhook_endpoints.c.shop_id == p("shop_id"),
    webhook_endpoints.c.id == p("id"),
    webhook_endpoints.c.state == "enabled",
)
TARGET = statement(_TARGET)
TARGET_HELD = statement(_TARGET.with_for_update(key_share=True))


# Chosen in an array, here and where results are written: a queue has no statistics worth the name, and a join that is
# planned for few rows would run the choice again for each of many.
def _claim(which: str) -> Statement:
    return statement(
        text(
            f"""
            update webhook_deliveries d set
                state = 'sending', attempt = d.attempt + 1, due_at = now() + make_interval(secs => :lease_seconds)
            where d.shop_id = :shop_id and d.id = any(array(
                select id from webhook_deliveries
                where shop_id = :shop_id and {which} and state = 'pending' and due_at <= now()
                order by due_at limit :limit for update skip locked
            ))
            returning d.id, d.attempt, d.failures, d.message_id, d.touch_id, d.kind, d.body, d.state
            """  # noqa: S608 terms of our own
        )
    )


CLAIM = _claim("endpoint_id = :endpoint_id")
CLAIM_PROBE = _claim("id = :probe_id")
HASTEN = statement(
    text("update webhook_deliveries set due_at = now() where shop_id = :shop_id and id = :id and state = 'pending'")
)
# A worker died with it. It goes alone, so that whatever kills workers is found without taking others along, and
# with a lease of uneven length, so that those who died together do not meet again.
CLAIM_ABANDONED = statement(
    text(
        """
        update webhook_deliveries d set
            state = case when d.crashes + 1 >= :crash_limit then 'quarantined' else 'sending' end,
            last_error = case when d.crashes + 1 >= :crash_limit then 'worker_crashed' else d.last_error end,
            finished_at = case when d.crashes + 1 >= :crash_limit then now() end,
            crashes = d.crashes + 1,
            attempt = d.attempt + 1,
            due_at = now() + make_interval(secs => :lease_seconds * (1 + random()))
        where d.shop_id = :shop_id and d.id = any(array(
            select id from webhook_deliveries
            where shop_id = :shop_id and endpoint_id = :endpoint_id and state = 'sending' and due_at <= now()
            order by due_at limit 1 for update skip locked
        ))
        returning d.id, d.attempt, d.failures, d.message_id, d.touch_id, d.kind, d.body, d.state
        """
    )
)
CANCEL = statement(
    text(
        """
        update webhook_deliveries d set state = 'cancelled', last_error = t.reason, finished_at = now()
        from unnest(cast(:ids as uuid[]), cast(:reasons as text[])) as t (id, reason)
        where d.shop_id = :shop_id and d.id = any(cast(:ids as uuid[])) and d.id = t.id
        """
    )
)
# The fence: who lost the row to a later attempt, or to a cancellation, changes nothing and logs nothing.
# Whoever writes back is alive, so the crashes are forgotten.
WRITE_BACK = statement(
    text(
        """
        with told as (
            select * from unnest(
                cast(:ids as uuid[]), cast(:attempts as int[]), cast(:states as text[]), cast(:failed as boolean[]),
                cast(:statuses as int[]), cast(:errors as text[]), cast(:delays as float8[]),
                cast(:attempted_at as timestamptz[]), cast(:seconds as float8[]))
                as t (id, attempt, state, failed, status, error, delay, attempted_at, seconds)
        ),
        written as (
            update webhook_deliveries d set
                state = t.state, crashes = 0, failures = d.failures + t.failed::int,
                last_status = case when t.attempted_at is null then d.last_status else t.status end,
                last_error = case when t.attempted_at is null then d.last_error else t.error end,
                due_at = now() + make_interval(secs => t.delay),
                finished_at = case when t.state = 'pending' then null else now() end
            from told t
            where d.shop_id = :shop_id and d.id = any(cast(:ids as uuid[]))
                and d.id = t.id and d.attempt = t.attempt and d.state = 'sending'
            returning d.id
        ),
        logged as (
            insert into webhook_attempts (shop_id, delivery_id, attempt, attempted_at, seconds, status, error)
            select :shop_id, t.id, t.attempt, t.attempted_at, t.seconds, t.status, t.error
            from told t join written w on w.id = t.id where t.attempted_at is not null
        )
        select id from written
        """
    )
)
HEALTH = statement(
    text(
        """
        update webhook_endpoints e set
            failing_since = n.failing_since,
            state = case when n.reason is null then e.state else 'disabled' end,
            reason = coalesce(n.reason, e.reason)
        from (
            select id,
                case when cast(:answered as boolean) then null else coalesce(failing_since, now()) end as failing_since,
                case
                    when cast(:gone as boolean) then 'gone'
                    when not cast(:answered as boolean) and failing_since < now() - make_interval(days => :failing_days)
                        then 'failing'
                end as reason
            from webhook_endpoints where shop_id = :shop_id and id = :id and state = 'enabled' for no key update
        ) as n
        where e.shop_id = :shop_id and e.id = n.id
            and (n.reason is not null or e.failing_since is distinct from n.failing_since)
        returning e.reason
        """
    )
)


async def add(db: Connection, shop_id: int, deliveries: Mapping[str, list[Any]], *, after_seconds: float = 0.0) -> None:
    """Owe messages: arrays ids, endpoint_ids, message_ids, touch_ids, kinds, bodies. What is owed stays as it is.

    Args:
        after_seconds: not before.
    """
    if deliveries["ids"]:
        await db.execute(ADD, shop_id=shop_id, after_seconds=after_seconds, **deliveries)
        db.ring(DELIVERIES_BELL)


async def add_heartbeat(db: Connection, shop_id: int, endpoint_id: UUID, *, after_seconds: float = 0.0) -> UUID:
    """Owe an endpoint a message that only asks whether it is there. Returns the delivery's id."""
    delivery_id = new_id()
    body = orjson.dumps({"type": HEARTBEAT, "timestamp": clock.now(), "data": {}}).decode()
    owed = {"ids": delivery_id, "endpoint_ids": endpoint_id, "message_ids": str(delivery_id), "touch_ids": None}
    rows = {name: [value] for name, value in (owed | {"kinds": HEARTBEAT, "bodies": body}).items()}
    await add(db, shop_id, rows, after_seconds=after_seconds)
    return delivery_id


async def hasten(db: Connection, shop_id: int, delivery_id: UUID) -> None:
    """A delivery that waits is due now."""
    await db.execute(HASTEN, shop_id=shop_id, id=delivery_id)
    db.ring(DELIVERIES_BELL)


async def claim(
    db: Connection,
    shop_id: int,
    endpoint_id: UUID,
    *,
    abandoned: bool,
    probe_id: UUID | None = None,
    limit: int,
    lease_seconds: float,
) -> list[Row]:
    """Due deliveries of an endpoint, each a new attempt under a lease.

    Args:
        abandoned: one that a dead worker left, rather than those that wait. At its third crash it comes back
            quarantined, and is not to be sent.
        probe_id: of those that wait, only this one.
    """
    lease = {"shop_id": shop_id, "lease_seconds": lease_seconds}
    if abandoned:
        return await db.fetch(CLAIM_ABANDONED, endpoint_id=endpoint_id, crash_limit=CRASHES_BEFORE_QUARANTINE, **lease)
    if probe_id is not None:
        return await db.fetch(CLAIM_PROBE, probe_id=probe_id, limit=1, **lease)
    return await db.fetch(CLAIM, endpoint_id=endpoint_id, limit=limit, **lease)


async def cancel(db: Connection, shop_id: int, reasons: Mapping[UUID, str]) -> None:
    """These claimed deliveries must not leave."""
    await db.execute(CANCEL, shop_id=shop_id, ids=list(reasons), reasons=list(reasons.values()))


async def write_back(db: Connection, shop_id: int, results: Mapping[str, Sequence[Any]]) -> set[UUID]:
    """Write what became of attempts. Returns the deliveries whose attempt was still the latest; the rest is refused.

    Args:
        results: arrays ids, attempts, states, failed, statuses, errors, delays (seconds), attempted_at, seconds;
            `attempted_at` None: it was not attempted.
    """
    return {row["id"] for row in await db.fetch(WRITE_BACK, shop_id=shop_id, **results)}


async def note_health(db: Connection, shop_id: int, endpoint_id: UUID, *, answered: bool, gone: bool) -> str | None:
    """Remember since when an endpoint only fails, and disable it after three days or when it says that it is gone.

    Args:
        answered: at least one message was accepted.
    Returns: why it was disabled, None if it was not.
    """
    reason: str | None = await db.fetch_value(
        HEALTH, shop_id=shop_id, id=endpoint_id, answered=answered, gone=gone, failing_days=FAILING_DAYS
    )
    return reason

"""Writing work rows with their cause, and taking them one shop at a time."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

from sqlalchemy import bindparam as p
from sqlalchemy import exists, select, text

from app.changes.models import customer_changes, domain_events
from app.core.db import Connection, Row, statement
from app.core.ids import new_id

CHANGES_BELL: Final = "changes"
FACT: Final = "fact"
TIME: Final = "time"  # no fact brought it
RUN: Final = "run"  # a full run did
What = Literal["event", "order"]
EVENTS_BELL: Final = "events"

MARK = statement(
    text(
        """
        insert into customer_changes (shop_id, customer_id, what, changed_at)
        select :shop_id, customer_id, :what, :moment from unnest(cast(:customer_ids as bigint[])) as t (customer_id)
        """
    )
)
HAS_CHANGES = statement(select(exists().where(customer_changes.c.shop_id == p("shop_id"))))
HAS_EVENTS = statement(select(exists().where(domain_events.c.shop_id == p("shop_id"))))
PEEK = statement(
    select(
        customer_changes.c.id,
        customer_changes.c.customer_id,
        customer_changes.c.cause,
        customer_changes.c.what,
        customer_changes.c.changed_at,
    )
    .where(customer_changes.c.shop_id == p("shop_id"))
    .order_by(customer_changes.c.id)
    .limit(p("limit"))
    .with_for_update(skip_locked=True)
)
DROP = statement(text("delete from customer_changes where shop_id = :shop_id and id = any(cast(:ids as bigint[]))"))
EMIT = statement(
    text(
        """
        insert into domain_events (shop_id, id, kind, customer_id, data, occurred_at)
        select :shop_id, id, kind, customer_id, data, :moment
        from unnest(cast(:ids as uuid[]), cast(:kinds as text[]), cast(:customer_ids as bigint[]),
                    cast(:data as jsonb[])) as t (id, kind, customer_id, data)
        on conflict do nothing
        """
    )
)
# Deleted as they are taken: a killed worker gives them back. Never a log read by id, which skips late commits.
# Chosen in an array: a queue has no statistics worth the name, and a join planned for few rows would choose again for
# each of many.
TAKE_EVENTS = statement(
    text(
        """
        delete from domain_events e
        where e.shop_id = :shop_id and e.id = any(array(
            select id from domain_events where shop_id = :shop_id
            order by id limit :limit for update skip locked
        ))
        returning e.id, e.kind, e.customer_id, e.data, e.occurred_at
        """
    )
)


async def mark_changed(
    db: Connection, shop_id: int, customer_ids: Sequence[int], moment: datetime, *, what: What | None = None
) -> None:
    """Ask the refresh to look at these customers again.

    Args:
        what: all that has changed of them, and what follows from it; None is anything.
    """
    if customer_ids:
        await db.execute(MARK, shop_id=shop_id, customer_ids=list(customer_ids), what=what, moment=moment)
        db.ring(CHANGES_BELL)


async def emit(
    db: Connection,
    shop_id: int,
    facts: Sequence[tuple[str, int | None, dict[str, Any]]],
    moment: datetime,
    *,
    ids: Sequence[UUID] | None = None,
) -> None:
    """Record facts (kind, customer, data) that subscriptions may hear of.

    Args:
        ids: given where the same fact may be found twice; the first one stands.
    """
    if facts:
        await db.execute(
            EMIT,
            shop_id=shop_id,
            ids=list(ids) if ids else [new_id() for _ in facts],
            kinds=[kind for kind, _, _ in facts],
            customer_ids=[customer_id for _, customer_id, _ in facts],
            data=[data for _, _, data in facts],
            moment=moment,
        )
        db.ring(EVENTS_BELL)


async def peek_changes(db: Connection, shop_id: int, limit: int) -> list[Row]:
    """Change rows that nobody else holds, oldest first, locked until this transaction ends."""
    return await db.fetch(PEEK, shop_id=shop_id, limit=limit)


async def drop_changes(db: Connection, shop_id: int, ids: Sequence[int]) -> None:
    """The work of these rows is done in this transaction."""
    await db.execute(DROP, shop_id=shop_id, ids=list(ids))


async def take_events(db: Connection, shop_id: int, limit: int) -> list[Row]:
    """Facts to fan out; they are gone when this transaction commits."""
    return await db.fetch(TAKE_EVENTS, shop_id=shop_id, limit=limit)

"""The touches room's SQL: templates, requests, and the outbox."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, exists, func, select, text
from sqlalchemy import bindparam as p
from sqlalchemy.dialects.postgresql import insert

from app.core.db import Connection, Row, Statement, statement
from app.scoring.models import customer_scores
from app.touches.models import touch_requests, touch_templates, touches

TOUCHES_BELL: Final = "touches"

PUT_TEMPLATE = statement(
    text(
        """
        insert into touch_templates (shop_id, code, channel, category, purpose, body, created_at, updated_at)
        values (:shop_id, :code, :channel, :category, :purpose, :body, :moment, :moment)
        on conflict (shop_id, code) do update set
            channel = excluded.channel, category = excluded.category, purpose = excluded.purpose,
            body = excluded.body, updated_at = excluded.updated_at
        returning *
        """
    )
)
GET_TEMPLATE = statement(
    select(touch_templates).where(touch_templates.c.shop_id == p("shop_id"), touch_templates.c.code == p("code"))
)
LIST_TEMPLATES = statement(
    select(touch_templates)
    .where(touch_templates.c.shop_id == p("shop_id"), touch_templates.c.code > p("after"))
    .order_by(touch_templates.c.code)
    .limit(p("limit"))
)

ADD_REQUEST = statement(
    insert(touch_requests)
    .values({column.name: p(column.name) for column in touch_requests.c})
    .on_conflict_do_nothing()
    .returning(touch_requests.c.id)
)
REQUEST_BY_KEY = statement(
    select(touch_requests).where(touch_requests.c.shop_id == p("shop_id"), touch_requests.c.key == p("key"))
)
GET_REQUEST = statement(
    select(touch_requests).where(touch_requests.c.shop_id == p("shop_id"), touch_requests.c.id == p("id"))
)
GET_REQUESTS = statement(
    text(
        """
        select id, template_code, channel, category, purpose, message, variables from touch_requests
        where shop_id = :shop_id and id = any(cast(:ids as uuid[]))
        """
    )
)

TIER_SIZE = statement(
    select(func.count())
    .select_from(customer_scores)
    .where(customer_scores.c.shop_id == p("shop_id"), customer_scores.c.tier == p("tier"))
)
TIER_AFTER = statement(
    select(customer_scores.c.customer_id)
    .where(
        customer_scores.c.shop_id == p("shop_id"),
        customer_scores.c.tier == p("tier"),
        customer_scores.c.customer_id > p("after"),
    )
    .order_by(customer_scores.c.customer_id)
    .limit(p("limit"))
)

PLAN = statement(
    text(
        """
        insert into touches
            (shop_id, id, request_id, customer_id, origin_customer_id, channel, due_at, created_at, updated_at)
        select :shop_id, t.id, :request_id, c.owner, c.id, :channel, :moment, :moment, :moment
        from unnest(cast(:ids as uuid[]), cast(:customer_ids as bigint[])) as t (id, customer_id)
        join (
            select id, coalesce(merged_into, id) as owner from customers
            where shop_id = :shop_id and id = any(cast(:customer_ids as bigint[])) order by id for key share
        ) c on c.id = t.customer_id
        on conflict do nothing
        """
    )
)
HAS_DUE = statement(
    select(
        exists().where(touches.c.shop_id == p("shop_id"), touches.c.state == "planned", touches.c.due_at <= func.now())
    )
)
LOCK_DUE = statement(
    select(touches.c.id, touches.c.customer_id, touches.c.request_id)
    .where(touches.c.shop_id == p("shop_id"), touches.c.state == "planned", touches.c.due_at <= func.now())
    .order_by(touches.c.due_at, touches.c.id)
    .limit(p("limit"))
    .with_for_update(skip_locked=True)
)
# Two records were asked for, and are one person by now: one touch of a request is enough. The first of them that is
# still to be decided leaves, unless one has left before.
MEANT_FOR_ONE = statement(
    text(
        """
        select t.id from touches t
        where t.shop_id = :shop_id and t.id = any(cast(:ids as uuid[])) and exists (
            select from touches o
            where o.shop_id = t.shop_id and o.customer_id = t.customer_id and o.request_id = t.request_id
                and o.id <> t.id and (o.state in ('sending', 'delivered') or (o.state = 'planned' and o.id < t.id))
        )
        """
    )
)
# Asked before each attempt: one that failed, and was left behind by one that reached the person.
REACHED_ALREADY = statement(
    text(
        """
        select t.id from touches t
        where t.shop_id = :shop_id and t.id = any(cast(:ids as uuid[])) and exists (
            select from touches o
            where o.shop_id = t.shop_id and o.customer_id = t.customer_id and o.request_id = t.request_id
                and o.id <> t.id and o.state = 'delivered'
        )
        """
    )
)
# The array beside the join, here and below: where statistics are missing, it is what keeps the plan on the index.
DECIDE = statement(
    text(
        """
        update touches t set
            state = case when d.reason is null then 'sending' else 'suppressed' end, reason = d.reason,
            updated_at = :moment
        from unnest(cast(:ids as uuid[]), cast(:reasons as text[])) as d (id, reason)
        where t.shop_id = :shop_id and t.id = any(cast(:ids as uuid[])) and t.id = d.id
        """
    )
)
# An outcome counts while the touch is being sent; what is over stays as it ended.
RECORD = statement(
    text(
        """
        update touches t set state = o.state, reason = o.reason, attempts = o.attempts, updated_at = :moment
        from unnest(cast(:ids as uuid[]), cast(:states as text[]), cast(:reasons as text[]), cast(:attempts as int[]))
            as o (id, state, reason, attempts)
        where t.shop_id = :shop_id and t.id = any(cast(:ids as uuid[])) and t.id = o.id and t.state = 'sending'
        returning t.state
        """
    )
)
REOPEN = statement(
    text(
        """
        update touches set state = 'sending', reason = null, updated_at = :moment
        where shop_id = :shop_id and id = :id and state in ('failed', 'quarantined')
        """
    )
)
ASKED_BY = statement(
    text(
        """
        select t.id, t.customer_id, r.purpose, r.channel, r.category
        from touches t join touch_requests r on r.shop_id = t.shop_id and r.id = t.request_id
        where t.shop_id = :shop_id and t.id = any(cast(:ids as uuid[]))
        """
    )
)

GET = statement(select(touches).where(touches.c.shop_id == p("shop_id"), touches.c.id == p("id")))


def _list(*filters: ColumnElement[bool]) -> Statement:
    return statement(
        select(touches)
        .where(touches.c.shop_id == p("shop_id"), touches.c.id > p("after"), *filters)
        .order_by(touches.c.id)
        .limit(p("limit"))
    )


_OF_REQUEST: Final = touches.c.request_id == p("request_id")
_IN_STATE: Final = touches.c.state == p("state")
# One statement per combination: a plan that suits every one of them would use no index.
LISTS: Final = {
    frozenset[str](): _list(),
    frozenset({"request_id"}): _list(_OF_REQUEST),
    frozenset({"state"}): _list(_IN_STATE),
    frozenset({"request_id", "state"}): _list(_OF_REQUEST, _IN_STATE),
}
COUNTS = statement(
    select(touches.c.state, func.count().label("touches"))
    .where(touches.c.shop_id == p("shop_id"), touches.c.request_id == p("request_id"))
    .group_by(touches.c.state)
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the delivery of a touch ended: delivered, failed, suppressed or quarantined, and why."""

    touch_id: UUID
    state: str
    reason: str | None = None
    attempts: int = 0


async def put_template(db: Connection, shop_id: int, code: str, values: Mapping[str, Any], moment: datetime) -> Row:
    """Add a template, or replace it; requests made before keep the message they were made with."""
    row = await db.fetch_one(PUT_TEMPLATE, shop_id=shop_id, code=code, moment=moment, **values)
    assert row is not None  # noqa: S101 inserted or updated
    return row


async def get_template(db: Connection, shop_id: int, code: str) -> Row | None:
    """The template, or None."""
    return await db.fetch_one(GET_TEMPLATE, shop_id=shop_id, code=code)


async def add_request(db: Connection, shop_id: int, values: Mapping[str, Any]) -> bool:
    """False when the key is taken; the unique index decides."""
    return await db.fetch_value(ADD_REQUEST, shop_id=shop_id, **values) is not None


async def request_by_key(db: Connection, shop_id: int, key: str) -> Row | None:
    """The request that a key stands for, or None."""
    return await db.fetch_one(REQUEST_BY_KEY, shop_id=shop_id, key=key)


async def get_request(db: Connection, shop_id: int, request_id: UUID) -> Row | None:
    """The request, or None."""
    return await db.fetch_one(GET_REQUEST, shop_id=shop_id, id=request_id)


async def plan(
    db: Connection, shop_id: int, request: Row, ids: Sequence[UUID], customer_ids: Sequence[int], moment: datetime
) -> int:
    """Add touches to the outbox; those that are there stay as they are. Returns how many are new."""
    added = await db.execute(
        PLAN,
        shop_id=shop_id,
        request_id=request["id"],
        channel=request["channel"],
        ids=list(ids),
        customer_ids=list(customer_ids),
        moment=moment,
    )
    db.ring(TOUCHES_BELL)
    return added


async def meant_for_one(db: Connection, shop_id: int, touch_ids: Sequence[UUID]) -> set[UUID]:
    """Which of these planned touches are a second one to the same person for the same request."""
    return {row["id"] for row in await db.fetch(MEANT_FOR_ONE, shop_id=shop_id, ids=list(touch_ids))}


async def reached_already(db: Connection, shop_id: int, touch_ids: Sequence[UUID]) -> set[UUID]:
    """Which of these touches would be a second one to a person whom another of the same request has reached."""
    return {row["id"] for row in await db.fetch(REACHED_ALREADY, shop_id=shop_id, ids=list(touch_ids))}


async def get(db: Connection, shop_id: int, touch_id: UUID) -> Row | None:
    """The touch, or None."""
    return await db.fetch_one(GET, shop_id=shop_id, id=touch_id)


async def list_touches(
    db: Connection, shop_id: int, *, request_id: UUID | None, state: str | None, after: UUID, limit: int
) -> list[Row]:
    """Touches behind an id, in the order of ids."""
    given = {"request_id": request_id, "state": state}
    filters = {name: value for name, value in given.items() if value is not None}
    return await db.fetch(LISTS[frozenset(filters)], shop_id=shop_id, after=after, limit=limit, **filters)


async def counts(db: Connection, shop_id: int, request_id: UUID) -> dict[str, int]:
    """How many touches of a request are in each state."""
    return {row["state"]: row["touches"] for row in await db.fetch(COUNTS, shop_id=shop_id, request_id=request_id)}

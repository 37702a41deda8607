"""What the overview reads across rooms: each part by the customer's own index, newest first."""

from collections.abc import Collection, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Final

from sqlalchemy import bindparam as p
from sqlalchemy import select, text

from app.core.db import Connection, Row, Statement, statement
from app.touches.models import touches

STORES = statement(
    text(
        """
        select o.store_id, s.name, count(*) as orders, sum(o.amount_fen)::bigint as amount_fen,
               max(o.paid_at) as last_paid_at
        from orders o left join stores s on s.shop_id = o.shop_id and s.id = o.store_id
        where o.shop_id = :shop_id and o.customer_id = :customer_id and o.paid_at is not null and o.status <> 'closed'
        group by o.store_id, s.name
        order by last_paid_at desc, o.store_id limit :limit
        """
    )
)
TOUCHES = statement(
    select(touches)
    .where(touches.c.shop_id == p("shop_id"), touches.c.customer_id == p("customer_id"))
    .order_by(touches.c.created_at.desc(), touches.c.id.desc())
    .limit(p("limit"))
)

_RECORDS: Final = """
    any(array(
        select id from customers where shop_id = :shop_id and (id = :customer_id or merged_into = :customer_id)
    ))
"""
_MERGES: Final = f"merges g where g.shop_id = :shop_id and (g.customer_id = {_RECORDS} or g.other_id = {_RECORDS})"
# By kind: when it happened, what tells it from others of its kind, what is told, and where it stands.
_PARTS: Final = {
    "registered": (
        "c.created_at",
        "c.id::text",
        "jsonb_build_object('store_id', c.store_id, 'source_channel', c.source_channel)",
        f"customers c where c.shop_id = :shop_id and c.id = {_RECORDS}",
    ),
    # An order that is not paid yet stands where it was received.
    "order": (
        "coalesce(o.paid_at, o.received_at)",
        "o.order_no",
        "jsonb_build_object('order_no', o.order_no, 'status', o.status, 'paid', o.paid_at is not null, "
        "'amount_fen', o.amount_fen, 'discount_fen', o.discount_fen, 'currency', o.currency, 'store_id', o.store_id, "
        "'channel', o.channel)",
        "orders o where o.shop_id = :shop_id and o.customer_id = :customer_id",
    ),
    "refund": (
        "r.refunded_at",
        "r.refund_no",
        "jsonb_build_object('refund_no', r.refund_no, 'order_no', r.order_no, 'amount_fen', r.amount_fen)",
        "orders o join refunds r on r.shop_id = o.shop_id and r.order_no = o.order_no "
        "where o.shop_id = :shop_id and o.customer_id = :customer_id",
    ),
    # Bounded, so that months to come are not looked at.
    "event": (
        "v.occurred_at",
        "v.id::text",
        "jsonb_build_object('type', v.type, 'properties', v.properties, 'store_id', v.store_id, 'source', v.source)",
        "events v where v.shop_id = :shop_id and v.customer_id = :customer_id "
        "and v.occurred_at <= cast(:before_at as timestamptz)",
    ),
    "tier": (
        "t.changed_at",
        "t.id::text",
        "jsonb_build_object('from', t.from_tier, 'to', t.to_tier, 'as_of', t.as_of)",
        "tier_changes t where t.shop_id = :shop_id and t.customer_id = :customer_id",
    ),
    "tag": (
        "h.assigned_at",
        "(h.tag_id || '-' || h.origin_customer_id)",  # several records of a person may carry it, from the same moment
        "jsonb_build_object('name', g.name, 'source', h.source, 'actor', h.actor, 'reason', h.reason, "
        "'valid_until', h.valid_until)",
        "customer_tags h join tags g on g.shop_id = h.shop_id and g.id = h.tag_id "
        "where h.shop_id = :shop_id and h.customer_id = :customer_id",
    ),
    "segment": (
        "b.changed_at",
        "b.id::text",
        "jsonb_build_object('segment_id', b.segment_id, 'name', s.name, "
        "'change', case when b.entered then 'entered' else 'left' end, 'cause', b.cause)",
        "segment_changes b join segments s on s.shop_id = b.shop_id and s.id = b.segment_id "
        f"where b.shop_id = :shop_id and b.customer_id = {_RECORDS}",
    ),
    "consent": (
        "n.occurred_at",
        "n.id::text",
        "jsonb_build_object('purpose', n.purpose, 'channel', n.channel, 'state', n.state, 'source', n.source)",
        "consents n where n.shop_id = :shop_id and n.customer_id = :customer_id",
    ),
    "merge": (
        "g.merged_at",
        "g.id::text",
        "jsonb_build_object('merge_id', g.id, 'customer_id', g.customer_id, 'other_id', g.other_id, 'cause', g.cause, "
        "'identity_kind', g.identity_kind, 'actor', g.actor)",
        _MERGES,
    ),
    "reversal": (
        "g.reversed_at",
        "g.id::text",
        "jsonb_build_object('merge_id', g.id, 'customer_id', g.customer_id, 'other_id', g.other_id, "
        "'actor', g.reversed_by)",
        _MERGES,
    ),
    "touch": (
        "u.created_at",
        "u.id::text",
        "jsonb_build_object('request_id', u.request_id, 'channel', u.channel, 'state', u.state, 'reason', u.reason)",
        "touches u where u.shop_id = :shop_id and u.customer_id = :customer_id",
    ),
}


async def stores(db: Connection, shop_id: int, customer_id: int, *, limit: int) -> list[Row]:
    """Where the customer bought, the last store first: store_id, name, orders, amount_fen, last_paid_at."""
    return await db.fetch(STORES, shop_id=shop_id, customer_id=customer_id, limit=limit)


async def last_touches(db: Connection, shop_id: int, customer_id: int, *, limit: int) -> list[Row]:
    """Rows of touches, newest first."""
    return await db.fetch(TOUCHES, shop_id=shop_id, customer_id=customer_id, limit=limit)


async def timeline(
    db: Connection,
    shop_id: int,
    customer_id: int,
    kinds: Collection[str],
    *,
    before: tuple[datetime, str, str],
    limit: int,
) -> Sequence[Row]:
    """Entries before a place (at, kind, id), newest first: at, kind, id, data.

    Args:
        kinds: none is all.
    """
    query = _timeline(tuple(kind for kind in _PARTS if not kinds or kind in kinds))
    at, kind, entry_id = before
    place = {"before_at": at, "before_kind": kind, "before_id": entry_id}
    return await db.fetch(query, shop_id=shop_id, customer_id=customer_id, limit=limit, **place)


@lru_cache(maxsize=1 << len(_PARTS))
def _timeline(kinds: tuple[str, ...]) -> Statement:
    # Each part gives at most a page of its own, so that a long history is not sorted as a whole.
    parts = [
        f"""
        (select {at} as at, '{kind}' as kind, {entry_id} as id, {data} as data from {place}
            and ({at}, '{kind}' collate "C", {entry_id} collate "C")
                < (cast(:before_at as timestamptz), cast(:before_kind as text), cast(:before_id as text))
        order by {at} desc, {entry_id} collate "C" desc limit :limit)
        """  # noqa: S608 terms of our own, values stay bound
        for kind, (at, entry_id, data, place) in _PARTS.items()
        if kind in kinds
    ]
    return statement(
        text(
            f"""
            select at, kind, id, data from ({" union all ".join(parts)}) as entries
            order by at desc, kind collate "C" desc, id collate "C" desc limit :limit
            """  # noqa: S608 as above
        )
    )

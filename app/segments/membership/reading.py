"""Who is in a segment, now or on a day; what a customer is in; who came and went."""

from datetime import datetime
from typing import Final

from sqlalchemy import text

from app.core.db import Connection, Row, statement

MEMBERS = statement(
    text(
        """
        select customer_id, entered_at, version from segment_members
        where shop_id = :shop_id and segment_id = :segment_id and customer_id > :after
        order by customer_id limit :limit
        """
    )
)
# Whoever is in it and came later was not; whoever left later was. The first change after the moment says which.
_THEN: Final = """
    select one.customer_id from (
        select m.customer_id from segment_members m
        where m.shop_id = :shop_id and m.segment_id = :segment_id and m.customer_id > :after
            and m.entered_at <= :moment
        union
        select distinct_first.customer_id from (
            select distinct on (h.customer_id) h.customer_id, h.entered from segment_changes h
            where h.shop_id = :shop_id and h.segment_id = :segment_id and h.changed_at > :moment
                and h.customer_id > :after
            order by h.customer_id, h.changed_at, h.id
        ) distinct_first where not distinct_first.entered
    ) one
"""
MEMBERS_THEN = statement(text(f"{_THEN} order by one.customer_id limit :limit"))
COUNT = statement(text("select count(*) from segment_members where shop_id = :shop_id and segment_id = :segment_id"))
COUNT_THEN = statement(text(f"select count(*) from ({_THEN}) each_one"))  # noqa: S608 terms of our own
IS_MEMBER = statement(
    text(
        """
        select c.id, coalesce(c.merged_into, c.id) as customer_id, m.entered_at, m.version,
            exists (select from segments s where s.shop_id = :shop_id and s.id = :segment_id) as known
        from customers c
        left join segment_members m
            on m.shop_id = :shop_id and m.segment_id = :segment_id and m.customer_id = coalesce(c.merged_into, c.id)
        where c.shop_id = :shop_id and c.id = :customer_id
        """
    )
)
EXISTS = statement(text("select id from segments where shop_id = :shop_id and id = :segment_id"))
OF_CUSTOMER = statement(
    text(
        """
        select m.segment_id, s.name, s.kind, m.version, m.entered_at
        from segment_members m join segments s on s.shop_id = :shop_id and s.id = m.segment_id
        where m.shop_id = :shop_id and m.customer_id = :customer_id
        order by m.segment_id
        """
    )
)
CHANGES = statement(
    text(
        """
        select h.id, h.customer_id, h.entered, h.version, h.cause, h.changed_at from segment_changes h
        where h.shop_id = :shop_id and h.segment_id = :segment_id and (h.changed_at, h.id) < (:before_at, :before_id)
        order by h.changed_at desc, h.id desc limit :limit
        """
    )
)
EXPORT = statement(
    text(
        """
        select customer_id, entered_at, version from segment_members
        where shop_id = :shop_id and segment_id = :segment_id order by customer_id
        """
    )
)


async def exists(db: Connection, shop_id: int, segment_id: int) -> bool:
    """Whether the shop has such a segment, archived or not."""
    return await db.fetch_one(EXISTS, shop_id=shop_id, segment_id=segment_id) is not None


async def members(
    db: Connection, shop_id: int, segment_id: int, after: int, limit: int, moment: datetime | None
) -> list[Row]:
    """A page in the order of numbers: `customer_id`, and of those who are in it now `entered_at` and `version`."""
    page = {"shop_id": shop_id, "segment_id": segment_id, "after": after, "limit": limit}
    if moment is None:
        return await db.fetch(MEMBERS, **page)
    return await db.fetch(MEMBERS_THEN, **page, moment=moment)


async def count(db: Connection, shop_id: int, segment_id: int, moment: datetime | None) -> int:
    """How many are in it, now or at a moment that has passed."""
    who = {"shop_id": shop_id, "segment_id": segment_id}
    query, more = (COUNT, {}) if moment is None else (COUNT_THEN, {"moment": moment, "after": 0})
    found: int = await db.fetch_value(query, **who, **more)
    return found

"""The SQL of who carries what: sets in, sets out; unique indexes decide every race, rows are locked in key order."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import bindparam as p
from sqlalchemy import select, text

from app.core.db import Connection, Row, Statement, statement
from app.tags.models import tag_categories, tags

Pair = tuple[int, int]  # customer, tag
RUN_OUT_BELL: Final = "run_out_tags"  # nobody rings it: what has run out is found at every poll

# Waits for a writer who makes the same name, and then finds it made. Sorted, so that writers wait in one order.
MAKE = statement(
    text(
        """
        insert into tags (shop_id, name, created_at, updated_at)
        select :shop_id, t.name, cast(:moment as timestamptz), cast(:moment as timestamptz)
        from unnest(cast(:names as text[])) as t (name)
        order by t.name
        on conflict do nothing
        """
    )
)
NAMED = statement(text("select id, name from tags where shop_id = :shop_id and name = any(cast(:names as text[]))"))

# Held until the assignments are in, so that no tag is dropped or becomes another's business meanwhile.
HOLD = statement(
    text(
        """
        select id, name, kind, status from tags
        where shop_id = :shop_id
            and (name = any(cast(:names as text[])) or id = any(cast(:ids as bigint[])))
        order by id for key share
        """
    )
)

# The customers are held, so that none is merged or erased meanwhile. An assignment that has run out is given anew;
# one that holds is left as it is.
ADD = statement(
    text(
        """
        with present as (
            select id, coalesce(merged_into, id) as owner from customers
            where shop_id = :shop_id and id = any(cast(:customer_ids as bigint[])) and status <> 'erased'
            order by id for key share
        ),
        added as (
            insert into customer_tags as held
                (shop_id, customer_id, tag_id, origin_customer_id, source, actor, reason, rule_version, assigned_at,
                 valid_until)
            select :shop_id, present.owner, t.tag_id, present.id, cast(:source as text), cast(:actor as text),
                   cast(:reason as text), cast(:rule_version as integer), cast(:moment as timestamptz),
                   cast(:valid_until as timestamptz)
            from unnest(cast(:customer_ids as bigint[]), cast(:tag_ids as bigint[])) as t (customer_id, tag_id)
            join present on present.id = t.customer_id
            order by present.owner, t.tag_id, present.id
            on conflict (shop_id, customer_id, tag_id, origin_customer_id) do update
                set source = excluded.source, actor = excluded.actor, reason = excluded.reason,
                    rule_version = excluded.rule_version, assigned_at = excluded.assigned_at,
                    valid_until = excluded.valid_until
                where held.valid_until <= excluded.assigned_at
            returning customer_id, tag_id, origin_customer_id
        )
        select distinct customer_id, tag_id from added
        where not exists (
            select from customer_tags a
            where a.shop_id = :shop_id and a.customer_id = added.customer_id and a.tag_id = added.tag_id
                and a.origin_customer_id <> added.origin_customer_id
                and (a.valid_until is null or a.valid_until > cast(:moment as timestamptz))
        )
        """
    )
)
REMOVE = statement(
    text(
        """
        with present as (
            select id, coalesce(merged_into, id) as owner from customers
            where shop_id = :shop_id and id = any(cast(:customer_ids as bigint[])) order by id for key share
        ),
        held as (
            select a.customer_id, a.tag_id, a.origin_customer_id
            from unnest(cast(:customer_ids as bigint[]), cast(:tag_ids as bigint[])) as t (customer_id, tag_id)
            join present on present.id = t.customer_id
            join customer_tags a
                on a.shop_id = :shop_id and a.customer_id = present.owner and a.tag_id = t.tag_id
            order by a.customer_id, a.tag_id, a.origin_customer_id for update of a
        ),
        gone as (
            delete from customer_tags a using held
            where a.shop_id = :shop_id and a.customer_id = held.customer_id and a.tag_id = held.tag_id
                and a.origin_customer_id = held.origin_customer_id
            returning a.customer_id, a.tag_id,
                      (a.valid_until is null or a.valid_until > cast(:moment as timestamptz)) as carried
        )
        select customer_id, tag_id, bool_or(carried) as carried from gone group by customer_id, tag_id
        """
    )
)
# Who answers for these records; those who are gone are left out.
OWNERS = statement(
    text(
        """
        select id, coalesce(merged_into, id) as owner from customers
        where shop_id = :shop_id and id = any(cast(:customer_ids as bigint[])) and status <> 'erased'
        """
    )
)
OF_CUSTOMERS = statement(
    text(
        """
        select distinct on (a.customer_id, t.id) a.customer_id, t.id, t.name, t.status,
               c.id as category_id, c.name as category_name, c.status as category_status, t.kind,
               a.source, a.actor, a.reason, a.rule_version, a.assigned_at, a.valid_until
        from customer_tags a
        join tags t on t.shop_id = a.shop_id and t.id = a.tag_id
        left join tag_categories c on c.shop_id = t.shop_id and c.id = t.category_id
        where a.shop_id = :shop_id and a.customer_id = any(cast(:customer_ids as bigint[]))
            and (a.valid_until is null or a.valid_until > now())
        order by a.customer_id, t.id, a.assigned_at
        """
    )
)
# A walk of the tag's own index: once each, as it was assigned first.
CARRIERS = statement(
    text(
        """
        select distinct on (customer_id)
               customer_id, source, actor, reason, rule_version, assigned_at, valid_until
        from customer_tags
        where shop_id = :shop_id and tag_id = :tag_id and customer_id > :after
            and (valid_until is null or valid_until > now())
        order by customer_id, assigned_at, origin_customer_id
        limit :limit
        """
    )
)
# Of a tag that is no more: all that some customers have of it, so that each of them loses it once.
REMOVE_SOME = statement(
    text(
        """
        with chosen as materialized (
            select distinct customer_id from customer_tags
            where shop_id = :shop_id and tag_id = :tag_id
                and not exists (select from tags where shop_id = :shop_id and id = :tag_id)
            order by customer_id limit :limit
        ),
        gone as (
            delete from customer_tags a using chosen
            where a.shop_id = :shop_id and a.tag_id = :tag_id and a.customer_id = chosen.customer_id
            returning a.customer_id,
                      (a.valid_until is null or a.valid_until > cast(:moment as timestamptz)) as carried
        )
        select customer_id, bool_or(carried) as carried from gone group by customer_id order by customer_id
        """
    )
)
FORGET_RUN_OUT = statement(
    text(
        """
        with chosen as materialized (
            select customer_id, tag_id, origin_customer_id from customer_tags
            where shop_id = :shop_id and valid_until < now() - make_interval(secs => 86400 * cast(:days as float8))
            order by valid_until limit :limit for update skip locked
        )
        delete from customer_tags a using chosen
        where a.shop_id = :shop_id and a.customer_id = chosen.customer_id and a.tag_id = chosen.tag_id
            and a.origin_customer_id = chosen.origin_customer_id
        """
    )
)
CATEGORY = statement(
    select(tag_categories).where(tag_categories.c.shop_id == p("shop_id"), tag_categories.c.id == p("id"))
)
_LISTED: Final = select(tags.c.id, tags.c.name, tags.c.status).where(tags.c.shop_id == p("shop_id")).order_by(tags.c.id)
OF_CATEGORY = statement(_LISTED.where(tags.c.category_id == p("id")))
OF_NO_CATEGORY = statement(_LISTED.where(tags.c.category_id.is_(None)))


def has_run_out(days: float) -> Statement:
    """Whether there is an assignment that has run out so many days ago."""
    return statement(
        text(
            """
            select exists (
                select from customer_tags
                where shop_id = :shop_id and valid_until < now() - make_interval(secs => 86400 * cast(:days as float8))
            )
            """
        ).bindparams(days=days)
    )


async def make(db: Connection, shop_id: int, names: Collection[str], moment: datetime) -> None:
    """Make the tags of these names that are not there."""
    await db.execute(MAKE, shop_id=shop_id, names=list(names), moment=moment)


async def named(db: Connection, shop_id: int, names: Collection[str]) -> dict[str, int]:
    """The ids of the tags that there are, by name."""
    rows = await db.fetch(NAMED, shop_id=shop_id, names=list(names))
    return {row["name"]: row["id"] for row in rows}


async def hold(db: Connection, shop_id: int, *, names: Collection[str] = (), ids: Collection[int] = ()) -> list[Row]:
    """The tags of these names and numbers, by number; until this transaction ends they are not dropped, and stay as
    they are.

    Each row: id, name, kind, status.
    """
    return await db.fetch(HOLD, shop_id=shop_id, names=list(names), ids=list(ids))


async def owners(db: Connection, shop_id: int, customer_ids: Collection[int]) -> dict[int, int]:
    """Who answers for each of these customers; those who are gone are left out."""
    rows = await db.fetch(OWNERS, shop_id=shop_id, customer_ids=list(customer_ids))
    return {row["id"]: row["owner"] for row in rows}


async def add(
    db: Connection,
    shop_id: int,
    pairs: Collection[Pair],
    moment: datetime,
    *,
    source: str,
    actor: str,
    valid_until: datetime | None,
    reason: str | None = None,
    rule_version: int | None = None,
) -> list[Pair]:
    """Assign each tag to its customer's record; a pair stands once. Returns by who answers for them what is new.

    Customers who are gone are passed over.
    """
    rows = await db.fetch(
        ADD,
        shop_id=shop_id,
        moment=moment,
        source=source,
        actor=actor,
        valid_until=valid_until,
        reason=reason,
        rule_version=rule_version,
        **_arrays(pairs),
    )
    return [(row["customer_id"], row["tag_id"]) for row in rows]


async def remove(db: Connection, shop_id: int, pairs: Collection[Pair], moment: datetime) -> list[Pair]:
    """Take each tag from its customer, whichever of their records carries it. Returns what was carried until now."""
    rows = await db.fetch(REMOVE, shop_id=shop_id, moment=moment, **_arrays(pairs))
    return [(row["customer_id"], row["tag_id"]) for row in rows if row["carried"]]


async def of_customers(db: Connection, shop_id: int, customer_ids: Sequence[int]) -> list[Row]:
    """The tags that these customers carry now, by customer, oldest assignment first; a category is None where none is.

    A merged person carries what any of their records carries, once: as it was assigned first.

    Each row: customer_id, id, name, status, kind, category_id, category_name, category_status, source, actor, reason,
    rule_version, assigned_at, valid_until.
    """
    rows = await db.fetch(OF_CUSTOMERS, shop_id=shop_id, customer_ids=list(customer_ids))
    return sorted(rows, key=lambda row: (row["customer_id"], row["assigned_at"], row["id"]))


async def category(db: Connection, shop_id: int, category_id: int) -> Row | None:
    """The category's row, or None."""
    return await db.fetch_one(CATEGORY, shop_id=shop_id, id=category_id)


async def of_category(db: Connection, shop_id: int, category_id: int | None) -> list[Row]:
    """Id, name and status of a category's tags, oldest first; of None: those without one."""
    if category_id is None:
        return await db.fetch(OF_NO_CATEGORY, shop_id=shop_id)
    return await db.fetch(OF_CATEGORY, shop_id=shop_id, id=category_id)


def _arrays(pairs: Collection[Pair]) -> dict[str, list[int]]:
    return {"customer_ids": [customer for customer, _ in pairs], "tag_ids": [tag for _, tag in pairs]}

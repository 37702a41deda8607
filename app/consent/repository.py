"""The consent ledger's SQL, and the one question that everything outgoing asks: who must not be contacted?"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import bindparam as p
from sqlalchemy import select, text, tuple_

from app.consent.models import consents
from app.core.db import Connection, Row, statement

_LATEST: Final = (consents.c.occurred_at.desc(), consents.c.id.desc())

# Locked against a merge, which would move the customer's rows while this one is written.
ADD = statement(
    text(
        """
        insert into consents
            (shop_id, customer_id, origin_customer_id, purpose, channel, state, source, occurred_at, recorded_at)
        select c.shop_id, coalesce(c.merged_into, c.id), c.id, :purpose, :channel, :state, :source, :occurred_at,
               :recorded_at
        from customers c where c.shop_id = :shop_id and c.id = :customer_id for key share
        returning *
        """
    )
)
# Of a merged person the strictest word counts: a withdrawal `x` of one record stands against grants of the others,
# until one is given after they were merged, and not only told after it. `wider`: which grants lift it.
STANDS: Final = """
    c.members > 1 and x.state = 'withdrawn' and not exists (
        select from consents g
        where g.shop_id = x.shop_id and g.customer_id = x.customer_id and g.purpose = x.purpose and {wider}
            and g.state = 'granted' and (g.occurred_at, g.id) > (x.occurred_at, x.id)
            and (g.origin_customer_id = x.origin_customer_id or least(g.occurred_at, g.recorded_at) >= c.merged_at)
    )
"""
CURRENT = statement(
    text(
        f"""
        select distinct on (x.purpose, x.channel) x.purpose, x.channel, x.state, x.source, x.occurred_at
        from consents x join customers c on c.shop_id = x.shop_id and c.id = x.customer_id
        where x.shop_id = :shop_id and x.customer_id = :customer_id
        order by x.purpose, x.channel, ({STANDS.format(wider="g.channel = x.channel")}) desc,
                 x.occurred_at desc, x.id desc
        """  # noqa: S608 a text of our own
    )
)
HISTORY = statement(
    select(consents)
    .where(
        consents.c.shop_id == p("shop_id"),
        consents.c.customer_id == p("customer_id"),
        tuple_(consents.c.occurred_at, consents.c.id) < tuple_(p("occurred_at"), p("id")),
    )
    .order_by(*_LATEST)
    .limit(p("limit"))
)

_IDENTITIES: Final = """
    select i.kind, i.value_hash from identities i where i.shop_id = :shop_id and i.customer_id = :customer_id
    order by i.kind, i.value_hash
"""
SUPPRESS = statement(
    text(
        """
        insert into suppressions (shop_id, kind, value_hash, channel, reason, created_at)
        values (:shop_id, :kind, :value_hash, :channel, :reason, :moment)
        on conflict (shop_id, kind, value_hash, channel) do update set reason = excluded.reason
        """
    )
)
SUPPRESS_CUSTOMER = statement(
    text(
        f"""
        insert into suppressions (shop_id, kind, value_hash, channel, reason, created_at)
        select :shop_id, t.kind, t.value_hash, :channel, :reason, :moment from ({_IDENTITIES}) as t
        on conflict (shop_id, kind, value_hash, channel) do update set reason = excluded.reason
        """  # noqa: S608 a text of our own
    )
)
LIFT = statement(
    text(
        """
        delete from suppressions
        where shop_id = :shop_id and kind = :kind and value_hash = :value_hash and channel = :channel
        """
    )
)
LIFT_CUSTOMER = statement(
    text(
        f"""
        delete from suppressions s using ({_IDENTITIES}) as t
        where s.shop_id = :shop_id and s.kind = t.kind and s.value_hash = t.value_hash and s.channel = :channel
        """  # noqa: S608 a text of our own
    )
)

# `own` is the newest word about the channel itself, `every` the newest about all channels. A channel that was
# withdrawn by name comes back only by name; a channel that was granted by name goes with a later withdrawal of all.
# Each look is a lateral join with a limit, which is always an index probe; the planner would hash whole tables else.
REFUSALS = statement(
    text(
        """
        select customer_id, reason, members from (
            select t.customer_id, c.members, case
                when c.status is distinct from 'active' then 'customer_inactive'
                when c.members > 1 and exists (
                    select from customers m
                    where m.shop_id = :shop_id and m.merged_into = t.customer_id and m.status <> 'active'
                ) then 'customer_inactive'
                when listed.kind is not null then 'suppressed'
                when not cast(:marketing as boolean) then null
                when own.state is null and every.state is null then 'no_consent'
                when own.state = 'withdrawn' then 'consent_withdrawn'
                when own.state is null and every.state = 'granted' then null
                when own.state = 'granted' and every.state is distinct from 'withdrawn' then null
                when own.state = 'granted' and (own.occurred_at, own.id) > (every.occurred_at, every.id) then null
                else 'consent_withdrawn'
            end as reason
            from unnest(cast(:customer_ids as bigint[])) as t (customer_id)
            left join lateral (
                select status, members from customers where shop_id = :shop_id and id = t.customer_id limit 1
            ) as c on true
            left join lateral (
                select s.kind from identities i
                join suppressions s on s.shop_id = i.shop_id and s.kind = i.kind and s.value_hash = i.value_hash
                where i.shop_id = :shop_id and i.customer_id = t.customer_id and s.channel in (:channel, '*')
                limit 1
            ) as listed on true
            left join lateral (
                select state, occurred_at, id from consents
                where shop_id = :shop_id and customer_id = t.customer_id and purpose = :purpose
                    and channel = :channel and cast(:marketing as boolean)
                order by occurred_at desc, id desc limit 1
            ) as own on true
            left join lateral (
                select state, occurred_at, id from consents
                where shop_id = :shop_id and customer_id = t.customer_id and purpose = :purpose
                    and channel = '*' and cast(:marketing as boolean)
                order by occurred_at desc, id desc limit 1
            ) as every on true
        ) as judged
        where reason is not null or members > 1
        """
    )
)
STRICTEST = statement(
    text(
        f"""
        select distinct x.customer_id
        from consents x join customers c on c.shop_id = x.shop_id and c.id = x.customer_id
        where x.shop_id = :shop_id and x.customer_id = any(cast(:customer_ids as bigint[])) and x.purpose = :purpose
            and x.channel in (:channel, '*')
            and {STANDS.format(wider="(g.channel = x.channel or (x.channel = '*' and g.channel = :channel))")}
        """  # noqa: S608 a text of our own
    )
)


async def add(db: Connection, shop_id: int, customer_id: int, values: Mapping[str, Any]) -> Row | None:
    """Append to the ledger. None when there is no such customer."""
    return await db.fetch_one(ADD, shop_id=shop_id, customer_id=customer_id, **values)


async def current(db: Connection, shop_id: int, customer_id: int) -> list[Row]:
    """The word that counts per purpose and channel: the newest; of a merged person, the strictest."""
    return await db.fetch(CURRENT, shop_id=shop_id, customer_id=customer_id)


async def history(
    db: Connection, shop_id: int, customer_id: int, *, before: tuple[datetime, int], limit: int
) -> list[Row]:
    """Entries older than a position, newest first."""
    return await db.fetch(
        HISTORY, shop_id=shop_id, customer_id=customer_id, occurred_at=before[0], id=before[1], limit=limit
    )


async def refusals(
    db: Connection, shop_id: int, customer_ids: Sequence[int], purpose: str, channel: str, *, marketing: bool
) -> dict[int, str]:
    """Why each of these customers must not be contacted now; who is absent may be.

    Reasons, the first that applies: `customer_inactive`, `suppressed`, `no_consent`, `consent_withdrawn`. The last two
    concern marketing only. It reads what was committed when it starts: call it after the rows it decides are locked.
    """
    rows = await db.fetch(
        REFUSALS,
        shop_id=shop_id,
        customer_ids=list(customer_ids),
        purpose=purpose,
        channel=channel,
        marketing=marketing,
    )
    reasons = {row["customer_id"]: row["reason"] for row in rows if row["reason"] is not None}
    merged = [row["customer_id"] for row in rows if row["reason"] is None]
    if merged and marketing:
        strict = await db.fetch(STRICTEST, shop_id=shop_id, customer_ids=merged, purpose=purpose, channel=channel)
        reasons |= {row["customer_id"]: "consent_withdrawn" for row in strict}
    return reasons

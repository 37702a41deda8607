"""The tiers' SQL: definitions as they were published, and a definition tried on the stats of today."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, Final

from sqlalchemy import bindparam as p
from sqlalchemy import select, text

from app.core.db import Connection, Row, statement
from app.scoring.models import score_runs, tier_definitions
from app.scoring.repository import PLAN_FOR_EVERYBODY
from app.scoring.tiers import compiling
from app.scoring.tiers.definition import Definition

NEWEST = statement(
    select(tier_definitions.c.version, tier_definitions.c.definition)
    .where(tier_definitions.c.shop_id == p("shop_id"))
    .order_by(tier_definitions.c.version.desc())
    .limit(1)
)
# Of two who publish at once the key lets one in. The other waits for it, writes nothing, and starts over.
ADD = statement(
    text(
        """
        with newest as (
            select version, definition from tier_definitions where shop_id = :shop_id
            union all
            select 0, cast(:built_in as jsonb)
            order by version desc limit 1
        )
        insert into tier_definitions (shop_id, version, definition, actor, created_at)
        select :shop_id, version + 1, cast(:definition as jsonb), :actor, :moment
        from newest where definition <> cast(:definition as jsonb)
        on conflict do nothing
        returning version
        """
    )
)
VERSIONS = statement(
    select(
        tier_definitions.c.version,
        tier_definitions.c.definition,
        tier_definitions.c.actor,
        tier_definitions.c.created_at,
    )
    .where(tier_definitions.c.shop_id == p("shop_id"), tier_definitions.c.version < p("before"))
    .order_by(tier_definitions.c.version.desc())
    .limit(p("limit"))
)
LAST_RUN = statement(
    select(
        score_runs.c.id,
        score_runs.c.as_of,
        score_runs.c.tiers,
        score_runs.c.tiers_version,
        score_runs.c.shares,
    ).where(score_runs.c.shop_id == p("shop_id"), score_runs.c.state == "published")
)

# Everybody who counts: who was there before the day and is merged into nobody. Those few are told by an index, and the
# customer's row is joined so that the planner leaves it out where no condition asks for it.
_EVERYBODY: Final = "customer_stats s left join customers c on c.shop_id = s.shop_id and c.id = s.customer_id"
_SCORED: Final = f"{_EVERYBODY} left join customer_scores k on k.shop_id = s.shop_id and k.customer_id = s.customer_id"
_WHO: Final = """
    s.shop_id = :shop_id and s.since_on < cast(:as_of as date)
    and not exists (
        select from customers m
        where m.shop_id = :shop_id and m.id = s.customer_id and m.merged_into is not null
    )
"""


async def newest(db: Connection, shop_id: int) -> Row | None:
    """Version and definition of the newest; None before anything was published."""
    return await db.fetch_one(NEWEST, shop_id=shop_id)


async def add(
    db: Connection, shop_id: int, definition: Definition, *, built_in: Definition, actor: str | None, moment: datetime
) -> int | None:
    """Make it the newest version. Returns that, or None where it is the newest already or somebody else was first.

    Args:
        built_in: what counts as version 0.
    """
    version: int | None = await db.fetch_value(
        ADD, shop_id=shop_id, definition=definition.stored(), built_in=built_in.stored(), actor=actor, moment=moment
    )
    return version


async def values_of(db: Connection, shop_id: int, definition: Definition, as_of: date) -> list[float | None]:
    """What the definition's conditions compare with on the day, in their order."""
    query = statement(
        text(
            f"select {compiling.values_sql(definition)} from {_EVERYBODY} where {_WHO}"  # noqa: S608 words of our own
        )
    )
    await db.execute(PLAN_FOR_EVERYBODY)
    found: list[float | None] = await db.fetch_value(
        query, shop_id=shop_id, as_of=as_of, tier_asked=compiling.asked(definition)
    )
    return found


async def moves(
    db: Connection, shop_id: int, definition: Definition, values: Sequence[float | None], as_of: date
) -> list[Row]:
    """`from_tier` (of today), `to_tier` (by the definition) and how many `customers`, the most first."""
    query = statement(
        text(
            f"""
            select k.tier as from_tier, {compiling.tier_sql(definition)} as to_tier, count(*) as customers
            from {_SCORED}
            where {_WHO}
            group by 1, 2 order by customers desc, 1, 2
            """  # noqa: S608 words of our own
        )
    )
    return await db.fetch(query, **_bound(shop_id, definition, values, as_of))


async def movers(
    db: Connection, shop_id: int, definition: Definition, values: Sequence[float | None], as_of: date, *, limit: int
) -> list[Row]:
    """The first customers by number who would have another tier, with both tiers."""
    query = statement(
        text(
            f"""
            select * from (
                select s.customer_id, k.tier as from_tier, {compiling.tier_sql(definition)} as to_tier
                from {_SCORED}
                where {_WHO}
            ) judged
            where from_tier is distinct from to_tier order by customer_id limit :limit
            """  # noqa: S608 words of our own
        )
    )
    return await db.fetch(query, limit=limit, **_bound(shop_id, definition, values, as_of))


def _bound(shop_id: int, definition: Definition, values: Sequence[float | None], as_of: date) -> dict[str, Any]:
    names = compiling.names(definition)
    return {"shop_id": shop_id, "as_of": as_of, "tier_values": list(values), "tier_names": names}

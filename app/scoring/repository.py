"""Stats and scores of sets of customers: only rows that change are written."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import bindparam as p
from sqlalchemy import func, select, text

from app.changes.repository import RUN
from app.core.db import Connection, Statement, of, statement
from app.customers.models import customers
from app.scoring.facts import FACTS, STATS
from app.scoring.judging import SCORED, computed

_STATS: Final = ", ".join(STATS)
_SCORED: Final = ", ".join(SCORED)
_WHO: Final = "who as (select unnest(cast(:customer_ids as bigint[])) as customer_id)"


# The stats row is the mutex of one customer's scores, so a refresh makes it before it computes anything. The customer
# is held, so that nobody is merged meanwhile: who is has no stats.
ENSURE = statement(
    text(
        """
        with fresh as (
            select c.id, c.created_at
            from customers c
            where c.shop_id = :shop_id and c.id = any(cast(:customer_ids as bigint[])) and c.merged_into is null
                and not exists (
                    select from customer_stats s where s.shop_id = :shop_id and s.customer_id = c.id
                )
            order by c.id for key share of c
        ),
        added as (
            insert into customer_stats (shop_id, customer_id, since_on, active_on)
            select :shop_id, id, (created_at at time zone :zone)::date, (created_at at time zone :zone)::date
            from fresh order by id
            on conflict do nothing returning 1
        )
        select count(*) from added
        """
    )
)
# Who has no stats row yet is measured in the statement that makes it. Facts that come meanwhile ask for a refresh,
# which waits for this row; where a refresh was first, its row stands.
ADD_STATS = statement(
    text(
        f"""
        with {_WHO}, {FACTS}, added as (
            insert into customer_stats (shop_id, customer_id, {_STATS})
            select :shop_id, customer_id, {_STATS} from facts
            where not exists (
                select from customers c
                where c.shop_id = :shop_id and c.id = facts.customer_id and c.merged_into is not null
            )
            order by customer_id
            on conflict do nothing returning 1
        )
        select count(*) from added
        """  # noqa: S608 column names of our own
    )
)
COUNT_IN = statement(
    text(
        """
        insert into customer_totals as t (shop_id, customers) values (:shop_id, :added)
        on conflict (shop_id) do update set customers = t.customers + excluded.customers
        """
    )
)
# Who is merged has no stats and no scores of their own. Whoever has stats again, taken out of a merge, has the tier and
# the stage of the last change, so that being computed anew is no change.
FORGET = statement(
    text(
        """
        with gone as (
            delete from customer_stats s using customers c
            where s.shop_id = :shop_id and c.shop_id = :shop_id and c.id = s.customer_id and c.merged_into is not null
                and (cast(:customer_ids as bigint[]) is null or s.customer_id = any(cast(:customer_ids as bigint[])))
            returning 1
        )
        select count(*) from gone
        """
    )
)
# After the stats, which are the mutex: scores that another pass wrote until it let them go are seen here.
FORGET_SCORES = statement(
    text(
        """
        with predicted as (
            delete from customer_predictions g using customers c
            where g.shop_id = :shop_id and c.shop_id = :shop_id and c.id = g.customer_id and c.merged_into is not null
                and (cast(:customer_ids as bigint[]) is null or g.customer_id = any(cast(:customer_ids as bigint[])))
        )
        delete from customer_scores k using customers c
        where k.shop_id = :shop_id and c.shop_id = :shop_id and c.id = k.customer_id and c.merged_into is not null
            and (cast(:customer_ids as bigint[]) is null or k.customer_id = any(cast(:customer_ids as bigint[])))
        """
    )
)


def _last(of: str) -> str:
    return f"""
        left join lateral (
            select h.to_{of} as {of} from {of}_changes h
            where h.shop_id = :shop_id and h.customer_id = c.id and h.origin_customer_id = c.id
            order by h.changed_at desc, h.id desc limit 1
        ) last_{of} on true
    """  # noqa: S608 names of our own


REMEMBER = statement(
    text(
        f"""
        insert into customer_scores (shop_id, customer_id, tier, stage, created_at)
        select :shop_id, c.id, last_tier.tier, last_stage.stage, c.created_at
        from customers c {_last("tier")} {_last("stage")}
        where c.shop_id = :shop_id and c.id = any(cast(:customer_ids as bigint[])) and c.merged_into is null
            and (last_tier.tier is not null or last_stage.stage is not null)
            and not exists (select from customer_scores k where k.shop_id = :shop_id and k.customer_id = c.id)
        order by c.id
        on conflict do nothing
        """  # noqa: S608 names of our own
    )
)
LOCK_FREE = statement(
    text(
        """
        select customer_id from customer_stats
        where shop_id = :shop_id and customer_id = any(cast(:customer_ids as bigint[]))
        order by customer_id for update skip locked
        """
    )
)
LOCK = statement(
    text(
        """
        select customer_id from customer_stats
        where shop_id = :shop_id and customer_id = any(cast(:customer_ids as bigint[]))
        order by customer_id for update
        """
    )
)
KNOWN = statement(
    text(
        """
        select customer_id from customer_stats
        where shop_id = :shop_id and customer_id = any(cast(:customer_ids as bigint[]))
        """
    )
)


def mark(changed: str) -> str:
    """SQL that has those looked at again whose figures a run has changed, where `:mark` says so: rules ask for them."""
    return f"""
        insert into customer_changes (shop_id, customer_id, cause, changed_at)
        select :shop_id, customer_id, '{RUN}', :moment from {changed} where cast(:mark as boolean)
    """  # noqa: S608 names of our own


UPDATE_STATS = statement(
    text(
        f"""
        with {_WHO}, {FACTS}, changed as (
            update customer_stats s set {", ".join(f"{name} = t.{name}" for name in STATS)}
            from facts t
            where s.shop_id = :shop_id and s.customer_id = t.customer_id
                and ({of("s", STATS)}) is distinct from ({of("t", STATS)})
            returning s.customer_id
        ),
        marked as ({mark("changed")})
        select count(*) from changed
        """  # noqa: S608 column names of our own
    )
)


def _log(of: str) -> str:
    return f"""
        logged_{of} as (
            insert into {of}_changes
                (shop_id, customer_id, origin_customer_id, from_{of}, to_{of}, cause, run_id, as_of, changed_at)
            select :shop_id, customer_id, customer_id, from_{of}, {of},
                case when customer_id = any(cast(:by_time as bigint[])) then 'time' else :cause end,
                cast(:run_id as uuid), :as_of, :moment
            from differing where {of} is distinct from from_{of}
        )
    """  # noqa: S608 names of our own


@lru_cache(maxsize=1000)
def update_scores(tier: str) -> Statement:
    """Scores of customers whose stats rows are held, by a tier definition's SQL. Gives how many changed tier.

    Nobody else writes these scores: what differs is what will have changed. A change of tier is a row and a fact, one
    of stage a row; who was merged meanwhile has none.
    """
    measured = """
        who
        join customer_stats s on s.shop_id = :shop_id and s.customer_id = who.customer_id
        join customers c on c.shop_id = :shop_id and c.id = who.customer_id and c.merged_into is null
        left join run on true
        left join customer_predictions g on g.shop_id = :shop_id and g.customer_id = who.customer_id
    """
    return statement(
        text(
            f"""
            with {_WHO},
            run as (select * from score_runs where shop_id = :shop_id and id = cast(:run_id as uuid)),
            computed as ({computed(tier, stats=measured, kept="s.customer_id, c.created_at,")}),
            differing as materialized (
                select t.*, k.tier as from_tier, k.stage as from_stage
                from computed t
                left join customer_scores k on k.shop_id = :shop_id and k.customer_id = t.customer_id
                where k.customer_id is null or ({of("k", SCORED)}) is distinct from ({of("t", SCORED)})
            ),
            written as (
                insert into customer_scores (shop_id, customer_id, run_id, created_at, {_SCORED})
                select :shop_id, customer_id, cast(:run_id as uuid), created_at, {_SCORED} from differing
                order by customer_id
                on conflict (shop_id, customer_id) do update set
                    run_id = excluded.run_id, {", ".join(f"{name} = excluded.{name}" for name in SCORED)}
            ),
            {_log("tier")}, {_log("stage")},
            told as (
                insert into domain_events (shop_id, id, kind, customer_id, data, occurred_at)
                select :shop_id, kehu_new_id(), :kind, customer_id,
                    jsonb_build_object(
                        'customer_id', customer_id, 'from', from_tier, 'to', tier, 'as_of', cast(:as_of as date),
                        'run_id', cast(:run_id as uuid)
                    ),
                    :moment
                from differing where tier is distinct from from_tier
            ),
            marked as ({mark("differing")})
            select count(*) from differing where tier is distinct from from_tier
            """  # noqa: S608 names of our own
        )
    )


SNAPSHOT_STATS = statement(
    text(
        f"""
        with {_WHO}, {FACTS}
        insert into score_snapshots (shop_id, run_id, customer_id, {_STATS})
        select :shop_id, :run_id, customer_id, {_STATS} from facts where since_on < :as_of
        on conflict do nothing
        """  # noqa: S608 column names of our own
    )
)


@lru_cache(maxsize=1000)
def snapshot_scores(tier: str) -> Statement:
    """Scores of an as-of run's own rows, by a tier definition's SQL."""
    measured = f"""
        who
        join (
            select customer_id, {_STATS}, p_alive from score_snapshots
            where shop_id = :shop_id and run_id = :run_id and customer_id between :first_id and :last_id
        ) s on s.customer_id = who.customer_id
        join customers c on c.shop_id = :shop_id and c.id = who.customer_id and c.id between :first_id and :last_id
        join score_runs run on run.shop_id = :shop_id and run.id = :run_id
        cross join lateral (select s.p_alive) g
    """  # noqa: S608 column names of our own
    shown = [name for name in SCORED if name != "cycle_turns_on"]
    return statement(
        text(
            f"""
            with {_WHO}, computed as ({computed(tier, stats=measured, kept="s.customer_id,")})
            update score_snapshots s set {", ".join(f"{name} = t.{name}" for name in shown)}
            from computed t
            where s.shop_id = :shop_id and s.run_id = :run_id and s.customer_id = t.customer_id
                and s.customer_id between :first_id and :last_id
            """  # noqa: S608 column names of our own
        )
    )


NEXT_CUSTOMERS = statement(
    select(customers.c.id)
    .where(customers.c.shop_id == p("shop_id"), customers.c.id > p("after"), customers.c.merged_into.is_(None))
    .order_by(customers.c.id)
    .limit(p("limit"))
)
COUNT_CUSTOMERS = statement(
    select(func.count())
    .select_from(customers)
    .where(customers.c.shop_id == p("shop_id"), customers.c.merged_into.is_(None))
)
# A plan made for any array is made for ten, and compares what it made of each with all; so many deserve their own, and
# room to sort in memory. Told what a disk of today costs, it looks customers up and does not read the whole shop for
# them. To remember what was looked up is of no use: each order is asked for once.
PLAN_FOR_MANY = statement(
    text(
        """
        select set_config('plan_cache_mode', 'force_custom_plan', true), set_config('work_mem', '32MB', true),
               set_config('random_page_cost', '1.1', true), set_config('enable_memoize', 'off', true)
        """
    )
)

# Whoever looks at everybody at once hashes and sorts whole columns.
PLAN_FOR_EVERYBODY = statement(
    text("select set_config('plan_cache_mode', 'force_custom_plan', true), set_config('work_mem', '64MB', true)")
)


async def ensure_stats(db: Connection, shop_id: int, customer_ids: Sequence[int], zone: str) -> None:
    """Give each customer a stats row."""
    added = await db.fetch_value(ENSURE, shop_id=shop_id, customer_ids=list(customer_ids), zone=zone)
    if added:
        await db.execute(REMEMBER, shop_id=shop_id, customer_ids=list(customer_ids))
    await _count_in(db, shop_id, added)


async def forget_merged(db: Connection, shop_id: int, customer_ids: Sequence[int] | None = None) -> None:
    """Take away the stats and scores of who is merged into another; of anybody in the shop, where nobody is named."""
    who = {"shop_id": shop_id, "customer_ids": None if customer_ids is None else list(customer_ids)}
    gone = await db.fetch_value(FORGET, **who)
    await db.execute(FORGET_SCORES, **who)
    await _count_in(db, shop_id, -gone)


async def add_stats(db: Connection, shop_id: int, **measured: Any) -> None:
    """Measure customers who have no stats row, and give them one."""
    added = await db.fetch_value(ADD_STATS, shop_id=shop_id, **measured)
    if added:
        await db.execute(REMEMBER, shop_id=shop_id, customer_ids=measured["customer_ids"])
    await _count_in(db, shop_id, added)


async def _count_in(db: Connection, shop_id: int, added: int) -> None:
    if added:
        await db.execute(COUNT_IN, shop_id=shop_id, added=added)


async def lock(db: Connection, shop_id: int, customer_ids: Sequence[int], *, wait: bool) -> list[int]:
    """Lock the stats rows that there are, in id order; those that others hold are waited for or left out."""
    rows = await db.fetch(LOCK if wait else LOCK_FREE, shop_id=shop_id, customer_ids=list(customer_ids))
    return [row["customer_id"] for row in rows]


async def known(db: Connection, shop_id: int, customer_ids: Sequence[int]) -> set[int]:
    """Which of them have a stats row."""
    rows = await db.fetch(KNOWN, shop_id=shop_id, customer_ids=list(customer_ids)) if customer_ids else []
    return {row["customer_id"] for row in rows}

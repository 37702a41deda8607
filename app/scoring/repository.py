"""The scoring room's SQL: sets of customers in, only rows that change are written."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import bindparam as p
from sqlalchemy import func, select, text

from app.core.db import Connection, statement
from app.customers.models import customers
from app.scoring.formulas import CUT_POINTS, CUTS, FACTS, SCORE_ROW, SCORES, STATS
from app.scoring.models import score_runs, tier_changes

_STATS: Final = ", ".join(STATS)
_SCORES: Final = ", ".join(SCORES)
# Whoever is measured is named one by one, and by the range from the first to the last of them: without the range the
# planner would rather read a whole shop than ten thousand places of an index, once for every chunk.
_WHO: Final = "who as (select unnest(cast(:customer_ids as bigint[])) as customer_id)"


def _of(alias: str, names: Sequence[str]) -> str:
    return ", ".join(f"{alias}.{name}" for name in names)


# The stats row is the mutex of one customer's scores, so a refresh makes it before it computes anything. The customer
# is held, so that nobody is merged meanwhile: who is has no stats.
ENSURE = statement(
    text(
        f"""
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
            insert into customer_stats (shop_id, customer_id, {_STATS})
            select :shop_id, id, (created_at at time zone :zone)::date, 0, 0, 0, 0, 0, 0, null, null
            from fresh order by id
            on conflict do nothing returning 1
        )
        select count(*) from added
        """  # noqa: S608 column names of our own
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
# Who is merged has no stats and no scores of their own. Whoever is taken out of a merge has the tier of the last
# change again, so that being computed anew is no change.
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
        delete from customer_scores k using customers c
        where k.shop_id = :shop_id and c.shop_id = :shop_id and c.id = k.customer_id and c.merged_into is not null
            and (cast(:customer_ids as bigint[]) is null or k.customer_id = any(cast(:customer_ids as bigint[])))
        """
    )
)
REMEMBER_TIERS = statement(
    text(
        """
        insert into customer_scores (shop_id, customer_id, tier, created_at)
        select :shop_id, c.id, last.to_tier, c.created_at
        from customers c
        join lateral (
            select t.to_tier from tier_changes t
            where t.shop_id = :shop_id and t.customer_id = c.id and t.origin_customer_id = c.id
            order by t.changed_at desc, t.id desc limit 1
        ) last on true
        where c.shop_id = :shop_id and c.id = any(cast(:customer_ids as bigint[])) and c.merged_into is null
            and not exists (select from customer_scores k where k.shop_id = :shop_id and k.customer_id = c.id)
        order by c.id
        on conflict do nothing
        """
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

UPDATE_STATS = statement(
    text(
        f"""
        with {_WHO}, {FACTS}
        update customer_stats s set {", ".join(f"{name} = t.{name}" for name in STATS)}
        from facts t
        where s.shop_id = :shop_id and s.customer_id = t.customer_id
            and s.customer_id between :first_id and :last_id
            and ({_of("s", STATS)}) is distinct from ({_of("t", STATS)})
        """  # noqa: S608 column names of our own
    )
)
# The stats rows are locked, so nobody else writes these scores: what differs is what will have changed. A change of
# tier is a row and a fact; who was merged meanwhile has none.
UPDATE_SCORES = statement(
    text(
        f"""
        with {_WHO},
        run as (select * from score_runs where shop_id = :shop_id and id = cast(:run_id as uuid)),
        computed as (
            select s.customer_id, c.created_at, {SCORE_ROW}
            from who
            join customer_stats s on s.shop_id = :shop_id and s.customer_id = who.customer_id
                and s.customer_id between :first_id and :last_id
            join customers c on c.shop_id = :shop_id and c.id = who.customer_id
                and c.id between :first_id and :last_id and c.merged_into is null
            left join run on true
        ),
        differing as materialized (
            select t.*, k.tier as from_tier
            from computed t
            left join customer_scores k on k.shop_id = :shop_id and k.customer_id = t.customer_id
                and k.customer_id between :first_id and :last_id
            where k.customer_id is null or ({_of("k", SCORES)}) is distinct from ({_of("t", SCORES)})
        ),
        written as (
            insert into customer_scores (shop_id, customer_id, run_id, created_at, {_SCORES})
            select :shop_id, customer_id, cast(:run_id as uuid), created_at, {_SCORES} from differing
            order by customer_id
            on conflict (shop_id, customer_id) do update set
                run_id = excluded.run_id, {", ".join(f"{name} = excluded.{name}" for name in SCORES)}
        ),
        logged as (
            insert into tier_changes
                (shop_id, customer_id, origin_customer_id, from_tier, to_tier, run_id, as_of, changed_at)
            select :shop_id, customer_id, customer_id, from_tier, tier, cast(:run_id as uuid), :as_of, :moment
            from differing where tier is distinct from from_tier
        ),
        told as (
            insert into domain_events (shop_id, id, kind, customer_id, data, occurred_at)
            select :shop_id, kehu_new_id(), :kind, customer_id,
                jsonb_build_object(
                    'customer_id', customer_id, 'from', from_tier, 'to', tier, 'as_of', cast(:as_of as date),
                    'run_id', cast(:run_id as uuid)
                ),
                :moment
            from differing where tier is distinct from from_tier
        )
        select count(*) from differing where tier is distinct from from_tier
        """  # noqa: S608 column names of our own
    )
)

# The refresh holds the published run, so that no batch writes old cut points over a newer run's.
PUBLISHED_SHARED = statement(
    select(score_runs.c.id, score_runs.c.as_of, score_runs.c.settings)
    .where(score_runs.c.shop_id == p("shop_id"), score_runs.c.state == "published")
    .with_for_update(read=True)
)
PUBLISHED = statement(select(score_runs).where(score_runs.c.shop_id == p("shop_id"), score_runs.c.state == "published"))
GET_RUN = statement(select(score_runs).where(score_runs.c.shop_id == p("shop_id"), score_runs.c.id == p("id")))
LIST_RUNS = statement(
    select(score_runs)
    .where(score_runs.c.shop_id == p("shop_id"), score_runs.c.created_at < p("before"))
    .order_by(score_runs.c.created_at.desc())
    .limit(p("limit"))
)
OPEN_RUN = statement(
    text(
        """
        insert into score_runs (shop_id, id, kind, state, as_of, settings, created_at)
        values (:shop_id, :id, :kind, 'computing', :as_of, :settings, :moment)
        on conflict do nothing
        """
    )
)
RETIRE = statement(
    text("update score_runs set state = 'superseded' where shop_id = :shop_id and state = 'published' and id <> :id")
)


def _close_run(source: str, condition: str, state: str) -> str:
    return f"""
        with cuts as (
            select {CUT_POINTS} from {source} s
            where s.shop_id = :shop_id and s.orders > 0 and s.since_on < :as_of {condition}
        )
        update score_runs set state = '{state}', published_at = :moment, {", ".join(f"{c} = cuts.{c}" for c in CUTS)}
        from cuts where score_runs.shop_id = :shop_id and score_runs.id = :id
    """  # noqa: S608 names of our own


PUBLISH = statement(text(_close_run("customer_stats", "", "published")))
FINISH_AS_OF = statement(text(_close_run("score_snapshots", "and s.run_id = :id", "done")))

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
SNAPSHOT_SCORES = statement(
    text(
        f"""
        with {_WHO}, computed as (
            select s.customer_id, {SCORE_ROW}
            from who
            join score_snapshots s on s.shop_id = :shop_id and s.run_id = :run_id and s.customer_id = who.customer_id
                and s.customer_id between :first_id and :last_id
            join score_runs run on run.shop_id = :shop_id and run.id = :run_id
        )
        update score_snapshots s set {", ".join(f"{name} = t.{name}" for name in SCORES)}
        from computed t
        where s.shop_id = :shop_id and s.run_id = :run_id and s.customer_id = t.customer_id
            and s.customer_id between :first_id and :last_id
        """  # noqa: S608 column names of our own
    )
)
COUNT_STATS = statement(text("select count(*) from customer_stats where shop_id = :shop_id"))

SCORES_OF = statement(
    text(
        f"""
        select c.id as customer_id, {_of("s", STATS)}, {_of("k", SCORES)}, k.run_id
        from customers c
        left join customer_stats s on s.shop_id = c.shop_id and s.customer_id = c.id
        left join customer_scores k on k.shop_id = c.shop_id and k.customer_id = c.id
        where c.shop_id = :shop_id and c.id = :customer_id
        """  # noqa: S608 column names of our own
    )
)
TIER_HISTORY = statement(
    select(
        tier_changes.c.from_tier,
        tier_changes.c.to_tier,
        tier_changes.c.run_id,
        tier_changes.c.as_of,
        tier_changes.c.changed_at,
    )
    .where(tier_changes.c.shop_id == p("shop_id"), tier_changes.c.customer_id == p("customer_id"))
    .order_by(tier_changes.c.changed_at.desc(), tier_changes.c.id.desc())
    .limit(p("limit"))
)

_EXTERNAL: Final = """
    left join lateral (
        select i.value, i.origin_customer_id, key.wrapped from identities i
        join vault.person_keys key on key.shop_id = i.shop_id and key.customer_id = i.origin_customer_id
        where i.shop_id = s.shop_id and i.customer_id = s.customer_id and i.kind = 'external_id'
        order by i.first_seen_at, i.value_hash limit 1
    ) e on true
"""
EXPORT_LIVE = statement(
    text(
        f"""
        select s.customer_id, {_of("s", STATS)}, {_of("k", SCORES)}, e.value, e.origin_customer_id, e.wrapped
        from customer_stats s
        join customers c on c.shop_id = s.shop_id and c.id = s.customer_id and c.merged_into is null
        left join customer_scores k on k.shop_id = s.shop_id and k.customer_id = s.customer_id
        {_EXTERNAL}
        where s.shop_id = :shop_id and s.since_on < :as_of order by s.customer_id
        """  # noqa: S608 column names of our own
    )
)
EXPORT_RUN = statement(
    text(
        f"""
        select s.customer_id, {_of("s", STATS)}, {_of("s", SCORES)}, e.value, e.origin_customer_id, e.wrapped
        from score_snapshots s {_EXTERNAL}
        where s.shop_id = :shop_id and s.run_id = :run_id order by s.customer_id
        """  # noqa: S608 column names of our own
    )
)
# A plan made for any array is made for ten; a chunk of ten thousand deserves its own, and room to sort in memory.
PLAN_FOR_MANY = statement(
    text("select set_config('plan_cache_mode', 'force_custom_plan', true), set_config('work_mem', '32MB', true)")
)


async def ensure_stats(db: Connection, shop_id: int, customer_ids: Sequence[int], zone: str) -> None:
    """Give each customer a stats row."""
    added = await db.fetch_value(ENSURE, shop_id=shop_id, customer_ids=list(customer_ids), zone=zone)
    if added:
        await db.execute(REMEMBER_TIERS, shop_id=shop_id, customer_ids=list(customer_ids))
    await _count_in(db, shop_id, added)


async def forget_merged(db: Connection, shop_id: int, customer_ids: Sequence[int] | None = None) -> None:
    """Take away the stats and scores of who is merged into another; of anybody in the shop, where nobody is named."""
    who = {"shop_id": shop_id, "customer_ids": None if customer_ids is None else list(customer_ids)}
    gone = await db.fetch_value(FORGET, **who)
    await db.execute(FORGET_SCORES, **who)
    await _count_in(db, shop_id, -gone)


async def add_stats(db: Connection, shop_id: int, **measured: Any) -> None:
    """Measure customers who have no stats row, and give them one."""
    await _count_in(db, shop_id, await db.fetch_value(ADD_STATS, shop_id=shop_id, **measured))


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

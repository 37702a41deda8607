"""Full runs and the day that live scores stand at: rows that the refresh holds while it writes."""

from collections.abc import Mapping
from datetime import date
from typing import Any, Final

from sqlalchemy import bindparam as p
from sqlalchemy import select, text

from app.core.db import Connection, statement
from app.scoring.models import score_clocks, score_models, score_runs

KEEP_DAYS: Final = 30  # how long the rows of an as-of run can be read
RUNS_BELL: Final = "runs"
MEASURES: Final = (
    "tier_values",
    "recency_cuts",
    "orders_cuts",
    "amount_cuts",
    "recency_split",
    "orders_split",
    "amount_split",
    "cycle_days",
    "category_cycles",
    "cycle_ratios",
    "item_price_cut_fen",
    "second_within_days",
    "second_signals",
    "second_report",
    "scored",
)

_TURN: Final = "hashint8extended(cast(:shop_id as bigint), 1)"
# The refresh holds the clock and the published run, so that no batch writes as of an earlier day over what a sweep has
# marked, or old cut points over a newer run's. Those rows decide; but who wants one alone could wait for ever while
# others share it one after the other. So all of them stand in a queue first, which is fair.
CLOCK_SHARED = statement(
    text(
        f"""
        with turn as materialized (select pg_advisory_xact_lock_shared({_TURN}))
        select k.swept_to from turn cross join score_clocks k where k.shop_id = :shop_id for share of k
        """  # noqa: S608 names of our own
    )
)
TAKE_TURN = statement(text(f"select pg_advisory_xact_lock({_TURN})"))
CLOCK_HELD = statement(select(score_clocks.c.swept_to).where(score_clocks.c.shop_id == p("shop_id")).with_for_update())
CLOCK = statement(select(score_clocks.c.swept_to).where(score_clocks.c.shop_id == p("shop_id")))
START_CLOCK = statement(
    text("insert into score_clocks (shop_id, swept_to) values (:shop_id, :day) on conflict do nothing")
)
SET_CLOCK = statement(text("update score_clocks set swept_to = :day where shop_id = :shop_id"))
PUBLISHED_SHARED = statement(
    text(
        """
        select r.*, (select m.fit from score_models m where m.shop_id = r.shop_id and m.run_id = r.id) as fit
        from score_runs r where r.shop_id = :shop_id and r.state = 'published' for share of r
        """
    )
)
PUBLISHED = statement(select(score_runs).where(score_runs.c.shop_id == p("shop_id"), score_runs.c.state == "published"))
GET_RUN = statement(select(score_runs).where(score_runs.c.shop_id == p("shop_id"), score_runs.c.id == p("id")))
LIST_RUNS = statement(
    select(score_runs)
    .where(score_runs.c.shop_id == p("shop_id"), score_runs.c.created_at < p("before"))
    .order_by(score_runs.c.created_at.desc())
    .limit(p("limit"))
)
MODEL_OF = statement(
    select(score_models).where(score_models.c.shop_id == p("shop_id"), score_models.c.run_id == p("id"))
)
OPEN_RUN = statement(
    text(
        """
        insert into score_runs (shop_id, id, kind, state, as_of, settings, tiers, tiers_version, created_at)
        values (:shop_id, :id, :kind, 'computing', :as_of, :settings, :tiers, :tiers_version, :moment)
        on conflict do nothing
        """
    )
)
RETIRE = statement(
    text("update score_runs set state = 'superseded' where shop_id = :shop_id and state = 'published' and id <> :id")
)
FAIL = statement(
    text("update score_runs set state = 'failed' where shop_id = :shop_id and id = :id and state = 'computing'")
)
CLOSE = statement(
    text(
        f"""
        update score_runs set state = :state, published_at = :moment, {", ".join(f"{c} = :{c}" for c in MEASURES)}
        where shop_id = :shop_id and id = :id
        """  # noqa: S608 column names of our own
    )
)
PUT_MODEL = statement(
    text(
        """
        insert into score_models (shop_id, run_id, fitted_to, fit, optimum, declined, backtest, created_at)
        values (:shop_id, :id, :fitted_to, :fit, :optimum, :declined, :backtest, :moment)
        on conflict (shop_id, run_id) do update set fitted_to = excluded.fitted_to, fit = excluded.fit,
            optimum = excluded.optimum, declined = excluded.declined, backtest = excluded.backtest
        """
    )
)
# Rows of an as-of run are as many as customers, so a run is kept for some days; what it measured stays.
HAS_OLD = statement(
    text(
        f"""
        select exists (
            select from score_runs
            where shop_id = :shop_id and kind = 'as_of'
                and (state = 'forgetting' or state = 'done' and published_at < now() - interval '{KEEP_DAYS} days')
        )
        """  # noqa: S608 a number of our own
    )
)
RETIRE_OLD = statement(
    text(
        f"""
        update score_runs set state = 'forgetting'
        where shop_id = :shop_id and kind = 'as_of' and state = 'done'
            and published_at < now() - interval '{KEEP_DAYS} days'
        """  # noqa: S608 a number of our own
    )
)
FORGET_ROWS = statement(
    text(
        """
        delete from score_snapshots s
        where s.shop_id = :shop_id and (s.run_id, s.customer_id) in (
            select o.run_id, o.customer_id from score_snapshots o
            where o.shop_id = :shop_id and o.run_id = (
                select id from score_runs where shop_id = :shop_id and state = 'forgetting' order by created_at limit 1
            )
            order by o.customer_id limit :limit
        )
        """
    )
)
FORGOTTEN = statement(
    text(
        """
        update score_runs r set state = 'forgotten'
        where r.shop_id = :shop_id and r.state = 'forgetting'
            and not exists (select from score_snapshots s where s.shop_id = r.shop_id and s.run_id = r.id)
        """
    )
)
COUNT_TIERS = statement(
    text(
        """
        update score_runs r set shares = (
            select coalesce(jsonb_object_agg(tier, n), '{}'::jsonb) from (
                select k.tier, count(*) as n from customer_scores k
                where k.shop_id = :shop_id and k.tier is not null group by k.tier
            ) each_tier
        )
        where r.shop_id = :shop_id and r.id = :id and r.state = 'published'
        """
    )
)
COUNT_SNAPSHOT_TIERS = statement(
    text(
        """
        update score_runs r set shares = (
            select coalesce(jsonb_object_agg(tier, n), '{}'::jsonb) from (
                select s.tier, count(*) as n from score_snapshots s
                where s.shop_id = :shop_id and s.run_id = :id and s.tier is not null group by s.tier
            ) each_tier
        )
        where r.shop_id = :shop_id and r.id = :id
        """
    )
)


async def take_clock(db: Connection, shop_id: int, day: date) -> date:
    """Hold the shop's clock alone, which stands at `day` if there has been none. Returns where it stands.

    Whoever measures has committed by then, and nobody begins until this transaction ends.
    """
    await db.execute(TAKE_TURN, shop_id=shop_id)
    await db.execute(START_CLOCK, shop_id=shop_id, day=day)
    stands: date = await db.fetch_value(CLOCK_HELD, shop_id=shop_id)
    return stands


async def close(db: Connection, shop_id: int, run_id: Any, state: str, moment: Any, found: Mapping[str, Any]) -> None:
    """Write down what a run has measured. `found`: a value for each of MEASURES."""
    await db.execute(CLOSE, shop_id=shop_id, id=run_id, state=state, moment=moment, **{n: found[n] for n in MEASURES})


async def forget_old(db: Connection, shop_id: int, limit: int) -> int:
    """Drop some rows of as-of runs whose days are over. Returns how many; 0 when there are none left."""
    await db.execute(RETIRE_OLD, shop_id=shop_id)
    gone = await db.execute(FORGET_ROWS, shop_id=shop_id, limit=limit)
    if gone < limit:
        await db.execute(FORGOTTEN, shop_id=shop_id)
    return gone

"""What a full run measures of everybody before it scores anybody: cut points, splits, cycles, signals.

Every statement reads rows of stats, which are the live ones or those that an as-of run has written for itself.
"""

from functools import lru_cache
from typing import Any, Final

from sqlalchemy import text

from app.core.db import Connection, Row, Statement, statement
from app.scoring.facts import SIGNALS
from app.scoring.judging import ITEM_PRICE, RECENCY, F, M, R
from app.scoring.tiers import compiling
from app.scoring.tiers.definition import Definition

LIVE: Final = "customer_stats s", ""
SNAPSHOT: Final = "score_snapshots s", "and s.run_id = :run_id"
Source = tuple[str, str]

# A fallback that moved by less stays as the run before had it: a night's noise would otherwise turn many rows' dates.
_STEADY: Final = 0.05
_MOST_CATEGORIES: Final = 200
_MOST_CYCLES: Final = 20_000
_SIGNALS: Final = ", ".join(f"'{kind}'" for kind in SIGNALS)
_MOST_SIGNALS: Final = 3
_LEAST_FLAGGED: Final = 30
_LEAST_SECOND: Final = 30
_SECOND_DAYS: Final = 90  # the window of a shop that has seen fewer second purchases

_BUYERS: Final = "s.shop_id = :shop_id and s.orders > 0 and s.since_on < :as_of"


def _quintiles(value: str) -> str:
    return f"percentile_cont(array[0.2, 0.4, 0.6, 0.8]) within group (order by {value})"


def _fifths(value: str, alias: str) -> str:
    """Per distinct value: how many customers have it or a smaller one, how many a larger one or it, and all."""
    return f"""
        {alias} as (
            select value, sum(n) over (order by value) as upto, sum(n) over (order by value desc) as downto,
                   sum(n) over () as total
            from (select {value} as value, count(*) as n from buyers s group by 1) each_value
        )
    """  # noqa: S608 terms of our own


def _upto(alias: str) -> str:
    """The score is 1 + the cut points below the value: the k-th is the largest value that k fifths do not exceed."""
    return f"""
        array(select coalesce((select max(value) from {alias} where upto * 5 <= k * total), '-Infinity'::float8)
              from generate_series(1, 4) k order by k)::float8[]
    """  # noqa: S608 terms of our own


# By recency the more recent are the better, so the fifths are counted from the far end; whole days, so that "from this
# day on" is "above the day before".
_DOWNTO: Final = """
    array(select coalesce((select min(value) - 1 from recencies where downto * 5 <= k * total), 'Infinity'::float8)
          from generate_series(1, 4) k order by k desc)::float8[]
"""


def _cuts(source: Source, method: str) -> Statement:
    table, of_run = source
    buyers = f"buyers as (select s.* from {table} where {_BUYERS} {of_run})"  # noqa: S608 as below
    if method == "cume_dist":
        steps = [_fifths(RECENCY, "recencies"), _fifths("s.orders", "counts"), _fifths("s.net_fen", "amounts")]
        cuts = _DOWNTO, _upto("counts"), _upto("amounts")
    else:
        steps, cuts = [], (_quintiles(RECENCY), _quintiles("s.orders"), _quintiles("s.net_fen"))
    return statement(
        text(
            f"""
            with {", ".join([buyers, *steps])}
            select {cuts[0]} as recency_cuts, {cuts[1]} as orders_cuts, {cuts[2]} as amount_cuts,
                   avg{RECENCY}::float8 as recency_mean, avg(s.orders)::float8 as orders_mean,
                   avg(s.net_fen)::float8 as amount_mean,
                   percentile_cont(0.5) within group (order by {RECENCY}) as recency_median,
                   percentile_cont(0.5) within group (order by s.orders) as orders_median,
                   percentile_cont(0.5) within group (order by s.net_fen) as amount_median,
                   percentile_cont(1 - cast(:quality_share as float8)) within group (order by {ITEM_PRICE})
                       filter (where s.items > 0) as item_price_cut_fen,
                   percentile_cont(0.5) within group (order by s.gap_median_days) as cycle_days,
                   percentile_cont(0.8) within group (order by s.second_on - s.first_on) as second_within,
                   count(s.second_on) as second_purchases,
                   count(*) as scored
            from buyers s
            """  # noqa: S608 terms of our own, values stay bound
        )
    )


def _score_means(source: Source) -> Statement:
    table, of_run = source
    return statement(
        text(
            f"""
            with run as (
                select cast(:recency_cuts as float8[]) as recency_cuts, cast(:orders_cuts as float8[]) as orders_cuts,
                       cast(:amount_cuts as float8[]) as amount_cuts
            )
            select avg({R})::float8 as recency, avg({F})::float8 as orders, avg({M})::float8 as amount
            from {table} cross join run where {_BUYERS} {of_run}
            """  # noqa: S608 as above
        )
    )


@lru_cache(maxsize=1000)
def _tier_values(source: Source, values: str) -> Statement:
    table, of_run = source
    return statement(
        text(
            f"""
            select {values} from {table} join customers c on c.shop_id = s.shop_id and c.id = s.customer_id
            where s.shop_id = :shop_id and s.since_on < :as_of and c.merged_into is null {of_run}
            """  # noqa: S608 as above
        )
    )


def _category_cycles(source: Source) -> Statement:
    table, of_run = source
    return statement(
        text(
            f"""
            select s.top_categories[1] as category,
                   percentile_cont(0.5) within group (order by s.gap_median_days) as cycle_days
            from {table}
            where {_BUYERS} {of_run} and s.gap_median_days is not null and s.top_categories is not null
            group by 1 having count(*) >= :category_customers
            order by count(*) desc, 1 limit {_MOST_CATEGORIES}
            """  # noqa: S608 as above
        )
    )


def _cycle_ratios(source: Source) -> Statement:
    """How far gaps lie from their customer's median, of a sample of those who have a cycle of their own."""
    table, of_run = source
    return statement(
        text(
            f"""
            with cycles as (
                select s.customer_id, s.gap_median_days from {table}
                where {_BUYERS} {of_run} and s.purchase_days >= :own_purchase_days and s.gap_median_days > 0
                order by s.customer_id limit {_MOST_CYCLES}
            ),
            days as (
                select distinct o.customer_id, (o.paid_at at time zone :zone)::date as day
                from cycles c join orders o on o.shop_id = :shop_id and o.customer_id = c.customer_id
                where o.paid_at < :before and o.status <> 'closed'
            )
            select percentile_cont(array[0.2, 0.5, 0.8]) within group (order by g.gap / c.gap_median_days) as ratios
            from (
                select customer_id, day - lag(day) over (partition by customer_id order by day) as gap from days
            ) g join cycles c on c.customer_id = g.customer_id
            where g.gap is not null
            """  # noqa: S608 as above
        )
    )


def _second_purchases(source: Source) -> Statement:
    """Who had bought once `within` days ago, by the signals they had given by then, and who of them came back since."""
    table, of_run = source
    flagged = ", ".join(
        f"count(*) filter (where signals >= {n}) as flagged_{n}, "
        f"count(*) filter (where signals >= {n} and came_back) as hits_{n}"
        for n in range(1, _MOST_SIGNALS + 1)
    )
    return statement(
        text(
            f"""
            with once as (
                select s.customer_id, s.first_on, s.second_on is not null and s.second_on < :as_of as came_back
                from {table}
                where {_BUYERS} {of_run}
                    and s.first_on >= cast(:then as date) - cast(:within as integer) and s.first_on < :then
                    and (s.second_on is null or s.second_on >= :then)
            ),
            given as (
                select e.customer_id, count(*) as signals
                from once o join events e on e.shop_id = :shop_id and e.customer_id = o.customer_id
                where e.occurred_at >= :events_from and e.occurred_at < :events_before
                    and (e.occurred_at at time zone :zone)::date > o.first_on
                    and cast(:kinds as jsonb) ->> e.type in ({_SIGNALS})
                group by e.customer_id
            )
            select count(*) as customers, count(*) filter (where came_back) as bought_again, {flagged}
            from (
                select o.came_back, coalesce(g.signals, 0) as signals
                from once o left join given g on g.customer_id = o.customer_id
            ) seen
            """  # noqa: S608 as above
        )
    )


_CUTS: Final = {(kind, how): _cuts(kind, how) for kind in (LIVE, SNAPSHOT) for how in ("cut_points", "cume_dist")}
_SCORE_MEANS: Final = {kind: _score_means(kind) for kind in (LIVE, SNAPSHOT)}
_CATEGORY_CYCLES: Final = {kind: _category_cycles(kind) for kind in (LIVE, SNAPSHOT)}
_CYCLE_RATIOS: Final = {kind: _cycle_ratios(kind) for kind in (LIVE, SNAPSHOT)}
_SECOND: Final = {kind: _second_purchases(kind) for kind in (LIVE, SNAPSHOT)}


async def cuts(db: Connection, source: Source, *, method: str, types_by: str, **scope: Any) -> dict[str, Any]:
    """Cut points, splits between high and low, and the shop's medians, as columns of the run.

    `scope`: shop_id, as_of, quality_share, and the run_id of a snapshot.
    """
    row = await db.fetch_one(_CUTS[source, method], **scope)
    assert row is not None  # noqa: S101 aggregates always give a row
    found = dict(row)
    splits = {name: found.pop(f"{name}_mean") for name in ("recency", "orders", "amount")}
    medians = {name: found.pop(f"{name}_median") for name in splits}
    if types_by == "median":
        splits = medians
    elif types_by == "score" and found["scored"]:
        where = {name: value for name, value in scope.items() if name != "quality_share"}
        measured = {name: found[name] for name in ("recency_cuts", "orders_cuts", "amount_cuts")}
        means = await db.fetch_one(_SCORE_MEANS[source], **where, **measured)
        assert means is not None  # noqa: S101 as above
        splits = dict(means)
    second_within, seen = found.pop("second_within"), found.pop("second_purchases")
    found["second_within_days"] = _SECOND_DAYS if seen < _LEAST_SECOND else max(int(-(-second_within // 1)), 1)
    return found | {f"{name}_split": value for name, value in splits.items()}


async def tier_values(db: Connection, source: Source, definition: Definition, **scope: Any) -> list[float | None]:
    """What the conditions of a definition compare with, top shares resolved. `scope`: shop_id, as_of, a run_id."""
    query = _tier_values(source, compiling.values_sql(definition))
    found: list[float | None] = await db.fetch_value(query, tier_asked=compiling.asked(definition), **scope)
    return found


async def category_cycles(db: Connection, source: Source, **scope: Any) -> dict[str, float]:
    """Category to the median cycle of who spends most on it. `scope`: as of `cuts`, with category_customers."""
    rows = await db.fetch(_CATEGORY_CYCLES[source], **scope)
    return {row["category"]: row["cycle_days"] for row in rows}


async def cycle_ratios(db: Connection, source: Source, **scope: Any) -> list[float] | None:
    """q20, q50 and q80 of gaps over their customer's median. `scope`: as of `cuts`, own_purchase_days, zone, before."""
    found: list[float] | None = await db.fetch_value(_CYCLE_RATIOS[source], **scope)
    return found


def steady(former: Row | None, cycle_days: float | None, by_category: dict[str, float]) -> dict[str, Any]:
    """The cycles in use: as the former run had them where they have hardly moved since."""
    kept = (former["category_cycles"] or {}) if former else {}
    return {
        "cycle_days": _near(former["cycle_days"] if former else None, cycle_days),
        "category_cycles": {name: _near(kept.get(name), days) for name, days in by_category.items()},
    }


def _near(former: float | None, now: float | None) -> float | None:
    return former if former and now and abs(now - former) <= _STEADY * former else now


async def second_purchases(db: Connection, source: Source, within: int, **scope: Any) -> dict[str, Any]:
    """How many signals tell who will buy a second time, with how often they told it in the shop's own past.

    `scope`: shop_id, as_of, then, events_from, events_before, zone, kinds, and the run_id of a snapshot.
    """
    row = await db.fetch_one(_SECOND[source], within=within, **scope)
    assert row is not None  # noqa: S101 as above
    customers, again = row["customers"], row["bought_again"]
    by_signals = [
        {"signals": n, "flagged": row[f"flagged_{n}"], "bought_again": row[f"hits_{n}"]}
        | {"hit_rate": row[f"hits_{n}"] / row[f"flagged_{n}"] if row[f"flagged_{n}"] else None}
        for n in range(1, _MOST_SIGNALS + 1)
    ]
    sure = [entry for entry in by_signals if entry["flagged"] >= _LEAST_FLAGGED]
    chosen = max(sure, key=lambda entry: (entry["hit_rate"], -entry["signals"]))["signals"] if sure else 1
    report = {
        "as_of": scope["then"].isoformat(),
        "within_days": within,
        "customers": customers,
        "bought_again": again,
        "base_rate": again / customers if customers else None,
        "by_signals": by_signals,
    }
    return {"second_signals": chosen, "second_report": report}

"""The time sweep: when the shop's day changes, the customers whose scores that may change are marked.

Nobody is looked at whom the new day does not concern: for each boundary (a date and a number of days) those are the
customers for whom so many days are over now and were not before, one range of an index.
"""

from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any, Final

from sqlalchemy import text

from app.access.shops import Shop
from app.changes.repository import CHANGES_BELL
from app.core import clock
from app.core.db import Connection, statement
from app.refresh import requests
from app.scoring import boundaries, measuring, runs

_COLUMNS: Final = ("since_on", "active_on", "last_on")  # that have an index; other dates of stats are days of events


def _stats(column: str) -> str:
    return f"""
        select s.customer_id from customer_stats s
        where s.shop_id = :shop_id and s.{column} = any(cast(:{column} as date[]))
    """  # noqa: S608 names of our own


def _facts(table: str, at: str) -> str:
    # In the order of the index, because the planner cannot know how short a time it will be asked for.
    return f"""
        select f.customer_id
        from unnest(cast(:{table}_from as timestamptz[]), cast(:{table}_before as timestamptz[]))
            as passed (began, ended)
        cross join lateral (
            select t.customer_id from {table} t
            where t.shop_id = :shop_id and t.{at} >= passed.began and t.{at} < passed.ended order by t.{at}
        ) f
    """  # noqa: S608 names of our own


_REFUNDED: Final = """
    select o.customer_id from refunds r join orders o on o.shop_id = :shop_id and o.order_no = r.order_no
    where r.shop_id = :shop_id and r.refunded_at >= :day_began and r.refunded_at < :next_began
"""
_TURNED: Final = """
    select k.customer_id from customer_scores k
    where k.shop_id = :shop_id and k.cycle_turns_on > :day and k.cycle_turns_on <= :next_day
"""
_WHO: Final = [_facts("orders", "paid_at"), _facts("events", "occurred_at"), _REFUNDED, _TURNED, *map(_stats, _COLUMNS)]
MARK = statement(
    text(
        f"""
        with turned as ({" union all ".join(_WHO)})
        insert into customer_changes (shop_id, customer_id, cause, changed_at)
        select :shop_id, customer_id, 'time', :moment from (select distinct customer_id from turned) each_one
        """  # noqa: S608 names of our own
    )
)


async def sweep(db: Connection, shop: Shop) -> int:
    """Move the shop's clock to the day that live scores should stand at, and mark whom that concerns. Returns how many.

    The clock is held meanwhile: a refresh that still measures as of the day before has committed by then, and a later
    one measures as of the new day. A shop pinned to an earlier day is measured anew as a whole.
    """
    to = shop.live_as_of()
    if await db.fetch_value(runs.CLOCK, shop_id=shop.id) == to:
        return 0
    day = await runs.take_clock(db, shop.id, to)
    if day > to and shop.pinned_as_of is not None:
        await db.execute(runs.SET_CLOCK, shop_id=shop.id, day=to)
        await requests.rescore(db, shop)
    if day >= to:
        return 0
    yardstick = await measuring.hold_published(db, shop)
    run = await db.fetch_one(runs.PUBLISHED, shop_id=shop.id)
    turning = boundaries.of(yardstick.settings, yardstick.tiers, list(yardstick.tier_values), run)
    by_event = {days for name, days in turning if name not in _COLUMNS}
    await db.execute(runs.SET_CLOCK, shop_id=shop.id, day=to)
    marked = await db.execute(
        MARK,
        shop_id=shop.id,
        day=day,
        next_day=to,
        day_began=clock.day_start(day, shop.zone),
        next_began=clock.day_start(to, shop.zone),
        moment=clock.now(),
        **{name: _dates(day, to, (days for column, days in turning if column == name)) for name in _COLUMNS},
        **_instants(shop, "orders", day, to, boundaries.ORDER_DAYS),
        **_instants(shop, "events", day, to, boundaries.EVENT_DAYS | by_event),
    )
    if marked:
        db.ring(CHANGES_BELL)
    return marked


def _dates(day: date, to: date, lengths: Iterable[int]) -> list[date]:
    """The dates that lay no more than one of the lengths before `day`, and lie further before `to`."""
    passed = range((to - day).days)
    return sorted({day - timedelta(days=days) + timedelta(days=n) for days in lengths for n in passed})


def _instants(shop: Shop, name: str, day: date, to: date, lengths: Iterable[int]) -> dict[str, Any]:
    """The same as spans of time, one for each length."""
    ends = [(day - timedelta(days=days), to - timedelta(days=days)) for days in lengths]
    return {
        f"{name}_from": [clock.day_start(first, shop.zone) for first, _ in ends],
        f"{name}_before": [clock.day_start(last, shop.zone) for _, last in ends],
    }

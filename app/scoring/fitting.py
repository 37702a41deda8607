"""What a run's model is: histories read in one transaction, fitted and tried on the past in a thread."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from sqlalchemy import text

from app.access.settings import ClvSettings
from app.access.shops import Shop
from app.core import clock
from app.core.db import Connection, Row, statement
from app.scoring import predictions
from app.scoring.prediction import bgnbd_likelihood
from app.scoring.prediction.backtest import backtest
from app.scoring.prediction.fit import Floors, fit, settle
from app.scoring.prediction.fitted import Declined, Fit
from app.scoring.prediction.histories import Histories

_WEEK: Final = 7
_LONGEST_HOLDOUT_WEEKS: Final = 52
_SAMPLE: Final = 50_000  # customers whose past the model is tried on

SPAN = statement(
    text(
        """
        select min(o.paid_at) as first_at, count(distinct o.customer_id) as customers
        from orders o where o.shop_id = :shop_id and o.paid_at < :before and o.status <> 'closed'
        """
    )
)
# Of those who had bought by the end of the calibration: their history until then, what they bought after it, and the
# weeks, counted from the cohort's first day, of everything that was not a first purchase.
PAST = statement(
    text(
        """
        with days as (
            select o.customer_id, (o.paid_at at time zone :zone)::date as day
            from orders o
            where o.shop_id = :shop_id and o.paid_at < :before and o.status <> 'closed' and o.customer_id % :step = 0
            group by 1, 2
        ),
        people as (
            select customer_id, min(day) as first_on, count(*) filter (where day <= :known_to) - 1 as x,
                   max(day) filter (where day <= :known_to) as last_on,
                   count(*) filter (where day > :known_to) as bought
            from days group by customer_id having min(day) <= :known_to
        ),
        weeks as (
            select (d.day - (select min(first_on) from people)) / 7 as week, count(*) as n
            from days d join people p on p.customer_id = d.customer_id and d.day > p.first_on group by 1
        )
        select
            (select string_agg(int4send(x::int) || int4send(last_on - first_on)
                               || int4send(cast(:known_to as date) - first_on) || int4send(bought::int), ''::bytea
                               order by customer_id) from people) as people,
            (select string_agg(int4send(week) || int4send(n::int), ''::bytea order by week) from weeks) as weeks
        """
    )
)


@dataclass(frozen=True, slots=True)
class Past:
    """What the model is tried on: a stretch of time that ends with `known_to`, and the one after it."""

    known_to: date
    holdout_days: int
    histories: Histories
    bought: npt.NDArray[np.int32]
    weekly: npt.NDArray[np.int64]
    sampled: int


@dataclass(frozen=True, slots=True)
class Question:
    """Everything that a model is made of."""

    fitted_to: date
    floors: Floors
    histories: Histories
    former: Fit | None
    past: Past | None


@dataclass(frozen=True, slots=True)
class Answer:
    """The fit in use, or None with the reason; and the columns of its row."""

    fit: Fit | None
    row: dict[str, Any]


async def ask(
    db: Connection, shop: Shop, settings: ClvSettings, as_of: date, former: Row | None, run_id: Any
) -> Question:
    """Read what the model of a day needs.

    Args:
        former: the row of the model that was in use before.
        run_id: an as-of run whose own rows are read; None for the live ones.
    """
    fitted_to = as_of - timedelta(days=1)
    return Question(
        fitted_to=fitted_to,
        floors=Floors(customers=settings.least_customers, days=settings.least_days),
        histories=await predictions.everybody(db, shop.id, as_of, fitted_to, run_id),
        former=Fit.from_dict(former["fit"]) if former and former["fit"] else None,
        past=await _past(db, shop, as_of),
    )


async def _past(db: Connection, shop: Shop, as_of: date) -> Past | None:
    before = clock.day_start(as_of, shop.zone)
    span = await db.fetch_one(SPAN, shop_id=shop.id, before=before)
    if span is None or span["first_at"] is None:
        return None
    first_on = span["first_at"].astimezone(shop.zone).date()
    weeks = (as_of - first_on).days // _WEEK
    held_out = min(weeks // 2, _LONGEST_HOLDOUT_WEEKS)
    if held_out == 0:
        return None
    known_to = first_on + timedelta(days=(weeks - held_out) * _WEEK - 1)
    ended = known_to + timedelta(days=held_out * _WEEK + 1)
    step = -(-span["customers"] // _SAMPLE)
    row = await db.fetch_one(
        PAST,
        shop_id=shop.id,
        zone=shop.zone.key,
        before=clock.day_start(ended, shop.zone),
        known_to=known_to,
        step=step,
    )
    if row is None or row["people"] is None:
        return None
    x, t_x, age, bought = np.frombuffer(row["people"], dtype=">i4").reshape(-1, 4).T.astype(np.int32)
    weekly = np.zeros(-(-(int(age.max()) + 1 + held_out * _WEEK) // _WEEK), dtype=np.int64)
    for week, n in np.frombuffer(row["weeks"] or b"", dtype=">i4").reshape(-1, 2):
        weekly[week] = n
    histories = Histories.of(x, t_x, age, np.zeros(len(x)))
    return Past(known_to, held_out * _WEEK, histories, bought, weekly, len(x))


def answer(question: Question) -> Answer:
    """Fit, keep the former parameters where they still hold, try the model on the past. Takes seconds: in a thread."""
    found = fit(question.histories, question.fitted_to, question.floors)
    if isinstance(found, Declined):
        return Answer(None, _row(question, declined={"code": found.code, "detail": found.message}))
    settled = settle(question.former, found, question.histories)
    stored = settled.as_dict()
    row = _row(question, optimum=found.as_dict(), backtest=_tried(question.past))
    if not settled.usable:
        messages = [*settled.purchases_optimum.messages, *settled.spend_optimum.messages]
        return Answer(None, row | {"declined": {"code": "no_optimum", "detail": " ".join(messages)}})
    return Answer(settled, row | {"fit": stored})


def _row(question: Question, **told: Any) -> dict[str, Any]:
    return {"fitted_to": question.fitted_to, "fit": None, "optimum": None, "declined": None, "backtest": None} | told


def _tried(past: Past | None) -> Mapping[str, Any] | None:
    if past is None or not len(past.histories) or not (past.histories.x > 0).any():
        return None
    parameters, found = bgnbd_likelihood.fit(past.histories)
    if not found.converged:
        return {"known_to": past.known_to.isoformat(), "customers": past.sampled, "declined": list(found.messages)}
    tried = asdict(backtest(parameters, past.histories, past.bought, past.holdout_days, past.weekly))
    return {
        "known_to": past.known_to.isoformat(),
        "holdout_days": past.holdout_days,
        "customers": past.sampled,
        "parameters": asdict(parameters),
        **tried,
    }

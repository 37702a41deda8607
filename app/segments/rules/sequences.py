"""Conditions on the order of events and orders, as SQL: one thing after another, or a time that passed without it."""

from typing import Any

from sqlalchemy import ColumnElement, Integer, exists, func, select
from sqlalchemy import literal as bind

from app.segments.rules.facts import Facts, facts, newest_ids
from app.segments.rules.making import Making, Term
from app.segments.rules.tree import Place, SequenceRule
from app.segments.rules.windows import TICK, Sliding


def sequence(making: Making, rule: SequenceRule, _: Place) -> Term:
    """Any of the first that is followed so; without a second, only a first whose time is over."""
    first = facts(making, rule.first, rule.window)
    if rule.at_least is not None and rule.during is not None:
        first = _repeated(making, first, rule.at_least, rule.during)
    followed = _then(making, rule, first) if rule.then is not None else _without(making, rule, first)
    who = select(first.rows.c.customer_id).select_from(first.source).where(*first.terms, followed)
    mine = [*first.terms, followed, first.rows.c.customer_id == making.person.c.id]
    latest = select(func.max(first.at)).select_from(first.source).where(*mine).scalar_subquery()
    return Term(making.is_one_of(who), latest, ids=newest_ids(first, mine))


def _repeated(making: Making, first: Facts, times: int, during: Sliding) -> Facts:
    """Those that were the last of so many within the time."""
    rows = first.rows
    before = func.lag(first.at, bind(times - 1, Integer)).over(
        partition_by=rows.c.customer_id, order_by=(first.at, first.number)
    )
    each = (
        select(rows.c.customer_id, first.at.label("at"), first.number.label("number"), before.label("before"))
        .select_from(first.source)
        .where(*first.terms)
        .subquery()
    )
    return Facts(each, each, each.c.at, each.c.number, [_no_later(each.c.at, each.c.before, during)])


def _then(making: Making, rule: SequenceRule, first: Facts) -> ColumnElement[bool]:
    return exists().where(*_following(making, rule.then, rule.within, first))


def _without(making: Making, rule: SequenceRule, first: Facts) -> Any:
    over = making.instant(lambda moment: moment.now - rule.within.length + TICK)
    followed = exists().where(*_following(making, rule.without, rule.within, first))
    return (first.at < over) & ~followed


def _following(making: Making, step: Any, within: Sliding, first: Facts) -> list[ColumnElement[bool]]:
    later = facts(making, step)
    return [
        *later.terms,
        later.rows.c.customer_id == first.rows.c.customer_id,
        later.at > first.at,
        _no_later(later.at, first.at, within),
    ]


def _no_later(at: ColumnElement[Any], start: ColumnElement[Any], within: Sliding) -> ColumnElement[bool]:
    # In hours, because a day of an interval is as long as the zone's.
    hours = bind(int(within.length.total_seconds()) // 3600, Integer)
    return at <= start + func.make_interval(0, 0, 0, 0, hours)

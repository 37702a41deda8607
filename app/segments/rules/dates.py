"""Conditions on how far a day or an instant lies from now, as SQL."""

from calendar import isleap
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any, Final

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Date,
    FromClause,
    Integer,
    Text,
    and_,
    any_,
    cast,
    exists,
    extract,
    func,
    or_,
    select,
)
from sqlalchemy import literal as bind

from app.attributes.conditions import newest
from app.events.models import events
from app.orders.models import orders
from app.segments.rules.catalogue import DATES
from app.segments.rules.making import Making, Term
from app.segments.rules.tree import DateRule, Place
from app.segments.rules.windows import Ahead, Moment, Window

At = Callable[[Moment], datetime]

COLUMNS: Final = {"registered": "created_at", "member_since": "member_since", "birthday": "birthday"}


def dated(making: Making, rule: DateRule, _: Place) -> Term:
    """A date of the profile, of an attribute, or the first or last of the facts."""
    if rule.attribute is not None:
        return _of_attribute(making, rule, rule.attribute)
    field = rule.field or ""
    if field in COLUMNS:
        value = making.person.c[COLUMNS[field]]
        return Term(_meets(making, rule, value, day=DATES[field].day), value, sure=rule.operator == "known")
    return _of_facts(making, rule, field)


def _of_attribute(making: Making, rule: DateRule, name: str) -> Term:
    declared = making.checked.attributes[name]
    kept, mine = newest(making.shop, making.person.c.id, name)
    value = kept.c[declared.column]
    if rule.operator == "known":
        found = exists().where(*mine, value.is_not(None))
        holds = found if rule.known else ~found
    else:
        holds = exists().where(*mine, _meets(making, rule, value, day=declared.type == "date"))
    return Term(holds, select(value).where(*mine).scalar_subquery())


def _meets(making: Making, rule: DateRule, value: ColumnElement[Any], *, day: bool) -> ColumnElement[bool]:
    if rule.known is not None:
        return value.is_not(None) if rule.known else value.is_(None)
    if rule.anniversary_in_next is not None:
        return _anniversary(making, rule.anniversary_in_next, value if day else day_of(making, value))
    return _on_days(making, rule, value) if day else _at_times(making, rule, value)


def _at_times(making: Making, rule: DateRule, value: ColumnElement[Any]) -> ColumnElement[bool]:
    if rule.older_than is not None:
        return value < making.instant(rule.older_than.latest)
    return and_(value >= making.instant(_start(rule)), value < making.instant(_before(rule)))


def _start(rule: DateRule) -> At:
    return lambda moment: period(rule).span(moment).start


def _before(rule: DateRule) -> At:
    return lambda moment: period(rule).span(moment).before


def period(rule: DateRule) -> Window | Ahead:
    """What a rule asks for that is neither an age nor an anniversary."""
    found = rule.within or rule.in_next
    assert found is not None  # noqa: S101 what is neither has been answered
    return found


def _on_days(making: Making, rule: DateRule, value: ColumnElement[Any]) -> ColumnElement[bool]:
    if rule.older_than is not None:
        return value <= _day(making, rule.older_than.latest_day)
    days = period(rule)
    return and_(
        value >= _day(making, lambda moment: days.days_span(moment).first),
        value <= _day(making, lambda moment: days.days_span(moment).last),
    )


def _day(making: Making, answer: Callable[[Moment], date]) -> ColumnElement[Any]:
    return making.ask("day", Date(), lambda asking: answer(asking.moment))


def day_of(making: Making, value: ColumnElement[Any]) -> ColumnElement[Any]:
    """The shop's day of an instant."""
    zone = making.ask("zone", Text(), lambda asking: asking.moment.zone.key)
    return cast(func.timezone(zone, value), Date)


def _anniversary(making: Making, days: int, day: ColumnElement[Any]) -> ColumnElement[bool]:
    """That one of the coming days is the same of a later year; they lie in this year and the next."""
    number = day_number(day)
    year = cast(extract("year", day), Integer)

    def of_year(ahead: int) -> ColumnElement[bool]:
        numbers = making.ask(
            "anniversaries", ARRAY(Integer), lambda asking: anniversaries(asking.moment.today, days, ahead)
        )
        this = making.ask("year", Integer(), lambda asking: asking.moment.today.year + ahead)
        return and_(number == any_(numbers), year < this)

    return or_(of_year(0), of_year(1))


def day_number(day: ColumnElement[Any]) -> ColumnElement[Any]:
    """Month × 100 + day."""
    return cast(extract("month", day) * 100 + extract("day", day), Integer)


def anniversaries(today: date, days: int, years_ahead: int) -> list[int]:
    """Month × 100 + day of whatever has its anniversary from today to so many days ahead, in one of both years.

    29 February has it on the 28th of a common year.
    """
    coming = [today + timedelta(days=ahead) for ahead in range(days + 1)]
    found = [100 * day.month + day.day for day in coming if day.year == today.year + years_ahead]
    return [*found, 229] if 228 in found and not isleap(today.year + years_ahead) else found


def _of_facts(making: Making, rule: DateRule, field: str) -> Term:
    """The first or last of what has happened by now, without a look at more of it than decides."""
    first = field == "first_order"

    def some(start: At | None = None, before: At | None = None) -> ColumnElement[bool]:
        rows, at, terms = _facts(making, field)
        terms += [at >= making.instant(start)] if start is not None else []
        terms += [at < making.instant(before)] if before is not None else []
        return making.has_one(rows.c.customer_id, rows, terms)

    if rule.known is not None:
        holds = some() if rule.known else ~some()
    elif rule.older_than is not None:
        latest = rule.older_than.latest
        holds = some(before=latest) if first else and_(some(before=latest), ~some(start=latest))
    else:
        nothing_beyond = ~some(before=_start(rule)) if first else ~some(start=_before(rule))
        holds = and_(some(_start(rule), _before(rule)), nothing_beyond)
    rows, at, terms = _facts(making, field)
    mine = [*terms, rows.c.customer_id == making.person.c.id]
    return Term(holds, select(func.min(at) if first else func.max(at)).where(*mine).scalar_subquery())


def _facts(making: Making, field: str) -> tuple[FromClause, ColumnElement[Any], list[ColumnElement[bool]]]:
    """Facts, when they happened, and which of them count."""
    rows = (events if field == "last_event" else orders).alias()
    at: ColumnElement[Any] = rows.c.occurred_at if field == "last_event" else rows.c.paid_at
    terms = [*making.of_the_shop(rows), *making.until_now(at, None)]
    return rows, at, terms if field == "last_event" else [*terms, rows.c.status != bind("closed", Text)]

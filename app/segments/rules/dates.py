"""Conditions on how far a day or an instant lies from now, as SQL."""

from calendar import isleap
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any, Final

from sqlalchemy import ARRAY, ColumnElement, Date, Integer, Text, and_, any_, cast, exists, extract, func, or_, select

from app.attributes.conditions import newest
from app.events.models import events
from app.orders.models import orders
from app.segments.rules.catalogue import DATES
from app.segments.rules.making import Making, Term
from app.segments.rules.tree import DateRule, Place
from app.segments.rules.windows import TICK, DaySpan, Moment

_COLUMNS: Final = {"registered": "created_at", "member_since": "member_since", "birthday": "birthday"}


def dated(making: Making, rule: DateRule, _: Place) -> Term:
    """A date of the profile, of an attribute, or the first or last of the facts."""
    if rule.attribute is not None:
        return _of_attribute(making, rule, rule.attribute)
    field = rule.field or ""
    if field in _COLUMNS:
        value = making.person.c[_COLUMNS[field]]
        return Term(_meets(making, rule, value, day=DATES[field].day), value, sure=rule.operator == "known")
    return _of_facts(making, rule)


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
        return _anniversary(making, rule.anniversary_in_next, value if day else _day_of(making, value))
    return _on_days(making, rule, value) if day else _at_times(making, rule, value)


def _at_times(making: Making, rule: DateRule, value: ColumnElement[Any]) -> ColumnElement[bool]:
    if rule.older_than is not None:
        return value < making.instant(rule.older_than.latest)
    span = rule.within.span if rule.within is not None else rule.in_next.span  # type: ignore[union-attr]
    return and_(
        value >= making.instant(lambda moment: span(moment).start),
        value < making.instant(lambda moment: span(moment).before),
    )


def _on_days(making: Making, rule: DateRule, value: ColumnElement[Any]) -> ColumnElement[bool]:
    if rule.older_than is not None:
        return value <= _day(making, rule.older_than.latest_day)
    span: Callable[[Moment], DaySpan]
    span = rule.within.days_span if rule.within is not None else rule.in_next.days_span  # type: ignore[union-attr]
    return and_(
        value >= _day(making, lambda moment: span(moment).first),
        value <= _day(making, lambda moment: span(moment).last),
    )


def _day(making: Making, answer: Callable[[Moment], date]) -> ColumnElement[Any]:
    return making.ask("day", Date(), lambda asking: answer(asking.moment))


def _day_of(making: Making, value: ColumnElement[Any]) -> ColumnElement[Any]:
    zone = making.ask("zone", Text(), lambda asking: asking.moment.zone.key)
    return cast(func.timezone(zone, value), Date)


def _anniversary(making: Making, days: int, day: ColumnElement[Any]) -> ColumnElement[bool]:
    """That one of the coming days is the same of a later year; they lie in this year and the next."""
    number = cast(extract("month", day) * 100 + extract("day", day), Integer)
    year = cast(extract("year", day), Integer)

    def of_year(ahead: int) -> ColumnElement[bool]:
        numbers = making.ask(
            "anniversaries", ARRAY(Integer), lambda asking: anniversaries(asking.moment.today, days, ahead)
        )
        this = making.ask("year", Integer(), lambda asking: asking.moment.today.year + ahead)
        return and_(number == any_(numbers), year < this)

    return or_(of_year(0), of_year(1))


def anniversaries(today: date, days: int, years_ahead: int) -> list[int]:
    """Month × 100 + day of whatever has its anniversary from today to so many days ahead, in one of both years.

    29 February has it on the 28th of a common year.
    """
    coming = [today + timedelta(days=ahead) for ahead in range(days + 1)]
    found = [100 * day.month + day.day for day in coming if day.year == today.year + years_ahead]
    return [*found, 229] if 228 in found and not isleap(today.year + years_ahead) else found


def _of_facts(making: Making, rule: DateRule) -> Term:
    """The first or last of what has happened by now, without a look at more of it than decides."""
    table, at_name, terms = {
        "last_order": (orders, "paid_at", True),
        "first_order": (orders, "paid_at", True),
        "last_event": (events, "occurred_at", False),
    }[rule.field or ""]
    first = rule.field == "first_order"

    def any_at(start: Callable[[Moment], Any] | None, before: Callable[[Moment], Any] | None) -> Any:
        rows = table.alias()
        at = rows.c[at_name]
        found = [*making.of_the_shop(rows), rows.c.customer_id == making.person.c.id, at < now]
        if terms:
            found.append(rows.c.status != "closed")
        if start is not None:
            found.append(at >= making.instant(start))
        if before is not None:
            found.append(at < making.instant(before))
        return exists().where(*found)

    now = making.instant(lambda moment: moment.now + TICK)
    rows = table.alias()
    mine = [rows.c.shop_id == making.shop, rows.c.customer_id == making.person.c.id, rows.c[at_name] < now]
    if terms:
        mine.append(rows.c.status != "closed")
    extreme = func.min if first else func.max
    value = select(extreme(rows.c[at_name])).where(*mine).scalar_subquery()
    if rule.known is not None:
        return Term(any_at(None, None) if rule.known else ~any_at(None, None), value)
    if rule.older_than is not None:
        latest = rule.older_than.latest
        if first:
            return Term(any_at(None, latest), value)
        return Term(and_(any_at(None, latest), ~any_at(latest, None)), value)
    window = rule.within
    assert window is not None  # noqa: S101 the catalogue gives these no other operator
    within = any_at(lambda moment: window.span(moment).start, lambda moment: window.span(moment).before)
    if first:
        return Term(and_(within, ~any_at(None, lambda moment: window.span(moment).start)), value)
    return Term(and_(within, ~any_at(lambda moment: window.span(moment).before, None)), value)

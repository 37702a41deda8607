"""Whom time alone may have turned: for each condition, those for whom an edge that it compares with has passed.

A condition on time compares something that is known (T) with an edge that follows from now. Edges only move forward, so
from one moment to the next the comparison turns for those, and only those, whose T lies between where the edge was and
where it is: a range of an index, as long as the number of flips. Facts that were told before they happened are not
looked for by each rule, but once for all of them: `AWAITED`.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final, NamedTuple, TypeAlias

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Date,
    Integer,
    Select,
    Text,
    any_,
    column,
    func,
    select,
    text,
    true,
    union_all,
)
from sqlalchemy import literal as bind
from sqlalchemy.types import TypeEngine

from app.attributes.models import customer_attributes
from app.core.db import Statement, statement
from app.events.models import events
from app.orders.models import orders
from app.segments.rules import dates
from app.segments.rules.catalogue import DATES
from app.segments.rules.checking import Checked
from app.segments.rules.compiling import Compiled, finished, remembered
from app.segments.rules.facts import facts
from app.segments.rules.making import INSTANT, Asking, Making
from app.segments.rules.tree import DateRule, EventRule, OrderRule, OrderStep, Place, SequenceRule, TagRule, leaves
from app.segments.rules.windows import TICK, Moment, Window
from app.tags.models import customer_tags

Edge: TypeAlias = Callable[[Moment], Any]  # a datetime, or a date
Who: TypeAlias = Select[Any]

# Whoever was told of a fact after it happened was looked at then. These were told before, and their time has come.
AWAITED: Final[Statement] = statement(
    text(
        """
        select e.customer_id from events e
        where e.shop_id = :shop_id and e.occurred_at > :since and e.occurred_at <= :now
            and e.occurred_at > e.received_at
        union
        select o.customer_id from orders o
        where o.shop_id = :shop_id and o.paid_at > :since and o.paid_at <= :now and o.paid_at > o.received_at
        union
        select o.customer_id from refunds r join orders o on o.shop_id = r.shop_id and o.order_no = r.order_no
        where r.shop_id = :shop_id and r.refunded_at > :since and r.refunded_at <= :now
            and r.refunded_at > r.received_at
        """
    )
)


class Turning(NamedTuple):
    """Whom time may have turned between `Asking.since` and its moment: `customer_id`, each once, whatever they did.

    Args:
        compiled: it binds `shop_id`, and what the asking gives.
        edges: each says whether anything has passed.
    """

    compiled: Compiled
    edges: tuple[Callable[[Asking], bool], ...]

    def passed(self, asking: Asking) -> bool:
        """Whether there is anything to ask: edges of whole days pass once a day."""
        return any(edge(asking) for edge in self.edges)


@remembered
def turning(checked: Checked) -> Turning | None:
    """How to find those whom time may have turned; None where time turns nobody."""
    looking = _Looking(checked)
    who = [one for place, leaf in leaves(checked.rule) for one in _turned(looking, leaf, place)]
    if not who:
        return None
    every = union_all(*who).subquery()
    return Turning(finished(looking.making, select(every.c.customer_id).distinct()), tuple(looking.edges))


class _Looking:
    """What one rule's edges become in SQL."""

    def __init__(self, checked: Checked) -> None:
        self.making = Making(checked, few=False)
        self.edges: list[Callable[[Asking], bool]] = []

    def passed(
        self,
        customer_id: ColumnElement[Any],
        at: ColumnElement[Any],
        terms: Iterable[ColumnElement[bool]],
        edges: Sequence[Edge],
    ) -> Iterator[Who]:
        """Whose row has a time that one of the edges has passed."""
        if not edges:
            return
        kind: TypeEngine[Any] = Date() if isinstance(at.type, Date) else INSTANT

        def spans(asking: Asking) -> list[tuple[Any, Any]]:
            since = asking.since or asking.moment
            each = ((edge(since), edge(asking.moment)) for edge in edges)
            return [(began, ended) for began, ended in each if began < ended]

        self.edges.append(lambda asking: bool(spans(asking)))
        began = self.making.ask("began", ARRAY(kind), lambda asking: [one for one, _ in spans(asking)])
        ended = self.making.ask("ended", ARRAY(kind), lambda asking: [one for _, one in spans(asking)])
        span = (
            func.unnest(began, ended)
            .table_valued(column("began", kind), column("ended", kind))
            .render_derived(name=f"span_{len(self.edges)}")
        )
        # In the order of the index, because the planner cannot know how short a time it will be asked for.
        found = (
            select(customer_id.label("customer_id"))
            .where(*terms, at >= span.c.began, at < span.c.ended)
            .order_by(at)
            .lateral()
        )
        yield select(found.c.customer_id).select_from(span.join(found, true()))

    def anniversaries(
        self, customer_id: ColumnElement[Any], day: ColumnElement[Any], terms: Iterable[ColumnElement[bool]], days: int
    ) -> Iterator[Who]:
        """Who has an anniversary that has come into the days ahead, or gone out of them: some day of the year each."""

        def numbers(asking: Asking) -> list[int]:
            since = asking.since or asking.moment
            return sorted({number for number, _ in _ahead(since, days) ^ _ahead(asking.moment, days)})

        self.edges.append(lambda asking: bool(numbers(asking)))
        asked = self.making.ask("anniversaries", ARRAY(Integer), numbers)
        yield select(customer_id.label("customer_id")).where(*terms, dates.day_number(day) == any_(asked))


def _ahead(moment: Moment, days: int) -> set[tuple[int, int]]:
    """The anniversaries that lie ahead: month and day as a number, with the year."""
    return {
        (number, moment.today.year + ahead)
        for ahead in (0, 1)
        for number in dates.anniversaries(moment.today, days, ahead)
    }


def _turned(looking: _Looking, leaf: Any, place: Place) -> Iterator[Who]:
    match leaf:
        case EventRule() | OrderRule():
            yield from _of_facts(looking, leaf, _edges_of_facts(leaf.window))
        case SequenceRule():
            over = [_time_over(leaf)] if leaf.without is not None else []
            yield from _of_facts(looking, leaf.first, [*_edges_of_facts(leaf.window), *over])
        case TagRule():
            yield from _of_tags(looking, place)
        case DateRule():
            yield from _of_date(looking, leaf)


def _of_facts(looking: _Looking, step: Any, edges: Sequence[Edge]) -> Iterator[Who]:
    if isinstance(step, OrderRule | OrderStep):
        # What was bought is not looked at: lines have no time, and all of them would be read.
        step = step.model_copy(update={"skus": None, "categories": None})
    found = facts(looking.making, step)
    yield from looking.passed(found.rows.c.customer_id, found.at, found.terms, edges)


def _edges_of_facts(window: Window | None) -> list[Edge]:
    """The edges of a window that lie in the past; what is ahead of now is awaited."""
    if window is None:
        return []
    begins: Edge = lambda moment: window.span(moment).start  # noqa: E731
    ends: Edge = lambda moment: window.span(moment).before  # noqa: E731
    return [begins, ends] if window.is_over else [begins]


def _time_over(rule: SequenceRule) -> Edge:
    return lambda moment: moment.now - rule.within.length + TICK


def _of_tags(looking: _Looking, place: Place) -> Iterator[Who]:
    carried = customer_tags.alias()
    asked = looking.making.ask("tags", ARRAY(BigInteger), lambda asking: asking.checked.operands[place])
    terms = [carried.c.shop_id == looking.making.shop, carried.c.tag_id == any_(asked)]
    yield from looking.passed(carried.c.customer_id, carried.c.valid_until, terms, [_next_tick])


def _next_tick(moment: Moment) -> datetime:
    return moment.now + TICK


def _of_date(looking: _Looking, rule: DateRule) -> Iterator[Who]:
    if rule.known is not None:
        return
    making = looking.making
    at: ColumnElement[Any]
    customer_id: ColumnElement[Any]
    if rule.attribute is not None:
        declared = making.checked.attributes[rule.attribute]
        kept = customer_attributes.alias()
        at, customer_id, is_day = kept.c[declared.column], kept.c.customer_id, declared.type == "date"
        terms = [kept.c.shop_id == making.shop, kept.c.name == bind(rule.attribute, Text)]
    elif rule.field in dates.COLUMNS:
        person = making.person
        at, customer_id, is_day = person.c[dates.COLUMNS[rule.field]], person.c.id, DATES[rule.field].day
        terms = [person.c.shop_id == making.shop, person.c.merged_into.is_(None)]  # as the index has it
    else:
        rows = (events if rule.field == "last_event" else orders).alias()
        at = rows.c.occurred_at if rule.field == "last_event" else rows.c.paid_at
        edges = [rule.older_than.latest] if rule.older_than is not None else _edges_of_facts(rule.within)
        yield from looking.passed(rows.c.customer_id, at, [rows.c.shop_id == making.shop], edges)
        return
    if rule.anniversary_in_next is not None:
        day = at if is_day else dates.day_of(making, at)
        yield from looking.anniversaries(customer_id, day, terms, rule.anniversary_in_next)
    else:
        yield from looking.passed(customer_id, at, terms, _edges(rule, is_day=is_day))


def _edges(rule: DateRule, *, is_day: bool) -> list[Edge]:
    """Of what may lie ahead of now."""
    one = timedelta(days=1)
    if rule.older_than is not None:
        age = rule.older_than
        return [lambda moment: age.latest_day(moment) + one] if is_day else [age.latest]
    period = dates.period(rule)
    if is_day:
        return [lambda moment: period.days_span(moment).first, lambda moment: _after(period.days_span(moment).last)]
    return [lambda moment: period.span(moment).start, lambda moment: period.span(moment).before]


def _after(day: date) -> date:
    return day if day == date.max else day + timedelta(days=1)

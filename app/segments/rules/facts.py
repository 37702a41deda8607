"""Conditions on events and paid orders, as SQL: how often, how much, how many different ones."""

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Double,
    FromClause,
    Text,
    and_,
    any_,
    cast,
    exists,
    func,
    literal_column,
    select,
)
from sqlalchemy import literal as bind

from app.events.models import events
from app.orders.models import order_items, orders, refunds
from app.segments.rules.comparing import Operator, compared, holds
from app.segments.rules.making import SHOWN_IDS, Making, Term
from app.segments.rules.properties import met
from app.segments.rules.tree import EventRule, EventStep, OrderRule, OrderStep, Place
from app.segments.rules.windows import TICK, Window

OF_ITEMS: Final = ("products", "categories")

_COUNT: Final[ColumnElement[Any]] = func.count()


class Facts(NamedTuple):
    """Rows of facts that a condition asks for.

    Args:
        rows: the table, under a name of its own; it has `customer_id`.
        source: the table, joined with whatever its figures need.
        at: when each of them happened.
        number: by which each of them is known.
        terms: which of them are asked for.
    """

    rows: FromClause
    source: FromClause
    at: ColumnElement[Any]
    number: ColumnElement[Any]
    terms: list[ColumnElement[bool]]


def facts(making: Making, step: EventStep | EventRule | OrderStep | OrderRule, window: Window | None = None) -> Facts:
    """Events or orders that have happened by now."""
    if isinstance(step, EventStep | EventRule):
        return _events(making, step, window)
    return _orders(making, step, window)


def event(making: Making, rule: EventRule, _: Place) -> Term:
    """How often something was done, never included."""
    operator, times = _times(rule)
    return _tally(making, _events(making, rule, rule.window), _COUNT, operator, times, zero=True)


def order(making: Making, rule: OrderRule, _: Place) -> Term:
    """What orders come to: of nothing the counts and the sum are 0, and the average and the maximum not known."""
    lines = order_items.alias()
    found = _orders(making, rule, rule.window, lines=lines if rule.measure in OF_ITEMS else None)
    zero, figure = True, _COUNT
    match rule.measure:
        case "stores":
            figure = func.count(found.rows.c.store_id.distinct())
        case "products":
            figure = func.count(lines.c.sku.distinct())
        case "categories":
            figure = func.count(lines.c.category.distinct())
        case "sum" | "average" | "max":
            zero = rule.measure == "sum"
            found, fen = _with_amounts(making, rule, found)
            figure = _FIGURES[rule.measure](fen)
    return _tally(making, found, figure, rule.operator, getattr(rule, rule.operator), zero=zero)


_FIGURES: Final[dict[str, Callable[[Any], Any]]] = {
    "sum": lambda fen: cast(func.sum(fen), BigInteger),
    "average": lambda fen: cast(func.sum(fen), Double) / cast(func.count(), Double),
    "max": lambda fen: func.max(fen),
}


def newest_ids(found: Facts, terms: Sequence[ColumnElement[bool]]) -> ColumnElement[Any]:
    """Some of the facts by number, the newest first."""
    newest = (
        select(found.number)
        .select_from(found.source)
        .where(*terms)
        .group_by(found.number, found.at)
        .order_by(found.at.desc(), found.number)
        .limit(literal_column(str(SHOWN_IDS)))
    )
    return func.array(newest.scalar_subquery(), type_=ARRAY(Text))


def _times(rule: EventRule) -> tuple[Operator, int]:
    if rule.at_least is not None:
        return "at_least", rule.at_least
    if rule.at_most is not None:
        return "at_most", rule.at_most
    return "equals", rule.exactly or 0


def _events(making: Making, step: EventStep | EventRule, window: Window | None) -> Facts:
    done = events.alias()
    terms = [
        *making.of_the_shop(done),
        *making.until_now(done.c.occurred_at, window),
        done.c.type == bind(step.event, Text),
        *(met(making, done.c.properties, step.event, condition) for condition in step.where),
    ]
    return Facts(done, done, done.c.occurred_at, cast(done.c.id, Text), terms)


def _orders(
    making: Making, step: OrderStep | OrderRule, window: Window | None, *, lines: FromClause | None = None
) -> Facts:
    """Those that were paid and are not closed. What was bought narrows the orders; with `lines`, those of them."""
    paid = orders.alias()
    items: FromClause = order_items.alias() if lines is None else lines
    bought = [
        items.c[name] == any_(bind(list(asked), ARRAY(Text)))
        for name, asked in (("sku", step.skus), ("category", step.categories))
        if asked is not None
    ]
    theirs = [items.c.shop_id == making.shop, items.c.order_no == paid.c.order_no]
    terms = [
        *making.of_the_shop(paid),
        *making.until_now(paid.c.paid_at, window),
        paid.c.status != bind("closed", Text),
    ]
    if step.channels is not None:
        terms.append(paid.c.channel == any_(bind(list(step.channels), ARRAY(Text))))
    if step.stores is not None:
        terms.append(paid.c.store_id == any_(bind(list(step.stores), ARRAY(BigInteger))))
    source: FromClause = paid
    if lines is not None:
        source = paid.join(items, and_(*theirs))
        terms += bought
    elif bought:
        terms.append(exists().where(*theirs, *bought))
    return Facts(paid, source, paid.c.paid_at, paid.c.order_no, terms)


def _with_amounts(making: Making, rule: OrderRule, found: Facts) -> tuple[Facts, ColumnElement[Any]]:
    """The orders beside what each of them brought, in fen: less its refunds by now, or without regard to them."""
    paid = found.rows
    if rule.of == "gross":
        return found, paid.c.amount_fen
    back = refunds.alias()
    until_now = [back.c.shop_id == making.shop, back.c.refunded_at < making.instant(lambda moment: moment.now + TICK)]
    if rule.window is None and not making.few:
        # All orders are meant: there are fewer refunds than orders.
        of_all = select(back.c.order_no.label("order_no"), func.sum(back.c.amount_fen).label("fen"))
        given = of_all.where(*until_now).group_by(back.c.order_no).subquery()
    else:
        # Of these orders only, so that the planner chooses: their refunds one by one, or all refunds beside all orders.
        same = _orders(making, rule, rule.window)
        given = (
            select(same.number.label("order_no"), func.sum(back.c.amount_fen).label("fen"))
            .select_from(same.source.join(back, and_(*until_now, back.c.order_no == same.rows.c.order_no)))
            .where(*same.terms)
            .group_by(same.number)
            .subquery()
        )
    source = found.source.outerjoin(given, given.c.order_no == found.number)
    return found._replace(source=source), cast(paid.c.amount_fen - func.coalesce(given.c.fen, 0), BigInteger)


def _tally(
    making: Making, found: Facts, figure: ColumnElement[Any], operator: Operator, number: float, *, zero: bool
) -> Term:
    """Customers by a figure of their facts, which are grouped by customer once.

    Where who has no facts meets the condition too, those are looked for who do not meet it, and all others taken: who
    has nothing never has to be counted.

    Args:
        zero: the figure of no facts is 0; else it is not known.
    """
    customer_id = found.rows.c.customer_id
    mine = [*found.terms, customer_id == making.person.c.id]
    complement = zero and holds(0, operator, number)
    if figure is _COUNT and (operator, number) in _ONCE:
        hits = making.has_one(customer_id, found.source, found.terms)
    else:
        whole = float(number).is_integer()
        meets = compared(figure, operator, int(number) if whole else number, BigInteger() if whole else Double())
        grouped = (
            select(customer_id)
            .select_from(found.source)
            .where(*found.terms)
            .group_by(customer_id)
            .having(~meets if complement else meets)
        )
        hits = making.is_one_of(grouped)
    value = select(figure).select_from(found.source).where(*mine).scalar_subquery()
    return Term(~hits if complement else hits, func.coalesce(value, 0) if zero else value, ids=newest_ids(found, mine))


# Of a count: that there is one, or that there is none.
_ONCE: Final = (("at_least", 1), ("more_than", 0), ("at_most", 0), ("equals", 0), ("less_than", 1))

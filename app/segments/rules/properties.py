"""Properties of events as SQL: JSON, compared as what it is, and not known where it is of another type."""

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import ARRAY, Boolean, ColumnElement, DateTime, Numeric, Text, and_, case, cast, collate, func, or_
from sqlalchemy import literal as bind

from app.core import clock
from app.segments.rules.comparing import against, compared
from app.segments.rules.making import INSTANT, Making
from app.segments.rules.tree import PropertyCondition
from app.segments.rules.windows import Moment

# What Python and Postgres both read, because a cast must never fail, whatever was kept under a former declaration: days
# that are in every calendar, and 29 February, whose year is looked at apart.
_MONTH_DAY: Final = "((0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])|(0[13-9]|1[0-2])-(29|30)|(0[13578]|1[02])-31|02-29)"
_DAY: Final = f"^[12][0-9]{{3}}-{_MONTH_DAY}"
_CLOCK: Final = r"T([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{1,6})?)?"
_ZONE: Final = "(Z|[+-](0[0-9]|1[0-4]):?[0-5][0-9])$"
_TIME: Final = f"{_DAY}{_CLOCK}(|{_ZONE[:-1]})$"
_NO_LEAP_DAY: Final = "^....-(0[13-9]|1|02-[01]|02-2[0-8])"
_LEAP_YEAR: Final = "^([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)"


def met(
    making: Making, properties: ColumnElement[Any], event: str, condition: PropertyCondition
) -> ColumnElement[bool]:
    """That an event's property meets the condition; null where it is not of the type that is asked for."""
    name = bind(condition.property, Text)
    told = properties.op("->")(name)
    operator, operand = condition.operator, condition.operand
    match making.checked.type_of(event, condition) if operator != "known" else None:
        case None:
            return told.is_not(None) if operand else told.is_(None)
        case "number" | "whole":
            exact = _each(operand, lambda one: Decimal(str(one)))
            return compared(_when(told, "number", cast(told, Numeric())), operator, exact, Numeric())
        case "boolean":
            return compared(_when(told, "boolean", cast(told, Boolean())), operator, operand, Boolean())
        case "datetime":
            return _at_a_time(making, _text(properties, name, told), condition)
        case "date":
            # Days of four digits are in the order of their letters, so nothing is cast.
            text = _text(properties, name, told)
            return compared(collate(case((_matches(text, f"{_DAY}$"), text)), "C"), operator, operand, Text())
    return compared(_text(properties, name, told), operator, operand, Text())


def _text(properties: ColumnElement[Any], name: ColumnElement[str], told: ColumnElement[Any]) -> ColumnElement[str]:
    return _when(told, "string", properties.op("->>", return_type=Text())(name))


def _when(told: ColumnElement[Any], kind: str, value: ColumnElement[Any]) -> ColumnElement[Any]:
    return case((func.jsonb_typeof(told) == bind(kind, Text), value))


def _matches(text: ColumnElement[str], pattern: str) -> ColumnElement[bool]:
    return text.op("~", is_comparison=True)(bind(pattern, Text))


def _at_a_time(making: Making, text: ColumnElement[str], condition: PropertyCondition) -> ColumnElement[bool]:
    """As instants; a time without a zone is the shop's."""
    operand = condition.operand
    many = isinstance(operand, tuple)
    asked = making.ask(
        "time", ARRAY(INSTANT) if many else INSTANT, lambda asking: _each(operand, _instant_in(asking.moment))
    )
    zone = making.ask("zone", Text(), lambda asking: asking.moment.zone.key)
    readable = and_(_matches(text, _TIME), or_(_matches(text, _NO_LEAP_DAY), _matches(text, _LEAP_YEAR)))
    read = case(
        (and_(readable, _matches(text, _ZONE)), cast(text, INSTANT)),
        (readable, func.timezone(zone, cast(text, DateTime()))),
    )
    return against(read, condition.operator, asked)


def _instant_in(moment: Moment) -> Callable[[str], datetime]:
    return lambda text: clock.localise(datetime.fromisoformat(text), moment.zone)


def _each(operand: Any, one: Callable[[Any], Any]) -> Any:
    return [one(value) for value in operand] if isinstance(operand, tuple) else one(operand)

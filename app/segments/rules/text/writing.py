"""A rule's tree written as a text, from which the very same tree is read."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Final

from app.segments.rules.text import words
from app.segments.rules.text.grammar import SOFT
from app.segments.rules.text.lexing import MOST_DIGITS, tokens
from app.segments.rules.text.words import ACTS, CALENDARS, DATE_FIELDS, FIELDS, Language
from app.segments.rules.tree import (
    AllOf,
    AnyOf,
    AttributeRule,
    ConsentRule,
    DateRule,
    EventRule,
    EventStep,
    IdentityRule,
    Not,
    OrderRule,
    ProfileRule,
    ScoreRule,
    SegmentRule,
    SequenceRule,
    ShareRule,
    StatRule,
    TagRule,
)

_COMPARED: Final = {"equals": "EQ", "at_least": "GE", "more_than": "GT", "at_most": "LE", "less_than": "LT"}
# How often something was done is told in words, because "view = 3" says nothing of times.
_OFTEN: Final = {
    "at_least": {"en": "at least", "zh": "至少"},
    "at_most": {"en": "at most", "zh": "至多"},
    "exactly": {"en": "exactly", "zh": "恰好"},
}
_UNITS: Final = {"hours": "HOURS", "days": "DAYS", "calendar_days": "CALENDAR_DAYS"}
_LISTS: Final = {"channels": "CHANNEL", "stores": "STORE", "skus": "SKU", "categories": "CATEGORY"}


def write(rule: Any, language: Language) -> str:
    """The text of a rule, in one line but for what its values hold."""
    return _Writer(language).node(rule)


def _spaced(*parts: str | None) -> str:
    return " ".join(filter(None, parts))


class _Writer:
    """Writes in one language."""

    def __init__(self, language: Language) -> None:
        self.language = language

    def say(self, word: str) -> str:
        """A word of the grammar."""
        return words.said(word, self.language)

    # ---- The tree

    def node(self, rule: Any) -> str:
        """A tree, or one condition."""
        match rule:
            case AllOf() | AnyOf() if len(rule.of) == 1:
                return f"{self.say('_ALL' if rule.kind == 'all' else '_ANY')} ({self.node(rule.of[0])})"
            case AllOf() | AnyOf():
                between = f" {self.say('_AND' if rule.kind == 'all' else '_OR')} "
                return between.join(map(self._part, rule.of))
            case Not():
                return _spaced(self.say("_NOT"), self._part(rule.of))
        return self._leaf(rule)

    def _part(self, rule: Any) -> str:
        """In brackets where it would run together with what it is part of."""
        many = isinstance(rule, AllOf | AnyOf) and len(rule.of) > 1
        return f"({self.node(rule)})" if many else self.node(rule)

    def _leaf(self, rule: Any) -> str:
        match rule:
            case ProfileRule() | ScoreRule() | StatRule():
                return _spaced(words.said(rule.field, self.language, FIELDS), self.comparison(rule))
            case AttributeRule():
                return _spaced(self.say("ATTRIBUTE"), self.name(rule.name), self.comparison(rule))
            case TagRule(any_of=(name,)):
                return _spaced(self.say("TAG"), _quoted(name))
            case TagRule():
                return _spaced(self.say("TAG"), self.listed(rule.any_of))
            case SegmentRule(any_of=(number,)):
                return _spaced(self.say("SEGMENT"), str(number))
            case SegmentRule():
                return _spaced(self.say("SEGMENT"), self.listed(rule.any_of))
            case IdentityRule():
                scope = None if rule.scope is None else _spaced(self.say("_SCOPE"), _quoted(rule.scope))
                return _spaced(self.say("IDENTITY"), self.name(rule.identity), scope)
            case ConsentRule():
                purpose = None if rule.purpose == "marketing" else _spaced(self.say("_FOR"), _quoted(rule.purpose))
                return _spaced(self.say("CONSENT"), self.name(rule.channel), purpose, self.say(rule.state.upper()))
            case ShareRule():
                return self.share(rule)
            case EventRule():
                return _spaced(self.step(rule), self.window(rule.window), self.times(rule))
            case OrderRule():
                of = None if rule.of is None else self.say(rule.of.upper())
                figure = f"{self.say(_COMPARED[rule.operator])} {self.value(getattr(rule, rule.operator))}"
                return _spaced(self.step(rule), self.window(rule.window), self.say(rule.measure.upper()), of, figure)
            case SequenceRule():
                return self.sequence(rule)
            case DateRule():
                return self.date(rule)
        raise TypeError(f"{type(rule).__name__} has no text")

    # ---- Comparisons and values

    def comparison(self, rule: Any) -> str:
        """The operator and what it compares with."""
        operator, operand = rule.operator, rule.operand
        match operator:
            case "any_of":
                return self.listed(operand)
            case "none_of" if len(operand) == 1:
                return f"{self.say('NE')} {self.value(operand[0])}"
            case "none_of":
                return self.listed(operand, "_NOT_IN")
            case "known":
                return self.say("KNOWN" if operand else "UNKNOWN")
            case "contains" | "starts_with":
                return f"{self.say('CONTAINS' if operator == 'contains' else 'STARTS')} {_quoted(operand)}"
        return f"{self.say(_COMPARED[operator])} {self.value(operand)}"

    def listed(self, values: Iterable[Any], word: str = "_IN") -> str:
        """Values in brackets."""
        return f"{self.say(word)} ({', '.join(map(self.value, values))})"

    def value(self, value: Any) -> str:
        """A text in quotes, a number, yes or no."""
        if isinstance(value, bool):
            if self.language == "zh":
                return "是" if value else "否"
            return "true" if value else "false"
        return _quoted(value) if isinstance(value, str) else repr(value)

    def name(self, name: str) -> str:
        """A name, in quotes unless it is a plain word that is read as nothing else."""
        found = tokens(name) if name.isascii() and "'" not in name and '"' not in name else []
        bare = len(found) == 1 and found[0].type in ("NAME", *SOFT) and str(found[0]) == name
        return name if bare else _quoted(name)

    def share(self, rule: ShareRule) -> str:
        """As a percentage, exactly; one of very many digits as it is."""
        end = "top" if rule.top is not None else "bottom"
        part = repr(getattr(rule, end))
        percent = f"{Decimal(part) * 100:f}"
        percent = percent.rstrip("0").rstrip(".") if "." in percent else percent
        told = f"{percent}%" if len(percent) < MOST_DIGITS else part
        field = words.said(rule.field, self.language, FIELDS)
        return _spaced(field, self.say(end.upper()), told, self.say(rule.among.upper()))

    # ---- Conditions on facts

    def step(self, rule: Any) -> str:
        """What was done or bought, with its conditions."""
        if isinstance(rule, EventRule | EventStep):
            type_ = ACTS.get(rule.event) if self.language == "zh" else None
            conditions = [_spaced(self.name(one.property), self.comparison(one)) for one in rule.where]
            return _spaced(self.say("EVENT"), type_ or self.name(rule.event), self.where(conditions))
        lists = [(word, getattr(rule, name)) for name, word in _LISTS.items()]
        conditions = [_spaced(self.say(word), self.listed(values)) for word, values in lists if values is not None]
        return _spaced(self.say("ORDER"), self.where(conditions))

    def where(self, conditions: list[str]) -> str | None:
        """All of them hold; None where there are none."""
        joined = f" {self.say('_AND')} ".join(conditions)
        return f"{self.say('_WHERE')} ({joined})" if conditions else None

    def times(self, rule: Any) -> str:
        """How often."""
        for name in _OFTEN:
            if (times := getattr(rule, name)) is not None:
                return _spaced(_OFTEN[name][self.language], self.counted(times, "_TIMES"))
        return self.say("NEVER")

    def sequence(self, rule: SequenceRule) -> str:
        """What came first, and what followed or did not."""
        repeated = None
        if rule.at_least is not None:
            often = _spaced(_OFTEN["at_least"][self.language], self.counted(rule.at_least, "_TIMES"))
            repeated = _spaced(often, self.say("_DURING"), self.length(rule.during))
        followed = self.say("_THEN" if rule.then is not None else "_WITHOUT")
        within = self.say("_WITHIN") + (f" {self.length(rule.within)}" if self._en else f"{self.length(rule.within)}内")
        step = self.step(rule.then or rule.without)
        return _spaced(self.step(rule.first), self.window(rule.window), repeated, followed, step, within)

    # ---- Time

    @property
    def _en(self) -> bool:
        return self.language == "en"

    def counted(self, number: int, unit: str) -> str:
        """So many of them; in English one is not several."""
        if not self._en:
            return f"{number}{self.say(unit)}"
        return f"{number} {words.WORDS[unit].en[1 if number == 1 else 0]}"

    def length(self, length: Any) -> str:
        """A length in the unit that it has."""
        unit = next(name for name in _UNITS if getattr(length, name, None) is not None)
        return self.counted(getattr(length, unit), _UNITS[unit])

    def window(self, window: Any) -> str | None:
        """A window; None for ever."""
        if window is None:
            return None
        if window.calendar is not None:
            period = words.said(window.calendar, self.language, CALENDARS)
            return f"在{period}" if not self._en else period if period.endswith("day") else f"in {period}"
        if window.last is not None or window.calendar_days is not None:
            last = self._ahead("_LAST", window.last or window)
            return f"in {last}" if self._en else f"在{last}内"
        ends = [(self.say("_FROM"), window.from_), (self.say("_TO"), window.to)]
        between = " " if self._en else ""
        return between.join(f"{word}{between}{day.isoformat()}" for word, day in ends if day is not None)

    def _ahead(self, word: str, length: Any) -> str:
        return f"{self.say(word)}{' ' if self._en else ''}{self.length(length)}"

    def date(self, rule: DateRule) -> str:
        """A date and what is asked of it."""
        if rule.field is not None:
            dated = words.said(rule.field, self.language, DATE_FIELDS)
        else:
            dated = _spaced(self.say("DATE_ATTRIBUTE"), self.name(rule.attribute or ""))
        return _spaced(dated, self._asked(rule))

    def _asked(self, rule: DateRule) -> str | None:
        match rule.operator:
            case "older_than":
                length = self.length(rule.older_than)
                return f"> {length} ago" if self._en else f"早于 {length}前"
            case "within":
                return self.window(rule.within)
            case "in_next":
                return f"{'in ' if self._en else '在'}{self._ahead('_NEXT', rule.in_next)}"
            case "anniversary_in_next":
                days = self.counted(rule.anniversary_in_next or 0, "CALENDAR_DAYS")
                return f"anniversary in next {days}" if self._en else f"周年 在未来{days}"
        return self.say("KNOWN" if rule.known else "UNKNOWN")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"

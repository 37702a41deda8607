"""Who meets a rule, told slowly: a plain evaluator over a small shop in memory, written from docs/rules.md.

It knows nothing of SQL, and nothing of the code that makes it. A rule is looked at as the JSON that it is.
"""

import calendar
import math
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

Rule = dict[str, Any]
_COMPARISONS = [
    "equals",
    "any_of",
    "none_of",
    "at_least",
    "more_than",
    "at_most",
    "less_than",
    "contains",
    "starts_with",
    "known",
    "older_than",
    "within",
    "in_next",
    "anniversary_in_next",
]


@dataclass
class Order:
    """As the source last told it, with its lines (sku, category) and refunds (at, fen)."""

    no: str
    paid_at: datetime | None
    status: str
    fen: int
    store: int | None
    channel: str | None
    items: list[tuple[str | None, str | None]]
    refunds: list[tuple[datetime, int]]


@dataclass
class Event:
    """What somebody did."""

    id: str
    type: str
    at: datetime
    properties: dict[str, Any]


@dataclass
class Said:
    """An entry of the consent ledger."""

    id: int
    origin: int
    purpose: str
    channel: str
    state: str
    at: datetime
    recorded_at: datetime


@dataclass
class Person:
    """A customer and everything that is theirs."""

    id: int
    created_at: datetime
    status: str = "active"
    merged_into: int | None = None
    members: int = 1
    merged_at: datetime | None = None
    gender: int = 0
    birthday: date | None = None
    area_code: str | None = None
    store_id: int | None = None
    source_channel: int | None = None
    source_way: int | None = None
    member_since: datetime | None = None
    has_mobile: bool = False
    mobile_verified: bool = False
    identities: list[tuple[str, str]] = field(default_factory=list)
    consents: list[Said] = field(default_factory=list)
    attributes: list[tuple[int, str, Any, datetime]] = field(default_factory=list)  # origin, name, value, told at
    tags: list[tuple[str, datetime | None]] = field(default_factory=list)
    segments: set[int] = field(default_factory=set)
    scores: dict[str, Any] | None = None
    predictions: dict[str, Any] | None = None
    stats: dict[str, Any] | None = None
    orders: list[Order] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)


@dataclass(frozen=True)
class World:
    """Everybody, the moment at which they are looked at, and the types of declared properties and attributes."""

    people: list[Person]
    now: datetime
    zone: ZoneInfo
    properties: dict[tuple[str, str], str]
    attributes: dict[str, str]

    def members(self, rule: Rule) -> list[int]:
        """Who meets the rule, by number."""
        return sorted(person.id for person in self.people if self.present(person) and self.meets(rule, person))

    def present(self, person: Person) -> bool:
        """Whether they can be in anything."""
        return person.merged_into is None and person.status == "active"

    def meets(self, rule: Rule, who: Person) -> bool:
        """Whether this person meets the rule."""
        match rule["kind"]:
            case "all":
                return all([self.meets(part, who) for part in rule["of"]])
            case "any":
                return any([self.meets(part, who) for part in rule["of"]])
            case "not":
                return not self.meets(rule["of"], who)
        known: bool = getattr(self, f"_{rule['kind']}")(rule, who)
        return known

    # ---- what is known of them

    def _profile(self, rule: Rule, who: Person) -> bool:
        if rule["field"] == "member":
            return self.compared(rule, who.member_since is not None)
        if rule["field"] == "gender":
            return self.compared(rule, who.gender or None)
        return self.compared(rule, getattr(who, rule["field"]))

    def _identity(self, rule: Rule, who: Person) -> bool:
        return any(k == rule["identity"] and rule.get("scope") in (None, s) for k, s in who.identities)

    def _consent(self, rule: Rule, who: Person) -> bool:
        return bool(rule["state"] == self.consent(who, rule.get("purpose", "marketing"), rule["channel"]))

    def consent(self, who: Person, purpose: str, channel: str) -> str:
        """What stands: the word about the channel, or about all; of merged people the strictest."""
        said = sorted((s for s in who.consents if s.purpose == purpose), key=lambda s: (s.at, s.id))
        concerns = [s for s in said if s.channel in (channel, "*")]
        for no in concerns:
            if who.members > 1 and no.state == "withdrawn":
                lifts = (channel,) if no.channel == channel else (channel, "*")
                lifted = [
                    yes
                    for yes in said
                    if yes.state == "granted"
                    and yes.channel in lifts
                    and (yes.at, yes.id) > (no.at, no.id)
                    and (yes.origin == no.origin or (who.merged_at and min(yes.at, yes.recorded_at) >= who.merged_at))
                ]
                if not lifted:
                    return "withdrawn"
        own = [s for s in concerns if s.channel == channel]
        every = [s for s in concerns if s.channel == "*"]
        if not own:
            return every[-1].state if every else "none"
        if own[-1].state == "withdrawn" or not every or every[-1].state == "granted":
            return own[-1].state
        return concerns[-1].state

    def _attribute(self, rule: Rule, who: Person) -> bool:
        return self.compared(rule, self._newest(who, rule["name"]))

    def _newest(self, who: Person, name: str) -> Any:
        told = [(at, origin, value) for origin, called, value, at in who.attributes if called == name]
        return max(told, key=lambda one: one[:2])[2] if told else None

    def _segment(self, rule: Rule, who: Person) -> bool:
        return not who.segments.isdisjoint(rule["any_of"])

    def _tag(self, rule: Rule, who: Person) -> bool:
        carried = {name for name, until in who.tags if until is None or until > self.now}
        return bool(carried & set(rule["any_of"]))

    def _score(self, rule: Rule, who: Person) -> bool:
        return self.compared(rule, self._stored(who, rule["field"]))

    _stat = _score

    def _stored(self, who: Person, name: str) -> Any:
        return {**(who.stats or {}), **(who.scores or {}), **(who.predictions or {})}.get(name)

    def _share(self, rule: Rule, who: Person) -> bool:
        def belongs(one: Person) -> bool:
            return rule["among"] == "everybody" or bool(one.stats and one.stats["orders"] > 0)

        population = [
            float(value)
            for one in self.people
            if self.present(one) and belongs(one) and (value := self._stored(one, rule["field"])) is not None
        ]
        value = self._stored(who, rule["field"])
        if not population or value is None or not belongs(who):
            return False
        if "top" in rule:
            return bool(value >= quantile(population, 1 - rule["top"]))
        return bool(value <= quantile(population, rule["bottom"]))

    # ---- what they did

    def _event(self, rule: Rule, who: Person) -> bool:
        times = len(self._events(rule, who, rule.get("window")))
        if "at_least" in rule:
            return times >= int(rule["at_least"])
        if "at_most" in rule:
            return times <= int(rule["at_most"])
        return times == int(rule.get("exactly", 0))

    def _events(self, step: Rule, who: Person, window: Rule | None = None) -> list[datetime]:
        return sorted(
            event.at
            for event in who.events
            if event.type == step["event"]
            and self.happened(event.at, window)
            and all(self._property(event, condition) for condition in step.get("where", ()))
        )

    def _property(self, event: Event, condition: Rule) -> bool:
        name = condition["property"]
        value = event.properties.get(name)
        if "known" in condition:
            return bool((value is not None) == condition["known"])
        kind = self.properties.get((event.type, name))
        if kind is None:  # of a built-in type: whatever it is compared with
            asked = next(condition[one] for one in _COMPARISONS if one in condition)
            asked = asked[0] if isinstance(asked, list) else asked
            kind = {str: "text", bool: "boolean"}.get(type(asked), "number")
        return self.compared(condition, self._as(kind, value), lambda asked: self._as(kind, asked))

    def _as(self, kind: str, value: Any) -> Any:
        """The value as of this type; None where it is none of it."""
        if kind in ("number", "integer"):
            return Decimal(str(value)) if type(value) in (int, float) else None
        if kind == "boolean":
            return value if isinstance(value, bool) else None
        if not isinstance(value, str):
            return None
        try:
            if kind == "date":
                return date.fromisoformat(value)
            if kind == "datetime":
                moment = datetime.fromisoformat(value) if "T" in value else None
                return moment and (moment if moment.tzinfo else moment.replace(tzinfo=self.zone)).astimezone(UTC)
        except ValueError:
            return None
        return value

    def _order(self, rule: Rule, who: Person) -> bool:
        orders = self._orders(rule, who, rule.get("window"))
        lines = [line for one in orders for line in one.items if self._wanted(rule, line)]
        nets = [
            one.fen - (0 if rule.get("of") == "gross" else sum(fen for at, fen in one.refunds if at <= self.now))
            for one in orders
        ]
        figure: float | None
        match rule["measure"]:
            case "count":
                figure = len(orders)
            case "sum":
                figure = sum(nets)
            case "average":
                figure = float(sum(nets)) / len(nets) if nets else None
            case "max":
                figure = max(nets, default=None)
            case "products":
                figure = len({sku for sku, _ in lines if sku is not None})
            case "categories":
                figure = len({category for _, category in lines if category is not None})
            case _:
                figure = len({one.store for one in orders if one.store is not None})
        return self.compared(rule, figure)

    def _orders(self, step: Rule, who: Person, window: Rule | None = None) -> list[Order]:
        return [
            one
            for one in who.orders
            if one.paid_at is not None
            and one.status != "closed"
            and self.happened(one.paid_at, window)
            and ("channels" not in step or one.channel in step["channels"])
            and ("stores" not in step or one.store in step["stores"])
            and (not {"skus", "categories"} & step.keys() or any(self._wanted(step, line) for line in one.items))
        ]

    def _wanted(self, step: Rule, line: tuple[str | None, str | None]) -> bool:
        return ("skus" not in step or line[0] in step["skus"]) and (
            "categories" not in step or line[1] in step["categories"]
        )

    def _step(self, step: Rule, who: Person, window: Rule | None = None) -> list[datetime]:
        if step["kind"] == "event":
            return self._events(step, who, window)
        return sorted(one.paid_at for one in self._orders(step, who, window) if one.paid_at)

    def _sequence(self, rule: Rule, who: Person) -> bool:
        firsts = self._step(rule["first"], who, rule.get("window"))
        if "at_least" in rule:
            during = length(rule["during"])
            firsts = [at for at in firsts if sum(at - during <= one <= at for one in firsts) >= rule["at_least"]]
        within = length(rule["within"])
        seconds = self._step(rule.get("then") or rule["without"], who)
        for at in firsts:
            followed = any(at < second <= at + within for second in seconds)
            if followed if "then" in rule else at + within <= self.now and not followed:
                return True
        return False

    # ---- dates

    def _date(self, rule: Rule, who: Person) -> bool:
        if "attribute" in rule:
            return self._dated(rule, self._newest(who, rule["attribute"]))
        paid = [one.paid_at for one in self._orders({}, who) if one.paid_at is not None]
        done = [event.at for event in who.events if event.at <= self.now]
        match rule["field"]:
            case "last_order":
                return self._dated(rule, max(paid, default=None))
            case "first_order":
                return self._dated(rule, min(paid, default=None))
            case "last_event":
                return self._dated(rule, max(done, default=None))
            case "registered":
                return self._dated(rule, who.created_at)
        return self._dated(rule, getattr(who, rule["field"]))

    def _dated(self, rule: Rule, value: Any) -> bool:
        if "known" in rule:
            return bool((value is not None) == rule["known"])
        if value is None:
            return False
        day = value if type(value) is date else self.day(value)
        if "anniversary_in_next" in rule:
            coming = [self.today + timedelta(days=n) for n in range(rule["anniversary_in_next"] + 1)]
            return any(self._is_anniversary(day, one) for one in coming)
        if "older_than" in rule:
            asked = rule["older_than"]
            if "calendar_days" in asked:
                return (self.today - day).days >= int(asked["calendar_days"])
            return bool(value + length(asked) <= self.now)
        if "in_next" in rule:
            asked = rule["in_next"]
            if "calendar_days" not in asked:
                return bool(self.now < value <= self.now + length(asked))
            ahead = 0 <= (day - self.today).days <= int(asked["calendar_days"])
            return ahead and (type(value) is date or value > self.now)
        if "last" in rule["within"]:
            return bool(self.now - length(rule["within"]["last"]) < value <= self.now)
        return self._on(day, rule["within"])

    def _is_anniversary(self, of: date, day: date) -> bool:
        if (of.month, of.day) == (2, 29) and not calendar.isleap(day.year):
            of = of.replace(day=28)
        return (of.month, of.day) == (day.month, day.day) and of.year < day.year

    # ---- time

    @property
    def today(self) -> date:
        """The shop's day."""
        return self.day(self.now)

    def day(self, moment: datetime) -> date:
        """Of a moment, in the shop."""
        return moment.astimezone(self.zone).date()

    def happened(self, at: datetime, window: Rule | None) -> bool:
        """Not after now, and within the window."""
        if at > self.now:
            return False
        if window is None:
            return True
        if "last" in window:
            return at > self.now - length(window["last"])
        return self._on(self.day(at), window)

    def _on(self, day: date, window: Rule) -> bool:
        if "calendar_days" in window:
            return 0 <= (self.today - day).days < int(window["calendar_days"])
        if "calendar" not in window:
            first, last = window.get("from", "0001-01-01"), window.get("to", "9999-12-31")
            return date.fromisoformat(first) <= day <= date.fromisoformat(last)
        name, today = window["calendar"], self.today
        match name.partition("_")[2] or name:
            case "today":
                return day == today
            case "yesterday":
                return day == today - timedelta(days=1)
            case "week":
                then = today - timedelta(days=7) if name.startswith("last") else today
                return day.isocalendar()[:2] == then.isocalendar()[:2]
            case "month":
                then = today.replace(day=1) - timedelta(days=1) if name.startswith("last") else today
                return (day.year, day.month) == (then.year, then.month)
        return bool(day.year == today.year - name.startswith("last"))

    def compared(self, rule: Rule, value: Any, read: Any = lambda asked: asked) -> bool:
        """Exactly one comparison; a value that is not known meets only that it is not."""
        if "known" in rule:
            return bool((value is not None) == rule["known"])
        if value is None:
            return False
        (name,) = [one for one in _COMPARISONS if one in rule]
        asked = [read(one) for one in rule[name]] if isinstance(rule[name], list) else read(rule[name])
        if isinstance(value, date | datetime) and not isinstance(asked, list):
            asked = self._same(value, asked)
        elif isinstance(value, date | datetime):
            asked = [self._same(value, one) for one in asked]
        match name:
            case "equals":
                return bool(value == asked)
            case "any_of":
                return value in asked
            case "none_of":
                return value not in asked
            case "at_least":
                return bool(value >= asked)
            case "more_than":
                return bool(value > asked)
            case "at_most":
                return bool(value <= asked)
            case "less_than":
                return bool(value < asked)
            case "contains":
                return asked in value
        return bool(value.startswith(asked))

    def _same(self, value: Any, asked: Any) -> Any:
        if not isinstance(asked, str):
            return asked
        return self._as("datetime" if isinstance(value, datetime) else "date", asked)


def length(asked: Rule) -> timedelta:
    """Hours by the clock; a day has 24."""
    return timedelta(hours=asked.get("hours", 0) + 24 * asked.get("days", 0))


def quantile(values: list[float], part: float) -> float:
    """Linear interpolation, type 7."""
    ordered = sorted(values)
    place = part * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def kinds(rule: Rule) -> Counter[str]:
    """How many conditions of each kind a rule has."""
    if rule["kind"] in ("all", "any"):
        return sum((kinds(part) for part in rule["of"]), Counter([rule["kind"]]))
    if rule["kind"] == "not":
        return kinds(rule["of"]) + Counter(["not"])
    return Counter([rule["kind"]])

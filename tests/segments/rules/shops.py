"""Small shops with all that can happen to people, rules of every kind to ask of them, and how both are made up."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any, cast
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg
import orjson

from app.access.shops import Shop
from app.attributes.service import found_by
from app.attributes.values import KINDS as COLUMNS
from app.attributes.values import Declared
from app.segments.rules.catalogue import ANY_DATE, DATES, PROFILE, SCORES, SHARED, STATS
from app.segments.rules.comparing import TAKES, Type
from app.segments.rules.compiling import KINDS
from tests.segments.rules.oracle import Event, Order, Person, Said

Rule = dict[str, Any]

TICK = timedelta(microseconds=1)
HOSTILE = ["'; drop table customers; --", "x' or '1'='1", "%", "\\", "$1", ":shop_id", '"', "{}", "a\nb"]
WORDS = ["茶", "coffee", "S1", "pos", "mall", *HOSTILE]
TAGS = ["vip", "新客", "x' or '1'='1", "; drop table tags; --", "%_$1:shop_id"]
STORES = [1, 2, 3]
SEGMENTS = [2**52, 2**52 + 1]  # far from those that the database gives
PURPOSES = ["marketing", "x' or '1'='1"]
CHANNELS = ["sms", "webhook", "*"]
AREAS = ["310115", "310000", "110101"]
ATTRIBUTES = {
    "skin": ("choice", "public"),
    "hobby": ("text", "personal"),
    "rank": ("integer", "public"),
    "spend": ("number", "public"),
    "letter": ("boolean", "public"),
    "wedding": ("date", "personal"),
    "fitted": ("datetime", "public"),
    "second_mobile": ("text", "contact"),
    "doses": ("integer", "sensitive"),
}
DECLARED = {
    name: Declared(name, kind, class_, frozenset(["dry", "oily", *HOSTILE]) if kind == "choice" else frozenset())  # type: ignore[arg-type]
    for name, (kind, class_) in ATTRIBUTES.items()
}
PROPERTIES = {
    "size": "text",
    "price": "number",
    "count": "integer",
    "gift": "boolean",
    "on": "date",
    "at": "datetime",
}
TYPES = ["view", "cart", "fitting"]
TIERS = ["vip", "high_potential", "regular"]
FLAGS = ["vip_drop", "price_sensitive", "quality_oriented", "socially_active", "second_purchase"]
LENGTHS = [1, 23, 24, 25, 48]
_UNITS = ("week", "month", "year")
CALENDARS = ["today", "yesterday", *(f"{which}_{unit}" for which in ("this", "last") for unit in _UNITS)]
# What a declared type is compared as: of an attribute, and of an event's property.
_KEPT: dict[str, Any] = {"integer": "whole"}
_COMPARED: dict[str, Any] = {"integer": "number"}
IDENTITIES = [("wechat_openid", "app1"), ("wechat_openid", "'; --"), ("external_id", "pos"), ("email", "")]

# Days on which calendars turn, an hour that a zone has twice.
_NOWS = [
    datetime(2026, 3, 9, 16, tzinfo=UTC),
    datetime(2027, 2, 28, 5, tzinfo=UTC),
    datetime(2028, 2, 28, 16, tzinfo=UTC),
    datetime(2028, 2, 29, 4, 59, 59, 999999, tzinfo=UTC),
    datetime(2026, 12, 31, 16, tzinfo=UTC),
    datetime(2027, 1, 1, 4, 59, tzinfo=UTC),
    datetime(2026, 11, 1, 5, 30, tzinfo=UTC),
    datetime(2026, 3, 8, 7, 0, 0, 1, tzinfo=UTC),
]
_ZONES = [ZoneInfo("Asia/Shanghai"), ZoneInfo("America/New_York")]
_HOURS = [0, 1, 23, 24, 48, 72, 7 * 24, 30 * 24, 60 * 24, 365 * 24]
_LEAP = [date(2000, 2, 29), date(1996, 2, 29), date(1999, 2, 28), date(1990, 3, 1)]
_PRICES = [0, 1, 1.5, 0.1, 10**15, -3]
_ON = ["2026-03-01", "2028-02-29", "1999-12-31", "2027-02-29", "2026-02-30", "soon"]
_AT = [
    "2026-03-01T10:00:00",
    "2026-03-01T10:00:00+08:00",
    "2026-03-01T02:00:00Z",
    "2028-02-29T10:00",
    "2027-02-29T10:00",
    "2026-04-31T10:00:00",
    "later",
]

_ids = itertools.count(1)


class Chance:
    """Makes up shops and rules; every choice is the random generator's."""

    def __init__(self, random: Random, *, years: int = 0) -> None:
        """`years`: how much later than the years of this project, in fours."""
        self.random = random
        self.zone: ZoneInfo = self.one(_ZONES)
        far = datetime(2025, 6, 1, tzinfo=UTC) + timedelta(seconds=random.randrange(3 * 365 * 86_400))
        now: datetime = self.one([*_NOWS, far, far, far])
        self.now = now.replace(year=now.year + years)
        self.moments: list[datetime] = []

    @property
    def today(self) -> date:
        """In the shop."""
        return self.now.astimezone(self.zone).date()

    def one(self, of: Sequence[Any]) -> Any:
        """One of them."""
        return of[self.random.randrange(len(of))]

    def some(self, of: Sequence[Any], most: int = 3) -> list[Any]:
        """One or several, each once."""
        return self.random.sample(list(of), self.random.randint(1, min(most, len(of))))

    def maybe(self, value: Any) -> Any:
        """The value, or what it gives; or None."""
        if self.random.random() < 0.3:
            return None
        return value() if callable(value) else value

    def few(self, most: int, make: Callable[[], Any]) -> list[Any]:
        """None, one or several of them."""
        return [make() for _ in range(self.random.randint(0, most))]

    def truth(self) -> bool:
        """Yes or no."""
        return self.random.random() < 0.5

    def moment(self) -> datetime:
        """At an edge, or anywhere; some are yet to come."""
        made: datetime = self._moment()
        self.moments = [*self.moments[-5:], made]  # of the same person, more often than not
        return made

    def _moment(self) -> datetime:
        """So long after something else, at the edge of a window that ends now, or of a day in the shop, or any."""
        if self.moments and self.random.random() < 0.3:
            other: datetime = self.one(self.moments)
            hours: int = self.one([0, *LENGTHS]) * self.one([-1, 1])
            return other + timedelta(hours=hours) + TICK * self.random.randint(-1, 1)
        tick = TICK * self.random.randint(-1, 1)
        match self.random.randrange(4):
            case 0:
                return self.now - timedelta(hours=self.one(_HOURS)) + tick
            case 1:
                day = self.today - timedelta(days=self.one([-2, -1, 0, 1, 2, 6, 7, 29, 30, 31, 365]))
                return datetime(day.year, day.month, day.day, tzinfo=self.zone).astimezone(UTC) + tick
            case 2:
                return self.now - timedelta(minutes=self.random.randint(-3 * 1440, 30 * 1440))
        return self.now - timedelta(hours=self.random.randint(0, 24 * 800))

    def day(self) -> date:
        """Near today, in this year or a former one."""
        if self.random.random() < 0.2:
            leap: date = self.one(_LEAP)
            return leap
        day: date = self.today + timedelta(days=self.random.randint(-40, 40))
        years = self.random.randint(0, 40)
        return day.replace(year=day.year - years, day=28 if (day.month, day.day) == (2, 29) else day.day)

    # ---- People

    def people(self) -> list[Person]:
        """Some of everybody: who did nothing at all, who is merged, locked or erased, who did much."""
        return [self.person(number) for number in range(1, self.random.randint(2, 7))]

    def person(self, number: int) -> Person:
        """One of them."""
        person = Person(number, self.moment())
        if self.random.random() < 0.15:
            return person
        person.status = self.one(["active"] * 8 + ["locked", "erased"])
        if self.random.random() < 0.4:
            person.members, person.merged_at = 2, self.moment()
        if number > 1 and self.random.random() < 0.1:
            person.merged_into = 1
        person.gender = self.random.randint(0, 2)
        person.birthday = self.maybe(self.day)
        person.area_code = self.maybe(self.one(AREAS))
        person.store_id = self.maybe(self.one(STORES))
        person.source_channel = self.maybe(self.random.randint(0, 3))
        person.source_way = self.maybe(self.random.randint(0, 3))
        person.member_since = self.maybe(self.moment)
        person.has_mobile, person.mobile_verified = self.truth(), self.truth()
        person.identities = self.some(IDENTITIES, 2) if self.truth() else []
        person.consents = self.few(4, lambda: self._said(number))
        person.attributes = [
            (origin, name, self._value(name), self.moment())
            for origin in (number, number + 100)
            for name in self.random.sample([*ATTRIBUTES], self.random.randint(0, 5))
        ]
        person.tags = self.few(3, lambda: (self.one(TAGS), self.maybe(self.moment)))
        person.segments = {number for number in SEGMENTS if self.random.random() < 0.3}
        person.scores = self.maybe(self._scores)
        person.predictions = self.maybe(self._predictions)
        person.stats = self.maybe(self._stats)
        person.orders = self.few(4, self._told_order)
        person.events = self.few(self.one([2, 10]), self._told_event)
        return person

    def _said(self, number: int) -> Said:
        origin, state = self.one([number, number + 100]), self.one(["granted", "granted", "withdrawn"])
        return Said(next(_ids), origin, self.one(PURPOSES), self.one(CHANNELS), state, self.moment(), self.moment())

    def _value(self, name: str) -> Any:
        match ATTRIBUTES[name][0]:
            case "text":
                return self.one(["Go: 围棋", *HOSTILE])
            case "choice":
                return self.one(["dry", "oily", HOSTILE[0]])
            case "integer":
                return float(self.random.randint(-2, 12))
            case "number":
                return self.one([-0.5, 0.0, 0.1, 99.5])
            case "boolean":
                return self.truth()
        return self.day() if ATTRIBUTES[name][0] == "date" else self.moment()

    def _scores(self) -> dict[str, Any]:
        found: dict[str, Any] = {name: self.maybe(self.random.randint(1, 5)) for name in "rfm"}
        for name in ("rfm_type", "stage", "cycle_state", "churn_band", "nurture_stage"):
            found[name] = self.maybe(self.one(SCORES[name].choices[:3]))
        for name in FLAGS:
            found[name] = self.maybe(self.truth)
        return found | {"tier": self.maybe(self.one(TIERS)), "lead_score": self.maybe(self.random.randint(0, 6))}

    def _predictions(self) -> dict[str, Any]:
        return {
            "p_alive": self.maybe(self.one([0.0, 0.25, 0.3, 1.0])),
            "expected_purchases_90d": self.maybe(self.one([0.1, 2.0])),
            "expected_purchases_365d": self.maybe(self.one([0.1, 2.0])),
            "expected_spend_fen": self.maybe(self.random.randint(0, 5)),
            "clv_predicted_fen": self.maybe(self.random.randint(0, 5)),
        }

    def _stats(self) -> dict[str, Any]:
        found: dict[str, Any] = {name: self.random.randint(-2, 6) for name in STATS}
        return found | {
            "orders": self.random.randint(0, 4),
            "gap_median_days": self.maybe(self.one([0.5, 3.0])),
            "gap_max_days": self.maybe(self.random.randint(1, 5)),
            "first_channel": self.maybe(self.one(WORDS)),
            "main_channel": self.maybe(self.one(WORDS)),
            "main_hour": self.maybe(self.random.randint(0, 6)),
        }

    def _told_order(self) -> Order:
        def word() -> Any:
            return self.maybe(self.one(WORDS[:5]))

        return Order(
            f"O{next(_ids)}",
            self.maybe(self.moment),
            self.one(["paid", "paid", "completed", "closed", "created"]),
            50 * self.random.randint(0, 6),
            self.maybe(self.one(STORES)),
            self.maybe(self.one(WORDS[:6])),
            self.few(3, lambda: (word(), word())),
            self.few(2, lambda: (self.moment(), self.one([50, 100]))),
        )

    def _told_event(self) -> Event:
        """Of a declared type most are as they are declared, and some as they were once."""
        type_ = self.one(TYPES)
        told = {}
        for name in self.random.sample([*PROPERTIES, "sku"], self.random.randint(0, 4)):
            kind = PROPERTIES.get(name)
            told[name] = self._property(kind) if type_ == "fitting" and self.random.random() < 0.8 else self._property()
        return Event(str(UUID(int=next(_ids))), type_, self.moment(), told)

    def _property(self, kind: str | None = None) -> Any:
        match kind:
            case "text":
                return self.one(WORDS)
            case "number":
                return self.one(_PRICES)
            case "integer":
                return self.random.randint(0, 3)
            case "boolean":
                return self.truth()
            case "date":
                return self.one(_ON)
            case "datetime":
                return self.one(_AT)
        return self.one([*WORDS[:6], *_PRICES, *_ON, True, False])

    # ---- Rules

    def rule(self, levels: int = 3) -> Rule:
        """A condition, or a tree of some."""
        if levels == 0 or self.random.random() < 0.4:
            kind = self.one(["event", "order", "sequence", "date", "attribute", *KINDS])
            made: Rule = {"kind": kind} | getattr(self, f"_{kind}")()
            return made
        kind = self.one(["all", "any", "not"])
        if kind == "not":
            return {"kind": "not", "of": self.rule(levels - 1)}
        return {"kind": kind, "of": [self.rule(levels - 1) for _ in range(self.random.randint(1, 3))]}

    def timely(self, levels: int = 2) -> Rule:
        """The same of conditions that time turns, without shares: these are measured."""
        if levels == 0 or self.random.random() < 0.6:
            kind = self.one(["event", "order", "sequence", "date", "date", "tag"])
            made: Rule = {"kind": kind} | getattr(self, f"_{kind}")()
            return made
        kind = self.one(["all", "any", "not"])
        if kind == "not":
            return {"kind": "not", "of": self.timely(levels - 1)}
        return {"kind": kind, "of": [self.timely(levels - 1) for _ in range(self.random.randint(1, 3))]}

    def compared(self, operators: Sequence[str], value: Callable[[], Any]) -> Rule:
        """One comparison with values that are made so."""
        operator = self.one(operators)
        if operator == "known":
            return {"known": self.truth()}
        if operator in ("any_of", "none_of"):
            return {operator: [value() for _ in range(self.random.randint(1, 3))]}
        if operator in ("contains", "starts_with"):
            return {operator: self.one(["'", "%", "c", "围", "3101", "S", "\\", "$1", "Go"])}
        return {operator: value()}

    def _profile(self) -> Rule:
        return self._of_field(PROFILE)

    def _score(self) -> Rule:
        return self._of_field(SCORES)

    def _stat(self) -> Rule:
        return self._of_field(STATS)

    def _of_field(self, catalogue: Any) -> Rule:
        field = self.one([*catalogue.values()])
        values: Any = {
            "text": [*WORDS, *AREAS],
            "whole": range(-2, 7),
            "number": [0, 0.1, 0.25, 0.3, 2, 3],
            "boolean": [True, False],
        }.get(field.type)
        values = field.choices or {"tier": TIERS, "store_id": STORES}.get(field.key, values)
        return {"field": field.key} | self.compared(field.operators, lambda: self.one(values))

    def _identity(self) -> Rule:
        kind, scope = self.one(IDENTITIES)
        return {"identity": kind} | ({"scope": scope} if self.truth() else {})

    def _consent(self) -> Rule:
        told = {"channel": self.one(CHANNELS), "state": self.one(["granted", "withdrawn", "none"])}
        return told | ({"purpose": self.one(PURPOSES)} if self.truth() else {})

    def _tag(self) -> Rule:
        return {"any_of": self.some(TAGS, 2)}

    def _segment(self) -> Rule:
        return {"any_of": self.some(SEGMENTS)}

    def _share(self) -> Rule:
        told = {"field": self.one([*SHARED]), "among": self.one(["buyers", "everybody"])}
        return told | {self.one(["top", "bottom"]): self.one([0.1, 0.25, 0.5, 0.9])}

    def _attribute(self) -> Rule:
        name = self.one([*ATTRIBUTES])
        kind, class_ = ATTRIBUTES[name]
        operators = TAKES["sealed" if class_ in ("contact", "sensitive") else _KEPT.get(kind, cast(Type, kind))]

        def value() -> Any:
            made = self._value(name)
            return made.isoformat() if isinstance(made, date) else int(made) if kind == "integer" else made

        return {"name": name} | self.compared(operators, value)

    def _event(self) -> Rule:
        operator = self.one(["at_least", "at_most", "exactly", "never"])
        times = {"at_least": self.random.randint(1, 3), "never": True}.get(operator, self.random.randint(0, 3))
        return self._events() | {operator: times} | self._maybe_window()

    def _events(self) -> Rule:
        type_ = self.one(TYPES)
        where = [self._condition(type_) for _ in range(self.one([0, 0, 1, 2]))]
        return {"event": type_} | ({"where": where} if where else {})

    def _condition(self, type_: str) -> Rule:
        name = self.one([*PROPERTIES])
        kind = PROPERTIES[name] if type_ == "fitting" else self.one(["text", "number", "boolean"])

        def value() -> Any:
            return self.one({"date": _ON[:3], "datetime": _AT[:4]}[kind]) if kind in ("date", "datetime") else made()

        def made() -> Any:
            return self._property(kind)

        return {"property": name} | self.compared(TAKES[_COMPARED.get(kind, cast(Type, kind))], value)

    def _orders(self) -> Rule:
        told = {
            "channels": self.some(WORDS),
            "stores": self.some(STORES, 2),
            "skus": self.some(WORDS),
            "categories": self.some(WORDS),
        }
        return {name: value for name, value in told.items() if self.random.random() < 0.2}

    def _order(self) -> Rule:
        operator = self.one(["equals", "at_least", "more_than", "at_most", "less_than"])
        measure = self.one(["count", "count", "sum", "average", "max", "products", "categories", "stores"])
        number = self.one([0, 1, 2, 1.5])
        of = {}
        if measure in ("sum", "average", "max"):
            number = self.one([0, 1, 50, 100, 100.5, 200, -50])
            of = self.one([{}, {"of": "net"}, {"of": "gross"}])
        return {"measure": measure, operator: number} | of | self._orders() | self._maybe_window()

    def _step(self) -> Rule:
        if self.random.random() < 0.7:  # with conditions, few would follow each other
            plain: Rule = self.one([{"kind": "order"}, *({"kind": "event", "event": name} for name in TYPES)])
            return plain
        return {"kind": "event"} | self._events() if self.truth() else {"kind": "order"} | self._orders()

    def _sequence(self) -> Rule:
        told: Rule = {"first": self._step(), self.one(["then", "without"]): self._step(), "within": self._sliding()}
        repeated: Rule = {"at_least": self.random.randint(2, 3), "during": self._sliding()}
        told |= repeated if self.random.random() < 0.3 else {}
        return told | (self._window_of() if self.random.random() < 0.3 else {})

    def _sliding(self) -> Rule:
        if self.truth():
            return {"hours": self.one(LENGTHS)}
        return {"days": self.one([1, 2, 3, 7, 30, 60, 365])}

    def _calendar_days(self) -> Rule:
        return {"calendar_days": self.one([1, 2, 7, 30, 31, 60, 365])}

    def _maybe_window(self) -> Rule:
        return self._window_of() if self.random.random() < 0.7 else {}

    def _window_of(self) -> Rule:
        return {"window": self._window()}

    def _window(self, *, sliding: bool = True) -> Rule:
        if sliding and self.truth():
            return {"last": self._sliding()}
        match self.random.randrange(3):
            case 0:
                return self._calendar_days()
            case 1:
                return {"calendar": self.one(CALENDARS)}
        first, last = sorted(date(2024, 1, 1) + timedelta(days=self.random.randint(0, 1_800)) for _ in range(2))
        dated = {"from": first.isoformat(), "to": last.isoformat()}
        window: Rule = self.one([dated, {"from": dated["from"]}, {"to": dated["to"]}])
        return window

    def _date(self) -> Rule:
        name = self.one([*DATES, "wedding", "fitted"])
        if name in DATES:
            told, operators, day = {"field": name}, DATES[name].operators, DATES[name].day
        else:
            told, operators, day = {"attribute": name}, ANY_DATE, name == "wedding"
        match operator := self.one(operators):
            case "older_than":
                return told | {operator: self._calendar_days() if day or self.truth() else self._sliding()}
            case "within":
                return told | {operator: self._window(sliding=not day)}
            case "in_next":
                ahead = self._sliding() if not day and self.truth() else self._calendar_days()
                return told | {operator: self.one([ahead, {"calendar_days": 0}])}
            case "anniversary_in_next":
                return told | {operator: self.one([0, 1, 7, 30, 365])}
        return told | {operator: self.truth()}


# ---- Writing them down

TABLES = (
    "customers",
    "identities",
    "consents",
    "customer_attributes",
    "customer_tags",
    "segment_members",
    "customer_scores",
    "customer_predictions",
    "customer_stats",
    "orders",
    "order_items",
    "refunds",
    "events",
)
_RUN = UUID(int=1)


async def furnish(connection: asyncpg.Connection, shop: Shop) -> dict[str, int]:
    """Declare what the rules name. Returns the tags' numbers."""
    number, at = shop.id, datetime(2024, 1, 1, tzinfo=UTC)
    await _copy(connection, "stores", ["shop_id", "id", "name", "created_at"], [(number, s, "x", at) for s in STORES])
    names = ["shop_id", "name", "type", "class", "allowed_values", "purpose", "created_at", "updated_at"]
    declared = [
        (number, name, d.type, d.class_, sorted(d.allowed_values) or None, "test", at, at)
        for name, d in DECLARED.items()
    ]
    await _copy(connection, "attribute_types", names, declared)
    properties = {name: {"kind": kind, "required": False} for name, kind in PROPERTIES.items()}
    names = ["shop_id", "type", "properties", "created_at", "updated_at"]
    await _copy(connection, "event_types", names, [(number, "fitting", properties, at, at)])
    for segment in SEGMENTS:
        made = (
            "insert into segments (shop_id, id, name, kind, created_at, updated_at) overriding system value "
            "values ($1, $2, $2::bigint::text, 'static', $3, $3)"
        )
        await connection.execute(made, number, segment, at)
    found = {}
    for name in TAGS:
        made = "insert into tags (shop_id, name, created_at, updated_at) values ($1, $2, $3, $3) returning id"
        found[name] = await connection.fetchval(made, number, name, at)
    return found


async def connect(url: str) -> asyncpg.Connection:
    """Past the wall."""
    connection = await asyncpg.connect(url)
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        encoder=lambda value: b"\x01" + orjson.dumps(value),
        decoder=lambda value: orjson.loads(value[1:]),
        format="binary",
    )
    return connection


async def write(
    connection: asyncpg.Connection,
    shop: Shop,
    tags: dict[str, int],
    everybody: list[Person],
    *,
    received_at: datetime | None = None,
) -> None:
    """These people, in place of whoever was in the shop; what rules have given them stays."""
    given = {
        "customer_tags": "and source <> 'rule'",
        "segment_members": f"and segment_id in ({', '.join(map(str, SEGMENTS))})",
    }
    async with connection.transaction():
        for table in TABLES:
            await connection.execute(f"delete from {table} where shop_id = {shop.id} {given.get(table, '')}")  # noqa: S608
        for table, (names, records) in _rows(shop, tags, everybody, received_at).items():
            if records:
                await _copy(connection, table, ["shop_id", *names], [(shop.id, *record) for record in records])
        await _consents(connection, shop, everybody)


async def _copy(connection: asyncpg.Connection, table: str, names: list[str], records: list[Any]) -> None:
    await connection.copy_records_to_table(table, columns=names, records=records)


Told = dict[str, tuple[list[str], list[tuple[Any, ...]]]]


def _rows(shop: Shop, tags: dict[str, int], everybody: list[Person], received_at: datetime | None) -> Told:
    at = datetime(2024, 1, 1, tzinfo=UTC)
    received = received_at or at
    plain = [
        *("id", "created_at", "status", "merged_into", "members", "merged_at", "gender", "birthday", "area_code"),
        *("store_id", "source_channel", "source_way", "member_since", "mobile_verified"),
    ]
    customers = [
        (*(getattr(p, name) for name in plain), b"sealed" if p.has_mobile else None, at, at) for p in everybody
    ]
    told: Told = {
        "customers": ([*plain, "mobile", "told_at", "updated_at"], customers),
        "identities": (
            [
                "kind",
                "scope",
                "value_hash",
                "customer_id",
                "origin_customer_id",
                "value",
                "first_seen_at",
                "last_seen_at",
            ],
            [
                (kind, scope, f"{p.id} {kind} {scope}".encode(), p.id, p.id, b"sealed", at, at)
                for p in everybody
                for kind, scope in p.identities
            ],
        ),
        "customer_attributes": (
            ["origin_customer_id", "name", "customer_id", *COLUMNS, "sealed_value", "told_at", "source"],
            [_attribute_row(shop, p.id, *told) for p in everybody for told in p.attributes],
        ),
        "segment_members": (
            ["customer_id", "segment_id", "version", "entered_at"],
            [(p.id, number, 1, at) for p in everybody for number in p.segments],
        ),
        "customer_tags": (
            ["customer_id", "tag_id", "origin_customer_id", "source", "actor", "assigned_at", "valid_until"],
            [
                (p.id, tags[name], 100 * p.id + n, "manual", "test", at, until)
                for p in everybody
                for n, (name, until) in enumerate(p.tags)
            ],
        ),
        "orders": (
            [
                "order_no",
                "customer_id",
                "origin_customer_id",
                "store_id",
                "channel",
                "status",
                "paid_at",
                "amount_fen",
                "currency",
                "source_version",
                "payload_hash",
                "received_at",
            ],
            [
                (o.no, p.id, p.id, o.store, o.channel, o.status, o.paid_at, o.fen, "CNY", 1, b"", received)
                for p in everybody
                for o in p.orders
            ],
        ),
        "order_items": (
            ["order_no", "line_no", "sku", "category", "quantity", "price_fen"],
            [
                (o.no, n, sku, category, 1, 1)
                for p in everybody
                for o in p.orders
                for n, (sku, category) in enumerate(o.items)
            ],
        ),
        "refunds": (
            [
                "refund_no",
                "order_no",
                "amount_fen",
                "refunded_at",
                "source_version",
                "payload_hash",
                "settled",
                "received_at",
            ],
            [
                (f"{o.no}-{n}", o.no, fen, back, 1, b"", True, received)
                for p in everybody
                for o in p.orders
                for n, (back, fen) in enumerate(o.refunds)
            ],
        ),
        "events": (
            [
                "id",
                "occurred_at",
                "received_at",
                "customer_id",
                "origin_customer_id",
                "identity_kind",
                "identity_hash",
                "type",
                "properties",
            ],
            [
                (UUID(e.id), e.at, received, p.id, p.id, "fans_id", b"", e.type, e.properties)
                for p in everybody
                for e in p.events
            ],
        ),
    }
    for table, of in (("scores", SCORES), ("predictions", SCORES), ("stats", STATS)):
        told[f"customer_{table}"] = _stored(
            table, [n for n, f in of.items() if f.table.name == f"customer_{table}"], everybody
        )
    return told


async def _consents(connection: asyncpg.Connection, shop: Shop, everybody: list[Person]) -> None:
    """The ledger, in its own order: the database gives the numbers."""
    told = sorted(((s.id, p.id, s) for p in everybody for s in p.consents), key=lambda one: one[0])
    await connection.executemany(
        """
        insert into consents
            (shop_id, customer_id, origin_customer_id, purpose, channel, state, source, occurred_at, recorded_at)
        values ($1, $2, $3, $4, $5, $6, 'test', $7, $8)
        """,
        [(shop.id, owner, s.origin, s.purpose, s.channel, s.state, s.at, s.recorded_at) for _, owner, s in told],
    )


def _attribute_row(shop: Shop, owner: int, origin: int, name: str, value: Any, told_at: datetime) -> tuple[Any, ...]:
    declared = DECLARED[name]
    kept = dict.fromkeys(COLUMNS) | {declared.column: found_by(shop, declared, value)}
    return (origin, name, owner, *kept.values(), b"sealed" if declared.sealed else None, told_at, "test")


def _stored(table: str, names: list[str], everybody: list[Person]) -> tuple[list[str], list[tuple[Any, ...]]]:
    at = datetime(2024, 1, 1, tzinfo=UTC)
    beside: dict[str, dict[str, Any]] = {
        "scores": {"created_at": at},
        "predictions": {"run_id": _RUN},
        "stats": {"since_on": at.date(), "active_on": at.date()},
    }
    more = beside[table]
    rows = [(p.id, getattr(p, table)) for p in everybody]
    known = [(number, *(row[name] for name in names), *more.values()) for number, row in rows if row is not None]
    return ["customer_id", *names, *more], known


def leaves(rule: Rule) -> Iterator[Rule]:
    """Every condition of a rule, in the order of reading."""
    if rule["kind"] in ("all", "any"):
        for part in rule["of"]:
            yield from leaves(part)
    elif rule["kind"] == "not":
        yield from leaves(rule["of"])
    else:
        yield rule

"""Whether a rule fits the shop: what it names is there, and what it compares can be compared."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from difflib import get_close_matches
from typing import Any, Final, NamedTuple

from sqlalchemy import Column, select, text
from sqlalchemy import bindparam as p

from app.access.errors import ScopeMissing
from app.access.models import stores
from app.access.shops import Shop
from app.attributes import repository as attributes
from app.attributes import values
from app.attributes.models import attribute_types
from app.attributes.service import found_by
from app.attributes.values import Declared
from app.core import clock
from app.core.db import Connection, Statement, statement
from app.events import repository as events
from app.events.declarations import BUILT_IN
from app.events.models import event_types
from app.scoring.tiers import service as tiers
from app.segments.errors import RuleUnfit
from app.segments.rules.catalogue import DATES
from app.segments.rules.comparing import Type, misfit
from app.segments.rules.tree import (
    AttributeRule,
    DateRule,
    EventRule,
    EventStep,
    OrderRule,
    OrderStep,
    Place,
    ProfileRule,
    PropertyCondition,
    ScoreRule,
    SegmentRule,
    SequenceRule,
    TagRule,
    leaves,
)
from app.tags import repository as tags
from app.tags.models import tags as tag_table

_NEAR: Final = 1_000  # words among which the nearest is looked for


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What a rule names of the shop: when one of these changes or goes, the rule is to be looked at again."""

    segments: frozenset[int] = frozenset()
    tags: frozenset[str] = frozenset()
    attributes: frozenset[str] = frozenset()
    event_types: frozenset[str] = frozenset()
    tiers: frozenset[str] = frozenset()
    stores: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True, eq=False)
class Checked:
    """A rule that fits its shop. Two of one key are one statement.

    Args:
        key: the rule as JSON, and the types that the shop's declarations give to what it compares.
        attributes: the declarations of those that it names.
        properties: the types of declared event types' properties, by type and name.
        operands: what attributes are compared with, as it is kept, and the numbers of tags, by the condition's place.
        tags: the numbers of those that it names.
        masked: it asks for what is shown masked to who may not see personal fields.
    """

    rule: Any
    key: str
    attributes: Mapping[str, Declared]
    properties: Mapping[tuple[str, str], Type]
    operands: Mapping[Place, Any]
    tags: Mapping[str, int]
    depends: Dependencies
    masked: bool = False

    def names(self) -> set[tuple[str, str]]:
        """What it names of the shop, as kind and name; tags and segments by number."""
        named = {"attribute": self.depends.attributes, "event_type": self.depends.event_types}
        numbers = {"segment": self.depends.segments, "store": self.depends.stores, "tag": self.tags.values()}
        return {
            *((thing, name) for thing, names in named.items() for name in names),
            *(("tier", name) for name in self.depends.tiers),
            *((thing, str(number)) for thing, found in numbers.items() for number in found),
        }

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Checked) and self.key == other.key

    def type_of(self, event: str, condition: PropertyCondition) -> Type | None:
        """What a property is compared as; None where it is only asked whether it is known."""
        if event in BUILT_IN:
            return _TOLD[type(condition.values[0])] if condition.values else None
        return self.properties[event, condition.property]


async def check(db: Connection, shop: Shop, rule: Any, *, unmasked: bool) -> Checked:
    """The rule beside what the shop declares.

    Args:
        unmasked: whoever asks may see personal fields: who sees a value masked must not find it out by a rule.
    Raises: RuleUnfit, ScopeMissing.
    """
    (checked,) = await check_all(db, shop, [rule], unmasked=unmasked)
    if isinstance(checked, RuleUnfit):
        raise checked
    return checked


async def check_all(
    db: Connection, shop: Shop, rules: Sequence[Any], *, unmasked: bool = True
) -> list[Checked | RuleUnfit]:
    """Several rules beside what the shop declares: one query for each kind of thing that they name.

    Raises: ScopeMissing.
    """
    found = [[(("rule", *place), leaf) for place, leaf in leaves(rule)] for rule in rules]
    depends = _dependencies(leaf for of_one in found for _, leaf in of_one)
    has = _Has(
        shop,
        unmasked,
        await attributes.declared(db, shop.id, depends.attributes) if depends.attributes else {},
        await _declarations(db, shop.id, depends.event_types),
        await tags.named(db, shop.id, depends.tags) if depends.tags else {},
        await _there(db, _SEGMENT_IDS, shop.id, depends.segments),
        await _there(db, _STORE_IDS, shop.id, depends.stores),
        await _tiers(db, shop.id) if depends.tiers else (),
    )
    return [await _checked(db, has, rule, of_one) for rule, of_one in zip(rules, found, strict=True)]


async def _checked(db: Connection, all_has: "_Has", rule: Any, found: list[tuple[Place, Any]]) -> Checked | RuleUnfit:
    depends = _dependencies(leaf for _, leaf in found)
    has = all_has.of(depends)
    problems = [problem for place, leaf in found for problem in _problems(has, place, leaf)]
    if problems:
        return RuleUnfit(await _told(db, has.shop.id, problems[:_MOST_TOLD]))
    types = {(event, name): _DECLARED[kind["kind"]] for event, d in has.events.items() for name, kind in d.items()}
    shape = sorted((name, one.type, one.sealed) for name, one in has.attributes.items())
    used = sorted((*pair, kind) for pair, kind in types.items())
    key = rule.model_dump_json(by_alias=True, exclude_none=True)
    masked = any(one.mask is not None for one in has.attributes.values()) or any(
        isinstance(leaf, DateRule) and leaf.field is not None and DATES[leaf.field].personal for _, leaf in found
    )
    return Checked(rule, f"{key}{shape}{used}", has.attributes, types, has.operands, has.tags, depends, masked)


_MOST_TOLD: Final = 20
_TOLD: Final[dict[type, Type]] = {str: "text", bool: "boolean", int: "number", float: "number"}
_DECLARED: Final[dict[str, Type]] = {
    "text": "text",
    "integer": "number",
    "number": "number",
    "boolean": "boolean",
    "date": "date",
    "datetime": "datetime",
}
_KEPT: Final[dict[str, Type]] = {
    "text": "text",
    "choice": "choice",
    "integer": "whole",
    "number": "number",
    "boolean": "boolean",
    "date": "date",
    "datetime": "datetime",
}


def compared_as(declared: Declared) -> Type:
    """What values of an attribute are compared as."""
    return "sealed" if declared.sealed else _KEPT[declared.type]


def told_as(kind: str) -> Type:
    """What values of a declared property are compared as."""
    return _DECLARED[kind]


@dataclass(slots=True)
class _Has:
    """The shop's side: what there is of what a rule names."""

    shop: Shop
    unmasked: bool
    attributes: Mapping[str, Declared]
    events: Mapping[str, Mapping[str, Any]]
    tags: Mapping[str, int]
    segments: Collection[int]
    stores: Collection[int]
    tiers: Collection[str]
    operands: dict[Place, Any] = field(default_factory=dict)

    def of(self, depends: Dependencies) -> "_Has":
        """What one of several rules names, with operands of its own."""
        return replace(
            self,
            attributes={name: one for name, one in self.attributes.items() if name in depends.attributes},
            events={name: one for name, one in self.events.items() if name in depends.event_types},
            tags={name: one for name, one in self.tags.items() if name in depends.tags},
            operands={},
        )


class _Problem(NamedTuple):
    """`among`: the words that there are, or the statement that lists them."""

    place: Place
    message: str
    word: str | None = None
    among: Statement | Collection[str] | None = None


def _words(column: Column[Any]) -> Statement:
    shop_id = column.table.c.shop_id
    return statement(select(column.label("word")).where(shop_id == p("shop_id")).limit(_NEAR))


_ATTRIBUTES: Final = _words(attribute_types.c.name)
_EVENT_TYPES: Final = _words(event_types.c.type)
_TAGS: Final = _words(tag_table.c.name)
_SOME_STORES: Final = _words(stores.c.id)
_SEGMENTS: Final = statement(
    text("select id as word from segments where shop_id = :shop_id and state = 'active' limit 1000")
)
_SEGMENT_IDS: Final = statement(
    text(
        """
        select id from segments
        where shop_id = :shop_id and id = any(cast(:ids as bigint[])) and state = 'active'
        order by id for key share
        """
    )
)
_STORE_IDS: Final = statement(
    text("select id from stores where shop_id = :shop_id and id = any(cast(:ids as bigint[]))")
)


def _dependencies(all_leaves: Iterable[Any]) -> Dependencies:
    names: dict[str, set[Any]] = {"tags": set(), "attributes": set(), "event_types": set(), "tiers": set()}
    stores_named: set[int] = set()
    segments_named: set[int] = set()
    for leaf in all_leaves:
        match leaf:
            case SegmentRule():
                segments_named.update(leaf.any_of)
            case TagRule():
                names["tags"].update(leaf.any_of)
            case AttributeRule():
                names["attributes"].add(leaf.name)
            case DateRule() if leaf.attribute is not None:
                names["attributes"].add(leaf.attribute)
            case ScoreRule() if leaf.field == "tier":
                names["tiers"].update(leaf.values)
            case ProfileRule() if leaf.field == "store_id":
                stores_named.update(leaf.values)
            case _:
                for _, step in _steps((), leaf):
                    if isinstance(step, EventRule | EventStep):
                        names["event_types"].add(step.event)
                    else:
                        stores_named.update(step.stores or ())
    return Dependencies(
        **{name: frozenset(found) for name, found in names.items()},
        segments=frozenset(segments_named),
        stores=frozenset(stores_named),
    )


def _steps(place: Place, leaf: Any) -> Iterator[tuple[Place, Any]]:
    """The facts that a condition asks for, with their places."""
    if isinstance(leaf, EventRule | OrderRule):
        yield place, leaf
    elif isinstance(leaf, SequenceRule):
        for name in ("first", "then", "without"):
            if (step := getattr(leaf, name)) is not None:
                yield (*place, name), step


async def _declarations(db: Connection, shop_id: int, types: Collection[str]) -> dict[str, Any]:
    asked = set(types) - BUILT_IN
    return dict(await events.declared(db, shop_id, asked)) if asked else {}


async def _there(db: Connection, query: Statement, shop_id: int, ids: Collection[int]) -> set[int]:
    """Which of them there are."""
    return {row["id"] for row in await db.fetch(query, shop_id=shop_id, ids=sorted(ids))} if ids else set()


async def _tiers(db: Connection, shop_id: int) -> tuple[str, ...]:
    return tuple(tier.name for tier in (await tiers.current(db, shop_id)).definition.tiers)


async def _told(db: Connection, shop_id: int, problems: Collection[_Problem]) -> list[dict[str, Any]]:
    """The problems as they are answered, each with the nearest of the words that there are."""
    asked = {problem.among.sql: problem.among for problem in problems if isinstance(problem.among, Statement)}
    listed = {sql: [str(row["word"]) for row in await db.fetch(query, shop_id=shop_id)] for sql, query in asked.items()}
    return [{"field": ".".join(map(str, one.place)), "message": one.message + _near(one, listed)} for one in problems]


def _near(problem: _Problem, listed: Mapping[str, list[str]]) -> str:
    if problem.word is None:
        return ""
    among = listed[problem.among.sql] if isinstance(problem.among, Statement) else list(problem.among or ())
    near = get_close_matches(problem.word, among, n=1, cutoff=0)
    return f"; did you mean {near[0]}?" if near else "; the shop has none"


def _problems(has: _Has, place: Place, leaf: Any) -> Iterator[_Problem]:
    match leaf:
        case SegmentRule():
            for number, segment_id in enumerate(leaf.any_of):
                if segment_id not in has.segments:
                    message = f"there is no active segment {segment_id}"
                    yield _Problem((*place, "any_of", number), message, str(segment_id), _SEGMENTS)
        case TagRule():
            for number, name in enumerate(leaf.any_of):
                if name not in has.tags:
                    yield _Problem((*place, "any_of", number), f"there is no tag {name}", name, _TAGS)
            has.operands[place[1:]] = [has.tags[name] for name in leaf.any_of if name in has.tags]
        case AttributeRule():
            yield from _of_attribute(has, place, leaf)
        case DateRule():
            yield from _of_date(has, place, leaf)
        case ScoreRule() if leaf.field == "tier":
            for name in leaf.values:
                if name not in has.tiers:
                    yield _Problem((*place, leaf.operator), f"there is no tier {name}", name, has.tiers)
        case ProfileRule() if leaf.field == "store_id":
            yield from _of_stores(has, (*place, leaf.operator), leaf.values)
        case _:
            for at, step in _steps(place, leaf):
                if isinstance(step, OrderRule | OrderStep):
                    yield from _of_stores(has, (*at, "stores"), step.stores or ())
                else:
                    yield from _of_event(has, at, step)


def _of_stores(has: _Has, place: Place, ids: Iterable[int]) -> Iterator[_Problem]:
    for store_id in ids:
        if store_id not in has.stores:
            yield _Problem(place, f"there is no store {store_id}", str(store_id), _SOME_STORES)


def _of_attribute(has: _Has, place: Place, rule: AttributeRule) -> Iterator[_Problem]:
    declared = has.attributes.get(rule.name)
    if declared is None:
        yield _Problem((*place, "name"), f"the attribute {rule.name} is not declared", rule.name, _ATTRIBUTES)
        return
    _refuse_masked(has, place, declared)
    if problem := misfit(rule, compared_as(declared), rule.name):
        yield _Problem((*place, problem[0]), problem[1])
        return
    if rule.operator in ("known", "contains", "starts_with"):
        has.operands[place[1:]] = rule.operand
        return
    try:
        kept = [found_by(has.shop, declared, values.fit(declared, one, has.shop.zone)) for one in rule.values]
    except ValueError as unfit:
        yield _Problem((*place, rule.operator), str(unfit))
        return
    has.operands[place[1:]] = kept if isinstance(rule.operand, tuple) else kept[0]


def _refuse_masked(has: _Has, place: Place, declared: Declared) -> None:
    if declared.mask is not None and not has.unmasked:
        raise _hidden(place, declared.name)


def _hidden(place: Place, name: str) -> ScopeMissing:
    detail = f"{name} is shown masked; to ask for it in a rule the caller needs the scope pii:read"
    return ScopeMissing(detail, field=".".join(map(str, place)), needed_scope="pii:read")


def _of_date(has: _Has, place: Place, rule: DateRule) -> Iterator[_Problem]:
    if rule.field is not None:
        if DATES[rule.field].personal and not has.unmasked:
            raise _hidden(place, rule.field)
        return
    name = rule.attribute or ""
    declared = has.attributes.get(name)
    if declared is None:
        yield _Problem((*place, "attribute"), f"the attribute {name} is not declared", name, _ATTRIBUTES)
        return
    _refuse_masked(has, place, declared)
    if declared.type not in ("date", "datetime") or declared.sealed:
        yield _Problem((*place, "attribute"), f"{name} is not a date; ask for it with kind attribute")
    elif declared.type == "date" and (problem := rule.clocked()):
        yield _Problem((*place, rule.operator), f"{name} has no time of day: {problem}")


def _of_event(has: _Has, place: Place, step: Any) -> Iterator[_Problem]:
    built_in, declaration = step.event in BUILT_IN, has.events.get(step.event)
    if not built_in and declaration is None:
        message = f"the event type {step.event} is not declared"
        yield _Problem((*place, "event"), message, step.event, _EVENT_TYPES)
        return
    for number, condition in enumerate(step.where):
        at = (*place, "where", number)
        if built_in:
            yield from _of_told(at, condition)
        elif condition.property not in (declaration or {}):
            message = f"{step.event} declares no property {condition.property}"
            yield _Problem((*at, "property"), message, condition.property, list(declaration or ()))
        else:
            kind = _DECLARED[(declaration or {})[condition.property]["kind"]]
            yield from _of_property(at, condition, kind)


def _of_told(place: Place, condition: PropertyCondition) -> Iterator[_Problem]:
    """A property that nobody declares is what it is compared with."""
    told = {_TOLD[type(value)] for value in condition.values}
    if len(told) > 1:
        yield _Problem((*place, condition.operator), "write values of one type: texts, numbers, or true and false")
    for kind in told if len(told) == 1 else ():
        yield from _of_property(place, condition, kind)


def _of_property(place: Place, condition: PropertyCondition, kind: Type) -> Iterator[_Problem]:
    if problem := misfit(condition, kind, condition.property):
        yield _Problem((*place, problem[0]), problem[1])
        return
    reads = _READS.get(kind)
    if reads is None:
        return
    for value in condition.values:
        if not reads(value):
            written = "a day such as 2026-01-31" if kind == "date" else "a time such as 2026-01-31T10:00:00+08:00"
            yield _Problem((*place, condition.operator), f"{condition.property} is compared with {written}")


def _reads(parse: Callable[[str], Any], has_time: bool) -> Callable[[str], bool]:
    def reads(value: str) -> bool:
        with suppress(ValueError):
            moment = parse(value)
            if has_time:
                clock.of_our_time(moment)
            return has_time == ("T" in value) and (has_time or moment.isoformat() == value)
        return False

    return reads


_READS: Final[dict[Type, Callable[[str], bool]]] = {
    "date": _reads(date.fromisoformat, has_time=False),
    "datetime": _reads(datetime.fromisoformat, has_time=True),
}

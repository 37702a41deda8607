"""A rule as SQL: once for its text, whoever it is asked of; who meets it, how many, and which of some customers."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache, wraps
from typing import Any, Final, Literal, NamedTuple, TypeVar

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Column,
    ColumnElement,
    FromClause,
    MetaData,
    Select,
    Table,
    and_,
    any_,
    bindparam,
    column,
    func,
    insert,
    or_,
    select,
    true,
)

from app.changes.repository import What
from app.core.db import Statement, statement
from app.customers.models import customers
from app.segments.rules import dates, facts, people, sequences
from app.segments.rules.checking import Checked
from app.segments.rules.making import Asking, Making, Term
from app.segments.rules.tree import (
    AllOf,
    AnyOf,
    ConsentRule,
    DateRule,
    EventRule,
    EventStep,
    Not,
    OrderRule,
    OrderStep,
    Place,
    ProfileRule,
    ScoreRule,
    SequenceRule,
    ShareRule,
    StatRule,
    leaves,
)

T = TypeVar("T")

Question = Literal["members", "count", "among", "found", "staged"]
Maker = Callable[[Making, Any, Place], Term]

_REMEMBERED: Final = 512
_LONGEST: Final = 10_000  # letters: what is longer is made anew each time, or some rules would fill the memory
MAKERS: Final[Mapping[str, Maker]] = {
    "profile": people.profile,
    "identity": people.identity,
    "consent": people.consent,
    "attribute": people.attribute,
    "tag": people.tag,
    "segment": people.segment,
    "list": people.listed,
    "score": people.score,
    "stat": people.stat,
    "share": people.share,
    "event": facts.event,
    "order": facts.order,
    "sequence": sequences.sequence,
    "date": dates.dated,
}
STAGED: Final = Table("segment_staged", MetaData(), Column("customer_id", BigInteger, primary_key=True))
_SETS: Final = (ConsentRule, EventRule, OrderRule, SequenceRule)
KINDS: Final = tuple(kind for kind in MAKERS if kind != "list")  # what callers write


class Together(NamedTuple):
    """Several rules in one statement, and of each the parameters whose values come with the asking."""

    statement: Statement
    asks: tuple[Mapping[str, Callable[[Asking], Any]], ...]

    def values(self, askings: Iterable[Asking]) -> dict[str, Any]:
        """What to bind beside `shop_id` and `customer_ids`: one asking for each rule, in their order."""
        each = zip(self.asks, askings, strict=True)
        return {name: answer(asking) for asks, asking in each for name, answer in asks.items()}


class Compiled(NamedTuple):
    """A statement, and the parameters of it whose values come with the asking."""

    statement: Statement
    asks: Mapping[str, Callable[[Asking], Any]]

    def values(self, asking: Asking) -> dict[str, Any]:
        """What to bind beside what the statement binds itself, its `shop_id`, and what its maker says."""
        return {name: answer(asking) for name, answer in self.asks.items()}


def members(checked: Checked) -> Compiled:
    """Everybody who meets the rule, by number: `id`. Binds `after`, and `limit`, of which None is all."""
    return _compiled(checked, "members")


def count(checked: Checked) -> Compiled:
    """How many meet the rule."""
    return _compiled(checked, "count")


def found(checked: Checked) -> Compiled:
    """How many meet the rule, and the newest of them, from one look: `customers`, `sample`. Binds `limit`."""
    return _compiled(checked, "found")


def among(checked: Checked) -> Compiled:
    """Which of some customers meet the rule: `id`. Binds `customer_ids`."""
    return _compiled(checked, "among")


@lru_cache(maxsize=_REMEMBERED)
def together(rules: tuple[Checked, ...]) -> Together:
    """Which of some customers meet each of several rules: `id`, and for each rule in order `rule_0` and so on.

    The customers are active, and themselves. A row for each; a rule is null for who does not meet it, too.
    """
    person: FromClause = customers.alias("c")
    ids = bindparam("customer_ids", type_=ARRAY(BigInteger))
    where: list[ColumnElement[bool]] = []
    if any(asks_profile(checked.rule) for checked in rules):
        where = [person.c.shop_id == bindparam("shop_id", type_=BigInteger), person.c.id == any_(ids)]
    else:
        # Nothing is asked of their own rows, which would be looked up for each rule anew.
        person = func.unnest(ids).table_valued(column("id", BigInteger)).render_derived(name="c")
    makings = [Making(one, few=True, person=person, prefix=f"r{number}_") for number, one in enumerate(rules)]
    columns = [
        holds(making, making.checked.rule, terms(making)).label(f"rule_{number}")
        for number, making in enumerate(makings)
    ]
    made = statement(select(person.c.id, *columns).where(*where))
    return Together(made, tuple(_bound(made, making) for making in makings))


def asks_profile(rule: Any) -> bool:
    """Whether one of the conditions is on the customer's own row."""
    return any(
        isinstance(leaf, ProfileRule) or (isinstance(leaf, DateRule) and leaf.field in dates.COLUMNS)
        for _, leaf in leaves(rule)
    )


def asks_facts(rule: Any) -> frozenset[What]:
    """Of which facts its answer may change, directly or by the scores that follow from them."""
    return frozenset(what for _, leaf in leaves(rule) for what in _facts_of(leaf))


def _facts_of(leaf: Any) -> Iterator[What]:
    match leaf:
        case EventRule() | EventStep():
            yield "event"
        case OrderRule() | OrderStep():
            yield "order"
        case SequenceRule():
            for step in (leaf.first, leaf.then, leaf.without):
                yield from _facts_of(step)
        case DateRule(field="last_event"):
            yield "event"
        case DateRule(field="last_order" | "first_order"):
            yield "order"
        case ScoreRule() | StatRule() | ShareRule():
            yield from ("event", "order")


def staged(checked: Checked) -> Compiled:
    """Everybody who meets the rule, put into `STAGED`, which is the transaction's own."""
    return _compiled(checked, "staged")


def remembered(make: Callable[..., T]) -> Callable[..., T]:
    """Whatever is made of a rule, and of what else is asked, once for its key; the rule comes first."""
    kept = lru_cache(maxsize=_REMEMBERED)(make)

    @wraps(make)
    def made(checked: Checked, *more: Any) -> T:
        return kept(checked, *more) if len(checked.key) <= _LONGEST else make(checked, *more)

    return made


@remembered
def shares(checked: Checked) -> tuple[Compiled, tuple[Place, ...]] | None:
    """The values that the rule's shares begin or end at, in one row, with their conditions' places; None without any.

    They are measured once for everybody and then bound, so that a batch of customers costs no walk of the shop, and
    meets the rule by the same values as the shop did.
    """
    asked = [(place, leaf) for place, leaf in leaves(checked.rule) if isinstance(leaf, ShareRule)]
    if not asked:
        return None
    making = Making(checked, few=False)
    values = [people.share_value(making, leaf).label(f"share_{number}") for number, (_, leaf) in enumerate(asked)]
    return finished(making, select(*values)), tuple(place for place, _ in asked)


@remembered
def _compiled(checked: Checked, question: Question) -> Compiled:
    sets = sum(isinstance(leaf, _SETS) for _, leaf in leaves(checked.rule))
    few = question == "among"
    making = Making(checked, few=few, alone=not few and sets <= 1)
    person = making.person
    who = select(person.c.id).where(
        person.c.shop_id == making.shop, *people.in_the_shop(person), holds(making, checked.rule, terms(making))
    )
    return finished(making, _QUESTIONS[question](making, who))


def finished(making: Making, query: Any) -> Compiled:
    """The query as a statement, with those of the parameters that it takes."""
    made = statement(query)
    return Compiled(made, _bound(made, making))


def _bound(made: Statement, making: Making) -> dict[str, Callable[[Asking], Any]]:
    names = frozenset(made.names)
    return {name: answer for name, answer in making.asks.items() if name in names}


def _members(making: Making, who: Select[Any]) -> Any:
    number = making.person.c.id
    after, limit = bindparam("after", type_=BigInteger), bindparam("limit", type_=BigInteger)
    return who.where(number > after).order_by(number).limit(limit)


def _count(_: Making, who: Select[Any]) -> Any:
    return select(func.count()).select_from(who.subquery())


def _found(_: Making, who: Select[Any]) -> Any:
    # Looked for once, however little of it is shown.
    everybody = who.cte("everybody").prefix_with("materialized")
    newest = select(everybody.c.id).order_by(everybody.c.id.desc()).limit(bindparam("limit", type_=BigInteger))
    number = select(func.count()).select_from(everybody).scalar_subquery()
    return select(number.label("customers"), func.array(newest.scalar_subquery()).label("sample"))


def _staged(_: Making, who: Select[Any]) -> Any:
    return insert(STAGED).from_select(["customer_id"], who)


def _among(making: Making, who: Select[Any]) -> Any:
    return who.where(making.asked(making.person.c.id))


_QUESTIONS: Final[Mapping[Question, Callable[[Making, Select[Any]], Any]]] = {
    "members": _members,
    "count": _count,
    "found": _found,
    "among": _among,
    "staged": _staged,
}


def terms(making: Making) -> dict[Place, Term]:
    """Each condition of the rule as SQL, by its place."""
    return {place: MAKERS[leaf.kind](making, leaf, place) for place, leaf in leaves(making.checked.rule)}


def holds(making: Making, rule: Any, made: Mapping[Place, Term]) -> ColumnElement[bool]:
    """The whole rule: true for who meets it. It may be null for who does not, as a condition on the unknown is."""
    return _holds(rule, (), made)[0]


def _holds(node: Any, place: Place, made: Mapping[Place, Term]) -> tuple[ColumnElement[bool], bool]:
    """The term, and whether it is never null."""
    if isinstance(node, Not):
        inner, sure = _holds(node.of, (*place, "not"), made)
        return (~inner if sure else inner.is_not(true())), True
    if isinstance(node, AllOf | AnyOf):
        parts = [_holds(part, (*place, node.kind, number), made) for number, part in enumerate(node.of)]
        join = and_ if isinstance(node, AllOf) else or_
        return join(*(part for part, _ in parts)), all(sure for _, sure in parts)
    return made[place].holds, made[place].sure

"""Conditions on what is known of a customer, as SQL: profile, identities, consent, attributes, tags, scores, shares."""

from typing import Any, Final

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Double,
    LargeBinary,
    Text,
    and_,
    any_,
    cast,
    column,
    exists,
    func,
    or_,
    select,
    text,
)
from sqlalchemy import literal as bind
from sqlalchemy.types import TypeEngine

from app.attributes.conditions import newest
from app.consent.conditions import states
from app.customers.models import identities
from app.scoring.models import customer_stats
from app.segments.models import segment_entries, segment_members
from app.segments.rules.catalogue import PROFILE, SCORES, SHARED, STATS, Field
from app.segments.rules.comparing import SQL_TYPES, against, compared
from app.segments.rules.making import INSTANT, SHOWN_IDS, Making, Term
from app.segments.rules.tree import (
    AttributeRule,
    ConsentRule,
    IdentityRule,
    ListRule,
    Place,
    ProfileRule,
    ScoreRule,
    SegmentRule,
    ShareRule,
    StatRule,
    TagRule,
)
from app.tags.models import customer_tags, tags

_COLUMN_TYPES: Final[dict[str, TypeEngine[Any]]] = {
    "text_value": Text(),
    "number_value": Double(),
    "boolean_value": SQL_TYPES["boolean"],
    "date_value": SQL_TYPES["date"],
    "instant_value": INSTANT,
    "value_hash": LargeBinary(),
}


def profile(making: Making, rule: ProfileRule, _: Place) -> Term:
    """A field of the customer's own row."""
    field = PROFILE[rule.field]
    value = field.of(making.person)
    holds = compared(value, rule.operator, _operand(field, rule), SQL_TYPES[field.type])
    return Term(holds, value, sure=field.always or rule.operator == "known")


def identity(making: Making, rule: IdentityRule, _: Place) -> Term:
    """An identity of a kind, whatever its value."""
    held = identities.alias()
    terms = [*making.of_the_person(held), held.c.kind == bind(rule.identity, Text)]
    if rule.scope is not None:
        terms.append(held.c.scope == bind(rule.scope, Text))
    return Term(exists().where(*terms), select(func.count()).select_from(held).where(*terms).scalar_subquery())


def consent(making: Making, rule: ConsentRule, _: Place) -> Term:
    """What stands in the ledger now; it is not asked as of another time, as what goes out is not."""
    prefix = f"{making.prefix}consent_{len(making.asks)}"
    making.asks[f"{prefix}_purpose"] = lambda _: rule.purpose
    making.asks[f"{prefix}_channel"] = lambda _: rule.channel
    said = text(states(prefix, few=making.few)).columns(column("customer_id"), column("state", Text)).subquery()
    who = select(said.c.customer_id)
    if rule.state == "none":
        holds = ~making.is_one_of(who)
    else:
        holds = making.is_one_of(who.where(said.c.state == bind(rule.state, Text)))
    value = select(said.c.state).where(*making.of_the_person(said)).scalar_subquery()
    return Term(holds, func.coalesce(value, bind("none", Text)))


def attribute(making: Making, rule: AttributeRule, place: Place) -> Term:
    """A declared attribute: of the rows that a customer owns, the newest counts."""
    declared = making.checked.attributes[rule.name]
    kept, mine = newest(making.shop, making.person.c.id, rule.name)
    value = kept.c[declared.column]
    # Of another type are values of a former declaration, which are being removed.
    there = [*mine, value.is_not(None)]
    sql_type = _COLUMN_TYPES[declared.column]
    if rule.operator == "known":
        found = exists().where(*there)
        holds = found if rule.operand else ~found
    elif rule.operator in ("contains", "starts_with"):
        holds = exists().where(*mine, compared(value, rule.operator, rule.operand, sql_type))
    else:
        many = isinstance(rule.operand, tuple)
        kind: TypeEngine[Any] = ARRAY(sql_type) if many else sql_type
        asked = making.ask("attribute", kind, lambda asking: asking.checked.operands[place])
        holds = exists().where(*mine, against(value, rule.operator, asked))
    if declared.sealed:
        return Term(holds, exists().where(*there))
    return Term(holds, select(value).where(*there).scalar_subquery())


def tag(making: Making, rule: TagRule, place: Place) -> Term:
    """A tag that is carried: its assignment has not run out."""
    carried = customer_tags.alias()
    until = carried.c.valid_until
    asked = making.ask("tags", ARRAY(BigInteger), lambda asking: asking.checked.operands[place])
    terms = [
        *making.of_the_person(carried),
        carried.c.tag_id == any_(asked),
        or_(until.is_(None), until > making.instant(lambda moment: moment.now)),
    ]
    names = (
        select(tags.c.name)
        .where(tags.c.shop_id == making.shop, tags.c.id == carried.c.tag_id, *terms)
        .distinct()
        .order_by(tags.c.name)
        .limit(SHOWN_IDS)
    )
    count = select(func.count(carried.c.tag_id.distinct())).where(*terms).scalar_subquery()
    return Term(exists().where(*terms), count, ids=func.array(names.scalar_subquery()))


def segment(making: Making, rule: SegmentRule, _: Place) -> Term:
    """In one of the segments, as they are kept."""
    kept = segment_members.alias()
    terms = [*making.of_the_person(kept), kept.c.segment_id == any_(bind(list(rule.any_of), ARRAY(BigInteger)))]
    count = select(func.count()).select_from(kept).where(*terms).scalar_subquery()
    which = (
        select(cast(kept.c.segment_id, Text)).where(*terms).order_by(kept.c.segment_id).limit(SHOWN_IDS)
    ).scalar_subquery()
    return Term(exists().where(*terms), count, ids=func.array(which))


def listed(making: Making, rule: ListRule, _: Place) -> Term:
    """On the list of a static segment."""
    entry = segment_entries.alias()
    terms = [*making.of_the_person(entry), entry.c.segment_id == bind(rule.segment, BigInteger)]
    return Term(exists().where(*terms), select(func.min(entry.c.added_at)).where(*terms).scalar_subquery())


def score(making: Making, rule: ScoreRule, _: Place) -> Term:
    """A score or prediction, as it is stored."""
    return _stored(making, SCORES[rule.field], rule)


def stat(making: Making, rule: StatRule, _: Place) -> Term:
    """A stat of all time, as it is stored."""
    return _stored(making, STATS[rule.field], rule)


def _stored(making: Making, field: Field, rule: Any) -> Term:
    row = field.table.alias()
    mine, value = making.of_the_person(row), field.of(row)
    if rule.operator == "known":
        found = exists().where(*mine, value.is_not(None))
        holds = found if rule.operand else ~found
    else:
        holds = exists().where(*mine, compared(value, rule.operator, _operand(field, rule), SQL_TYPES[field.type]))
    return Term(holds, select(value).where(*mine).scalar_subquery())


def _operand(field: Field, rule: Any) -> Any:
    if field.type != "number":
        return rule.operand
    return [float(one) for one in rule.operand] if isinstance(rule.operand, tuple) else float(rule.operand)


def share(making: Making, rule: ShareRule, place: Place) -> Term:
    """At or beyond the value that `shares` found: who has the same value is on the same side."""
    field = SHARED[rule.field]
    row = field.table.alias()
    mine, value = making.of_the_person(row), field.of(row)
    begins = making.ask("share", Double(), lambda asking: asking.shares[place])
    among = value >= begins if rule.top is not None else value <= begins
    holds = exists().where(*mine, among, *_population(making, rule, row))
    return Term(holds, select(value).where(*mine).scalar_subquery())


def share_value(making: Making, rule: ShareRule) -> Any:
    """The value that the share begins or ends at, of the population as it is now; null where nobody is in it."""
    field = SHARED[rule.field]
    row, person = field.table.alias(), making.person
    part = 1 - rule.top if rule.top is not None else rule.bottom
    value = func.percentile_cont(bind(part, Double)).within_group(func.cast(field.of(row), Double()))
    return (
        select(value)
        .select_from(row.join(person, and_(person.c.shop_id == row.c.shop_id, person.c.id == row.c.customer_id)))
        .where(row.c.shop_id == making.shop, *in_the_shop(person), *_population(making, rule, row))
        .scalar_subquery()
    )


def in_the_shop(person: Any) -> list[Any]:
    """Who can be in anything at all: nobody who is merged into another, locked or erased."""
    return [person.c.merged_into.is_(None), person.c.status == bind("active", Text)]


def _population(making: Making, rule: ShareRule, row: Any) -> list[Any]:
    if rule.among == "everybody":
        return []
    if "orders" in row.c:
        return [row.c.orders > 0]
    stats = customer_stats.alias()
    return [
        exists().where(stats.c.shop_id == making.shop, stats.c.customer_id == row.c.customer_id, stats.c.orders > 0)
    ]

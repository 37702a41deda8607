"""A definition as SQL, as the days on which a passing day moves people, and as an explanation of one customer.

Every number and name of a definition is bound, by its place: `tier_asked` (what the conditions say), `tier_values`
(what they compare with, once top shares are resolved) and `tier_names`. So the SQL is made of our own words only.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Final, NamedTuple

from app.scoring.tiers.definition import Condition, Definition, Operator
from app.scoring.tiers.fields import AS_OF, FIELDS, POPULATIONS, Number, Row

_SIGNS: Final[Mapping[Operator, str]] = {
    "at_least": ">=",
    "more_than": ">",
    "at_most": "<=",
    "less_than": "<",
    "top_share": ">=",
}


class Evidence(NamedTuple):
    """A condition and what a customer has to show for it."""

    tier: str
    field: str
    value: Number | None
    operator: Operator
    threshold: float | None  # None: nobody is in the population of its top share
    met: bool
    among: str | None  # of a top share: met only by who belongs to these


def names(definition: Definition) -> list[str]:
    """To bind as `tier_names`."""
    return [tier.name for tier in definition.tiers]


def asked(definition: Definition) -> list[float]:
    """To bind as `tier_asked`: what each condition compares with; of a top share, the quantile that it begins at."""
    return [
        1 - condition.number if condition.operator == "top_share" else condition.number
        for condition in conditions(definition)
    ]


def conditions(definition: Definition) -> Iterator[Condition]:
    """Of all tiers, in the order in which their values are counted."""
    return (condition for tier in definition.tiers for condition in tier.when)


def without_shares(definition: Definition) -> list[float | None]:
    """What the conditions compare with before anything has been measured: no top share has a value."""
    return [None if one.operator == "top_share" else one.number for one in conditions(definition)]


def values_sql(definition: Definition) -> str:
    """A float8[] of what the conditions compare with, in their order: an aggregate over the whole population.

    Over rows of `s` joined with `c` that are everybody who counts: since_on before the day, merged into nobody. A top
    share of nobody is null. Binds `tier_asked`.
    """
    values = ", ".join(_value(place, one) for place, one in enumerate(conditions(definition), 1))
    # The count is never null; it makes one row of any number, also where no condition aggregates.
    return f"case when count(*) is not null then array[{values}]::float8[] end"


def _value(place: int, condition: Condition) -> str:
    number = f"(cast(:tier_asked as float8[]))[{place}]"
    if condition.among is None:
        return number
    belongs = POPULATIONS[condition.among]
    among = f" filter (where {belongs})" if belongs else ""
    return f"percentile_cont({number}) within group (order by ({FIELDS[condition.field].sql})::float8){among}"


def tier_sql(definition: Definition) -> str:
    """The tier's name, of rows `s` and `c`; null for who was not there before the day.

    A value or a threshold that is not known meets no condition. Binds `tier_values`, `tier_names` and `as_of`.
    """
    place, whens = 0, []
    for number, tier in enumerate(definition.tiers[:-1], 1):
        terms = []
        for condition in tier.when:
            place += 1
            terms.append(_term(place, condition))
        whens.append(f"when {' and '.join(terms)} then {_name(number)}")
    return f"case when s.since_on >= {AS_OF} then null {' '.join(whens)} else {_name(len(definition.tiers))} end"


def _term(place: int, condition: Condition) -> str:
    sign = _SIGNS[condition.operator]
    term = f"{FIELDS[condition.field].sql} {sign} (cast(:tier_values as float8[]))[{place}]"
    belongs = POPULATIONS[condition.among] if condition.among else None
    return f"{belongs} and {term}" if belongs else term


def _name(number: int) -> str:
    return f"(cast(:tier_names as text[]))[{number}]"


def boundaries(definition: Definition, values: Sequence[float | None]) -> list[tuple[str, int]]:
    """The date columns of `s`, each with the whole days from which on a condition on an age is decided differently.

    Returns: (column, days): truth can only change when `as_of` less the column passes from at most `days` to more.
    """
    found = {
        (column, days)
        for condition, value in zip(conditions(definition), values, strict=True)
        if value is not None
        for column in FIELDS[condition.field].dates
        for days in (_last_day(condition.operator, value),)
    }
    return sorted(found)


def _last_day(operator: Operator, value: float) -> int:
    """The highest age that is decided as the lower ones are."""
    return math.floor(value) if operator in ("at_most", "more_than") else math.ceil(value) - 1


def facts_of(stats: Row, customer: Row, as_of: date) -> dict[str, Number | None]:
    """Every field's value on the day, None where it is not known, from rows of `customer_stats` and `customers`."""
    return {name: field.of(stats, customer, as_of) for name, field in FIELDS.items()}


def judge(
    definition: Definition, values: Sequence[float | None], facts: Mapping[str, Number | None]
) -> tuple[str | None, list[Evidence]]:
    """What `tier_sql` decides, with the evidence for every condition of every tier.

    Args:
        values: as `values_sql` gave them.
        facts: as `facts_of` gives them.
    Returns: the tier, None for who was not there before the day.
    """
    remaining = iter(values)
    evidence: list[Evidence] = []
    found: str | None = None
    for tier in definition.tiers:
        shown = [_evidence(tier.name, condition, next(remaining), facts) for condition in tier.when]
        evidence += shown
        if found is None and all(one.met for one in shown):
            found = tier.name
    since = facts["since_days"]
    return (None if since is not None and since <= 0 else found), evidence


def _evidence(tier: str, condition: Condition, threshold: float | None, facts: Mapping[str, Number | None]) -> Evidence:
    value = facts[condition.field]
    met = value is not None and threshold is not None and _compared(condition.operator, float(value), threshold)
    if condition.among == "spenders":
        met = met and (facts["net_365d_fen"] or 0) > 0
    return Evidence(tier, condition.field, value, condition.operator, threshold, met, condition.among)


def _compared(operator: Operator, value: float, threshold: float) -> bool:
    match operator:
        case "at_most":
            return value <= threshold
        case "less_than":
            return value < threshold
        case "more_than":
            return value > threshold
    return value >= threshold

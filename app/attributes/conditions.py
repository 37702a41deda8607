"""Conditions on attributes as SQL: for lists of customers, and for whatever else asks who somebody is."""

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal, NamedTuple, cast

from sqlalchemy import ColumnElement, FromClause, Text, exists, literal, tuple_

from app.attributes.errors import AttributeFilter
from app.attributes.models import customer_attributes
from app.attributes.values import KINDS, NAME

Operator = Literal["=", ">=", "<=", ">", "<"]

_WRITTEN: Final = re.compile(rf"({NAME.strip('^$')})(:|>=|<=|>|<)(.*)", re.DOTALL)


class Asked(NamedTuple):
    """A condition as somebody wrote it, before anyone has looked at the declaration."""

    name: str
    operator: Operator
    value: Any


class Condition(NamedTuple):
    """A condition on one attribute: `column` holds its values, `value` is one of these (or its hash)."""

    name: str
    operator: Operator
    column: str
    value: Any


def read(text: str) -> Asked:
    """`name:value`, or `name>=value` and the like. Raises AttributeFilter."""
    found = _WRITTEN.fullmatch(text)
    if found is None:
        raise AttributeFilter("Write name:value, or for numbers and days name>=value, <=, > or <", field="attribute")
    name, operator, value = found.groups()
    return Asked(name, cast(Operator, "=" if operator == ":" else operator), value)


def where(conditions: Sequence[Condition], customer: str, prefix: str = "attribute") -> Iterator[str]:
    """A WHERE term for each condition; the values stay bound, by the names in `bound`, and `:shop_id` beside them.

    Of the rows that one customer owns, the newest counts. Every operator is leakproof: behind row security only those
    reach an index.

    Args:
        customer: SQL that names the customer's id, such as `c.id`.
    """
    for number, condition in enumerate(conditions):
        yield f"""exists (
            select from customer_attributes a
            where a.shop_id = :shop_id and a.customer_id = {customer} and a.name = :{prefix}_{number}_name
                and a.{condition.column}
                    {condition.operator} cast(:{prefix}_{number}_value as {KINDS[condition.column]})
                and not exists (
                    select from customer_attributes newer
                    where newer.shop_id = :shop_id and newer.customer_id = a.customer_id and newer.name = a.name
                        and (newer.told_at, newer.origin_customer_id) > (a.told_at, a.origin_customer_id)
                )
        )"""  # noqa: S608 terms of our own


def newest(
    shop_id: ColumnElement[int], customer_id: ColumnElement[int], name: str
) -> tuple[FromClause, list[ColumnElement[bool]]]:
    """The same for a statement in Core: the rows of an attribute, and the terms that leave a customer's newest one.

    Args:
        customer_id: a column of the statement around them.
    """
    kept, newer = customer_attributes.alias(), customer_attributes.alias()
    overtaken = exists().where(
        newer.c.shop_id == shop_id,
        newer.c.customer_id == kept.c.customer_id,
        newer.c.name == kept.c.name,
        tuple_(newer.c.told_at, newer.c.origin_customer_id) > tuple_(kept.c.told_at, kept.c.origin_customer_id),
    )
    mine = [kept.c.shop_id == shop_id, kept.c.customer_id == customer_id, kept.c.name == literal(name, Text)]
    return kept, [*mine, ~overtaken]


def bound(conditions: Sequence[Condition], prefix: str = "attribute") -> dict[str, Any]:
    """The values that the terms bind."""
    values: dict[str, Any] = {}
    for number, condition in enumerate(conditions):
        values |= {f"{prefix}_{number}_name": condition.name, f"{prefix}_{number}_value": condition.value}
    return values

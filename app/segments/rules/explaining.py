"""Why a customer meets a rule or does not: each condition with what they have to show for it, by the rule's own SQL."""

import asyncio
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import and_, select

from app.core.db import Connection
from app.segments.rules import people
from app.segments.rules.checking import Checked
from app.segments.rules.compiling import Compiled, finished, holds, remembered, terms
from app.segments.rules.making import Asking, Making
from app.segments.rules.tree import Place, leaves


class Evidence(NamedTuple):
    """A condition, and what a customer has to show for it.

    Args:
        value: a number, a text, a truth, a day or an instant as text; None where nothing is known.
        ids: of events, orders or tags that count, a few of the newest.
        begins: of a share, the value that it begins or ends at.
    """

    place: Place
    kind: str
    holds: bool
    value: str | int | float | bool | None
    ids: list[str]
    begins: float | None = None


class Explanation(NamedTuple):
    """Whether a customer meets a rule, and each of its conditions.

    Args:
        present: they can be in anything at all: neither merged into another, nor locked, nor erased.
    """

    holds: bool
    present: bool
    evidence: list[Evidence]


async def explain(db: Connection, shop_id: int, asking: Asking, customer_id: int) -> Explanation | None:
    """One statement for all conditions. None where there is no such customer."""
    compiled = await asyncio.to_thread(_compiled, asking.checked)
    row = await db.fetch_one(compiled.statement, shop_id=shop_id, customer_ids=[customer_id], **compiled.values(asking))
    if row is None:
        return None
    evidence = [
        Evidence(
            place,
            leaf.kind,
            row[f"holds_{number}"] is True,
            _shown(row[f"value_{number}"]),
            [str(one) for one in row.get(f"ids_{number}") or ()],
            asking.shares.get(place),
        )
        for number, (place, leaf) in enumerate(leaves(asking.checked.rule))
    ]
    return Explanation(row["present"] and row["meets"] is True, row["present"], evidence)


@remembered
def _compiled(checked: Checked) -> Compiled:
    making = Making(checked, few=True)
    person, made = making.person, terms(making)
    columns: list[Any] = []
    for number, term in enumerate(made.values()):
        columns += [term.holds.label(f"holds_{number}"), term.value.label(f"value_{number}")]
        if term.ids is not None:
            columns.append(term.ids.label(f"ids_{number}"))
    query = select(
        and_(*people.in_the_shop(person)).label("present"),
        holds(making, checked.rule, made).label("meets"),
        *columns,
    ).where(person.c.shop_id == making.shop, making.asked(person.c.id))
    return finished(making, query)


def _shown(value: Any) -> str | int | float | bool | None:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    shown: str | int | float | bool | None = value
    return shown

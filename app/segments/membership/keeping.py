"""Keeps membership of customers whom the caller holds: every live rule asked of the batch, only differences written."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import text

from app.access.shops import Shop
from app.changes.repository import What
from app.core.db import Connection, statement
from app.segments.membership.moving import Cause, Move, move
from app.segments.membership.plan import Kept, Plan, Standing, standing
from app.segments.rules import compiling
from app.segments.rules.windows import Moment

MEMBERSHIPS: Final = statement(
    text(
        """
        select segment_id, customer_id from segment_members
        where shop_id = :shop_id and customer_id = any(cast(:customer_ids as bigint[]))
            and (cast(:segment_ids as bigint[]) is null or segment_id = any(cast(:segment_ids as bigint[])))
        """
    )
)
_CLOCKS_DIFFER: Final = timedelta(minutes=5)
PRESENT: Final = statement(
    text(
        """
        select id from customers
        where shop_id = :shop_id and id = any(cast(:customer_ids as bigint[]))
            and merged_into is null and status = 'active'
        """
    )
)
MERGED: Final = statement(
    text(
        """
        select id, merged_into from customers
        where shop_id = :shop_id and id = any(cast(:customer_ids as bigint[])) and merged_into is not null
        order by id for key share
        """
    )
)
TOUCH: Final = statement(
    text(
        """
        insert into segment_touched (shop_id, customer_id)
        select :shop_id, customer_id from unnest(cast(:customer_ids as bigint[])) as t (customer_id)
        """
    )
)


async def keep(
    db: Connection,
    shop: Shop,
    customer_ids: Sequence[int],
    causes: Mapping[int, Cause],
    merged: Mapping[int, int],
    *,
    what: Mapping[int, Collection[What]] | None = None,
    told_at: datetime | None = None,
) -> int:
    """Put customers into the segments whose rules they meet now, and out of all others. Returns how many moved.

    Their stats rows and the shop's clock are held: nobody else looks at them meanwhile, and nothing is published.

    Args:
        causes: why each of them is looked at; a fact, where nothing else is said.
        merged: who is merged, with who answers for them: they are in nothing.
        what: all that has changed of a customer, where that is known: only rules that ask for such facts, or for
            scores, are asked of them.
        told_at: when the last of the changes was told, by whoever told it.
    """
    stand = await standing(db, shop)
    if stand is None:
        return 0
    moment = stand.moment
    if told_at is not None and shop.pinned_as_of is None:
        # A fact has happened for whoever told it, though our clock may be behind theirs.
        moment = moment._replace(now=max(moment.now, min(told_at, moment.now + _CLOCKS_DIFFER)))
    everybody = [*customer_ids, *merged]
    if stand.building:
        await db.execute(TOUCH, shop_id=shop.id, customer_ids=everybody)
    rows = await db.fetch(MEMBERSHIPS, shop_id=shop.id, customer_ids=everybody, segment_ids=None)
    inside: dict[int, set[int]] = {}
    for row in rows:
        inside.setdefault(row["segment_id"], set()).add(row["customer_id"])
    gone = await _merged_leave(db, shop.id, stand, inside, await _still_merged(db, shop.id, merged))
    asked = _concerned(stand.plan, customer_ids, what or {})
    moved = await keep_each(db, shop.id, stand.plan, moment, asked, inside, causes)
    return gone + sum(map(len, moved.values()))


def _concerned(
    plan: Plan, customer_ids: Sequence[int], what: Mapping[int, Collection[What]]
) -> dict[int, Sequence[int]]:
    """By segment whom its rule has to be asked of."""
    by_facts: dict[frozenset[What], list[int]] = {}
    for facts in set(plan.facts.values()):
        by_facts[facts] = [one for one in customer_ids if one not in what or not facts.isdisjoint(what[one])]
    return {number: by_facts[facts] for number, facts in plan.facts.items()}


async def keep_each(
    db: Connection,
    shop_id: int,
    plan: Plan,
    moment: Moment,
    asked: Mapping[int, Sequence[int]],
    inside: Mapping[int, Collection[int]],
    causes: Mapping[int, Cause],
) -> dict[int, set[int]]:
    """Ask each segment's rule of its customers, and write who comes and goes. Returns who moved, by segment.

    Args:
        asked: by segment, of whom.
        inside: who of them is in it.
    """
    everyone: dict[int, set[int]] = {}
    everybody = sorted(set().union(*asked.values()))
    rows = await db.fetch(PRESENT, shop_id=shop_id, customer_ids=everybody)
    present = {row["id"] for row in rows}
    for layer in plan.groups:
        coming: list[Move] = []
        going: list[Move] = []
        for group in layer:
            # Who has moved in what a rule asks for is asked about, too.
            asked_now = [
                (kept, frozenset(asked.get(kept.segment_id, ())).union(*_moved(plan, kept, everyone))) for kept in group
            ]
            for some, customers in _alike(asked_now):
                meeting = await _meeting(db, shop_id, some, moment, sorted(customers & present))
                for kept, meets in zip(some, meeting, strict=True):
                    was = customers.intersection(inside.get(kept.segment_id, ()))
                    coming += _moves(kept, meets - was, causes)
                    going += _moves(kept, was - meets, causes)
        await move(db, shop_id, coming, going, moment.now)
        for one in (*coming, *going):
            everyone.setdefault(one.segment_id, set()).add(one.customer_id)
    return everyone


def _moved(plan: Plan, kept: Kept, everyone: Mapping[int, set[int]]) -> list[set[int]]:
    return [everyone[other] for other in plan.asks[kept.segment_id] & everyone.keys()]


def _alike(
    asked: Sequence[tuple[Kept, frozenset[int]]],
) -> Iterator[tuple[tuple[Kept, ...], frozenset[int]]]:
    """Those who are asked of the same customers at once, as all are in a refresh; each alone, where they are not."""
    if len({customers for _, customers in asked}) == 1 and asked[0][1]:
        yield tuple(kept for kept, _ in asked), asked[0][1]
    else:
        yield from (((kept,), customers) for kept, customers in asked if customers)


async def _meeting(
    db: Connection, shop_id: int, rules: tuple[Kept, ...], moment: Moment, customer_ids: Sequence[int]
) -> list[set[int]]:
    """Of each rule who of them meets it."""
    if not customer_ids:
        return [set() for _ in rules]
    compiled = compiling.together(tuple(kept.checked for kept in rules))
    values = compiled.values(kept.asking(moment) for kept in rules)
    rows = await db.fetch(compiled.statement, shop_id=shop_id, customer_ids=customer_ids, **values)
    return [{row["id"] for row in rows if row[f"rule_{number}"]} for number in range(len(rules))]


def _moves(kept: Kept, customer_ids: Collection[int], causes: Mapping[int, Cause]) -> list[Move]:
    return [
        Move(kept.segment_id, customer_id, customer_id, kept.version, causes.get(customer_id, "fact"))
        for customer_id in customer_ids
    ]


async def _still_merged(db: Connection, shop_id: int, merged: Mapping[int, int]) -> dict[int, int]:
    """Who answers for them now. They are held: who was taken out of a merge meanwhile is another refresh's business."""
    rows = await db.fetch(MERGED, shop_id=shop_id, customer_ids=list(merged)) if merged else []
    return {row["id"]: row["merged_into"] for row in rows}


async def _merged_leave(
    db: Connection, shop_id: int, stand: Standing, inside: dict[int, set[int]], merged: Mapping[int, int]
) -> int:
    going = [
        Move(segment_id, customer_id, merged[customer_id], _version(stand.plan, segment_id), "merge")
        for segment_id, members in inside.items()
        for customer_id in members & merged.keys()
    ]
    for members in inside.values():
        members -= merged.keys()
    return await move(db, shop_id, [], going, stand.moment.now)


def _version(plan: Plan, segment_id: int) -> int:
    return plan.rules[segment_id].version if segment_id in plan.rules else 0

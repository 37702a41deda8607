"""Keeps membership of customers whom the caller holds: every live rule asked of the batch, only differences written."""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from sqlalchemy import text

from app.access.shops import Shop
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
    moment: Moment | None = None,
) -> int:
    """Put customers into the segments whose rules they meet now, and out of all others. Returns how many moved.

    Their stats rows and the shop's clock are held: nobody else looks at them meanwhile, and nothing is published.

    Args:
        causes: why each of them is looked at; a fact, where nothing else is said.
        merged: who is merged, with who answers for them: they are in nothing.
        moment: when the rules are asked; the database's now.
    """
    stand = await standing(db, shop)
    if stand is None:
        return 0
    everybody = [*customer_ids, *merged]
    if stand.building:
        await db.execute(TOUCH, shop_id=shop.id, customer_ids=everybody)
    rows = await db.fetch(MEMBERSHIPS, shop_id=shop.id, customer_ids=everybody)
    inside: dict[int, set[int]] = {}
    for row in rows:
        inside.setdefault(row["segment_id"], set()).add(row["customer_id"])
    gone = await _merged_leave(db, shop.id, stand, inside, merged)
    asked = {kept.segment_id: customer_ids for kept in stand.plan.rules.values()}
    moved = await keep_each(db, shop.id, stand.plan, moment or stand.moment, asked, inside, causes)
    return gone + sum(map(len, moved.values()))


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
    for layer in plan.layers:
        coming: list[Move] = []
        going: list[Move] = []
        for kept in layer:
            # Who has moved in what it asks for is asked about, too.
            before = [everyone[other] for other in plan.asks[kept.segment_id] & everyone.keys()]
            customers = sorted({*asked.get(kept.segment_id, ())}.union(*before))
            if not customers:
                continue
            meets = await _meeting(db, shop_id, kept, moment, customers)
            was = set(inside.get(kept.segment_id, ())).intersection(customers)
            coming += _moves(kept, meets - was, causes)
            going += _moves(kept, was - meets, causes)
        await move(db, shop_id, coming, going, moment.now)
        for one in (*coming, *going):
            everyone.setdefault(one.segment_id, set()).add(one.customer_id)
    return everyone


async def _meeting(db: Connection, shop_id: int, kept: Kept, moment: Moment, customer_ids: Sequence[int]) -> set[int]:
    compiled = compiling.among(kept.checked)
    values = compiled.values(kept.asking(moment))
    rows = await db.fetch(compiled.statement, shop_id=shop_id, customer_ids=customer_ids, **values)
    return {row["id"] for row in rows}


def _moves(kept: Kept, customer_ids: Collection[int], causes: Mapping[int, Cause]) -> list[Move]:
    return [
        Move(kept.segment_id, customer_id, customer_id, kept.version, causes.get(customer_id, "fact"))
        for customer_id in customer_ids
    ]


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

"""The time sweep: whom time has turned since the last one is asked again, and nobody else.

The mark says what has been looked for; it moves when all of that has been written. A sweep that dies, or two at once,
therefore only look twice: everybody is asked as of the moment at which they are held, never of an earlier one.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from sqlalchemy import text

from app.access.shops import Shop
from app.core.db import Connection, statement
from app.segments.membership.keeping import MEMBERSHIPS, TOUCH, keep_each
from app.segments.membership.moving import Cause
from app.segments.membership.plan import moment_of, standing
from app.segments.rules.turning import AWAITED
from app.segments.rules.windows import Moment

EVERY_SECONDS: Final = 60
_LEASE_SECONDS: Final = 300

CLAIM = statement(
    text(
        f"""
        update segment_clocks set sweeping_until = clock_timestamp() + interval '{_LEASE_SECONDS} seconds'
        where shop_id = :shop_id and (sweeping_until is null or sweeping_until < clock_timestamp())
            and swept_to <= clock_timestamp() - make_interval(secs => :every)
        returning shop_id
        """  # noqa: S608 a number of our own
    )
)
# Unless somebody who looked for more has come first.
MARK = statement(
    text(
        """
        update segment_clocks set swept_to = greatest(swept_to, :to), sweeping_until = null
        where shop_id = :shop_id
        """
    )
)
FOLD = statement(
    text(
        """
        with gone as (delete from segment_moves where shop_id = :shop_id returning segment_id, moved)
        update segments s set size = s.size + t.moved
        from (select segment_id, sum(moved) as moved from gone group by segment_id) t
        where s.shop_id = :shop_id and s.id = t.segment_id
        """
    )
)
# Of builds whose job is over without them: it failed, or was given up.
FORGET_BUILDS = statement(
    text(
        """
        delete from segment_builds b where b.shop_id = :shop_id and not exists (
            select from queued_jobs j
            where j.shop_id = :shop_id and j.id = b.job_id and j.state in ('queued', 'running')
        )
        """
    )
)


class Turned(NamedTuple):
    """Whom time may have turned, by segment and its version, between two moments."""

    by_segment: Mapping[tuple[int, int], Sequence[int]]
    since: datetime
    to: datetime

    def everybody(self) -> list[int]:
        """Each once, in order."""
        return sorted({one for many in self.by_segment.values() for one in many})


async def claim(db: Connection, shop: Shop, *, every: float = EVERY_SECONDS) -> bool:
    """Whether it is time for a sweep, and nobody else is at it; a worker that dies is given up after some minutes."""
    return await db.fetch_one(CLAIM, shop_id=shop.id, every=every) is not None


async def look(db: Connection, shop: Shop, *, to: datetime | None = None) -> Turned | None:
    """Whom time may have turned since the mark; None in a shop without segments.

    Args:
        to: until when; the database's now.
    """
    stand = await standing(db, shop)
    if stand is None:
        return None
    since, now = moment_of(shop, stand.swept_to), moment_of(shop, to) if to else stand.moment
    awaited = await db.fetch(AWAITED, shop_id=shop.id, since=since.now, now=now.now)
    by_segment = {}
    for kept in stand.plan.rules.values():
        found = {row["customer_id"] for row in awaited}
        turned, asking = stand.plan.turnings[kept.segment_id], kept.asking(now, since)
        if turned is not None and turned.passed(asking):
            values = turned.compiled.values(asking)
            rows = await db.fetch(turned.compiled.statement, shop_id=shop.id, **values)
            found.update(row["customer_id"] for row in rows)
        if found:
            by_segment[kept.segment_id, kept.version] = sorted(found)
    return Turned(by_segment, stand.swept_to, to or now.now)


async def sweep(
    db: Connection, shop: Shop, turned: Turned, customer_ids: Sequence[int], *, moment: Moment | None = None
) -> int:
    """Ask again those customers, whom the caller holds as a refresh does. Returns how many moved.

    A version that was published after the look is right as it is, and asked of nobody.
    """
    stand = await standing(db, shop)
    if stand is None:
        return 0
    if stand.building:
        await db.execute(TOUCH, shop_id=shop.id, customer_ids=list(customer_ids))
    held = frozenset(customer_ids)
    asked = {
        segment_id: [one for one in many if one in held]
        for (segment_id, version), many in turned.by_segment.items()
        if segment_id in stand.plan.rules and stand.plan.rules[segment_id].version == version
    }
    inside: dict[int, set[int]] = {}
    # Of those that may move only: there may be many others that these customers are in.
    among = sorted(stand.plan.downstream(asked))
    for row in await db.fetch(MEMBERSHIPS, shop_id=shop.id, customer_ids=list(customer_ids), segment_ids=among):
        inside.setdefault(row["segment_id"], set()).add(row["customer_id"])
    causes: dict[int, Cause] = dict.fromkeys(customer_ids, "time")
    moved = await keep_each(db, shop.id, stand.plan, moment or stand.moment, asked, inside, causes)
    return sum(map(len, moved.values()))


async def finish(db: Connection, shop: Shop, turned: Turned) -> None:
    """All of it has been written: move the mark, and add up who came and went."""
    await db.execute(MARK, shop_id=shop.id, to=turned.to)
    await db.execute(FOLD, shop_id=shop.id)
    await db.execute(FORGET_BUILDS, shop_id=shop.id)

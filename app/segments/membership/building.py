"""Builds a segment as a whole: everybody is asked in one statement, and the difference becomes visible at once.

Readers see the version that is live until the transaction that publishes the next one. Refreshes go on while everybody
is asked; whom they look at is noted, and asked again behind the shop's clock, which every refresh holds.
"""

import asyncio
import time
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text

from app.access.shops import Shop
from app.changes.repository import EVENTS_BELL
from app.core import clock
from app.core.db import Connection, Row, statement
from app.core.ids import new_id
from app.scoring import runs
from app.segments.errors import RuleUnfit
from app.segments.membership import plan
from app.segments.membership.moving import EFFECTS, Cause
from app.segments.membership.plan import Kept, Standing, read_rule, read_shares
from app.segments.patience import PLAN, hastily
from app.segments.rules import compiling
from app.segments.rules.checking import Checked, check
from app.segments.rules.turning import AWAITED, turning
from app.segments.rules.windows import Moment
from app.tags import declarations
from app.uses import service as uses
from app.uses.service import User

PATIENCE_SECONDS: Final = 1800.0
_AT_ONCE: Final = 10_000

OPEN = statement(
    text(
        """
        insert into segment_builds (shop_id, job_id, segment_id, began_at)
        values (:shop_id, :job_id, :segment_id, :moment)
        on conflict (shop_id, job_id) do update set began_at = excluded.began_at
        """
    )
)
CLOSE = statement(text("delete from segment_builds where shop_id = :shop_id and job_id = :job_id"))
FORGET_TOUCHED = statement(
    text(
        """
        delete from segment_touched where shop_id = :shop_id
            and not exists (select from segment_builds b where b.shop_id = :shop_id)
        """
    )
)
TARGET: Final = """
    select s.id, s.name, s.version as newest, s.kind,
         s.state, s.live_version, s.tag_id, v.version, v.rule, v.state as version_state, v.actor
    from segments s
    join segment_versions v on v.shop_id = s.shop_id and v.segment_id = s.id
        and v.version = coalesce(cast(:version as integer), s.live_version)
    where s.shop_id = :shop_id and s.id = :segment_id
"""
LOOK = statement(text(TARGET))
HOLD = statement(text(f"{TARGET} for no key update of s"))
MAKE_STAGED = statement(text("create temporary table segment_staged (customer_id bigint primary key) on commit drop"))
COUNT_STAGED = statement(text("analyze segment_staged"))
EMPTY_STAGED = statement(text("delete from segment_staged"))
TOUCHED = statement(text("select distinct customer_id from segment_touched where shop_id = :shop_id"))
UNSTAGE = statement(text("delete from segment_staged where customer_id = any(cast(:customer_ids as bigint[]))"))
STAGE = statement(
    text(
        """
        insert into segment_staged (customer_id) select * from unnest(cast(:customer_ids as bigint[]))
        on conflict do nothing
        """
    )
)
# The customers are held, so that none is merged meanwhile; who is by now stands for who answers for them.
ENTER = statement(
    text(
        """
        with present as (
            select c.id, coalesce(c.merged_into, c.id) as owner
            from segment_staged t join customers c on c.shop_id = :shop_id and c.id = t.customer_id
            order by c.id for key share of c
        )
        insert into segment_entries (shop_id, segment_id, customer_id, origin_customer_id, actor, added_at)
        select :shop_id, :segment_id, owner, id, :actor, :moment from present order by owner, id
        on conflict do nothing
        """
    )
)
SWAP = statement(
    text(
        f"""
        with came as (
            insert into segment_members (shop_id, segment_id, customer_id, version, entered_at)
            select :shop_id, :segment_id, t.customer_id, :version, :moment from segment_staged t
            where not exists (
                select from segment_members m
                where m.shop_id = :shop_id and m.segment_id = :segment_id and m.customer_id = t.customer_id
            )
            order by t.customer_id
            returning customer_id
        ),
        gone as (
            delete from segment_members m
            where m.shop_id = :shop_id and m.segment_id = :segment_id
                and not exists (select from segment_staged t where t.customer_id = m.customer_id)
            returning m.customer_id
        ),
        moved as (
            select cast(:segment_id as bigint) as segment_id, customer_id, customer_id as owner_id,
                cast(:version as integer) as version, cast(:cause as text) as cause, entered
            from (select customer_id, true as entered from came union all select customer_id, false from gone) one
        ),
        -- other builds that are under way ask who is in this segment, or carries its tag, and may have asked too soon
        touched as (
            insert into segment_touched (shop_id, customer_id)
            select :shop_id, customer_id from moved
            where exists (select from segment_builds b where b.shop_id = :shop_id and b.segment_id <> :segment_id)
        ),
        {EFFECTS}
        """  # noqa: S608 names of our own
    )
)
SUPERSEDE = statement(
    text(
        """
        update segment_versions set state = 'superseded'
        where shop_id = :shop_id and segment_id = :segment_id and version < :version and state in ('live', 'waiting')
        """
    )
)
GO_LIVE = statement(
    text(
        """
        update segment_versions set
            state = 'live', problem = null, shares = :shares, live_at = coalesce(live_at, :moment)
        where shop_id = :shop_id and segment_id = :segment_id and version = :version
        """
    )
)
PUBLISH = statement(
    text(
        """
        update segments set
            live_version = :version, computed_at = :moment, took_ms = :took_ms,
            size = (select count(*) from segment_staged),
            state = case when cast(:closed as boolean) then 'archived' else state end,
            tag_id = case when cast(:closed as boolean) then null else tag_id end
        where shop_id = :shop_id and id = :segment_id
        """
    )
)
FORGET_MOVES = statement(text("delete from segment_moves where shop_id = :shop_id and segment_id = :segment_id"))
FAIL = statement(
    text(
        """
        update segment_versions set state = 'failed', problem = :problem
        where shop_id = :shop_id and segment_id = :segment_id and version = :version and state = 'waiting'
        """
    )
)


async def begin(db: Connection, shop: Shop, job_id: UUID, segment_id: int) -> None:
    """From the commit on, every refresh notes whom it looks at."""
    await _alone(db, shop)
    await db.execute(OPEN, shop_id=shop.id, job_id=job_id, segment_id=segment_id, moment=clock.now())


async def build(
    db: Connection,
    shop: Shop,
    job_id: UUID,
    segment_id: int,
    version: int | None,
    cause: Cause,
    snapshot: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Ask everybody, and publish who is in it. Returns how many moved, who are in it, and which segments ask for it.

    Args:
        version: the one to publish; None builds the one that is live again.
        snapshot: a rule; who meets it now is put on a static segment's list first.
    """
    began = time.perf_counter()
    await db.execute(PLAN)
    db.patience = PATIENCE_SECONDS  # of a large shop, each statement looks at everybody or writes them
    target = await db.fetch_one(LOOK, shop_id=shop.id, segment_id=segment_id, version=version)
    if target is None or target["version_state"] not in ("waiting", "live") or target["state"] == "archived":
        return await _closed(db, shop, job_id, {"moved": 0, "superseded": True})
    try:
        kept = await _kept(db, shop, target)
        await db.execute(MAKE_STAGED)
        if snapshot is not None and target["version_state"] == "waiting":
            await _take_snapshot(db, shop, target, snapshot)
    except RuleUnfit as unfit:
        problem = {"problem": unfit.detail, "version": target["version"]}
        await db.execute(FAIL, shop_id=shop.id, segment_id=segment_id, **problem)
        return await _closed(db, shop, job_id, {"moved": 0} | problem)
    asked_at = (await _stand(db, shop)).moment
    if kept is not None:
        await _stage(db, shop, kept, asked_at)

    await _alone(db, shop)
    await plan.hold_definitions(db, shop.id)  # before the segment's row: as who edits takes them, and the sweep
    held = await db.fetch_one(HOLD, shop_id=shop.id, segment_id=segment_id, version=version)
    if held is None or not _still_wanted(held, target, version):
        return await _closed(db, shop, job_id, {"moved": 0, "superseded": True})
    stand = await _stand(db, shop)
    if kept is not None:
        await _ask_again(db, shop, kept, asked_at, stand)
    told = {"shop_id": shop.id, "segment_id": segment_id, "version": target["version"]}
    moment = stand.moment.now
    await db.execute(COUNT_STAGED)
    moved = await db.fetch_value(SWAP, **told, cause=cause, moment=moment)
    if moved:
        db.ring(EVENTS_BELL)
    await db.execute(SUPERSEDE, **told)
    await db.execute(GO_LIVE, **told, shares=list(kept.shares.values()) if kept else None, moment=moment)
    took_ms = round(1000 * (time.perf_counter() - began))
    await db.execute(PUBLISH, **told, moment=moment, took_ms=took_ms, closed=kept is None)
    await db.execute(FORGET_MOVES, shop_id=shop.id, segment_id=segment_id)
    if kept is None:
        await uses.forget(db, shop.id, "segment", segment_id)
        if target["tag_id"] is not None:
            await declarations.give_back(db, shop.id, target["tag_id"])
    elif held["newest"] == target["version"] and target["kind"] == "dynamic":
        own = {("tag", str(target["tag_id"]))} if target["tag_id"] is not None else set()
        await uses.record(db, shop.id, User("segment", segment_id, held["name"]), kept.checked.names() | own)
    users = stand.plan.users_of(segment_id, target["tag_id"]) if moved else []
    await plan.defined_anew(db, shop.id, new_id())
    return await _closed(db, shop, job_id, {"moved": moved, "took_ms": took_ms, "users": users})


async def _closed(db: Connection, shop: Shop, job_id: UUID, result: dict[str, Any]) -> dict[str, Any]:
    await db.execute(CLOSE, shop_id=shop.id, job_id=job_id)
    await db.execute(FORGET_TOUCHED, shop_id=shop.id)
    return result


async def _alone(db: Connection, shop: Shop) -> None:
    """Hold the shop's clock: refreshes and sweeps that are under way have committed, and the next ones wait."""
    await runs.take_clock(db, shop.id, shop.live_as_of())


async def _stand(db: Connection, shop: Shop) -> Standing:
    stand = await plan.standing(db, shop)
    assert stand is not None  # noqa: S101 there are segments
    return stand


def _still_wanted(held: Row, target: Row, version: int | None) -> bool:
    if held["state"] == "archived" or held["version"] != target["version"]:
        return False
    return version is None or (held["live_version"] or 0) <= version


async def _kept(db: Connection, shop: Shop, target: Row) -> Kept | None:
    """The rule with its shares measured now; None where nobody is meant."""
    if target["rule"] is None:
        return None
    checked = await check(db, shop, read_rule(target["rule"]), unmasked=True)
    return Kept(target["id"], target["version"], checked, await _measured(db, shop.id, checked), target["tag_id"])


async def _measured(db: Connection, shop_id: int, checked: Checked) -> dict[Any, float | None]:
    shares = await asyncio.to_thread(compiling.shares, checked)
    if shares is None:
        return {}
    row = await db.fetch_one(shares[0].statement, shop_id=shop_id)
    return read_shares(checked, list(row.values()) if row else None)


async def _stage(db: Connection, shop: Shop, kept: Kept, moment: Moment) -> None:
    compiled = await asyncio.to_thread(compiling.staged, kept.checked)
    values = compiled.values(kept.asking(moment))
    await hastily(
        db,
        lambda: db.execute(compiled.statement, shop_id=shop.id, **values),
        seconds=PATIENCE_SECONDS,
    )


async def _take_snapshot(db: Connection, shop: Shop, target: Row, snapshot: dict[str, Any]) -> None:
    checked = await check(db, shop, read_rule(snapshot), unmasked=True)
    moment = (await _stand(db, shop)).moment
    taken = Kept(target["id"], target["version"], checked, await _measured(db, shop.id, checked))
    await _stage(db, shop, taken, moment)
    told = {"segment_id": target["id"], "actor": target["actor"], "moment": moment.now}
    await db.execute(ENTER, shop_id=shop.id, **told)
    await db.execute(EMPTY_STAGED)


async def _ask_again(db: Connection, shop: Shop, kept: Kept, asked_at: Moment, stand: Standing) -> None:
    """Of those whom a refresh has looked at meanwhile, and those whom time has turned."""
    rows = await db.fetch(TOUCHED, shop_id=shop.id)
    rows += await db.fetch(AWAITED, shop_id=shop.id, since=asked_at.now, now=stand.moment.now)
    asking = kept.asking(stand.moment, asked_at)
    turned = turning(kept.checked)
    if turned is not None and turned.passed(asking):
        rows += await db.fetch(turned.compiled.statement, shop_id=shop.id, **turned.compiled.values(asking))
    again = sorted({row["customer_id"] for row in rows})
    compiled = compiling.among(kept.checked)
    for start in range(0, len(again), _AT_ONCE):
        some = again[start : start + _AT_ONCE]
        await db.execute(UNSTAGE, customer_ids=some)
        meeting = await db.fetch(
            compiled.statement, shop_id=shop.id, customer_ids=some, **compiled.values(kept.asking(stand.moment))
        )
        await db.execute(STAGE, customer_ids=[row["id"] for row in meeting])

"""Which segments there are in a benchmark: defined and built as the worker does, counted or laid aside as it asks."""

import asyncio
import time
from collections.abc import Collection, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final

from app.access.entry import Entry, in_shop
from app.access.shops import Shop
from app.core.db import Connection
from app.core.ids import new_id
from app.segments.definitions import service as definitions
from app.segments.definitions.schemas import SegmentCreate
from app.segments.membership import building, plan
from benchmarks.client import WrongAnswer
from benchmarks.segment_rules import Rule
from benchmarks.segment_shop import SegmentShop, finish_jobs
from benchmarks.stage import Stage

_LANES: Final = 2

_LIVE: Final = """
    update segments set state = case when id = any($2::bigint[]) then 'active' else 'archived' end where shop_id = $1
"""
_SWEPT_TO: Final = "update segment_clocks set swept_to = $2, sweeping_until = null where shop_id = $1"


async def define(place: Stage, where: SegmentShop, rules: Sequence[tuple[str, Rule]]) -> list[int]:
    """A segment of each rule, not built yet. Returns their numbers."""
    ids = []
    async with place.entry() as entry, entry.shop(where.id) as (db, shop):
        for name, rule in rules:
            told = SegmentCreate.model_validate({"name": name, "rule": rule})
            ids.append((await definitions.create(db, shop, told, "benchmark", unmasked=True))[0])
    async with place.owner() as owner:
        await finish_jobs(owner)
    return ids


async def build(entry: Entry, shop_id: int, segment_id: int) -> float:
    """Both transactions of the job. Returns the seconds that they took."""
    job_id = new_id()

    async def publish(db: Connection, shop: Shop) -> dict[str, Any]:
        return await building.build(db, shop, job_id, segment_id, 1, "definition")

    began = time.perf_counter()
    await in_shop(entry, shop_id, partial(_begin, job_id=job_id, segment_id=segment_id))
    result = await in_shop(entry, shop_id, publish)
    seconds = time.perf_counter() - began
    if "took_ms" not in result:
        raise WrongAnswer(f"segment {segment_id} was not built: {result}")
    return seconds


async def build_all(place: Stage, where: SegmentShop, ids: Sequence[int]) -> float:
    """Two at a time, as two workers would. Returns the seconds that it took."""
    waiting, began = list(reversed(ids)), time.perf_counter()

    async def lane(entry: Entry) -> None:
        while waiting:
            await build(entry, where.id, waiting.pop())

    async with place.entry() as entry:
        await asyncio.gather(*(lane(entry) for _ in range(_LANES)))
    seconds = time.perf_counter() - began
    async with place.owner() as owner:
        await owner.execute("truncate domain_events")
        await owner.execute("vacuum (analyze) segment_members, segment_changes, segments, segment_versions")
    return seconds


async def keep_only(place: Stage, where: SegmentShop, ids: Collection[int]) -> None:
    """These are live, and all others laid aside; whoever keeps membership hears of it."""
    async with place.owner() as owner:
        await owner.execute(_LIVE, where.id, list(ids))
    async with place.entry() as entry, entry.shop(where.id) as (db, shop):
        await plan.defined_anew(db, shop.id, new_id())


async def swept_to(place: Stage, where: SegmentShop, moment: datetime) -> None:
    """Until then nothing is left to be swept."""
    async with place.owner() as owner:
        await owner.execute(_SWEPT_TO, where.id, moment)


async def _begin(db: Connection, shop: Shop, *, job_id: Any, segment_id: int) -> None:
    await building.begin(db, shop, job_id, segment_id)

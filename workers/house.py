"""Everything that a worker process holds, and which bell wakes what, on one screen."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, Final

import structlog

from app.access import audit, idempotency
from app.access.entry import Entry, in_shop
from app.access.shops import Shop, Shops
from app.attributes.jobs import remove_values
from app.attributes.service import REMOVE_VALUES
from app.changes import jobs
from app.changes import repository as changes
from app.core.bell import Bell
from app.core.config import Settings
from app.core.crypto import RootKey
from app.core.db import Connection
from app.core.errors import DatabaseUnavailable
from app.events import repository as events
from app.events.service import forget_keys
from app.exports import jobs as export_jobs
from app.exports import repository as exports
from app.exports import service as exporting
from app.imports import repository as imports
from app.imports.jobs import run as run_import
from app.imports.service import tidy
from app.main import open_database
from app.orders import repository as orders
from app.orders.service import settle_refunds
from app.privacy import rekey
from app.push import repository as push
from app.push.jobs import apply_due
from app.refresh import rescore, segments
from app.refresh.jobs import ask_for_nightly_run, refresh_changed, sweep_day
from app.refresh.requests import RESCORE
from app.scoring import runs
from app.segments.membership.requests import BUILD
from app.segments.membership.tagging import TAG_MEMBERS, tag_members
from app.tags import repository as tags
from app.tags.jobs import remove_assignments
from app.tags.service import REMOVE_ASSIGNMENTS, forget_run_out
from app.touches import repository as touches
from app.touches.jobs import plan_touches, send_due
from app.touches.service import PLANNING
from app.webhooks import queue
from app.webhooks.jobs import fan_out
from app.webhooks.lanes import Deliverer
from workers.rounds import Rounds, Work

log = structlog.get_logger(__name__)

Step = Callable[[int], Awaitable[int]]

_TICK_SECONDS: Final = 60.0
_GIVE_WAY_SECONDS: Final = 10.0
_ROWS_AT_ONCE: Final = 10_000


class House:
    """The services of one worker process."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.bell = Bell(settings.redis_url.get_secret_value(), queue=settings.worker_queue)
        database = open_database(settings, self.bell)
        root = RootKey(settings.root_key_bytes)
        self.entry = Entry(database, root, Shops(database, root))
        handlers: dict[str, jobs.Handler] = {
            RESCORE: rescore.run,
            BUILD: segments.build,
            TAG_MEMBERS: tag_members,
            PLANNING: plan_touches,
            REMOVE_VALUES: remove_values,
            REMOVE_ASSIGNMENTS: remove_assignments,
            exporting.JOB: partial(export_jobs.run, keep_hours=settings.export_keep_hours),
            rekey.KIND: rekey.run,
        }
        # In a lane of their own: hours of one must not hold up the night's run.
        files: dict[str, jobs.Handler] = {imports.KIND: run_import}
        self.deliverer = Deliverer(
            self.entry,
            allow_networks=settings.outbound_allow_networks,
            timeout_seconds=settings.outbound_timeout_seconds,
            lease_seconds=settings.lease_seconds,
        )
        self._taking_files: set[int] = set()
        self.rounds = Rounds(
            self.entry,
            {
                changes.CHANGES_BELL: Work(
                    changes.HAS_CHANGES,
                    partial(self._give_way, partial(refresh_changed, self.entry, settings.refresh_batch)),
                ),
                orders.REFUNDS_BELL: Work(orders.HAS_WAITING, partial(_settle_refunds, self.entry)),
                jobs.JOBS_BELL: Work(
                    jobs.has_due(handlers),
                    partial(_run_job, self.entry, handlers, settings.lease_seconds),
                ),
                imports.BELL: Work(
                    jobs.has_due(files),
                    partial(self._put_files_in, partial(_run_job, self.entry, files, settings.lease_seconds)),
                ),
                touches.TOUCHES_BELL: Work(touches.HAS_DUE, partial(send_due, self.entry)),
                changes.EVENTS_BELL: Work(changes.HAS_EVENTS, partial(self._give_way, partial(fan_out, self.entry))),
                events.KEYS_BELL: Work(events.HAS_EXPIRED_KEYS, partial(_forget_keys, self.entry)),
                runs.RUNS_BELL: Work(runs.HAS_OLD, partial(_forget_runs, self.entry)),
                exports.EXPORTS_BELL: Work(exports.HAS_EXPIRED, partial(_forget_exports, self.entry)),
                tags.RUN_OUT_BELL: Work(
                    tags.has_run_out(settings.tag_keep_days),
                    partial(_forget_tags, self.entry, settings.tag_keep_days),
                ),
                push.PUSH_BELL: Work(push.HAS_DUE, partial(apply_due, self.entry)),
                audit.BELL: Work(audit.HAS_UNSEALED, partial(_seal_log, self.entry)),
                queue.DELIVERIES_BELL: Work(queue.HAS_DUE, self.deliverer.step, self.deliverer.settle),
            },
            gather_seconds=settings.worker_gather_seconds,
        )

    async def _put_files_in(self, step: Step, shop_id: int) -> int:
        self._taking_files.add(shop_id)
        try:
            return await step(shop_id)
        finally:
            self._taking_files.discard(shop_id)

    async def _give_way(self, step: Step, shop_id: int) -> int:
        """What a file causes waits for the file: done beside it, in the same process, it would take half the speed.

        It goes on a step at a time, for a file may take hours. Other workers are not held up.
        """
        if shop_id in self._taking_files:
            await asyncio.sleep(_GIVE_WAY_SECONDS)
        return await step(shop_id)

    def ticks(self) -> list[Coroutine[Any, Any, None]]:
        """Loops that make work fall due with time."""
        return [self._tick()]

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            await self.tick()

    async def tick(self) -> None:
        """What time brings, once for every shop. One that fails is passed over; a lost database ends the round."""
        lost = 0
        try:
            for shop_id in await self.entry.shops.ids():
                try:
                    await self._tick_of(shop_id)
                    lost = 0
                except DatabaseUnavailable:  # or a statement that one shop's work made wait for too long
                    lost += 1
                    if lost > 1:
                        raise
        except DatabaseUnavailable:
            log.warning("database_unavailable", kind="tick")
        except Exception:
            log.exception("tick_failed", shop_id=None)

    async def _tick_of(self, shop_id: int) -> None:
        try:
            await sweep_day(self.entry, shop_id)
            await segments.sweep_segments(self.entry, shop_id)
            await ask_for_nightly_run(self.entry, shop_id)
            async with self.entry.shop(shop_id) as (db, shop):
                await idempotency.forget_old(db, shop.id)
                await tidy(db, shop)
                head = await audit.head(db, shop.id)
        except DatabaseUnavailable:
            raise
        except Exception:
            log.exception("tick_failed", shop_id=shop_id)
        else:
            # Kept where the database's administrator cannot change it, for `kehu audit verify --head`.
            log.info("access_log_head", **head)

    async def close(self) -> None:
        """Stop sending and disconnect."""
        await self.deliverer.close()
        await self.bell.close()
        await self.entry.database.close()


async def _settle_refunds(entry: Entry, shop_id: int) -> int:
    return await in_shop(entry, shop_id, settle_refunds)


async def _forget_keys(entry: Entry, shop_id: int) -> int:
    return await in_shop(entry, shop_id, forget_keys)


async def _forget_runs(entry: Entry, shop_id: int) -> int:
    async def step(db: Connection, shop: Shop) -> int:
        return await runs.forget_old(db, shop.id, _ROWS_AT_ONCE)

    return await in_shop(entry, shop_id, step)


async def _forget_exports(entry: Entry, shop_id: int) -> int:
    return await in_shop(entry, shop_id, exporting.forget)


async def _forget_tags(entry: Entry, keep_days: float, shop_id: int) -> int:
    async def step(db: Connection, shop: Shop) -> int:
        return await forget_run_out(db, shop.id, keep_days)

    return await in_shop(entry, shop_id, step)


async def _seal_log(entry: Entry, shop_id: int) -> int:
    async def step(db: Connection, shop: Shop) -> int:
        return await audit.seal(db, shop.id)

    return await in_shop(entry, shop_id, step)


async def _run_job(entry: Entry, handlers: dict[str, jobs.Handler], lease_seconds: float, shop_id: int) -> int:
    return await jobs.run_due(entry, shop_id, handlers, lease_seconds=lease_seconds)

"""Delivery: one lane per endpoint, so that an endpoint that hangs delays nobody else."""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple
from uuid import UUID

import httpx
import structlog

from app.access.entry import Entry, in_shop
from app.access.shops import Shop
from app.core.db import Connection
from app.core.errors import DatabaseUnavailable
from app.core.targets import Network
from app.webhooks import queue, turns
from app.webhooks.attempts import Attempt, Clients

log = structlog.get_logger(__name__)

_FIRST_WIDTH: Final = 8
_LINGER_SECONDS: Final = 0.05  # replies that come close together are written together
_SPARE_SECONDS: Final = 5.0  # of a lease, for writing the result
_PAUSE_SECONDS: Final = 0.5
_GRACE_SECONDS: Final = 1.0


class _Key(NamedTuple):
    shop_id: int
    endpoint_id: UUID
    abandoned: bool


@dataclass(eq=False, slots=True)
class _Lane:
    """The work for one endpoint. `width`: how many attempts may be under way."""

    key: _Key
    width: int
    clients: Clients
    failing: bool = False
    guarded: bool = False
    again: asyncio.Event = field(default_factory=asyncio.Event)
    flying: set[asyncio.Task[Attempt]] = field(default_factory=set)


class Deliverer:
    """Delivers what is due: claim, send, write back, each endpoint at its own pace.

    Args:
        timeout_seconds: of one attempt, from the name lookup to the last byte.
        lease_seconds: how long an attempt holds its delivery; raised where it would not outlast the attempt.
        in_flight: attempts under way for one endpoint, at most. A lane begins with a few and doubles while replies
            come; an endpoint that does not reply is down to one attempt at a time soon.
    """

    def __init__(
        self,
        entry: Entry,
        *,
        allow_networks: Sequence[Network],
        timeout_seconds: float,
        lease_seconds: float,
        in_flight: int = 32,
    ) -> None:
        self._entry = entry
        self._allow_networks = allow_networks
        self._timeout = timeout_seconds
        self._lease = max(lease_seconds, timeout_seconds + _SPARE_SECONDS)
        self._in_flight = in_flight
        self._tls = httpx.create_ssl_context(trust_env=False)  # made once: reading the trust store takes a while
        self._lanes: dict[_Key, tuple[_Lane, asyncio.Task[None]]] = {}
        self._stopping = False

    async def step(self, shop_id: int) -> int:
        """Give every endpoint with due deliveries a lane. Returns 0: lanes go on by themselves."""
        async with self._entry.database.transaction(shop_id) as db:
            due = await db.fetch(queue.DUE, shop_id=shop_id)
        for row in due:
            if row["pending"]:
                self._open(_Key(shop_id, row["id"], abandoned=False))
            if row["abandoned"]:
                self._open(_Key(shop_id, row["id"], abandoned=True))
        return 0

    async def settle(self, shop_id: int) -> None:
        """Wait until the shop's lanes have ended."""
        while tasks := [task for key, (_, task) in self._lanes.items() if key.shop_id == shop_id]:
            await asyncio.wait(tasks)

    async def close(self) -> None:
        """Claim no more and wait a moment; attempts that are cut off then are free for others at once."""
        self._stopping = True
        lanes = list(self._lanes.values())
        for lane, _ in lanes:
            lane.again.set()
        tasks = [task for _, task in lanes]
        await _wait_a_moment(tasks)
        for lane, _ in lanes:
            for attempt in lane.flying:
                attempt.cancel()
        await _wait_a_moment(tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _open(self, key: _Key) -> None:
        if key in self._lanes:
            self._lanes[key][0].again.set()
        elif not self._stopping:
            clients = Clients(self._allow_networks, self._timeout, self._tls)
            lane = _Lane(key, self._width(key, _FIRST_WIDTH), clients)
            self._lanes[key] = lane, asyncio.create_task(self._run(lane), name=f"lane:{key.endpoint_id}")

    def _width(self, key: _Key, wanted: int) -> int:
        return 1 if key.abandoned else max(1, min(wanted, self._in_flight))

    async def _run(self, lane: _Lane) -> None:
        try:
            await self._work(lane)
        except Exception:
            log.exception("lane_failed", endpoint_id=str(lane.key.endpoint_id))
        finally:
            # In the same breath as the last look for work: whoever rings from now on opens a new lane.
            del self._lanes[lane.key]
            for task in lane.flying:
                task.cancel()
        await lane.clients.aclose()

    async def _work(self, lane: _Lane) -> None:
        while True:
            lane.again.clear()
            claimed = await self._take_off(lane)
            if lane.flying:
                await _some(lane)
                landed = {task for task in lane.flying if task.done()}
                lane.flying -= landed
                await self._record(lane, [task.result() for task in landed if not task.cancelled()])
            elif not claimed and (self._stopping or not lane.again.is_set()):
                return

    async def _take_off(self, lane: _Lane) -> bool:
        """Claim what there is room for, and send it on its way. False when nothing was claimed."""
        room = lane.width - len(lane.flying)
        if room <= 0 or self._stopping:
            return False
        shop_id, endpoint_id, abandoned = lane.key
        claim = None
        try:
            async with self._entry.shop(shop_id) as (db, shop):
                claim = await turns.take(
                    db,
                    shop,
                    endpoint_id,
                    abandoned=abandoned,
                    limit=room,
                    lease_seconds=self._lease,
                    timeout_seconds=self._timeout,
                )
        except Exception as error:
            if isinstance(error, DatabaseUnavailable):
                log.warning("database_unavailable", kind=queue.DELIVERIES_BELL)
            else:
                log.exception("claim_failed", endpoint_id=str(endpoint_id))
            if claim is not None:
                # The commit may have happened all the same. Given back, nothing waits for the end of its lease.
                await self._record(lane, [Attempt(row) for row in claim.rows])
            return False
        if claim is None:
            return False
        lane.failing, lane.guarded = claim.target.failing, claim.target.push is not None
        if self._stopping:
            await self._record(lane, [Attempt(row) for row in claim.leaving])
            return False
        lane.flying |= {asyncio.create_task(lane.clients.send(claim.target, row)) for row in claim.leaving}
        return True

    async def _record(self, lane: _Lane, attempts: Sequence[Attempt]) -> None:
        """Write results back; a database that is away is waited for while the leases may last."""
        if not attempts:
            return
        replied = any(attempt.status is not None for attempt in attempts)
        lane.width = self._width(lane.key, 2 * lane.width if replied else lane.width // 2)

        async def write(db: Connection, shop: Shop) -> None:
            await turns.write_back(db, shop, lane.key.endpoint_id, attempts, failing=lane.failing, guarded=lane.guarded)

        until = time.monotonic() + self._lease
        while time.monotonic() < until:
            with contextlib.suppress(DatabaseUnavailable):
                return await in_shop(self._entry, lane.key.shop_id, write)
            await asyncio.sleep(_PAUSE_SECONDS)
        log.error("results_lost", endpoint_id=str(lane.key.endpoint_id), attempts=len(attempts))


async def _some(lane: _Lane) -> None:
    """Wait for a first reply, or for new work while there is room; then a moment for the replies close behind."""
    bell = asyncio.create_task(lane.again.wait())
    waiting = {*lane.flying, bell} if len(lane.flying) < lane.width else lane.flying
    try:
        done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if done != {bell}:
            await asyncio.wait(lane.flying, timeout=_LINGER_SECONDS)
    finally:
        bell.cancel()


async def _wait_a_moment(tasks: Sequence[asyncio.Task[None]]) -> None:
    if running := [task for task in tasks if not task.done()]:
        await asyncio.wait(running, timeout=_GRACE_SECONDS)

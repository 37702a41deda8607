"""One attempt to deliver one message: signed, sent once, and what came of it."""

import asyncio
import random
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import structlog

from app.core import clock
from app.core.db import Row
from app.core.outbound import Ambiguous, Outbound, OutboundError
from app.core.targets import Network
from app.webhooks import youzan
from app.webhooks.queue import HEARTBEAT
from app.webhooks.schedule import DELAYS_SECONDS, parse_retry_after
from app.webhooks.signing import sign
from app.webhooks.verdicts import Verdict, judge

log = structlog.get_logger(__name__)


class Target(NamedTuple):
    """Where claimed messages go. No attempt begins after the deadline (monotonic): its result would miss the lease.

    `push`: the messages in Youzan's form, for an endpoint that expects it.
    `probe_id`: the heartbeat that alone is sent until it is answered.
    """

    url: str
    secrets: list[str]
    deadline: float
    failing: bool
    push: youzan.Push | None = None
    probe_id: UUID | None = None

    def delays(self, row: Row) -> Sequence[float]:
        """The waits between attempts. A heartbeat asks about now: it is repeated only while messages wait for it."""
        if row["id"] == self.probe_id:
            return [youzan.PROBE_SECONDS] * (int(row["failures"]) + 1)
        if row["kind"] == HEARTBEAT:
            return ()
        return DELAYS_SECONDS if self.push is None else self.push.delays


@dataclass(slots=True)
class Attempt:
    """What became of one claimed delivery. `moment` None: nothing was sent. `released`: it does not count.

    `acknowledged`: whether the reply's body accepts it, None where its status alone does.
    """

    row: Row
    moment: datetime | None = None
    seconds: float = 0.0
    status: int | None = None
    error: str | None = None
    retry_after: float | None = None
    released: bool = True
    acknowledged: bool | None = None
    delays: Sequence[float] = DELAYS_SECONDS

    def verdict(self) -> Verdict:
        """What it means for the delivery."""
        if self.released:
            return Verdict("pending", self.error)
        jitter = random.random()  # noqa: S311 spreads load, guards nothing
        return judge(
            self.status,
            self.error,
            self.row["failures"],
            retry_after=self.retry_after,
            jitter=jitter,
            delays=self.delays,
            acknowledged=self.acknowledged,
        )


class Clients:
    """Clients of one connection each, lent out one attempt at a time; a pool looks at all it has for every request."""

    def __init__(self, allow_networks: Sequence[Network], timeout_seconds: float, tls: ssl.SSLContext) -> None:
        self._allow_networks = allow_networks
        self._timeout = timeout_seconds
        self._tls = tls
        self._all: list[Outbound] = []
        self._idle: list[Outbound] = []

    async def send(self, target: Target, row: Row) -> Attempt:
        """Send one message, once, unless it is too late for it. Never raises."""
        attempt = Attempt(row, delays=target.delays(row))
        if time.monotonic() > target.deadline:
            return attempt
        attempt.moment, started = clock.now(), time.monotonic()
        client = self._idle.pop() if self._idle else self._new(target)
        try:
            await _post(client, target, attempt)
        except asyncio.CancelledError:  # whoever cancels an attempt wants to know how far it came
            attempt.error = "interrupted"
            return attempt
        except OutboundError as error:
            attempt.error = error.reason
            attempt.status = error.status if isinstance(error, Ambiguous) else None
        except Exception:
            log.exception("attempt_failed", delivery_id=str(row["id"]))
            attempt.error = "internal_error"
        finally:
            self._idle.append(client)
            attempt.seconds = time.monotonic() - started
        attempt.released = False
        return attempt

    async def aclose(self) -> None:
        """Close every connection."""
        for client in self._all:
            await client.aclose()

    def _new(self, target: Target) -> Outbound:
        client = Outbound(
            allow_networks=self._allow_networks,
            timeout_seconds=min(self._timeout, youzan.TIMEOUT_SECONDS) if target.push else self._timeout,
            max_connections=1,
            max_keepalive_connections=1,
            tls=self._tls,
        )
        self._all.append(client)
        return client


async def _post(client: Outbound, target: Target, attempt: Attempt) -> None:
    if target.push is None:
        body = attempt.row["body"].encode()
        headers = sign(target.secrets, attempt.row["message_id"], int(time.time()), body)
    else:
        body, headers = target.push.request(attempt.row)
        attempt.acknowledged = False
    reply = await client.post(target.url, body, headers | {"content-type": "application/json"})
    attempt.status = reply.status
    if target.push is not None:
        attempt.acknowledged = youzan.acknowledged(reply.status, reply.body)
    if attempt.row["id"] != target.probe_id:  # everything else waits for that one, so it keeps its own pace
        attempt.retry_after = parse_retry_after(reply.headers.get("retry-after"), time.time())

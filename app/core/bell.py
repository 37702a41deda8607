"""The bell: after a commit it tells the workers that a shop has work. Losing it costs latency, never work.

Only this module and `workers/` know arq. A ring carries a kind and a shop number, as JSON.
"""

import asyncio
import ssl
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

import orjson
import structlog
from arq.connections import ArqRedis, RedisSettings, create_pool
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from app.core import metrics

log = structlog.get_logger(__name__)

_PAUSE_SECONDS: Final = 1.0
# The first ring goes at once; those that follow within this time go together. Rung for each of 500 commits a second,
# the workers would do little but answer.
_GATHER_SECONDS: Final = 0.01
_UNAVAILABLE: Final = (RedisError, OSError, TimeoutError, RuntimeError)  # the last is uvloop's for a lost connection


def redis_settings(url: str, *, patient: bool = False) -> RedisSettings:
    """arq's settings from a URL; arq's own reader leaves passwords percent-encoded and drops TLS options.

    Args:
        patient: keep trying through a restart of the server (a worker), rather than fail at once (a request).
    Raises: ValueError for a URL that is not Redis.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"redis", "rediss", "valkey", "valkeys"}:
        raise ValueError("REDIS_URL must start with redis:// or rediss://")
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    secure = parts.scheme in {"rediss", "valkeys"}
    return RedisSettings(
        host=parts.hostname or "localhost",
        port=parts.port or 6379,
        database=int(parts.path.lstrip("/") or query.get("db", "0")),
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        ssl=secure,
        ssl_cert_reqs="none" if query.get("ssl_cert_reqs") == "none" else "required",
        ssl_check_hostname=secure and query.get("ssl_cert_reqs") != "none",
        ssl_ca_certs=query.get("ssl_ca_certs") or (ssl.get_default_verify_paths().cafile if secure else None),
        conn_timeout=2,
        conn_retries=5 if patient else 0,
        conn_retry_delay=1,
        retry=Retry(ExponentialBackoff(cap=1, base=0.05), 60) if patient else None,
        retry_on_error=[RedisConnectionError, RedisTimeoutError, OSError] if patient else None,
    )


def dump_job(job: dict[str, Any]) -> bytes:
    """arq's job as JSON: who can write to Redis must not be able to run code here, as pickle would let them."""
    return orjson.dumps(job)


def load_job(data: bytes) -> dict[str, Any]:
    """The reverse of `dump_job`."""
    job: dict[str, Any] = orjson.loads(data)
    return job


class Bell:
    """Rings are collected and sent together by a task of its own, so that a request never waits for Redis."""

    def __init__(self, url: str, *, queue: str) -> None:
        self._settings = redis_settings(url)
        self._queue = queue
        self._pending: set[tuple[str, int]] = set()
        self._something = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._redis: ArqRedis | None = None

    def start(self) -> None:
        """Begin to send."""
        self._task = asyncio.create_task(self._send_for_ever(), name="bell")

    async def close(self) -> None:
        """Stop; what was not sent is found by the workers' next poll."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._redis is not None:
            await self._redis.aclose()

    def ring(self, kinds: Iterable[str], shop_id: int) -> None:
        """Wake the workers for this shop; many rings before the next send are one."""
        self._pending.update((kind, shop_id) for kind in kinds)
        self._something.set()

    async def _send_for_ever(self) -> None:
        while True:
            await self._something.wait()
            self._something.clear()
            rings, self._pending = self._pending, set()
            try:
                await asyncio.wait_for(self._send(rings), 3)
                metrics.BELL_UP.set(1)
                await asyncio.sleep(_GATHER_SECONDS)
            except _UNAVAILABLE as error:
                metrics.BELL_FAILURES.inc(len(rings))
                metrics.BELL_UP.set(0)
                log.warning("bell_unavailable", error=type(error).__name__)
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _send(self, rings: Iterable[tuple[str, int]]) -> None:
        if self._redis is None:
            self._redis = await create_pool(
                self._settings,
                default_queue_name=self._queue,
                job_serializer=dump_job,
                job_deserializer=load_job,
            )
        for kind, shop_id in rings:
            # No job id of our own: arq would refuse one that is running, and lose the wake-up.
            await self._redis.enqueue_job("wake", kind, shop_id, _expires=3600)

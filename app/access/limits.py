"""How much a client may ask for: requests per second and route class (GCRA), and rows read per day.

Quota is leased from Redis in blocks and counted in the process, so that a request seldom waits for Redis and several
processes share one limit. Without Redis each process keeps the limit on its own: never off, at most as many times as
there are processes.
"""

import asyncio
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.access.settings import LimitSettings
from app.access.shops import Shop
from app.core import clock
from app.core.bell import redis_settings
from app.core.errors import TooMany

_BLOCK_SECONDS: Final = 0.1  # a lease is at most this much of a second's quota
_PATIENCE_SECONDS: Final = 0.05
_PAUSE_SECONDS: Final = 2.0  # how long Redis is left alone after it failed
_ROW_BLOCK: Final = 2_000
_AWAY: Final = (RedisError, OSError, TimeoutError, RuntimeError)  # the last is uvloop's for a connection that was lost

# GCRA: one timestamp per key, the theoretical arrival time of the next request, in microseconds of the server's clock.
# Returns how many of the wanted requests fit now, and in how many microseconds one more would.
_GCRA: Final = """
local now = redis.call('TIME'); now = now[1] * 1000000 + now[2]
local interval, burst, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local tat = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now)
local fit = math.floor((now + burst - tat) / interval)
local granted = math.max(0, math.min(wanted, fit))
if granted > 0 then
    tat = tat + granted * interval
    redis.call('SET', KEYS[1], string.format('%d', tat), 'PX', math.ceil((tat - now) / 1000) + 1000)
end
return {granted, math.max(0, math.ceil(tat + interval - burst - now))}
"""
_ROWS: Final = """
local total = redis.call('INCRBY', KEYS[1], ARGV[1])
redis.call('EXPIRE', KEYS[1], 172800)
return total
"""


class RateLimited(TooMany):
    """Too many requests of one class in a second. `shop`: whose client asked, as the caller's way in tells it."""

    code = "rate_limited"
    shop: Shop | None = None


class RowBudgetSpent(TooMany):
    """The client has read its rows for today."""

    code = "row_budget_spent"


@dataclass(slots=True)
class _Bucket:
    """What this process may still grant of one client's class, and its own GCRA for when Redis is away."""

    leased: int = 0
    lease_until: float = 0.0
    tat: float = 0.0
    leasing: asyncio.Lock = field(default_factory=asyncio.Lock)

    def grants(self, now: float) -> bool:
        """Take one of what is leased."""
        if self.leased <= 0 or self.lease_until <= now:
            return False
        self.leased -= 1
        return True


@dataclass(slots=True)
class _Budget:
    """Rows leased of a day, and rows spent of the lease."""

    day: str = ""
    leased: int = 0
    spent: int = 0
    leasing: asyncio.Lock = field(default_factory=asyncio.Lock)


class Limits:
    """The limits of one process's callers."""

    def __init__(self, redis_url: str) -> None:
        found = redis_settings(redis_url)
        self._redis: Any = Redis(
            host=str(found.host),
            port=found.port,
            db=found.database,
            username=found.username,
            password=found.password,
            ssl=found.ssl,
            ssl_cert_reqs=found.ssl_cert_reqs,
            ssl_ca_certs=found.ssl_ca_certs,
            ssl_check_hostname=found.ssl_check_hostname,
            socket_connect_timeout=_PATIENCE_SECONDS,
            socket_timeout=_PATIENCE_SECONDS,
        )
        self._gcra = self._redis.register_script(_GCRA)
        self._rows = self._redis.register_script(_ROWS)
        self._away_until = 0.0
        self._buckets: dict[tuple[UUID, str], _Bucket] = {}
        self._budgets: dict[UUID, _Budget] = {}

    async def close(self) -> None:
        """Disconnect."""
        await self._redis.aclose()

    async def take(self, client: UUID, route_class: str, limits: LimitSettings) -> None:
        """Count one request. Raises RateLimited."""
        rate, burst = limits.of(route_class)
        bucket = self._buckets.setdefault((client, route_class), _Bucket())
        if bucket.grants(time.monotonic()):
            return
        # One at a time: a crowd that finds the lease spent would lease a block each, and have none for the last.
        async with bucket.leasing:
            now = time.monotonic()
            if bucket.grants(now):
                return
            wanted = max(1, int(rate * _BLOCK_SECONDS))
            answer = await self._ask(
                self._gcra, f"kehu:rate:{client}:{route_class}", int(1e6 / rate), int(1e6 * burst / rate), wanted
            )
            if answer is None:
                wait = self._alone(bucket, now, rate, burst)
            else:
                granted, microseconds = answer
                wait = 0.0 if granted else microseconds / 1e6
                # A lease that is not used within its second lapses, so that quota is not hoarded.
                bucket.leased, bucket.lease_until = max(0, granted - 1), now + 1.0
        if wait > 0:
            raise RateLimited(f"This client may make {rate} such requests a second ({route_class})", wait)

    async def spend_rows(self, client: UUID, rows: int, limits: LimitSettings, zone: ZoneInfo) -> None:
        """Count rows of personal data that are about to be shown. Raises RowBudgetSpent, and they are not shown."""
        moment = clock.now().astimezone(zone)
        day = moment.date().isoformat()
        budget = self._budgets.setdefault(client, _Budget())
        async with budget.leasing:
            if budget.day != day:
                budget.day, budget.leased, budget.spent = day, 0, 0
            if budget.spent + rows > budget.leased:
                block = max(rows, _ROW_BLOCK if limits.rows_per_day >= 10 * _ROW_BLOCK else rows)
                total = await self._ask(self._rows, f"kehu:rows:{client}:{day}", block)
                already = (total if total is not None else budget.leased + block) - block
                if already + rows > limits.rows_per_day:
                    raise RowBudgetSpent(
                        f"This client may read {limits.rows_per_day} rows of personal data a day",
                        _until_midnight(moment),
                    )
                budget.leased += block
            budget.spent += rows

    async def _ask(self, script: Any, key: str, *arguments: int) -> Any:
        if time.monotonic() < self._away_until:
            return None
        try:
            return await script(keys=[key], args=list(arguments))
        except _AWAY:
            self._away_until = time.monotonic() + _PAUSE_SECONDS
            return None

    @staticmethod
    def _alone(bucket: _Bucket, now: float, rate: float, burst: float) -> float:
        interval = 1 / rate
        tat = max(bucket.tat, now)
        wait = tat + interval - burst * interval - now
        if wait > 0:
            return wait
        bucket.tat = tat + interval
        return 0.0


def _until_midnight(moment: datetime) -> float:
    midnight = (moment + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return (midnight - moment).total_seconds()

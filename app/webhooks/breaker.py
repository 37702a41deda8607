"""A circuit breaker for endpoints in Youzan's form: while it is open, only a heartbeat asks whether anyone is back."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy import text

from app.core.db import Connection, statement
from app.webhooks import queue, youzan
from app.webhooks.attempts import Attempt
from app.webhooks.verdicts import Verdict

log = structlog.get_logger(__name__)

WINDOW_SECONDS: Final = 10
MOST_FAILURES: Final = 0.8  # of a window's attempts
FEWEST_ATTEMPTS: Final = 5  # one failure of one says little

# Locks the endpoint's row before those of its deliveries, as a removal does.
COUNT = statement(
    text(
        f"""
        update webhook_endpoints e set
            window_at = case when n.fresh then n.window_at else now() end,
            window_attempts = case when n.fresh then n.window_attempts else 0 end + :attempts,
            window_failures = case when n.fresh then n.window_failures else 0 end + :failures
        from (
            select id, window_at, window_attempts, window_failures,
                   coalesce(window_at > now() - interval '{WINDOW_SECONDS} seconds', false) as fresh
            from webhook_endpoints where shop_id = :shop_id and id = :id for no key update
        ) as n
        where e.shop_id = :shop_id and e.id = n.id
        returning e.probe_id, e.window_attempts, e.window_failures
        """  # noqa: S608 a number of our own
    )
)
SET_PROBE = statement(
    text(
        """
        update webhook_endpoints set probe_id = :probe_id, window_at = null where shop_id = :shop_id and id = :id
        """
    )
)


async def note(db: Connection, shop_id: int, endpoint_id: UUID, judged: Sequence[tuple[Attempt, Verdict]]) -> None:
    """Count attempts, and open the breaker after too many failures, or close it when its heartbeat is answered."""
    counted = [(attempt, verdict) for attempt, verdict in judged if not attempt.released]
    if not counted:
        return
    failures = sum(verdict.state != "delivered" for _, verdict in counted)
    window = await db.fetch_one(COUNT, shop_id=shop_id, id=endpoint_id, attempts=len(counted), failures=failures)
    if window is None:
        return
    probe_id, attempts = window["probe_id"], window["window_attempts"]
    if probe_id is not None:
        if any(attempt.row["id"] == probe_id and verdict.state != "pending" for attempt, verdict in counted):
            await close(db, shop_id, endpoint_id)
    elif attempts >= FEWEST_ATTEMPTS and window["window_failures"] > MOST_FAILURES * attempts:
        # Not at once: who acknowledges heartbeats whatever becomes of messages would never be left alone.
        probe_id = await queue.add_heartbeat(db, shop_id, endpoint_id, after_seconds=youzan.PROBE_SECONDS)
        await db.execute(SET_PROBE, shop_id=shop_id, id=endpoint_id, probe_id=probe_id)
        log.warning("breaker_opened", endpoint_id=str(endpoint_id), attempts=attempts)


async def close(db: Connection, shop_id: int, endpoint_id: UUID) -> None:
    """Let messages flow again."""
    await db.execute(SET_PROBE, shop_id=shop_id, id=endpoint_id, probe_id=None)
    db.ring(queue.DELIVERIES_BELL)
    log.info("breaker_closed", endpoint_id=str(endpoint_id))

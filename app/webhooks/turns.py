"""The two short transactions around an attempt: one takes messages out, the other writes back what became of them."""

import time
from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

import orjson
import structlog

from app.access.audit import Visit
from app.access.shops import Shop
from app.core import clock, metrics
from app.core.db import Connection, Row
from app.customers import repository as customers
from app.customers.records import open_customer
from app.touches import service as touches
from app.touches.repository import Outcome
from app.webhooks import breaker, queue, service, youzan
from app.webhooks.attempts import Attempt, Target
from app.webhooks.verdicts import GONE, Verdict

log = structlog.get_logger(__name__)

_CRASHED = "worker_crashed"
_GONE_CUSTOMER = "customer_gone"


class Claim(NamedTuple):
    """`rows` are held under a lease from now on; those in `leaving` are to be sent."""

    target: Target
    rows: list[Row]
    leaving: list[Row]


async def take(
    db: Connection,
    shop: Shop,
    endpoint_id: UUID,
    *,
    abandoned: bool,
    limit: int,
    lease_seconds: float,
    timeout_seconds: float,
) -> Claim | None:
    """Claim what an endpoint is due, if it is enabled. None when that is nothing.

    Args:
        abandoned: what a dead worker left, one at a time; else what waits.
        timeout_seconds: of one attempt.
    """
    deadline = time.monotonic() + lease_seconds - timeout_seconds
    # A heartbeat that was abandoned may close the breaker: the endpoint is locked before its deliveries everywhere.
    target_of = queue.TARGET_HELD if abandoned else queue.TARGET
    endpoint = await db.fetch_one(target_of, shop_id=shop.id, id=endpoint_id)
    if endpoint is None:
        return None
    probe_id = endpoint["probe_id"]
    rows = await queue.claim(
        db,
        shop.id,
        endpoint_id,
        abandoned=abandoned,
        probe_id=probe_id,
        limit=limit,
        lease_seconds=lease_seconds,
    )
    if not rows:
        return None
    if any(row["id"] == probe_id and row["state"] == "quarantined" for row in rows):
        await breaker.close(db, shop.id, endpoint_id)
    secrets = service.secrets(shop, endpoint, clock.now())
    leaving, push = await _allowed(db, shop.id, rows), None
    if endpoint["format"] == youzan.FORMAT:
        push = await _push(db, shop, endpoint, secrets[0], leaving)
        leaving = [row for row in leaving if row["id"] in push.inside]
    failing = endpoint["failing_since"] is not None
    target = Target(endpoint["url"], secrets, deadline, failing=failing, push=push, probe_id=probe_id)
    return Claim(target, rows, leaving)


async def write_back(
    db: Connection, shop: Shop, endpoint_id: UUID, attempts: Sequence[Attempt], *, failing: bool, guarded: bool
) -> None:
    """Write what became of attempts, and of touches among them. Results that come after another's attempt are refused.

    Args:
        failing: whether the endpoint was known to fail.
        guarded: whether a breaker guards it.
    """
    judged = [(attempt, attempt.verdict()) for attempt in attempts]
    if guarded:
        await breaker.note(db, shop.id, endpoint_id, judged)
    kept = await queue.write_back(db, shop.id, _columns(judged))
    written = [pair for pair in judged if pair[0].row["id"] in kept]
    await touches.record_outcomes(db, shop.id, _outcomes(written))
    counted = [(attempt, verdict) for attempt, verdict in written if not attempt.released]
    answered = any(verdict.state == "delivered" for _, verdict in counted)
    gone = any(attempt.status == GONE for attempt, _ in counted)
    if counted and (gone or failing or not answered):
        reason = await queue.note_health(db, shop.id, endpoint_id, answered=answered, gone=gone)
        if reason is not None:
            log.warning("endpoint_disabled", endpoint_id=str(endpoint_id), reason=reason)
    for attempt, verdict in written:
        result = "released" if attempt.released else "retry" if verdict.state == "pending" else verdict.state
        metrics.DELIVERIES.labels(result).inc()
    if len(written) < len(attempts):
        log.warning("stale_results_refused", endpoint_id=str(endpoint_id), count=len(attempts) - len(written))
        metrics.DELIVERIES.labels("stale").inc(len(attempts) - len(written))


async def _allowed(db: Connection, shop_id: int, rows: Sequence[Row]) -> list[Row]:
    """The claimed rows that may leave. The others end here, each with its reason."""
    crashed = [row for row in rows if row["state"] == "quarantined"]
    claimed = [row for row in rows if row["state"] == "sending"]
    # Asked after the claim: a withdrawal that was committed before it wins.
    refused = await touches.still_allowed(db, shop_id, [row["touch_id"] for row in claimed if row["touch_id"]])
    stopped = [row for row in claimed if row["touch_id"] in refused]
    if stopped:
        await queue.cancel(db, shop_id, {row["id"]: refused[row["touch_id"]] for row in stopped})
    for row in crashed:
        log.error("delivery_quarantined", delivery_id=str(row["id"]))
    outcomes = [Outcome(r["touch_id"], "quarantined", _CRASHED, r["attempt"]) for r in crashed if r["touch_id"]]
    outcomes += [Outcome(r["touch_id"], "suppressed", refused[r["touch_id"]], r["attempt"] - 1) for r in stopped]
    await touches.record_outcomes(db, shop_id, outcomes)
    return [row for row in claimed if row["touch_id"] not in refused]


async def _push(db: Connection, shop: Shop, endpoint: Row, secret: str, rows: Sequence[Row]) -> youzan.Push:
    """Claimed rows in Youzan's form, from the customers as they are now. Who is gone is not told of."""
    events = {row["id"]: orjson.loads(row["body"]) for row in rows}
    numbers = {event["data"]["customer_id"] for event in events.values() if "customer_id" in event["data"]}
    stored = await customers.get_many(db, shop.id, sorted(numbers)) if numbers else []
    people = {row["asked"]: open_customer(shop, row) for row in stored if row["status"] != "erased"}
    inside: dict[UUID, youzan.Inside] = {}
    for row in rows:
        event = events[row["id"]]
        customer = people.get(event["data"].get("customer_id"))
        if row["kind"] == queue.HEARTBEAT:
            inside[row["id"]] = youzan.heartbeat(event)
        elif customer is not None and row["kind"] in youzan.STATUSES:
            inside[row["id"]] = youzan.about(customer, event, row["kind"], unmasked=endpoint["unmasked"])
    if gone := {row["id"]: _GONE_CUSTOMER for row in rows if row["id"] not in inside}:
        await queue.cancel(db, shop.id, gone)
    if people:
        visit = Visit("webhooks.push", request_id=str(endpoint["id"]), actor=endpoint["client_id"], purpose="pii:read")
        visit.masked = not endpoint["unmasked"]
        visit.concerns(sorted(people))
        db.parting = visit.sql(shop.id)
    delays = youzan.DELAYS_SECONDS[shop.settings.facade.push_attempts]
    return youzan.Push(endpoint["client_id"], secret, shop.id, shop.name, inside, delays)


def _columns(judged: Sequence[tuple[Attempt, Verdict]]) -> dict[str, list[object]]:
    return {
        "ids": [attempt.row["id"] for attempt, _ in judged],
        "attempts": [attempt.row["attempt"] for attempt, _ in judged],
        "states": [verdict.state for _, verdict in judged],
        "failed": [not attempt.released and verdict.state != "delivered" for attempt, verdict in judged],
        "statuses": [attempt.status for attempt, _ in judged],
        "errors": [verdict.error for _, verdict in judged],
        "delays": [verdict.delay_seconds for _, verdict in judged],
        "attempted_at": [attempt.moment for attempt, _ in judged],
        "seconds": [attempt.seconds for attempt, _ in judged],
    }


def _outcomes(written: Sequence[tuple[Attempt, Verdict]]) -> list[Outcome]:
    return [
        Outcome(attempt.row["touch_id"], verdict.state, verdict.error, attempt.row["attempt"])
        for attempt, verdict in written
        if attempt.row["touch_id"] is not None and verdict.state in ("delivered", "failed")
    ]

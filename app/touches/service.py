"""Asking for touches, deciding who gets one, and hearing how each ended."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import orjson

from app.access.idempotency import KeyReused
from app.changes import jobs
from app.consent.repository import refusals
from app.core import clock, metrics
from app.core.crypto import fingerprint
from app.core.db import Connection, Row
from app.core.errors import Unprocessable
from app.core.ids import derived_id
from app.customers.repository import owners_of
from app.scoring.tiers import service as tiers
from app.touches import messages, repository
from app.touches.errors import TemplateNotFound
from app.touches.repository import Outcome
from app.touches.schemas import TouchRequestWrite

PLANNING: Final = "plan_touches"
MARKETING: Final = "marketing"
SAME_PERSON: Final = "same_person"
MESSAGE_LIMIT: Final = 20_000  # a variable may be used often, and everyone in the audience gets a copy


async def request(db: Connection, shop_id: int, key: str, wanted: TouchRequestWrite) -> tuple[Row, bool]:
    """Ask for touches, once per key. Returns the request and whether it is new.

    Raises: KeyReused; TemplateNotFound; Unprocessable naming the variable that is missing or unknown.
    """
    mark = _fingerprint(wanted)
    known = await repository.request_by_key(db, shop_id, key)
    if known is None:
        added = await _add(db, shop_id, key, mark, wanted)
        known = await repository.request_by_key(db, shop_id, key)
    else:
        added = False
    if known is None or known["fingerprint"] != mark:
        raise KeyReused(field="Idempotency-Key")
    return known, added


async def record_outcomes(db: Connection, shop_id: int, outcomes: Sequence[Outcome]) -> None:
    """Write how touches ended, in the transaction that learned it. What has ended before stays as it was."""
    if not outcomes:
        return
    ended = await db.fetch(
        repository.RECORD,
        shop_id=shop_id,
        ids=[outcome.touch_id for outcome in outcomes],
        states=[outcome.state for outcome in outcomes],
        reasons=[outcome.reason for outcome in outcomes],
        attempts=[outcome.attempts for outcome in outcomes],
        moment=clock.now(),
    )
    for row in ended:
        metrics.TOUCHES.labels(row["state"]).inc()


async def reopen(db: Connection, shop_id: int, touch_id: UUID) -> None:
    """A touch that failed is being sent again; one that was delivered stays delivered."""
    await db.execute(repository.REOPEN, shop_id=shop_id, id=touch_id, moment=clock.now())


async def still_allowed(db: Connection, shop_id: int, touch_ids: Sequence[UUID]) -> dict[UUID, str]:
    """Asked right before each attempt: which of these touches must not leave any more, and why. Usually none.

    Everything committed before the call is seen, so a withdrawal that came first wins.
    """
    if not touch_ids:
        return {}
    rows = await db.fetch(repository.ASKED_BY, shop_id=shop_id, ids=list(touch_ids))
    reasons = await refused(db, shop_id, [(row, row) for row in rows])
    twice = await repository.reached_already(db, shop_id, [row["id"] for row in rows if row["id"] not in reasons])
    return reasons | dict.fromkeys(twice, SAME_PERSON)


async def refused(
    db: Connection, shop_id: int, touches: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]
) -> dict[UUID, str]:
    """Why each of these touches must not leave; who is absent may.

    Args:
        touches: each with the request that asked for it (purpose, channel, category).
    """
    groups: dict[tuple[str, str, bool], list[Mapping[str, Any]]] = {}
    for touch, asked in touches:
        key = asked["purpose"], asked["channel"], asked["category"] == MARKETING
        groups.setdefault(key, []).append(touch)
    found: dict[UUID, str] = {}
    for (purpose, channel, marketing), group in groups.items():
        customer_ids = sorted({touch["customer_id"] for touch in group})
        reasons = await refusals(db, shop_id, customer_ids, purpose, channel, marketing=marketing)
        found |= {touch["id"]: reasons[touch["customer_id"]] for touch in group if touch["customer_id"] in reasons}
    return found


async def _add(db: Connection, shop_id: int, key: str, mark: bytes, wanted: TouchRequestWrite) -> bool:
    """False when another caller was first with the key."""
    template = await repository.get_template(db, shop_id, wanted.template)
    if template is None:
        raise TemplateNotFound(field="template")
    message = _message(template["body"], wanted.variables)
    request_id = derived_id("touch_request", shop_id, key)
    job = await jobs.enqueue(db, shop_id, PLANNING, {"request_id": str(request_id)}, key=str(request_id))
    return await repository.add_request(
        db,
        shop_id,
        {
            "id": request_id,
            "key": key,
            "fingerprint": mark,
            "template_code": wanted.template,
            "channel": template["channel"],
            "category": template["category"],
            "purpose": template["purpose"],
            "audience": await _audience(db, shop_id, wanted),
            "variables": wanted.variables,
            "message": message,
            "job_id": job["id"],
            "created_at": clock.now(),
        },
    )


def _message(body: str, variables: Mapping[str, str]) -> str:
    asked = messages.names(body)
    for name in sorted(asked - variables.keys()):
        raise Unprocessable(f"The template needs the variable {name}; send it", field=f"variables.{name}")
    for name in sorted(variables.keys() - asked):
        raise Unprocessable(f"The template has no variable {name}; leave it out", field=f"variables.{name}")
    message = messages.fill(body, variables)
    if len(message) > MESSAGE_LIMIT:
        raise Unprocessable(f"The message is limited to {MESSAGE_LIMIT} characters; shorten them", field="variables")
    return message


async def _audience(db: Connection, shop_id: int, wanted: TouchRequestWrite) -> dict[str, Any]:
    """The audience as kept: people by the numbers of who answers for them, apart from numbers that nobody has."""
    if wanted.audience.customer_ids is None:
        assert wanted.audience.tier is not None  # noqa: S101 the body names one of them
        await tiers.check_name(db, shop_id, wanted.audience.tier, field="audience.tier")
        return {"tier": wanted.audience.tier, "skipped": []}
    asked = sorted(set(wanted.audience.customer_ids))
    owners = await owners_of(db, shop_id, asked)
    return {
        "customer_ids": sorted(set(owners.values())),
        "skipped": [number for number in asked if number not in owners],
    }


def _fingerprint(wanted: TouchRequestWrite) -> bytes:
    document = wanted.model_dump(mode="json")
    if wanted.audience.customer_ids is not None:
        document["audience"]["customer_ids"] = sorted(set(wanted.audience.customer_ids))
    return fingerprint(orjson.dumps(document, option=orjson.OPT_SORT_KEYS))

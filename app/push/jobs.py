"""Applying what was pushed: through the rooms' own services, the newest word first, one bad message alone."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final
from uuid import UUID

import structlog

from app.access.audit import Visit
from app.access.entry import Entry, in_shop
from app.access.shops import Shop
from app.core import metrics
from app.core.crypto import CannotOpen, fingerprint
from app.core.db import Connection, Row
from app.core.errors import AppError
from app.core.ids import CustomerIds
from app.core.races import RETRIABLE
from app.customers import service as customers
from app.customers.service import Write
from app.orders import service as orders
from app.orders.schemas import OrderWrite, RefundWrite, StatusWrite
from app.push import people, repository, trades
from app.push.errors import Invalid, Unreadable
from app.push.reading import Told, open_message
from app.push.service import PURPOSE

log = structlog.get_logger(__name__)

UNREADABLE: Final = "unreadable"
NOT_KNOWN: Final = "order_not_known"
NOT_PAID: Final = "order_not_paid"
WAITING: Final = (NOT_KNOWN, NOT_PAID)
# What stands in the way may go by itself soon; an order's first message may be days behind its last.
RETRY_SECONDS: Final = (10.0, 60.0, 600.0, 3_600.0)
WAIT_SECONDS: Final = (60.0, 600.0, 3_600.0, 21_600.0, 86_400.0, 259_200.0)

_COLUMNS: Final = ("ids", "states", "errors", "notes", "failed", "delays")


@dataclass(slots=True)
class _Verdict:
    """What became of one message. `waits`: how long until the next look, by how often it was looked at."""

    state: str
    note: str | None = None
    error: str | None = None
    waits: Sequence[float] = ()


@dataclass(slots=True)
class _Unit:
    """One piece of work for one room, and the claimed messages that it settles.

    `unpaid`: of these, the ones that must wait for the payment. `revived`: messages that waited for what this brings.
    """

    work: Write | OrderWrite | StatusWrite | RefundWrite
    told: Sequence[Told]
    notes: dict[UUID, str | None] = field(default_factory=dict)
    unpaid: set[UUID] = field(default_factory=set)
    revived: list[UUID] = field(default_factory=list)
    verdict: _Verdict = field(default_factory=lambda: _Verdict("applied"))
    customer_id: int | None = None


async def apply_due(entry: Entry, shop_id: int, *, limit: int = 200) -> int:
    """Apply messages that are due. Returns how many; safe to run twice and side by side."""
    return await in_shop(entry, shop_id, partial(_apply_due, ids=entry.ids, limit=limit))


async def _apply_due(db: Connection, shop: Shop, *, ids: CustomerIds, limit: int) -> int:
    rows = await repository.claim(db, shop.id, limit)
    if not rows:
        return 0
    verdicts: dict[UUID, _Verdict] = {}
    claimed = _opened(shop, rows, verdicts)
    concerned: list[Told] = []
    for told in claimed:
        try:
            reason = _ignored_because(told)
        except Exception as error:
            verdicts[told.id] = _refusal(told, error)
            continue
        if reason is None:
            concerned.append(told)
        else:
            verdicts[told.id] = _Verdict("ignored", note=reason)
    units = _units(shop, concerned, await _kin(db, shop, concerned), verdicts)
    await _carry_out(db, shop, ids, units)
    for unit in units:
        for told in unit.told:
            verdicts[told.id] = _verdict(unit, told)
    await repository.write_back(db, shop.id, _columns(rows, verdicts))
    await repository.wake(db, shop.id, [one for unit in units for one in unit.revived], WAITING)
    visit = Visit("push.apply", actor="worker", purpose=PURPOSE)
    visit.concerns([unit.customer_id for unit in units if unit.customer_id is not None])
    if visit.objects:
        db.parting = visit.sql(shop.id)
    return len(rows)


def _opened(shop: Shop, rows: Sequence[Row], verdicts: dict[UUID, _Verdict]) -> list[Told]:
    """The messages that can be read; the others end here, visibly."""
    told = []
    for row in rows:
        try:
            told.append(open_message(shop, row))
        except (Unreadable, CannotOpen):
            verdicts[row["id"]] = _Verdict("failed", error=UNREADABLE)
    return told


def _ignored_because(told: Told) -> str | None:
    """Why a message asks for nothing, or None when it does ask."""
    if told.type in people.PROFILE_TYPES or told.type == people.CARD:
        return people.ignored_because(told)
    if told.type in trades.TRADE_TYPES:
        return None if trades.status_of(told) else "unknown_status"
    if told.type in trades.REFUNDED_TYPES:
        return None
    return "refund_state" if told.type.startswith(trades.REFUND_PREFIXES) else "unknown_type"


def _family(type_: str) -> Sequence[str]:
    """The types that tell of the same thing and depend on each other."""
    if type_ in trades.TRADE_TYPES:
        return trades.TRADE_TYPES
    return (type_,) if type_ in people.PROFILE_TYPES else ()


async def _kin(db: Connection, shop: Shop, claimed: Sequence[Told]) -> dict[tuple[str, bytes], list[Told]]:
    """What else was told of the same things, the claimed messages included, once nobody else applies any of it."""
    keys: set[int] = set()
    since: dict[tuple[str, bytes], int] = {}
    for told in claimed:
        family = _family(told.type)
        if family:
            keys.add(_lock_key(shop, family[0], told.subject_hash))
        for type_ in family:
            # A profile needs only what is newer; an order is put together from all that was told of it.
            lowest = told.version if len(family) == 1 else 0
            place = type_, told.subject_hash
            since[place] = min(since.get(place, lowest), lowest)
    if not since:
        return {}
    await repository.lock_subjects(db, list(keys))
    found: dict[tuple[str, bytes], list[Told]] = defaultdict(list)
    for told in _opened(shop, await repository.kin(db, shop.id, since), {}):
        found[_family(told.type)[0], told.subject_hash].append(told)
    return found


def _lock_key(shop: Shop, family: str, subject_hash: bytes) -> int:
    key = fingerprint(f"{shop.id}|{family}|".encode() + subject_hash)
    return int.from_bytes(key[:8], "big", signed=True)


def _units(
    shop: Shop,
    claimed: Sequence[Told],
    kin: dict[tuple[str, bytes], list[Told]],
    verdicts: dict[UUID, _Verdict],
) -> list[_Unit]:
    """The work that claimed messages ask for: one piece for each person or order, however many tell of it."""
    together: dict[tuple[object, ...], list[Told]] = defaultdict(list)
    for told in claimed:
        family = _family(told.type)
        together[(family[0], told.subject_hash) if family else (told.id,)].append(told)
    units = []
    for group in together.values():
        try:
            found = [_unit(shop, group, kin, verdicts)]
        except Exception:  # which of them it was is found below
            found = [_unit_alone(shop, told, kin, verdicts) for told in sorted(group, key=lambda one: one.rank)]
        units += [unit for unit in found if unit is not None]
    return units


def _unit_alone(
    shop: Shop, told: Told, kin: dict[tuple[str, bytes], list[Told]], verdicts: dict[UUID, _Verdict]
) -> _Unit | None:
    """The work that one message asks for; None when it cannot be understood: the others are not kept from it."""
    try:
        return _unit(shop, [told], kin, verdicts)
    except Exception as error:
        verdicts[told.id] = _refusal(told, error)
        return None


def _refusal(told: Told, error: Exception) -> _Verdict:
    if isinstance(error, Invalid):
        return _Verdict("failed", error=f"invalid: {error.field}")
    log.exception("push_message_not_understood", message_id=str(told.id), error=type(error).__name__)
    return _Verdict("failed", error=type(error).__name__)


def _unit(
    shop: Shop,
    group: Sequence[Told],
    kin: dict[tuple[str, bytes], list[Told]],
    verdicts: dict[UUID, _Verdict],
) -> _Unit | None:
    """The work that messages about one thing ask for, or None when they were settled here. Raises Invalid."""
    first = group[0]
    family = _family(first.type)
    relatives = kin.get((family[0], first.subject_hash), []) if family else []
    if first.type in trades.TRADE_TYPES:
        return _trade(shop, group, relatives, verdicts)
    if first.type in people.PROFILE_TYPES:
        applied = [told for told in relatives if told.state == "applied"]
        write, left_out = people.folded(group, applied)
        notes = {told.id: _stale(told, applied) for told in group}
        if left_out:
            notes = {told_id: note or f"left out: {', '.join(left_out)}" for told_id, note in notes.items()}
        return _Unit(write, group, notes)
    if first.type == people.CARD:
        holder = people.card_of(first)
        if not holder:
            verdicts[first.id] = _Verdict("ignored", note="no_holder")
            return None
        return _Unit(Write(holder), group)
    return _Unit(trades.refund_of(first), group)


def _trade(
    shop: Shop, group: Sequence[Told], relatives: Sequence[Told], verdicts: dict[UUID, _Verdict]
) -> _Unit | None:
    """What messages about one order come to; one that says what cannot be kept fails, and the others count."""
    good: dict[UUID, Told] = {}
    for told in [*relatives, *group]:
        try:
            trades.check(told)
            good[told.id] = told
        except Invalid as error:
            verdicts[told.id] = _refusal(told, error)
    group = [told for told in group if told.id in good]
    if not group:
        return None
    order_no = trades.order_no_of(group[0])
    if any(trades.order_no_of(told) != order_no for told in group):
        raise Invalid("order_no")  # of several orders under one id: each message is taken alone
    about_it = [told for told in good.values() if trades.order_no_of(told) == order_no]
    folded = trades.folded(order_no, about_it, shop.id)
    if folded.order is None:
        verdicts.update({told.id: _Verdict("ignored", note=folded.ignored) for told in group})
        return None
    claimed = {told.id for told in group}
    waiting = [told.id for told in about_it if told.id not in claimed and told.error in WAITING]
    return _Unit(
        folded.order,
        group,
        {told.id: _stale(told, [one for one in relatives if one.state == "applied"]) for told in group},
        {told.id for told in group if folded.unpaid and trades.needs_payment(told)},
        [] if folded.unpaid or isinstance(folded.order, StatusWrite) else waiting,
    )


def _stale(told: Told, applied: Sequence[Told]) -> str | None:
    newer = any(one.type == told.type and one.rank > told.rank for one in applied)
    return "stale" if newer else None


async def _carry_out(db: Connection, shop: Shop, ids: CustomerIds, units: list[_Unit]) -> None:
    """All units at once; where that fails, each in a savepoint of its own, so that a poisoned one stands alone."""
    try:
        async with db.savepoint():
            await _together(db, shop, ids, units)
        return
    except RETRIABLE:
        raise  # the whole step runs again
    except Exception as error:
        if db.is_lost():
            raise  # nobody's fault
        if len(units) == 1:
            return _failed(units[0], error)
    for unit in units:
        unit.verdict, unit.customer_id = _Verdict("applied"), None
        try:
            async with db.savepoint():
                await _together(db, shop, ids, [unit])
        except RETRIABLE:
            raise
        except Exception as error:
            if db.is_lost():
                raise
            _failed(unit, error)


def _failed(unit: _Unit, error: Exception) -> None:
    log.exception("push_unit_failed", error=type(error).__name__, message_ids=[str(told.id) for told in unit.told])
    unit.verdict, unit.customer_id = _Verdict("pending", error=type(error).__name__, waits=RETRY_SECONDS), None


async def _together(db: Connection, shop: Shop, ids: CustomerIds, units: Sequence[_Unit]) -> None:
    writes = [(unit, unit.work) for unit in units if isinstance(unit.work, Write)]
    if writes:
        for (unit, _), outcome in zip(
            writes, await customers.upsert(db, shop, ids, [work for _, work in writes]), strict=True
        ):
            _settle(unit, outcome.customer_id, outcome.error)
    whole = [(unit, unit.work) for unit in units if isinstance(unit.work, OrderWrite)]
    if whole:
        for (unit, _), outcome in zip(
            whole, await orders.put_orders(db, shop, ids, [work for _, work in whole]), strict=True
        ):
            _settle(unit, outcome.customer_id, outcome.error)
    moves = [(unit, unit.work) for unit in units if isinstance(unit.work, StatusWrite)]
    if moves:
        known = await orders.set_statuses(db, shop, [work for _, work in moves])
        for unit, work in moves:
            row = known.get(work.order_no)
            if row is None:
                unit.verdict = _Verdict("pending", error=NOT_KNOWN, waits=WAIT_SECONDS)
            elif not row["paid"] and not row["written"] and work.status not in ("created", "closed"):
                unit.verdict = _Verdict("pending", error=NOT_PAID, waits=WAIT_SECONDS)
            else:
                unit.customer_id = row["customer_id"]
    if refunds := [unit.work for unit in units if isinstance(unit.work, RefundWrite)]:
        await orders.put_refunds(db, shop, refunds)


def _settle(unit: _Unit, customer_id: int | None, error: AppError | None) -> None:
    unit.customer_id = customer_id
    if error is not None:
        unit.verdict = _Verdict("pending", error=str(error.code), waits=RETRY_SECONDS)


def _verdict(unit: _Unit, told: Told) -> _Verdict:
    if unit.verdict.state != "applied":
        return unit.verdict
    if told.id in unit.unpaid:
        return _Verdict("pending", error=NOT_PAID, waits=WAIT_SECONDS)
    return _Verdict("applied", note=unit.notes.get(told.id))


def _columns(rows: Sequence[Row], verdicts: dict[UUID, _Verdict]) -> dict[str, list[object]]:
    columns: dict[str, list[object]] = {name: [] for name in _COLUMNS}
    for row in rows:
        verdict = verdicts[row["id"]]
        state, delay = verdict.state, 0.0
        if state == "pending":
            used_up = row["failures"] >= len(verdict.waits)
            state, delay = ("failed", 0.0) if used_up else ("pending", verdict.waits[row["failures"]])
        if state == "failed":
            log.warning("push_message_failed", message_id=str(row["id"]), error=verdict.error)
        metrics.PUSHES.labels("retry" if state == "pending" else state).inc()
        values = (row["id"], state, verdict.error, verdict.note, verdict.error is not None, delay)
        for column, value in zip(columns.values(), values, strict=True):
            column.append(value)
    return columns

"""Events in: each is kept once, for the person who is found or made, or aside where it does not fit its declaration."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import orjson

from app.access.shops import Shop
from app.core import clock
from app.core.db import Connection, Row
from app.core.ids import CustomerIds
from app.customers import service as customers
from app.customers.batches import RowError, row_error
from app.customers.schemas import IdentityWrite
from app.customers.service import Outcome, Write
from app.events import repository
from app.events.declarations import BUILT_IN, Problem, problem
from app.events.errors import EventNotFound, EventTypeBuiltIn, EventTypeNotFound
from app.events.schemas import EventResult, EventTypeWrite, EventWrite, ReplayResult

PROPERTIES: Final = "invalid_events.properties"
_AHEAD: Final = timedelta(minutes=5)  # clocks that are this far ahead are believed
_FORGET_LIMIT: Final = 1000


async def put_events(
    db: Connection, shop: Shop, ids: CustomerIds, events: Sequence[EventWrite], *, source: str = ""
) -> tuple[list[EventResult], list[int]]:
    """Keep the events whose `event_id` is new. One whose identities stand for nobody is refused.

    Returns: each row's result in its place, and the customers whose events were kept.
    Raises: StartOver when another writer took an identity meanwhile: run the whole transaction again.
    """
    moment = clock.now()
    first: dict[str, int] = {}
    refused: dict[int, EventResult] = {}
    for index, event in enumerate(events):
        if error := customers.refusal(shop, event.identities):
            refused[index] = EventResult(status="refused", error=row_error(error))
        else:
            first.setdefault(event.event_id, index)
    claimed = await repository.claim_keys(db, shop.id, moment, first)
    kept = [events[index] for event_id, index in first.items() if event_id in claimed]
    people = await _people(db, shop, ids, kept, source)
    declared = await repository.declared(db, shop.id, {event.type for event in kept} - BUILT_IN)
    problems = [problem(event.type, event.properties, declared.get(event.type)) for event in kept]
    valid: list[tuple[Any, ...]] = []
    invalid: list[tuple[Any, ...]] = []
    results: dict[int, EventResult] = {}
    for event, found in zip(kept, problems, strict=True):
        id_, person = claimed[event.event_id], people[tuple(event.identities)]
        if found is None:
            valid.append(_row(shop, event, id_, person, moment, event.properties))
        else:
            sealed = shop.keys.seal(PROPERTIES, orjson.dumps(event.properties).decode())
            row = _row(shop, event, id_, person, moment, sealed)
            invalid.append((*row, event.event_id, found._asdict()))
        results[first[event.event_id]] = EventResult(
            status="created" if found is None else "invalid", id=id_, error=_error(found)
        )
    await repository.add(db, shop.id, moment, valid=valid, invalid=invalid)
    before = await repository.find_keys(db, shop.id, [event_id for event_id in first if event_id not in claimed])
    known = claimed | before
    return [
        refused.get(index) or results.get(index) or EventResult(status="duplicate", id=known.get(event.event_id))
        for index, event in enumerate(events)
    ], sorted({person.customer_id for person in people.values() if person.customer_id is not None})


async def replay(db: Connection, shop: Shop, id_: UUID) -> tuple[ReplayResult, int]:
    """Look at an invalid event once more, by what is declared now. One that is valid by now stays as it is.

    Returns: how it stands, and whose it is.
    Raises: EventNotFound.
    """
    row = await db.fetch_one(repository.LOCK_INVALID, shop_id=shop.id, id=id_)
    if row is None:
        # Replayed before, perhaps by whom we have just waited for.
        owner = await db.fetch_value(repository.VALID_OWNER, shop_id=shop.id, id=id_)
        if owner is None:
            raise EventNotFound(field="invalid_event_id")
        return ReplayResult(id=id_, state="valid", reason=None), owner
    properties = opened(shop, row)
    declared = await repository.declared(db, shop.id, [row["type"]])
    found = problem(row["type"], properties, declared.get(row["type"]))
    if found is None:
        await db.execute(repository.MAKE_VALID, shop_id=shop.id, id=id_, properties=properties)
        return ReplayResult(id=id_, state="valid", reason=None), row["customer_id"]
    await db.execute(repository.SAY_WHY, shop_id=shop.id, id=id_, reason=found._asdict())
    return ReplayResult(id=id_, state="invalid", reason=_error(found)), row["customer_id"]


def opened(shop: Shop, row: Row) -> dict[str, Any]:
    """The properties of an invalid event, as they were sent."""
    properties: dict[str, Any] = orjson.loads(shop.keys.open(PROPERTIES, row["properties"]))
    return properties


async def put_type(db: Connection, shop: Shop, type_: str, body: EventTypeWrite) -> Row:
    """Declare a type, or declare it anew: what is kept already stays as it is. Raises EventTypeBuiltIn."""
    if type_ in BUILT_IN:
        raise EventTypeBuiltIn(field="type")
    row = await repository.put_type(db, shop.id, type_, body.model_dump()["properties"], clock.now())
    assert row is not None  # noqa: S101 upserted
    return row


async def drop_type(db: Connection, shop: Shop, type_: str) -> None:
    """Declare a type no longer; its events stay. Raises EventTypeNotFound."""
    if not await db.execute(repository.DROP_TYPE, shop_id=shop.id, type=type_):
        raise EventTypeNotFound(field="type")


async def forget_keys(db: Connection, shop: Shop) -> int:
    """Remove some of the keys whose 30 days are over. Returns how many."""
    return await db.execute(repository.FORGET_KEYS, shop_id=shop.id, limit=_FORGET_LIMIT)


async def _people(
    db: Connection, shop: Shop, ids: CustomerIds, events: Sequence[EventWrite], source: str
) -> dict[tuple[IdentityWrite, ...], Outcome]:
    """Find or make whoever the events are of, by their identities; the same ones are one write."""
    writes = {tuple(event.identities): Write(event.identities) for event in events}
    return dict(zip(writes, await customers.upsert(db, shop, ids, list(writes.values()), source=source), strict=True))


def _row(
    shop: Shop, event: EventWrite, id_: UUID, person: Outcome, moment: datetime, properties: Any
) -> tuple[Any, ...]:
    """A row of EVENT_ARRAYS."""
    said = clock.localise(event.occurred_at, shop.zone)
    ahead = said > moment + _AHEAD
    return (
        id_,
        moment if ahead else said,
        said if ahead else None,
        person.origin,
        *(person.brought_by or (None, None)),
        event.type,
        properties,
        event.store_id,
        event.source,
    )


def _error(found: Problem | None) -> RowError | None:
    return RowError(**found._asdict()) if found else None

"""Events in: each is kept once, for the person who is found or made, or aside where it does not fit its declaration."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Literal, NamedTuple
from uuid import UUID

import orjson

from app.access.shops import Shop
from app.core import clock
from app.core.db import Connection, Row
from app.core.errors import StartOver
from app.core.ids import CustomerIds
from app.customers import service as customers
from app.customers.batches import RowError
from app.customers.schemas import names
from app.customers.service import Outcome, Write
from app.events import repository
from app.events.declarations import BUILT_IN, Problem, problem
from app.events.errors import EventNotFound, EventTypeBuiltIn, EventTypeNotFound
from app.events.schemas import EventTypeWrite, EventWrite, ReplayResult
from app.uses import service as uses

PROPERTIES: Final = "invalid_events.properties"
_AHEAD: Final = timedelta(minutes=5)  # clocks that are this far ahead are believed
_FORGET_LIMIT: Final = 1000


class Result(NamedTuple):
    """What became of an event (created, duplicate, invalid, refused), the id of what is kept, and what is wrong."""

    status: Literal["created", "duplicate", "invalid", "refused"]
    id: UUID | None
    problem: Problem | None = None


async def put_events(
    db: Connection, shop: Shop, ids: CustomerIds, events: Sequence[EventWrite], *, source: str = ""
) -> tuple[list[Result], list[int]]:
    """Keep the events whose `event_id` is new. One whose identities stand for nobody is refused.

    Args:
        source: who tells of them.

    Returns: each row's result in its place, and the customers whose events were kept.
    Raises: StartOver when another writer took an identity meanwhile: run the whole transaction again.
    """
    moment = clock.now()
    results: list[Result | None] = [None] * len(events)
    nobody = _refused(shop, events)
    first: dict[str, int] = {}
    for index, event in enumerate(events):
        if refusal := nobody.get(id(event.identities)):
            results[index] = Result("refused", None, refusal)
        else:
            first.setdefault(event.event_id, index)
    claimed = await repository.claim_keys(db, shop.id, moment, first)
    kept = [(index, events[index]) for event_id, index in first.items() if event_id in claimed]
    people = await _people(db, shop, ids, [event for _, event in kept], source)
    declared = await repository.declared(db, shop.id, {event.type for _, event in kept} - BUILT_IN)
    valid: list[tuple[Any, ...]] = []
    invalid: list[tuple[Any, ...]] = []
    for index, event in kept:
        id_, person = claimed[event.event_id], people[id(event.identities)]
        found = problem(event.type, event.properties, declared.get(event.type))
        if found is None:
            valid.append(_row(shop, event, id_, person, moment, orjson.dumps(event.properties).decode()))
            results[index] = Result("created", id_)
        else:
            sealed = shop.keys.seal(PROPERTIES, orjson.dumps(event.properties).decode())
            row = _row(shop, event, id_, person, moment, sealed)
            invalid.append((*row, event.event_id, found._asdict()))
            results[index] = Result("invalid", id_, found)
    await repository.add(db, shop.id, moment, valid=valid, invalid=invalid)
    before = await repository.find_keys(db, shop.id, [event_id for event_id in first if event_id not in claimed])
    known = claimed | before if before else claimed
    return [
        result or Result("duplicate", known.get(event.event_id)) for result, event in zip(results, events, strict=True)
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
        await repository.make_valid(db, shop.id, id_, properties, clock.now())
        return ReplayResult(id=id_, state="valid", reason=None), row["customer_id"]
    await db.execute(repository.SAY_WHY, shop_id=shop.id, id=id_, reason=found._asdict())
    return ReplayResult(id=id_, state="invalid", reason=RowError(**found._asdict())), row["customer_id"]


def opened(shop: Shop, row: Row) -> dict[str, Any]:
    """The properties of an invalid event, as they were sent."""
    properties: dict[str, Any] = orjson.loads(shop.keys.open(PROPERTIES, row["properties"]))
    return properties


async def put_type(db: Connection, shop: Shop, type_: str, body: EventTypeWrite) -> Row:
    """Declare a type, or declare it anew: what is kept already stays as it is.

    Raises: EventTypeBuiltIn; StillUsed where a property would go, or be of another kind, and something uses the type.
    """
    if type_ in BUILT_IN:
        raise EventTypeBuiltIn(field="type")
    properties, moment = body.model_dump()["properties"], clock.now()
    row = await repository.add_type(db, shop.id, type_, properties, moment)
    if row is not None:
        return row
    before = await db.fetch_one(repository.LOCK_TYPE, shop_id=shop.id, type=type_)
    if before is None:
        raise StartOver  # dropped meanwhile
    kinds = {name: declared["kind"] for name, declared in properties.items()}
    if any(kinds.get(name) != declared["kind"] for name, declared in before["properties"].items()):
        await uses.refuse_used(db, shop.id, "event_type", type_)
    row = await repository.change_type(db, shop.id, type_, properties, moment)
    assert row is not None  # noqa: S101 locked
    return row


async def drop_type(db: Connection, shop: Shop, type_: str) -> None:
    """Declare a type no longer; its events stay. Raises EventTypeNotFound, StillUsed."""
    if await db.fetch_one(repository.LOCK_TYPE, shop_id=shop.id, type=type_) is None:
        raise EventTypeNotFound(field="type")
    await uses.refuse_used(db, shop.id, "event_type", type_)
    await db.execute(repository.DROP_TYPE, shop_id=shop.id, type=type_)


async def forget_keys(db: Connection, shop: Shop) -> int:
    """Remove some of the keys whose 30 days are over. Returns how many."""
    return await db.execute(repository.FORGET_KEYS, shop_id=shop.id, limit=_FORGET_LIMIT)


def _refused(shop: Shop, events: Sequence[EventWrite]) -> dict[int, Problem]:
    """Why nobody can be found, by the Python identity of an event's list of identities."""
    named = {id(event.identities): event.identities for event in events}
    found = ((number, customers.refusal(shop, identities)) for number, identities in named.items())
    return {number: Problem(error.code, str(error), error.field or "") for number, error in found if error is not None}


async def _people(
    db: Connection, shop: Shop, ids: CustomerIds, events: Sequence[EventWrite], source: str
) -> dict[int, Outcome]:
    """Whose events these are, by the Python identity of their list of identities: a visit's events share one."""
    named = {id(event.identities): event.identities for event in events}
    keys = {number: names(identities) for number, identities in named.items()}
    wanted = {keys[number]: identities for number, identities in named.items()}
    writes = [Write(identities) for identities in wanted.values()]
    found = dict(zip(wanted, await customers.upsert(db, shop, ids, writes, source=source), strict=True))
    return {number: found[key] for number, key in keys.items()}


def _row(
    shop: Shop, event: EventWrite, id_: UUID, person: Outcome, moment: datetime, properties: Any
) -> tuple[Any, ...]:
    """A row of EVENT_ARRAYS."""
    said = clock.zoned(event.occurred_at, shop.zone)
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

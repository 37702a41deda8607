"""The kinds of files: how each is read, and which room takes its rows."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from app.access.shops import Shop
from app.core.db import Connection
from app.core.errors import AppError
from app.core.ids import CustomerIds
from app.customers import service as customers
from app.customers.service import CREATED, REFUSED, UNCHANGED, UPDATED, Outcome, Write
from app.events import service as events
from app.events.schemas import EventWrite
from app.imports import customer_rows, event_rows, order_rows, people, person_rows
from app.imports.asked import Asked
from app.imports.header import Layout
from app.imports.person_rows import Person
from app.imports.rows import Payload, Row, Unit
from app.orders import service as orders
from app.orders.schemas import OrderWrite, RefundWrite
from app.segments.definitions import service as segments
from app.segments.errors import SegmentNotFound
from app.tags import service as tags


class Result(NamedTuple):
    """What became of a row: created, updated, unchanged, or refused and why."""

    status: str
    code: str = ""
    field: str = ""
    reason: str = ""


Apply = Callable[[Connection, Shop, CustomerIds, Sequence[Any], Asked], Awaitable[list[Result]]]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of file.

    `read` reads CSV rows, `take` one JSON object; `apply` hands up to a thousand of what they made to their room.
    `side_by_side`: how many batches may be under way at once; 1 where their order decides. `gathers`: whether a CSV is
    read to its end before the first batch.
    """

    layout: Layout
    help: str
    read: Callable[[Iterable[Row], Asked], Iterator[Unit]]
    take: Callable[[int, Payload, Asked], Any]
    apply: Apply
    side_by_side: int = 1
    gathers: bool = False


async def _customers(db: Connection, shop: Shop, ids: CustomerIds, rows: Sequence[Write], asked: Asked) -> list[Result]:
    return [_result(outcome) for outcome in await customers.upsert(db, shop, ids, rows, source=asked.actor)]


async def _orders(
    db: Connection, shop: Shop, ids: CustomerIds, rows: Sequence[OrderWrite | RefundWrite], asked: Asked
) -> list[Result]:
    told = [row for row in rows if isinstance(row, OrderWrite)]
    back = [row for row in rows if isinstance(row, RefundWrite)]
    written = iter(await orders.put_orders(db, shop, ids, told, source=asked.actor) if told else [])
    given_back = iter(await orders.put_refunds(db, shop, back) if back else [])
    return [_result(next(written)) if isinstance(row, OrderWrite) else Result(next(given_back).status) for row in rows]


async def _events(
    db: Connection, shop: Shop, ids: CustomerIds, rows: Sequence[EventWrite], asked: Asked
) -> list[Result]:
    results, _ = await events.put_events(db, shop, ids, rows, source=asked.actor)
    found = []
    for result in results:
        if result.problem is None:
            found.append(Result(UNCHANGED if result.status == "duplicate" else CREATED))
        elif result.status == "invalid":
            reason = f"{result.problem.detail}; the event is kept aside"
            found.append(Result(REFUSED, "kept_aside", result.problem.field, reason))
        else:
            found.append(Result(REFUSED, *result.problem))
    return found


async def _identities(
    db: Connection, shop: Shop, ids: CustomerIds, rows: Sequence[Person], asked: Asked
) -> list[Result]:
    owners = await people.owners(db, shop, rows)
    known = [index for index, row in enumerate(rows) if row.customer_id is not None or owners[index]]
    writes = [Write(rows[index].identities, customer_id=_named(rows[index], owners[index])) for index in known]
    results = [_NOBODY] * len(rows)
    outcomes = await customers.upsert(db, shop, ids, writes, source=asked.actor) if writes else []
    for index, outcome in zip(known, outcomes, strict=True):
        results[index] = _HELD_BY_ANOTHER if outcome.conflicts else _result(outcome)
    return results


def _named(row: Person, owners: set[int]) -> int | None:
    """The customer's number, so that nobody is made for a row: who is found by a device alone could be a stranger."""
    return row.customer_id or (next(iter(owners)) if len(owners) == 1 else None)


async def _tags(db: Connection, shop: Shop, ids: CustomerIds, rows: Sequence[Person], asked: Asked) -> list[Result]:
    owners = await people.owners(db, shop, rows)
    closed = await tags.closed(db, shop.id, {name for row in rows for name in row.tags}, "import")
    wanted: dict[int, set[str]] = {}
    for row, found in zip(rows, owners, strict=True):
        if len(found) == 1 and not row.tags & closed.keys():
            wanted.setdefault(next(iter(found)), set()).update(row.tags)
    new = await tags.assign(db, shop.id, wanted, source="import", actor=asked.actor) if wanted else set()
    results = []
    for row, found in zip(rows, owners, strict=True):
        if len(found) != 1:
            results.append(_TORN if found else _NOBODY)
            continue
        if refused := sorted(row.tags & closed.keys()):
            results.append(_refused(closed[refused[0]], "tags"))
            continue
        mine = {(next(iter(found)), name) for name in row.tags}
        results.append(Result(UPDATED if mine & new else UNCHANGED))
        new -= mine
    return results


async def _lists(db: Connection, shop: Shop, ids: CustomerIds, rows: Sequence[Person], asked: Asked) -> list[Result]:
    owners = await people.owners(db, shop, rows)
    lists = await segments.lists(db, shop.id, {row.segment for row in rows})
    named = [lists.get(row.segment) for row in rows]
    wanted = {
        (segment, next(iter(found)))
        for segment, found in zip(named, owners, strict=True)
        if isinstance(segment, int) and len(found) == 1
    }
    new = await segments.put_on_lists(db, shop, wanted, asked.actor) if wanted else set()
    results = []
    for segment, found in zip(named, owners, strict=True):
        if len(found) != 1:
            results.append(_TORN if found else _NOBODY)
        elif not isinstance(segment, int):
            results.append(_refused(segment or SegmentNotFound(), "segment"))
        else:
            mine = (segment, next(iter(found)))
            results.append(Result(UPDATED if mine in new else UNCHANGED))
            new.discard(mine)
    return results


_NOBODY: Final = Result(REFUSED, "customer_not_found", "", "no customer of the shop is named by this row")
_HELD_BY_ANOTHER: Final = Result(
    REFUSED, "identity_conflict", "", "another customer holds an identity of this row; those that nobody held are in"
)
_TORN: Final = Result(REFUSED, "identity_conflict", "", "this row names two customers")


def _result(outcome: Outcome) -> Result:
    if outcome.error is None:
        return Result(outcome.status)
    return _refused(outcome.error, outcome.error.field or "")


def _refused(error: AppError, field: str) -> Result:
    return Result(REFUSED, error.code, field, error.detail or error.title)


KINDS: Final[dict[str, Kind]] = {
    "customers": Kind(
        customer_rows.LAYOUT,
        customer_rows.HELP,
        customer_rows.read_customers,
        customer_rows.to_write,
        _customers,
        side_by_side=3,
    ),
    "orders": Kind(
        order_rows.LAYOUT,
        order_rows.HELP,
        order_rows.read_orders,
        order_rows.to_told,
        _orders,
        side_by_side=3,
        gathers=True,
    ),
    "events": Kind(event_rows.LAYOUT, event_rows.HELP, event_rows.read_events, event_rows.to_event, _events),
    "identities": Kind(
        person_rows.IDENTITIES,
        person_rows.IDENTITIES_HELP,
        person_rows.read_identities,
        person_rows.to_known,
        _identities,
    ),
    "segments": Kind(person_rows.LISTS, person_rows.LISTS_HELP, person_rows.read_lists, person_rows.to_listed, _lists),
    "tags": Kind(person_rows.TAGS, person_rows.TAGS_HELP, person_rows.read_tags, person_rows.to_tagged, _tags),
}

"""Put tags on customers and take them off: only what really changes is told."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Final, Literal

from app.access.shops import Shop
from app.changes import repository as changes
from app.core import clock
from app.core.db import Connection, Row
from app.core.errors import AppError, StartOver, Unprocessable
from app.tags import declarations, repository
from app.tags.errors import TagDisabled, TagIsAutomatic, TagNotFound
from app.tags.repository import Pair

ADDED: Final = "tag.added"
REMOVED: Final = "tag.removed"
REMOVE_ASSIGNMENTS: Final = declarations.REMOVE_ASSIGNMENTS
_AT_ONCE: Final = 5_000

Source = Literal["facade", "manual", "rule", "import", "journey"]
Given = Literal["added", "already", "gone"]
Taken = Literal["removed", "absent", "gone"]
ByCustomer = Mapping[int, Collection[str]]  # names of tags by customer


# ---- By the numbers of tags


async def give(
    db: Connection,
    shop_id: int,
    pairs: Collection[Pair],
    *,
    source: Source,
    actor: str,
    valid_until: datetime | None = None,
    reason: str | None = None,
    rule_version: int | None = None,
) -> dict[Pair, Given]:
    """Assign tags that are there, each to its customer; may run twice. Assignments that hold stay as they are.

    Returns: what became of each pair; `gone`: there is no such customer, or not any more.
    Raises: TagNotFound, TagIsAutomatic, TagDisabled; nothing is assigned then.
    """
    names = await _fit(db, shop_id, pairs, source, giving=True)
    moment = clock.now()
    new = await repository.add(
        db,
        shop_id,
        pairs,
        moment,
        source=source,
        actor=actor,
        valid_until=valid_until,
        reason=reason,
        rule_version=rule_version,
    )
    await _tell(db, shop_id, ADDED, new, names, moment)
    done = await _done(db, shop_id, pairs, new)
    return {pair: "gone" if done[pair] is None else "added" if done[pair] else "already" for pair in done}


async def take(db: Connection, shop_id: int, pairs: Collection[Pair], *, source: Source) -> dict[Pair, Taken]:
    """Take each tag from its customer, whichever of their records carries it; may run twice.

    Returns: what became of each pair; `absent`: it was not carried.
    Raises: TagNotFound, TagIsAutomatic; nothing is taken off then.
    """
    names = await _fit(db, shop_id, pairs, source, giving=False)
    moment = clock.now()
    lost = await repository.remove(db, shop_id, pairs, moment)
    await _tell(db, shop_id, REMOVED, lost, names, moment)
    done = await _done(db, shop_id, pairs, lost)
    return {pair: "gone" if done[pair] is None else "removed" if done[pair] else "absent" for pair in done}


async def resolve(db: Connection, shop_id: int, refs: Collection[int | str]) -> dict[int | str, int]:
    """The number of each tag that is named by it or by its name. Raises TagNotFound."""
    names = {ref for ref in refs if isinstance(ref, str)}
    ids = {ref for ref in refs if isinstance(ref, int)}
    rows = await repository.hold(db, shop_id, names=names, ids=ids)
    found: dict[int | str, int] = {row["id"]: row["id"] for row in rows} | {row["name"]: row["id"] for row in rows}
    if missing := sorted(map(str, set(refs) - found.keys())):
        raise TagNotFound(f"The shop has no tag {missing[0]}; make it with POST /v1/tags", field="tag")
    return found


async def refuse_closed(db: Connection, shop_id: int, tag_ids: Collection[int], *, giving: bool) -> None:
    """Raises TagIsAutomatic, TagDisabled where hands may not give one of the tags, or take it off."""
    _refuse_closed(await repository.hold(db, shop_id, ids=tag_ids), "manual", giving=giving)


def until(shop: Shop, valid_until: datetime | None) -> datetime | None:
    """When assignments run out, in UTC; without a zone it is in the shop's. Raises Unprocessable for what is over."""
    if valid_until is None:
        return None
    moment = clock.localise(valid_until, shop.zone)
    if moment <= clock.now():
        raise Unprocessable("This is over: send a time to come, or leave it out", field="valid_until")
    return moment


async def _fit(
    db: Connection, shop_id: int, pairs: Collection[Pair], source: Source, *, giving: bool
) -> dict[int, str]:
    """Hold the tags. Returns their names by number. Raises TagNotFound, TagIsAutomatic, TagDisabled."""
    wanted = {tag for _, tag in pairs}
    rows = await repository.hold(db, shop_id, ids=wanted)
    if len(rows) < len(wanted):
        raise TagNotFound(field="tag_id")
    _refuse_closed(rows, source, giving=giving)
    return {row["id"]: row["name"] for row in rows}


async def _done(
    db: Connection, shop_id: int, pairs: Collection[Pair], written: Collection[Pair]
) -> dict[Pair, bool | None]:
    """Of each pair whether it was written, by whoever answers for its customer; None: nobody does."""
    owners = await repository.owners(db, shop_id, {customer for customer, _ in pairs})
    found = set(written)
    return {
        (customer, tag): (owners[customer], tag) in found if customer in owners else None for customer, tag in pairs
    }


# ---- By the names of tags


async def add(
    db: Connection,
    shop_id: int,
    wanted: ByCustomer,
    *,
    source: Source,
    actor: str,
    valid_until: datetime | None = None,
    make: bool = True,
) -> int:
    """Assign tags by name. Returns how many assignments are new; otherwise as `assign`."""
    new = await assign(db, shop_id, wanted, source=source, actor=actor, valid_until=valid_until, make=make)
    return len(new)


async def assign(
    db: Connection,
    shop_id: int,
    wanted: ByCustomer,
    *,
    source: Source,
    actor: str,
    valid_until: datetime | None = None,
    make: bool = True,
) -> set[tuple[int, str]]:
    """Assign tags by name. Returns the assignments that are new, as customer and name; may run twice.

    Args:
        wanted: names of 1 to 32 characters; customers who are gone are passed over.
        actor: who does it: an API client, an operator, a rule.
        valid_until: when the assignments run out; None is never. Those that hold already keep their own.
        make: make the tags that are not there.
    Raises: TagNotFound when `make` is False and the shop lacks one of the names, TagIsAutomatic, TagDisabled; nothing
        is assigned then.
    """
    moment = clock.now()
    rows = await _named(db, shop_id, _names(wanted), moment, source, make=make)
    if not rows:
        return set()
    names = {row["id"]: row["name"] for row in rows}
    pairs = await repository.add(
        db, shop_id, _pairs(wanted, rows), moment, source=source, actor=actor, valid_until=valid_until
    )
    await _tell(db, shop_id, ADDED, pairs, names, moment)
    return {(customer, names[tag]) for customer, tag in pairs}


async def remove(db: Connection, shop_id: int, unwanted: ByCustomer, *, source: Source = "manual") -> int:
    """Take tags off by name. Returns how many were carried; what a customer lacks is passed over; may run twice.

    Raises: TagIsAutomatic; nothing is taken off then.
    """
    moment = clock.now()
    rows = await repository.hold(db, shop_id, names=_names(unwanted))
    if not rows:
        return 0
    _refuse_closed(rows, source, giving=False)
    pairs = await repository.remove(db, shop_id, _pairs(unwanted, rows), moment)
    await _tell(db, shop_id, REMOVED, pairs, {row["id"]: row["name"] for row in rows}, moment)
    return len(pairs)


async def closed(db: Connection, shop_id: int, names: Collection[str], source: Source) -> dict[str, AppError]:
    """Which of the tags of these names are not given by this source, and why; they stay so for this transaction."""
    rows = await repository.hold(db, shop_id, names=names)
    return {row["name"]: refusal for row in rows if (refusal := _closed(row, source, giving=True)) is not None}


async def _named(
    db: Connection, shop_id: int, names: set[str], moment: datetime, source: Source, *, make: bool
) -> list[Row]:
    rows = await repository.hold(db, shop_id, names=names)
    _refuse_closed(rows, source, giving=True)
    missing = names - {row["name"] for row in rows}
    if missing and not make:
        raise TagNotFound(f"No tag has the name {min(missing)}", field="tag_name")
    if missing:
        await repository.make(db, shop_id, missing, moment)
        made = await repository.hold(db, shop_id, names=missing)
        if len(made) < len(missing):
            raise StartOver  # dropped or renamed meanwhile
        rows = [*rows, *made]
    return rows


def _names(by_customer: ByCustomer) -> set[str]:
    return {name for names in by_customer.values() for name in names}


def _pairs(by_customer: ByCustomer, rows: Iterable[Row]) -> set[Pair]:
    ids = {row["name"]: row["id"] for row in rows}
    return {(customer, ids[name]) for customer, names in by_customer.items() for name in names if name in ids}


# ---- Who may give what


def _refuse_closed(rows: Iterable[Row], source: Source, *, giving: bool) -> None:
    for row in rows:
        if (refusal := _closed(row, source, giving=giving)) is not None:
            raise refusal


def _closed(row: Row, source: Source, *, giving: bool) -> AppError | None:
    if row["kind"] == declarations.AUTOMATIC and source != "rule":
        return TagIsAutomatic(row["name"])
    # What systems send on their own goes on: a till cannot see that the tag was disabled.
    if giving and row["status"] == declarations.DISABLED and source in ("manual", "import"):
        return TagDisabled(row["name"])
    return None


# ---- In the background


async def remove_assignments(db: Connection, shop_id: int, tag_id: int, name: str) -> int:
    """Take a tag that is no more from some of its customers. Returns how many, 0 at the end."""
    moment = clock.now()
    rows = await db.fetch(repository.REMOVE_SOME, shop_id=shop_id, tag_id=tag_id, limit=_AT_ONCE, moment=moment)
    lost = [(row["customer_id"], tag_id) for row in rows if row["carried"]]
    await _tell(db, shop_id, REMOVED, lost, {tag_id: name}, moment)
    return len(rows)


async def forget_run_out(db: Connection, shop_id: int, days: float) -> int:
    """Remove some of the assignments that have run out so many days ago. Returns how many.

    Nobody is told: whoever carried one lost it when it ran out.
    """
    return await db.execute(repository.FORGET_RUN_OUT, shop_id=shop_id, days=days, limit=_AT_ONCE)


async def _tell(
    db: Connection, shop_id: int, kind: str, pairs: Collection[Pair], names: Mapping[int, str], moment: datetime
) -> None:
    """Record what changed, and have those customers looked at again: rules look at tags."""
    facts = [
        (kind, customer, {"customer_id": customer, "tag_id": tag, "tag_name": names[tag]}) for customer, tag in pairs
    ]
    await changes.mark_changed(db, shop_id, sorted({customer for customer, _ in pairs}), moment)
    await changes.emit(db, shop_id, facts, moment)

"""Put tags on customers and take them off: only what really changes is told."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Final, Literal

from app.changes import repository as changes
from app.core import clock
from app.core.db import Connection
from app.tags import repository
from app.tags.errors import TagNotFound
from app.tags.repository import Pair

ADDED: Final = "tag.added"
REMOVED: Final = "tag.removed"

Source = Literal["facade", "manual", "rule"]
ByCustomer = Mapping[int, Collection[str]]  # names of tags by customer


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
    Raises: TagNotFound when `make` is False and the shop lacks one of the names; nothing is assigned then.
    """
    moment = clock.now()
    ids = await _ids(db, shop_id, _names(wanted), moment, make=make)
    if not ids:
        return set()
    pairs = await repository.add(
        db, shop_id, _pairs(wanted, ids), moment, source=source, actor=actor, valid_until=valid_until
    )
    await _tell(db, shop_id, ADDED, pairs, ids, moment)
    names = {tag: name for name, tag in ids.items()}
    return {(customer, names[tag]) for customer, tag in pairs}


async def remove(db: Connection, shop_id: int, unwanted: ByCustomer) -> int:
    """Take tags off by name. Returns how many were carried; what a customer lacks is passed over; may run twice."""
    moment = clock.now()
    ids = await repository.named(db, shop_id, _names(unwanted))
    if not ids:
        return 0
    pairs = await repository.remove(db, shop_id, _pairs(unwanted, ids), moment)
    await _tell(db, shop_id, REMOVED, pairs, ids, moment)
    return len(pairs)


async def _ids(db: Connection, shop_id: int, names: set[str], moment: datetime, *, make: bool) -> dict[str, int]:
    ids = await repository.named(db, shop_id, names)
    missing = names - ids.keys()
    if missing and not make:
        raise TagNotFound(f"No tag has the name {min(missing)}", field="tag_name")
    if missing:
        await repository.make(db, shop_id, missing, moment)
        ids |= await repository.named(db, shop_id, missing)
    return ids


def _names(by_customer: ByCustomer) -> set[str]:
    return {name for names in by_customer.values() for name in names}


def _pairs(by_customer: ByCustomer, ids: Mapping[str, int]) -> set[Pair]:
    return {(customer, ids[name]) for customer, names in by_customer.items() for name in names if name in ids}


async def _tell(
    db: Connection, shop_id: int, kind: str, pairs: Collection[Pair], ids: Mapping[str, int], moment: datetime
) -> None:
    """Record what changed, and have those customers looked at again: rules look at tags."""
    names = {tag: name for name, tag in ids.items()}
    facts = [
        (kind, customer, {"customer_id": customer, "tag_id": tag, "tag_name": names[tag]}) for customer, tag in pairs
    ]
    await changes.mark_changed(db, shop_id, sorted({customer for customer, _ in pairs}), moment)
    await changes.emit(db, shop_id, facts, moment)

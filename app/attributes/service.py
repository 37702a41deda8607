"""What may be declared, what may be told of a customer, and how it is read and searched for."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, NamedTuple

from app.access.errors import ScopeMissing
from app.access.shops import Shop
from app.attributes import repository, values
from app.attributes.conditions import Asked, Condition
from app.attributes.errors import (
    AttributeBeingRemoved,
    AttributeFilter,
    AttributeInUrl,
    AttributeInUse,
    AttributeNotFound,
    AttributeUndeclared,
    AttributeValue,
    SensitiveOff,
)
from app.attributes.schemas import AttributeWrite
from app.attributes.values import KINDS, RANGED, Declared, Plain
from app.changes import jobs
from app.changes.repository import mark_changed
from app.core import clock
from app.core.crypto import PersonKey
from app.core.db import Connection, Row
from app.core.errors import AppError, StartOver
from app.core.masking import Classed
from app.uses import service as uses

REMOVE_VALUES: Final = "attribute_values"
_REMOVE_LIMIT: Final = 5_000


@dataclass(slots=True)
class Told:
    """What one write says of a customer's attributes: name to value, None removes. `check` fits the values.

    `fills`: what the customer has stays, and only what they lack is written.
    """

    given: Mapping[str, Any]
    source: str
    fills: bool = False
    fitted: list[tuple[Declared, Plain | None]] = field(default_factory=list)


class Person(NamedTuple):
    """Somebody whose attributes are written: who owns them, whom they come in for, and that person's key."""

    customer_id: int
    origin: int
    key: Callable[[], PersonKey]


# ---- Declarations


async def declare(db: Connection, shop: Shop, name: str, body: AttributeWrite) -> Row:
    """Declare an attribute, or declare it anew.

    Raises: SensitiveOff, AttributeBeingRemoved, and StillUsed or AttributeInUse where what names it, or values, would
        lose their meaning.
    """
    if body.class_ == "sensitive" and not shop.settings.sensitive_attributes:
        raise SensitiveOff("class")
    moment, fields = clock.now(), body.model_dump(by_alias=True)
    row = await repository.add_type(db, shop.id, name, fields, moment)
    if row is not None:
        if await repository.in_use(db, shop.id, name):
            raise AttributeBeingRemoved(
                f"Try again in a moment; if they stay, DELETE /v1/attributes/{name}?with_values=true asks once more",
                field="name",
            )
        return row
    before = await _locked(db, shop, name)
    if before is None:
        raise StartOver  # dropped meanwhile
    await _keep_meaning(db, shop, before, Declared.of(fields | {"name": name}))
    row = await repository.change_type(db, shop.id, name, fields, moment)
    assert row is not None  # noqa: S101 locked
    return row


async def drop(db: Connection, shop: Shop, name: str, *, with_values: bool) -> None:
    """Declare an attribute no longer. Its values are out of sight at once, and removed by a job.

    Raises: AttributeNotFound, StillUsed, AttributeInUse.
    """
    before = await _locked(db, shop, name)
    await uses.refuse_used(db, shop.id, "attribute", name)
    used = await repository.in_use(db, shop.id, name)
    if before is None and not (used and with_values):  # else dropped before: the job is asked for once more
        raise AttributeNotFound(field="name")
    if used and not with_values:
        raise AttributeInUse(f"To remove them too: DELETE /v1/attributes/{name}?with_values=true", field="name")
    await db.execute(repository.DROP_TYPE, shop_id=shop.id, name=name)
    if used:
        await jobs.enqueue(db, shop.id, REMOVE_VALUES, {"name": name})


async def _locked(db: Connection, shop: Shop, name: str) -> Declared | None:
    row = await db.fetch_one(repository.LOCK_TYPE, shop_id=shop.id, name=name)
    return Declared.of(row) if row is not None else None


async def _keep_meaning(db: Connection, shop: Shop, before: Declared, after: Declared) -> None:
    """Raises StillUsed, or AttributeInUse where values are there that the new declaration would not cover."""
    name = before.name
    if (before.type, before.sealed) != (after.type, after.sealed):
        await uses.refuse_used(db, shop.id, "attribute", name)
        if await repository.in_use(db, shop.id, name, before.column):
            changed = "type" if before.type != after.type else "class"
            raise AttributeInUse(
                f"Their {changed} cannot change: declare an attribute of another name and send the values there, or "
                f"remove them with DELETE /v1/attributes/{name}?with_values=true and declare it again",
                field=changed,
            )
    elif removed := before.allowed_values - after.allowed_values:
        among = [found_by(shop, before, value) for value in removed]
        if await repository.values_in_use(db, shop.id, name, before.column, among):
            raise AttributeInUse(
                "Customers have an allowed value that would be removed: keep it, or change theirs first",
                field="allowed_values",
            )


async def remove_values(db: Connection, shop: Shop, name: str) -> int:
    """Remove some of the values of an attribute that was dropped. Returns how many, 0 at the end."""
    owners: list[int] = []
    for column in KINDS:
        owners = await repository.remove_some(db, shop.id, name, column, limit=_REMOVE_LIMIT)
        if owners:
            await mark_changed(db, shop.id, sorted(set(owners)), clock.now())
            break
    return len(owners)


# ---- Writing


async def check(db: Connection, shop: Shop, told: Sequence[Told | None]) -> list[AppError | None]:
    """Fit what was told into the declarations, which are held until the transaction ends.

    Returns: for each in its place, why it is refused, or None. Where nothing is told, nothing is read.
    """
    names = {name for one in told if one is not None for name in one.given}
    declared = await repository.declared(db, shop.id, names, hold=True) if names else {}
    return [_unfit(shop, one, declared) if one is not None else None for one in told]


async def put(
    db: Connection, shop: Shop, moment: datetime, people: Sequence[tuple[Person, Told | None]]
) -> dict[int, list[str]]:
    """Write what `check` has fitted, of customers that this transaction holds locked. A caller tells that they changed.

    Returns: by customer, the names whose value is another now.
    """
    rows = [
        _row(shop, person, told, declared, value)
        for person, told in people
        if told is not None
        for declared, value in told.fitted
    ]
    changed: dict[int, list[str]] = {}
    for customer_id, name in await repository.put(db, shop.id, moment, rows) if rows else ():
        changed.setdefault(customer_id, []).append(name)
    return changed


def _unfit(shop: Shop, told: Told, declared: Mapping[str, Declared]) -> AppError | None:
    told.fitted = []
    for name, value in told.given.items():
        place = f"attributes.{name}"
        found = declared.get(name)
        if found is None:
            return AttributeUndeclared(name, place)
        if value is None:
            told.fitted.append((found, None))
            continue
        if found.class_ == "sensitive" and not shop.settings.sensitive_attributes:
            return SensitiveOff(place)
        try:
            told.fitted.append((found, values.fit(found, value, shop.zone)))
        except ValueError as problem:
            return AttributeValue(str(problem), field=place)
    return None


def _row(shop: Shop, person: Person, told: Told, declared: Declared, value: Plain | None) -> tuple[Any, ...]:
    """A row of VALUE_ARRAYS."""
    kept: dict[str, Any] = dict.fromkeys(KINDS)
    sealed = None
    if value is not None:
        kept[declared.column] = found_by(shop, declared, value)
        if declared.sealed:
            sealed = person.key().seal(_place(declared.name), values.written(value))
    return (person.customer_id, person.origin, declared.name, told.source, told.fills, sealed, *kept.values())


def _hash(shop: Shop, declared: Declared, value: Plain) -> bytes:
    return shop.keys.blind(_place(declared.name), values.written(value))


def _place(name: str) -> str:
    """What a sealed value is bound to, beside the person."""
    return f"customer_attributes.{name}"


# ---- Reading


async def of_customers(db: Connection, shop: Shop, customer_ids: Sequence[int]) -> dict[int, dict[str, Classed]]:
    """Each customer's attributes by name, each the newest that was told of them; they are masked when serialised."""
    found: dict[int, dict[str, Classed]] = {customer_id: {} for customer_id in customer_ids}
    for row in await repository.of_customers(db, shop.id, customer_ids):
        declared = Declared.of(row)
        found[row["customer_id"]][row["name"]] = Classed(_shown(shop, declared, row), declared.mask)
    return found


async def of_customer(db: Connection, shop: Shop, customer_id: int) -> dict[str, Classed]:
    """One customer's."""
    return (await of_customers(db, shop, [customer_id]))[customer_id]


def _shown(shop: Shop, declared: Declared, row: Row) -> values.Shown:
    if not declared.sealed:
        return values.shown(row[declared.column])
    key = shop.keys.person(row["origin_customer_id"], row["wrapped"])
    return values.shown(values.reread(declared.type, key.open(_place(declared.name), row["sealed_value"])))


# ---- Searching


async def conditions(
    db: Connection, shop: Shop, asked: Sequence[Asked], *, unmasked: bool, in_url: bool = False, at: str = "attribute"
) -> tuple[Condition, ...]:
    """What was asked, as conditions that `conditions.where` writes as SQL.

    Args:
        unmasked: the caller may see personal fields: who sees a value masked must not find it out by searching.
        in_url: the values were written as text in a URL, where personal ones must not stand.
        at: the field that refusals name.
    Raises: AttributeUndeclared, AttributeFilter, AttributeInUrl, ScopeMissing.
    """
    if not asked:
        return ()
    declared = await repository.declared(db, shop.id, {one.name for one in asked})
    return tuple(
        _condition(shop, one, declared.get(one.name), unmasked=unmasked, in_url=in_url, at=at) for one in asked
    )


def _condition(
    shop: Shop, asked: Asked, declared: Declared | None, *, unmasked: bool, in_url: bool, at: str
) -> Condition:
    if declared is None:
        raise AttributeUndeclared(asked.name, at)
    if declared.sealed and in_url:
        raise AttributeInUrl(f"Ask for {asked.name} in the body of POST /v1/customers/search", field=at)
    if declared.mask is not None and not unmasked:
        detail = f"Its values are shown masked; to search for {asked.name} the caller needs the scope pii:read"
        raise ScopeMissing(detail, field=at, needed_scope="pii:read")
    if asked.operator != "=" and (declared.sealed or declared.type not in RANGED):
        raise AttributeFilter(f"Of {asked.name} only one value can be asked for: write {asked.name}:value", field=at)
    try:
        value = values.fit(declared, values.read(declared, asked.value) if in_url else asked.value, shop.zone)
    except ValueError as problem:
        raise AttributeFilter(str(problem), field=at) from None
    return Condition(asked.name, asked.operator, declared.column, found_by(shop, declared, value))


def found_by(shop: Shop, declared: Declared, value: Plain) -> Plain | bytes:
    """What stands in the attribute's column for this value: itself, or the keyed hash of one that is sealed."""
    return _hash(shop, declared, value) if declared.sealed else value

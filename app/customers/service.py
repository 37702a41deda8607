"""Create or find, change, look up: one engine for a single call, a batch, an order's customer and the façade."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple

from app.access.shops import Shop
from app.core import clock
from app.core.crypto import PersonKey
from app.core.db import Connection
from app.core.errors import AppError, StartOver
from app.core.ids import CustomerIds
from app.customers import records, repository
from app.customers.errors import CustomerExists, CustomerNotFound, IdentityConflict
from app.customers.records import COLUMNS, EMPTY, Customer, open_customer
from app.customers.schemas import IdentityWrite

CREATED: Final = "created"
UPDATED: Final = "updated"
UNCHANGED: Final = "unchanged"
REFUSED: Final = "refused"

# What a write does to a customer who is there: set what it brings, set only what is empty, or leave them alone.
Policy = Literal["overwrite", "fill", "skip"]


@dataclass(slots=True)
class Write:
    """One customer to create, find or change.

    `fields` holds only what was sent; None clears. A `mobile` among them is one of the identities: the one to show.
    `customer_id` names the customer when the caller already knows. `told` is added to the data of the event that tells
    of a change, so that the caller knows its own again. `keeps_mobile`: the mobile that is shown stays, and one among
    the identities is only held. `policy`: what becomes of a customer who is there.
    """

    identities: Sequence[IdentityWrite]
    fields: dict[str, Any] = field(default_factory=dict)
    created_at: datetime | None = None
    customer_id: int | None = None
    told: dict[str, str] = field(default_factory=dict)
    keeps_mobile: bool = False
    policy: Policy = "overwrite"


@dataclass(slots=True)
class Outcome:
    """What became of one write."""

    status: str
    customer_id: int | None = None
    error: AppError | None = None


class _Claim(NamedTuple):
    key: tuple[str, bytes]  # kind and hash: where it is found
    identity: IdentityWrite


@dataclass(slots=True)
class _Known:
    customer_id: int
    origin: int
    wrapped: bytes

    def key(self, shop: Shop) -> PersonKey:
        """Unwrapped only where something is sealed or opened: most writes find a customer and change nothing."""
        return shop.keys.person(self.origin, self.wrapped)


def value_hash(shop: Shop, identity: IdentityWrite) -> bytes:
    """Where the identity is found."""
    return shop.keys.blind(identity.kind, f"{identity.scope}\x1f{identity.value}")


async def upsert(db: Connection, shop: Shop, ids: CustomerIds, writes: Sequence[Write]) -> list[Outcome]:
    """Create or find each customer by identities, attach the identities that are new, apply the fields that differ.

    Rows that name the same identity are taken one after the other, in the order given. A row whose identities belong
    to two customers is refused; the others are kept.

    Raises: StartOver when another writer took an identity meanwhile: run the whole transaction again.
    """
    for write in writes:
        if write.fields.get("member_since") is not None:
            write.fields["member_since"] = clock.localise(write.fields["member_since"], shop.zone)
    outcomes: list[Outcome | None] = [None] * len(writes)
    claims = [_claims(shop, write) for write in writes]
    waiting = list(range(len(writes)))
    while waiting:
        wave, waiting = _independent(waiting, claims, writes)
        waiting = sorted(waiting + await _write(db, shop, ids, wave, writes, claims, outcomes))
    return [outcome for outcome in outcomes if outcome is not None]


async def create(db: Connection, shop: Shop, ids: CustomerIds, write: Write) -> int:
    """A new customer. Returns its id.

    Raises: CustomerExists when anyone holds one of the identities.
    """
    claims = _claims(shop, write)
    # One identity is decided by the insert alone; of several, some could be claimed in vain.
    if len(claims) > 1 and await _holders(db, shop, claims):
        raise CustomerExists
    added = await _add(db, shop, ids, [(write, claims)], [])
    if added[0] is None:
        raise CustomerExists
    return added[0]


async def patch(
    db: Connection,
    shop: Shop,
    customer_id: int,
    fields: dict[str, Any],
    identities: Sequence[IdentityWrite],
    *,
    told: dict[str, str] | None = None,
) -> Outcome:
    """Change a customer: absent keeps, None clears; identities are added; `told` goes into the event's data.

    Raises: CustomerNotFound, IdentityConflict.
    """
    write = Write(identities, fields, customer_id=customer_id, told=told or {})
    outcome = (await upsert(db, shop, CustomerIds(), [write]))[0]
    if outcome.error is not None:
        raise outcome.error
    return outcome


async def get(db: Connection, shop: Shop, customer_id: int) -> Customer:
    """Raises CustomerNotFound."""
    row = await repository.get(db, shop.id, customer_id) if customer_id < 2**53 else None
    if row is None:
        raise CustomerNotFound(field="customer_id")
    return open_customer(shop, row)


async def find(db: Connection, shop: Shop, identity: IdentityWrite) -> int | None:
    """The customer who holds an identity, or None."""
    return await repository.owner(db, shop.id, identity.kind, value_hash(shop, identity))


def _claims(shop: Shop, write: Write) -> list[_Claim]:
    return [_Claim((identity.kind, value_hash(shop, identity)), identity) for identity in write.identities]


def _independent(
    waiting: list[int], claims: list[list[_Claim]], writes: Sequence[Write]
) -> tuple[list[int], list[int]]:
    """Rows that share no identity with an earlier one, and the rest."""
    seen: set[Any] = set()
    wave: list[int] = []
    rest: list[int] = []
    for index in waiting:
        keys: set[Any] = {claim.key for claim in claims[index]} | {writes[index].customer_id} - {None}
        (rest if seen & keys else wave).append(index)
        seen |= keys
    return wave, rest


async def _write(
    db: Connection,
    shop: Shop,
    ids: CustomerIds,
    wave: list[int],
    writes: Sequence[Write],
    claims: list[list[_Claim]],
    outcomes: list[Outcome | None],
) -> list[int]:
    """Carry out one wave. Returns the rows to try again, because an earlier row of the wave is the same person."""
    holders = await _holders(db, shop, [claim for index in wave for claim in claims[index]])
    named = await _named(db, shop, [writes[index].customer_id for index in wave])
    new: list[int] = []
    known: dict[int, tuple[int, _Known, list[_Claim]]] = {}
    again: list[int] = []
    for index in wave:
        target = writes[index].customer_id
        if target is not None and target not in named:
            outcomes[index] = Outcome(REFUSED, None, CustomerNotFound(field="customer_id"))
            continue
        found = {claim.key: holders[claim.key] for claim in claims[index] if claim.key in holders}
        people = {holder.customer_id: holder for holder in found.values()} | (
            {target: named[target]} if target is not None else {}
        )
        if len(people) > 1:
            outcomes[index] = Outcome(REFUSED, None, _conflict(list(people)))
        elif not people:
            new.append(index)
        else:
            (person,) = people.values()
            if person.customer_id in known:
                again.append(index)
            else:
                extra = list({c.key: c for c in claims[index] if c.key not in found}.values())
                extra = [] if writes[index].policy == "skip" else extra
                known[person.customer_id] = index, person, extra
    extras = [(person, claim) for _, person, more in known.values() for claim in more]
    if new or extras:
        added = await _add(db, shop, ids, [(writes[index], claims[index]) for index in new], extras)
        for index, customer_id in zip(new, added, strict=True):
            if customer_id is None:
                again.append(index)  # a concurrent writer was first: the next wave finds theirs
            else:
                outcomes[index] = Outcome(CREATED, customer_id)
    await _change(db, shop, known, writes, outcomes)
    return again


async def _holders(db: Connection, shop: Shop, claims: list[_Claim]) -> dict[tuple[str, bytes], _Known]:
    if not claims:
        return {}
    kinds, hashes = zip(*(claim.key for claim in claims), strict=True)
    rows = await repository.owners(db, shop.id, kinds, hashes)
    return {
        (row["kind"], row["value_hash"]): _Known(row["customer_id"], row["origin_customer_id"], row["wrapped"])
        for row in rows
    }


async def _named(db: Connection, shop: Shop, customer_ids: list[int | None]) -> dict[int, _Known]:
    named = [customer_id for customer_id in customer_ids if customer_id is not None]
    rows = await repository.lock(db, shop.id, named) if named else []
    return {row["id"]: _Known(row["id"], row["origin_customer_id"], row["wrapped"]) for row in rows}


async def _add(
    db: Connection,
    shop: Shop,
    ids: CustomerIds,
    new: list[tuple[Write, list[_Claim]]],
    extras: list[tuple[_Known, _Claim]],
) -> list[int | None]:
    """Insert customers and claim identities. Returns the new ids, None where the identities were taken meanwhile."""
    moment = clock.now()
    numbers = await ids.take(db, len(new)) if new else []
    claimed: list[tuple[Any, ...]] = []
    people: list[tuple[Any, ...]] = []
    expected: dict[int, int] = {}

    def claim_for(owner: int, origin: int, key: PersonKey, claim: _Claim) -> None:
        expected[owner] = expected.get(owner, 0) + 1
        sealed = key.seal("identities.value", claim.identity.value)
        claimed.append((*claim.key, owner, origin, claim.identity.scope, sealed))

    for (write, claims), number in zip(new, numbers, strict=True):
        key, wrapped = shop.keys.new_person(number)
        for claim in {claim.key: claim for claim in claims}.values():
            claim_for(number, number, key, claim)
        sealed = records.seal_profile(key, _apply(EMPTY, write.fields, claims))
        created_at = clock.localise(write.created_at or moment, shop.zone)
        people.append((number, expected[number], wrapped, created_at, *sealed))
    for person, claim in extras:
        claim_for(person.customer_id, person.origin, person.key(shop), claim)
    got = await repository.add(db, shop.id, moment, claimed, people)
    for owner, count in expected.items():
        lost_all_of_a_new_one = owner not in got and owner in numbers
        if got.get(owner, 0) != count and not lost_all_of_a_new_one:
            raise StartOver
    return [number if number in got else None for number in numbers]


async def _change(
    db: Connection,
    shop: Shop,
    known: dict[int, tuple[int, _Known, list[_Claim]]],
    writes: Sequence[Write],
    outcomes: list[Outcome | None],
) -> None:
    """Apply the fields that differ, and set the status of each known customer's row."""
    for customer_id, (index, _, _) in known.items():
        outcomes[index] = Outcome(UNCHANGED, customer_id)
    concerned = [
        customer_id
        for customer_id, (index, _, extra) in known.items()
        if extra or (writes[index].fields and writes[index].policy != "skip")
    ]
    if not concerned:
        return
    changed: list[tuple[Any, ...]] = []
    for row in await repository.lock(db, shop.id, concerned):
        index, person, extra = known[row["id"]]
        key = person.key(shop)
        before = records.open_profile(key, row)
        shown = {"mobile": before["mobile"]} if writes[index].keeps_mobile and before["mobile"] is not None else {}
        after = _apply(before, shown | writes[index].fields | _kept(before, writes[index].policy), extra)
        differing = sorted(name for name in COLUMNS if before[name] != after[name])
        if not differing and not extra:
            continue
        happened = {"customer_id": row["id"], "fields": differing + ["identities"] * bool(extra)}
        changed.append((row["id"], writes[index].told | happened, *records.seal_profile(key, after)))
        outcomes[index] = Outcome(UPDATED, row["id"])
    if changed:
        await repository.update(db, shop.id, clock.now(), changed)


def _kept(before: dict[str, Any], policy: Policy) -> dict[str, Any]:
    """The fields that a write must leave as they are."""
    return {name: value for name, value in before.items() if value != EMPTY[name]} if policy == "fill" else {}


def _apply(before: dict[str, Any], fields: dict[str, Any], new_claims: Sequence[_Claim]) -> dict[str, Any]:
    """The profile after a write. A mobile that is new to the customer is shown from now on, unless the write says."""
    after = before | fields
    after["gender"] = after["gender"] or 0
    mobile = next((claim.identity.value for claim in new_claims if claim.identity.kind == "mobile"), None)
    if mobile is not None and "mobile" not in fields:
        after["mobile"] = mobile
    if after["mobile"] != before["mobile"] and "mobile_verified" not in fields:
        after["mobile_verified"] = False  # that was the number before
    after["mobile_verified"] = bool(after["mobile_verified"])
    return after


def _conflict(customer_ids: list[int]) -> IdentityConflict:
    return IdentityConflict(
        "Send the identities of one person only, or have the two customers merged",
        field="identities",
        customer_ids=sorted(customer_ids),
    )

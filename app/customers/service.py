"""Create or find, change, look up: one engine for a single call, a batch, an order's customer and the façade."""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final, Literal, NamedTuple
from uuid import UUID

from app.access.settings import IdentitySettings
from app.access.shops import Shop
from app.attributes import service as attributes
from app.attributes.service import Person, Told
from app.core import clock
from app.core.crypto import PersonKey
from app.core.db import Connection, Row
from app.core.errors import AppError, StartOver
from app.core.ids import CustomerIds, new_ids
from app.core.races import lost_before
from app.customers import policy, records, repository
from app.customers.errors import (
    CustomerExists,
    CustomerNotFound,
    IdentityBlocked,
    IdentityLimit,
    IdentityNotFound,
)
from app.customers.merging import service as merging
from app.customers.merging.repository import be_brief, be_patient, pass_gate
from app.customers.merging.service import Conflict, Edge, Neighbourhood
from app.customers.records import COLUMNS, EMPTY, Customer, open_customer
from app.customers.schemas import IdentityWrite

CREATED: Final = "created"
UPDATED: Final = "updated"
UNCHANGED: Final = "unchanged"
REFUSED: Final = "refused"

# What a write does to a customer who is there: set what it brings, set only what is empty, or leave them alone.
Policy = Literal["overwrite", "fill", "skip"]
_SEEN_AGAIN: Final = timedelta(days=1)
Key = tuple[str, bytes]  # kind and hash: where an identity is found


@dataclass(slots=True)
class Write:
    """One customer to create, find or change.

    `fields` holds only what was sent; None clears. A `mobile` among them is one of the identities: the one to show.
    `customer_id` names the customer when the caller already knows. `told` is added to the data of the event that tells
    of a change, so that the caller knows its own again. `keeps_mobile`: the mobile that is shown stays, and one among
    the identities is only held. `policy`: what becomes of a customer who is there. `dropped_mobile`: one that nobody
    holds any more, and that is shown no more where it was.
    """

    identities: Sequence[IdentityWrite]
    fields: dict[str, Any] = field(default_factory=dict)
    created_at: datetime | None = None
    customer_id: int | None = None
    told: dict[str, str] = field(default_factory=dict)
    keeps_mobile: bool = False
    attributes: Told | None = None
    policy: Policy = "overwrite"
    dropped_mobile: str | None = None

    def verifies(self, identity: IdentityWrite) -> bool:
        """Whether the sender has proof that the identity is this person's."""
        return identity.verified or (identity.kind == "mobile" and self.fields.get("mobile_verified") is True)


@dataclass(slots=True)
class Outcome:
    """What became of one write.

    `customer_id` answers for the person. What comes in with the write belongs to the record `origin`, because the
    identity `brought_by` (kind and hash) is that record's. `conflicts`: pairs that the write named as one person and
    that stay apart until someone decides.
    """

    status: str
    customer_id: int | None = None
    error: AppError | None = None
    origin: int | None = None
    brought_by: Key | None = None
    conflicts: list[UUID] = field(default_factory=list)


class _Claim(NamedTuple):
    key: Key
    identity: IdentityWrite
    verified: bool


@dataclass(slots=True)
class _Known:
    """A record that a write named, by an identity or by number; `owner` answers for it."""

    owner: int
    origin: int
    wrapped: bytes
    verified_at: datetime | None = None
    last_seen_at: datetime | None = None

    def key(self, shop: Shop) -> PersonKey:
        """Unwrapped only where something is sealed or opened: most writes find a customer and change nothing."""
        return shop.keys.person(self.origin, self.wrapped)

    def person(self, shop: Shop) -> Person:
        """Whose attributes are written."""
        return Person(self.owner, self.origin, partial(self.key, shop))


class _Other(NamedTuple):
    """Somebody else whom a write names too. `proven`: by an identity that may join two."""

    known: _Known
    kind: str
    proven: bool


@dataclass(slots=True)
class _Case:
    """One write of a wave, and whom it is for: `person`, or somebody new."""

    index: int
    write: Write
    claims: list[_Claim]
    found: dict[Key, _Known]
    person: _Known | None = None
    proven: bool = True
    # Most cases have none of these, and share the empty ones.
    others: Sequence[_Other] = ()
    joins: Sequence[Edge] = ()
    apart: Sequence[_Claim] = ()
    verified_now: frozenset[str] = frozenset()  # values
    conflicts: tuple[Conflict, ...] = ()

    @property
    def is_left_alone(self) -> bool:
        """Whether the customer is there, and the write wants only new ones."""
        return self.person is not None and self.write.policy == "skip"

    @property
    def extra(self) -> list[_Claim]:
        """The identities that nobody holds and that the person gets, each once."""
        if self.is_left_alone:
            return []
        fresh = [claim for claim in self.claims if claim.key not in self.found]
        if not fresh:
            return fresh
        if self.apart:
            apart = {claim.key for claim in self.apart}
            fresh = [claim for claim in fresh if claim.key not in apart]
        return list(_once(fresh))

    def brought_by(self) -> tuple[Key | None, int | None]:
        """The first identity that is the person's from now on, and its record: whose the facts of the write are."""
        apart = {claim.key for claim in self.apart} if self.apart else ()
        for claim in self.claims:
            if claim.key in self.found:
                if self.is_mine(claim.key):
                    return claim.key, self.found[claim.key].origin
            elif claim.key not in apart:
                return claim.key, self.person.origin if self.person is not None else None
        return None, self.person.origin if self.person is not None else None

    def is_mine(self, key: Key) -> bool:
        """Whether an identity is held by the person of the write."""
        return self.person is not None and key in self.found and self.found[key].owner == self.person.owner


def value_hash(shop: Shop, identity: IdentityWrite) -> bytes:
    """Where the identity is found."""
    return shop.keys.blind(identity.kind, f"{identity.scope}\x1f{identity.value}")


async def upsert(
    db: Connection, shop: Shop, ids: CustomerIds, writes: Sequence[Write], *, source: str = ""
) -> list[Outcome]:
    """Create or find each customer by identities, attach the identities that are new, apply the fields that differ.

    Rows that name the same identity are taken one after the other, in the order given. A row that names two customers
    makes them one where the shop's policy lets it; else it is the strongest identity's, and the pair waits for someone
    to decide. Values that stand for nobody are passed over; a row of nothing else is refused.

    Args:
        source: who tells of it.
    Raises: StartOver when another writer took an identity meanwhile: run the whole transaction again.
    """
    settings = shop.settings.identity_policy
    refused = await attributes.check(db, shop, [write.attributes for write in writes])
    outcomes = [Outcome(REFUSED, None, error) if error is not None else None for error in refused]
    claims = []
    for index, write in enumerate(writes):
        fields = write.fields
        if fields.get("member_since") is not None:
            fields["member_since"] = clock.localise(fields["member_since"], shop.zone)
        if fields.get("mobile") and policy.is_blocked(settings, fields["mobile"]):
            del fields["mobile"]
        claims.append(_claims(shop, write))
        if error := _refusal(settings, write.identities, [claim.identity for claim in claims[index]]):
            outcomes[index] = Outcome(REFUSED, None, error)
    waiting = [index for index, outcome in enumerate(outcomes) if outcome is None]
    gated = patient = False
    if lost_before():
        await pass_gate(db, shop.id)
        gated = True
    while waiting:
        wave, later = _independent(waiting, claims, writes)
        doing = _Wave(db, shop, ids, source)
        cases = await doing.look(wave, writes, claims, outcomes)
        if not gated and (later or _entangled(cases)):
            # Before anything is locked: whoever takes more than one wave, or joins people, does it alone in the shop.
            await pass_gate(db, shop.id)
            gated = True
            continue
        again = await doing.write(cases, outcomes)
        if again and not gated:
            raise StartOver  # a concurrent writer was first: the next look finds theirs
        waiting = sorted(later + again)
        if waiting and not patient:
            # What this wave has locked stays so, and who waits for it may hold what the next one needs.
            await be_brief(db)
            patient = True
    if patient:
        await be_patient(db)
    return [outcome for outcome in outcomes if outcome is not None]


async def create(db: Connection, shop: Shop, ids: CustomerIds, write: Write, *, source: str = "") -> int:
    """A new customer. Returns its id.

    Here a value that stands for nobody is held like any other: the caller asks for a customer of their own.

    Raises: CustomerExists when anyone holds one of the identities; the refusals of attributes.
    """
    (refused,) = await attributes.check(db, shop, [write.attributes])
    if refused is not None:
        raise refused
    claims = _every_claim(shop, write)
    wave = _Wave(db, shop, ids, source)
    # One identity is decided by the insert alone; of several, some could be claimed in vain.
    if len(claims) > 1 and await wave.holders(claims):
        raise CustomerExists
    added = await wave.add([(write, claims)], [])
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
    attributes: Told | None = None,
    source: str = "",
) -> Outcome:
    """Change a customer: absent keeps, None clears; identities are added; `told` goes into the event's data.

    Raises: CustomerNotFound, IdentityBlocked, IdentityLimit, and the refusals of attributes.
    """
    write = Write(identities, fields, customer_id=customer_id, told=told or {}, attributes=attributes)
    outcome = (await upsert(db, shop, CustomerIds(), [write], source=source))[0]
    if outcome.error is not None:
        raise outcome.error
    return outcome


async def drop_identity(db: Connection, shop: Shop, customer_id: int, identity: IdentityWrite, *, source: str) -> int:
    """Nobody holds the identity any more; what it brought stays. Returns who held it. A mobile is shown no more either.

    Raises: CustomerNotFound; IdentityNotFound when it is not this customer's.
    """
    around = await merging.lock(db, shop, {customer_id})
    owner = around.owner_before(customer_id)
    dropped = await db.execute(
        repository.DROP_IDENTITY,
        shop_id=shop.id,
        customer_id=owner,
        kind=identity.kind,
        value_hash=value_hash(shop, identity),
    )
    if not dropped:
        raise IdentityNotFound(field="identity")
    mobile = identity.value if identity.kind == "mobile" else None
    wave = _Wave(db, shop, CustomerIds(), source)
    known = (await wave.named([owner]))[owner]
    case = _Case(0, Write([], customer_id=owner, dropped_mobile=mobile), [], {}, person=known)
    await wave.change([case], [None], also=("identities",))
    return (await merging.settle(db, shop, [owner]))[owner] if len(around.rows) > 1 else owner


async def get(db: Connection, shop: Shop, customer_id: int) -> Customer:
    """Raises CustomerNotFound. Who is merged into another is answered for by that one."""
    row = await repository.get(db, shop.id, customer_id) if customer_id < 2**53 else None
    if row is None:
        raise CustomerNotFound(field="customer_id")
    return open_customer(shop, row)


async def answering(db: Connection, shop: Shop, customer_id: int) -> int:
    """Who answers for this number: itself, unless it was merged into another. Raises CustomerNotFound."""
    owners = await repository.owners_of(db, shop.id, [customer_id]) if customer_id < 2**53 else {}
    if customer_id not in owners:
        raise CustomerNotFound(field="customer_id")
    return owners[customer_id]


async def find(db: Connection, shop: Shop, identity: IdentityWrite) -> int | None:
    """The customer who holds an identity, or None."""
    return await repository.owner(db, shop.id, identity.kind, value_hash(shop, identity))


async def find_record(db: Connection, shop: Shop, identity: IdentityWrite) -> int | None:
    """The record that an identity came in for, or None: what is told of the person by it belongs there."""
    return await repository.record(db, shop.id, identity.kind, value_hash(shop, identity))


def refusal(shop: Shop, identities: Sequence[IdentityWrite]) -> AppError | None:
    """Why nobody can be found or made from these identities, or None."""
    settings = shop.settings.identity_policy
    return _refusal(settings, identities, [one for one in identities if not policy.is_blocked(settings, one.value)])


def _every_claim(shop: Shop, write: Write) -> list[_Claim]:
    return [
        _Claim((identity.kind, value_hash(shop, identity)), identity, write.verifies(identity))
        for identity in write.identities
    ]


def _claims(shop: Shop, write: Write) -> list[_Claim]:
    """The identities that stand for somebody."""
    settings = shop.settings.identity_policy
    return [claim for claim in _every_claim(shop, write) if not policy.is_blocked(settings, claim.identity.value)]


def _once(claims: Iterable[_Claim]) -> Collection[_Claim]:
    """Claims without those that name the same identity again."""
    return {claim.key: claim for claim in claims}.values()


def _refusal(
    settings: IdentitySettings, told: Sequence[IdentityWrite], counting: Sequence[IdentityWrite]
) -> AppError | None:
    """Why nobody can be found or made from what was told, of which some stands for somebody."""
    if not counting and told:
        return IdentityBlocked(field="identities")
    if len({one.kind for one in counting}) == len(counting):
        return None  # one of a kind is within any limit
    places = {(one.kind, one.scope, one.value): (one.kind, one.scope) for one in counting}
    for kind in policy.over_limits(settings, places.values()):
        if policy.of_kind(settings, kind).over_limit == "apart":
            return IdentityLimit(
                f"A person has at most {policy.of_kind(settings, kind).limit} {kind}", field="identities"
            )
    return None


def _independent(
    waiting: list[int], claims: list[list[_Claim]], writes: Sequence[Write]
) -> tuple[list[int], list[int]]:
    """Rows that share no identity with an earlier one, and the rest."""
    seen: set[Any] = set()
    wave: list[int] = []
    rest: list[int] = []
    for index in waiting:
        keys: list[Any] = [claim.key for claim in claims[index]]
        if writes[index].customer_id is not None:
            keys.append(writes[index].customer_id)
        (wave if seen.isdisjoint(keys) else rest).append(index)
        seen.update(keys)
    return wave, rest


def _entangled(cases: Sequence[_Case]) -> bool:
    """Whether a write makes several people one, or several writes name the same one."""
    people = [case.person.owner for case in cases if case.person is not None]
    return len(set(people)) < len(people) or any(case.joins for case in cases)


class _Wave:
    """Writes that share no identity, carried out as sets in one transaction."""

    def __init__(self, db: Connection, shop: Shop, ids: CustomerIds, source: str) -> None:
        self._db = db
        self._shop = shop
        self._ids = ids
        self._source = source
        self._settings = shop.settings.identity_policy
        self._moment = clock.now()

    async def look(
        self,
        wave: list[int],
        writes: Sequence[Write],
        claims: list[list[_Claim]],
        outcomes: list[Outcome | None],
    ) -> list[_Case]:
        """Whom each write of a wave is for, as far as can be seen; nothing is locked."""
        holders = await self.holders([claim for index in wave for claim in claims[index]])
        named = await self.named([writes[index].customer_id for index in wave])
        cases = []
        for index in wave:
            target = writes[index].customer_id
            if target is not None and target not in named:
                outcomes[index] = Outcome(REFUSED, None, CustomerNotFound(field="customer_id"))
                continue
            found = {claim.key: holders[claim.key] for claim in claims[index] if claim.key in holders}
            case = _Case(index, writes[index], claims[index], found)
            if found or target is not None:
                self._choose(case, named[target] if target is not None else None)
            cases.append(case)
        await self._look_closer(cases)
        await self._judge([case for case in cases if case.others], merging.look)
        return cases

    async def write(self, cases: Sequence[_Case], outcomes: list[Outcome | None]) -> list[int]:
        """Carry out one wave. Returns the rows to try again, because an earlier row of the wave is the same person."""
        await self._join(cases)
        known: dict[int, _Case] = {}
        new: list[_Case] = []
        again: list[int] = []
        for case in cases:
            if case.person is None:
                new.append(case)
            elif case.person.owner in known:
                again.append(case.index)
            else:
                known[case.person.owner] = case
        again += await self._add(new, list(known.values()), outcomes)
        await self._note_seen(known.values())
        await self.change(list(known.values()), outcomes)
        await self._keep_conflicts(cases, outcomes)
        return again

    async def holders(self, claims: Sequence[_Claim]) -> dict[Key, _Known]:
        """Who holds each identity."""
        if not claims:
            return {}
        kinds, hashes = zip(*(claim.key for claim in claims), strict=True)
        rows = await repository.owners(self._db, self._shop.id, kinds, hashes)
        return {
            (row["kind"], row["value_hash"]): _Known(
                row["customer_id"],
                row["origin_customer_id"],
                row["wrapped"],
                row["verified_at"],
                row["last_seen_at"],
            )
            for row in rows
        }

    async def named(self, customer_ids: Iterable[int | None]) -> dict[int, _Known]:
        """The records that were named by number."""
        named = [customer_id for customer_id in customer_ids if customer_id is not None]
        rows = await repository.named(self._db, self._shop.id, named) if named else []
        return {row["id"]: _Known(row["owner"], row["id"], row["wrapped"]) for row in rows}

    def _choose(self, case: _Case, target: _Known | None) -> None:
        """Whom a write is for: who is named, else who holds the strongest identity; and whom else it names."""
        best = -1
        others: list[_Other] = []
        for claim in case.claims:
            known = case.found.get(claim.key)
            if known is None:
                continue
            verified = claim.verified or self._still_verified(known)
            proven = policy.proves(self._settings, claim.identity.kind, verified=verified)
            others.append(_Other(known, claim.identity.kind, proven))
            weight = policy.weight(self._settings, claim.identity.kind, verified=verified)
            if target is None and weight > best:
                best, case.person, case.proven = weight, known, proven
        if target is not None:
            case.person = target
        if (len(others) > 1 or target is not None) and not case.is_left_alone:
            case.others = [one for one in others if case.person is not None and one.known.owner != case.person.owner]

    def _still_verified(self, known: _Known) -> bool:
        return known.last_seen_at is not None and policy.still_verified(
            self._settings, known.verified_at, known.last_seen_at, self._moment
        )

    async def _look_closer(self, cases: Sequence[_Case]) -> None:
        """What needs to be known of the people found: do they hold too much already, are they anybody yet."""
        asked = [case for case in cases if case.person is not None and self._needs_a_look(case)]
        if not asked:
            return
        owners = {case.person.owner for case in asked if case.person is not None}
        held: dict[int, list[Row]] = {}
        for row in await repository.held(self._db, self._shop.id, owners):
            held.setdefault(row["customer_id"], []).append(row)
        for case in asked:
            assert case.person is not None  # noqa: S101 chosen above
            mine = held.get(case.person.owner, [])
            weak = all(self._is_weak(claim.identity.kind) for claim in case.claims if case.is_mine(claim.key))
            strangers = [claim for claim in case.extra if not self._is_weak(claim.identity.kind)]
            if weak and case.write.customer_id is None and self._is_someone_else(strangers, mine):
                # A device that somebody else uses too: whoever shows themselves on it is a person of their own.
                case.claims = [claim for claim in case.claims if claim.key not in case.found]
                case.found, case.person, case.others = {}, None, ()
                continue
            case.apart = self._too_many(case.extra, mine)

    def _is_someone_else(self, strangers: Sequence[_Claim], held: Sequence[Row]) -> bool:
        """Whether who uses a device is not who was known on it: they show another of what that person has already."""
        places = {(row["kind"], row["scope"]) for row in held}
        return any((claim.identity.kind, claim.identity.scope) in places for claim in strangers)

    def _needs_a_look(self, case: _Case) -> bool:
        extra = case.extra
        if not extra:
            return False
        kinds = {claim.identity.kind for claim in extra}
        policies = [policy.of_kind(self._settings, kind) for kind in kinds]
        limited = any(one.over_limit == "apart" or one.period_limit is not None for one in policies)
        weak = all(self._is_weak(claim.identity.kind) for claim in case.claims if case.is_mine(claim.key))
        return limited or weak

    def _is_weak(self, kind: str) -> bool:
        return policy.of_kind(self._settings, kind).merges == "never"

    def _too_many(self, extra: Sequence[_Claim], held: Sequence[Row]) -> list[_Claim]:
        """Those of the new identities that one person does not have so many of."""
        apart = []
        counted: dict[tuple[str, str], int] = {}
        recent: dict[tuple[str, str], int] = {}
        for row in held:
            place = row["kind"], row["scope"]
            counted[place] = counted.get(place, 0) + 1
            days = policy.of_kind(self._settings, row["kind"]).period_days
            if self._moment - row["first_seen_at"] < timedelta(days=days):
                recent[place] = recent.get(place, 0) + 1
        for claim in extra:
            place = claim.identity.kind, claim.identity.scope
            kind = policy.of_kind(self._settings, claim.identity.kind)
            full = kind.over_limit == "apart" and counted.get(place, 0) >= policy.limit(self._settings, *place)
            if full or (kind.period_limit is not None and recent.get(place, 0) >= kind.period_limit):
                apart.append(claim)
            else:
                counted[place] = counted.get(place, 0) + 1
                recent[place] = recent.get(place, 0) + 1
        return apart

    async def _judge(
        self, cases: Sequence[_Case], see: Callable[[Connection, Shop, Collection[int]], Awaitable[Neighbourhood]]
    ) -> Neighbourhood | None:
        """Which of those whom a write names together it makes one, and which stay apart for someone to decide.

        Args:
            see: to look at them, or to lock them.
        """
        if not cases:
            return None
        people = {one.origin for case in cases for one in (case.person, *(o.known for o in case.others)) if one}
        around = await see(self._db, self._shop, people)
        for case in cases:
            assert case.person is not None  # noqa: S101 others are beside somebody
            best: dict[int, _Other] = {}
            for other in case.others:
                held = best.setdefault(other.known.owner, other)
                if other.proven and not held.proven:
                    best[other.known.owner] = other
            case.joins, case.conflicts = (), ()
            for other in best.values():
                reason = self._why_apart(around, case, other)
                pair = case.person.origin, other.known.origin
                if reason:
                    case.conflicts += (Conflict(*pair, reason, other.kind),)
                elif reason is None and around.clusters.join(*pair):
                    case.joins = [*case.joins, Edge(*pair, "write", other.kind)]
        return around

    async def _join(self, cases: Sequence[_Case]) -> None:
        """Make one person of those whom a write names together, where the policy lets it."""
        joining = [case for case in cases if case.joins]
        around = await self._judge(joining, merging.lock)
        edges = [edge for case in joining for edge in case.joins]
        if around is None or not edges:
            return
        owners, _ = await merging.join(self._db, self._shop, around, edges, self._source)
        for case in cases:
            for known in filter(None, (case.person, *case.found.values())):
                known.owner = owners.get(known.origin, known.owner)
        await self._look_closer(joining)  # together they may hold too much for what else is new

    def _why_apart(self, around: Neighbourhood, case: _Case, other: _Other) -> str | None:
        """Why two whom a write names as one stay two: None when they do not, empty when that is nobody's question."""
        assert case.person is not None  # noqa: S101 asked for above
        pair = case.person.origin, other.known.origin
        decided = around.kept_apart(*pair)
        if decided:
            return "" if decided == "dismissed" else decided
        if any(around.is_provisional(record) for record in pair):
            return None
        if self._is_weak(other.kind):
            return ""  # a device that several people use
        if not (case.proven and other.proven):
            return merging.UNVERIFIED
        return merging.LIMIT if around.too_many(*pair) else None

    async def _add(self, new: Sequence[_Case], known: Sequence[_Case], outcomes: list[Outcome | None]) -> list[int]:
        """Insert who is new, attach identities, and give what stays apart a customer of its own.

        Returns the rows to try again: a concurrent writer was first, and the next look finds theirs.
        """
        apart = [(case, case.apart) for case in known if case.apart]
        extras = [(case.person, claim) for case in known if case.person is not None for claim in case.extra]
        if not new and not extras and not apart:
            return []
        people: list[tuple[Write, Sequence[_Claim]]] = [(case.write, case.claims) for case in new]
        people += [(Write([claim.identity for claim in claims]), claims) for _, claims in apart]
        added = await self.add(people, extras)
        again = []
        for case, customer_id in zip(new, added, strict=False):
            if customer_id is None:
                again.append(case.index)
            else:
                brought_by, _ = case.brought_by()
                outcomes[case.index] = Outcome(CREATED, customer_id, origin=customer_id, brought_by=brought_by)
        for (case, claims), customer_id in zip(apart, added[len(new) :], strict=True):
            if customer_id is None:
                raise StartOver  # somebody holds it by now
            assert case.person is not None  # noqa: S101 known
            case.conflicts += (Conflict(case.person.origin, customer_id, merging.LIMIT, claims[0].identity.kind),)
        return again

    async def add(
        self, new: Sequence[tuple[Write, Sequence[_Claim]]], extras: Sequence[tuple[_Known, _Claim]]
    ) -> list[int | None]:
        """Insert customers and claim identities. Returns the new ids, None where somebody else holds the identities."""
        numbers = await self._ids.take(self._db, len(new)) if new else []
        claimed: list[tuple[Any, ...]] = []
        people: list[tuple[Any, ...]] = []
        described: list[tuple[Person, Told | None]] = []
        expected: dict[int, int] = {}
        for (write, claims), number, event_id in zip(new, numbers, new_ids(len(new)), strict=True):
            key, wrapped = self._shop.keys.new_person(number)
            sealed = records.seal_profile(key, _apply(EMPTY, write.fields, claims))
            mine = _claimed(key, number, _once(claims))
            assert mine  # noqa: S101 nobody is made of nothing: they could never be claimed
            claimed += mine
            expected[number] = len(mine)
            created_at = clock.zoned(write.created_at, self._shop.zone) if write.created_at else self._moment
            people.append((number, len(mine), event_id, wrapped, created_at, *sealed))
            if write.attributes is not None:
                described.append((_Known(number, number, wrapped).person(self._shop), write.attributes))
        for person, claim in extras:
            claimed += _claimed(person.key(self._shop), person.origin, [claim])
            expected[person.origin] = expected.get(person.origin, 0) + 1
        known = sorted({person.origin for person, _ in extras})
        got = await repository.add(self._db, self._shop.id, self._moment, self._source, claimed, people, known)
        if got != expected:
            lost = {origin for origin, count in expected.items() if got.get(origin) != count}
            if not lost <= set(numbers) - got.keys():
                raise StartOver  # only a new one may have lost, and then all of theirs
        if described:
            described = [one for one in described if one[0].customer_id in got]
            await attributes.put(self._db, self._shop, self._moment, described)
        return [number if number in got else None for number in numbers]

    async def _note_seen(self, cases: Iterable[_Case]) -> None:
        """Keep when identities were last seen, to the day, and that they were verified."""
        again: list[tuple[str, bytes, int, datetime | None]] = []
        long_ago = self._moment - _SEEN_AGAIN
        for case in cases:
            if case.is_left_alone:
                continue
            for claim in case.claims:
                known = case.found.get(claim.key)
                if known is None or known.last_seen_at is None or not case.is_mine(claim.key):
                    continue
                if claim.verified and not self._still_verified(known):
                    case.verified_now |= {claim.identity.value}
                    again.append((*claim.key, known.origin, self._moment))
                elif known.last_seen_at <= long_ago:
                    again.append((*claim.key, known.origin, None))
        heard_since = self._moment - timedelta(days=self._settings.silent_days)
        await repository.seen(self._db, self._shop.id, self._moment, heard_since, again)

    async def change(self, cases: Sequence[_Case], outcomes: list[Outcome | None], *, also: Sequence[str] = ()) -> None:
        """Apply the fields that differ, and set the outcome of each known customer's row.

        Args:
            also: what else has changed and must be told, whether or not a field differs.
        """
        concerned: dict[int, _Case] = {}
        for case in cases:
            assert case.person is not None  # noqa: S101 known
            brought_by, origin = case.brought_by()
            outcomes[case.index] = Outcome(UNCHANGED, case.person.owner, origin=origin, brought_by=brought_by)
            if case.is_left_alone:
                continue
            if case.extra or case.write.fields or case.write.attributes or case.verified_now or also:
                concerned[case.person.owner] = case
        if not concerned:
            return
        rows = await repository.lock(self._db, self._shop.id, sorted(concerned))
        if len(rows) < len(concerned) or any(row["merged_into"] is not None for row in rows):
            raise StartOver  # merged meanwhile: whoever answers now is found from the start
        moment = clock.now()  # read after the lock: whoever comes later was told later
        altered = await self._put_attributes(concerned.values(), moment)
        changed: list[tuple[Any, ...]] = []
        weighed_anew: list[_Case] = []
        for row in rows:
            case = concerned[row["id"]]
            after, told, differing = await self._after(row, case, moment)
            differing += [f"attributes.{name}" for name in sorted(altered.get(row["id"], ()))]
            known_otherwise = bool(case.extra or case.verified_now)
            if known_otherwise and row["members"] > 1:
                weighed_anew.append(case)
            if not differing and not known_otherwise and not also:
                continue
            what = [*differing, *(["identities"] if known_otherwise else []), *also]
            happened = {"customer_id": row["id"], "fields": what}
            key = self._shop.keys.person(row["id"], row["wrapped"])
            changed.append((row["id"], case.write.told | happened, told, *records.seal_profile(key, after)))
            outcome = outcomes[case.index]
            assert outcome is not None  # noqa: S101 set above
            outcome.status = UPDATED
        if changed:
            await repository.update(self._db, self._shop.id, moment, changed)
        await self._weigh(weighed_anew, outcomes)

    async def _weigh(self, cases: Sequence[_Case], outcomes: list[Outcome | None]) -> None:
        """Who answers for a merged person depends on what their records are known by."""
        records_known = {case.person.origin: case for case in cases if case.person is not None}
        if not records_known:
            return
        await be_brief(self._db)  # what is locked here already, someone may wait for who is to let us through
        owners = await merging.settle(self._db, self._shop, records_known)
        await be_patient(self._db)
        for record, case in records_known.items():
            outcome = outcomes[case.index]
            assert outcome is not None  # noqa: S101 set before
            outcome.customer_id = owners[record]

    async def _put_attributes(self, cases: Iterable[_Case], moment: datetime) -> Mapping[int, Collection[str]]:
        described = [(case.person.person(self._shop), case.write.attributes) for case in cases if case.person]
        return await attributes.put(self._db, self._shop, moment, described)

    async def _after(
        self, row: Row, case: _Case, moment: datetime
    ) -> tuple[records.Profile, dict[str, Any], list[str]]:
        """A locked customer's profile once the write is applied, whose word each field is, and what differs."""
        assert case.person is not None  # noqa: S101 known
        key = self._shop.keys.person(row["id"], row["wrapped"])
        before = records.open_profile(key, row)
        keeps = case.write.keeps_mobile and before["mobile"] is not None
        fields = ({"mobile": before["mobile"]} if keeps else {}) | case.write.fields
        if case.write.policy == "fill":
            fields |= {name: value for name, value in before.items() if value != EMPTY[name]}
        dropped = case.write.dropped_mobile
        if dropped is not None and before["mobile"] == dropped:
            fields["mobile"] = None
        after = _apply(before, fields, case.extra)
        named = {claim.identity.value for claim in case.claims if claim.identity.kind == "mobile"}
        if "mobile_verified" in fields and named and after["mobile"] not in named:
            # Said of a number that is held, and not of the one that is shown.
            after["mobile_verified"] = before["mobile_verified"] and after["mobile"] == before["mobile"]
        if after["mobile"] in case.verified_now and "mobile_verified" not in fields:
            after["mobile_verified"] = True
        differing = sorted(name for name in COLUMNS if before[name] != after[name])
        word = [moment.isoformat(), self._source, case.person.origin]
        if row["members"] == 1:
            if case.person.origin != row["id"]:
                raise StartOver  # taken apart meanwhile
            return after, row["told"] | dict.fromkeys(differing, word), differing
        theirs = [name for name in differing if name != "mobile_verified"]  # goes with its number
        given = {name: (after[name], word) for name in theirs if after[name] not in (None, EMPTY[name])}
        cleared = [name for name in theirs if name not in given and (name != "mobile" or dropped is None)]
        # What the person's profile says already is this record's word too, and stays so if they are taken apart.
        said = () if case.write.policy == "fill" else case.write.fields.keys() & COLUMNS.keys()
        again = set(said) - set(differing) - {"mobile", "mobile_verified"}
        given |= {name: (after[name], word) for name in again if after[name] not in (None, EMPTY[name])}
        verified = None
        if {"mobile", "mobile_verified"} & set(differing) and after["mobile"] is not None:
            known = after["mobile_verified"] or after["mobile"] == before["mobile"]
            verified = (after["mobile"], after["mobile_verified"]) if known else None
        after, told = await merging.tell(
            self._db,
            self._shop,
            row,
            {case.person.origin: given},
            cleared,
            again=again,
            verified=verified,
            dropped=dropped,
        )
        return after, told, sorted(name for name in COLUMNS if before[name] != after[name])

    async def _keep_conflicts(self, cases: Sequence[_Case], outcomes: list[Outcome | None]) -> None:
        for case in cases:
            outcome = outcomes[case.index]
            if case.conflicts and outcome is not None:
                outcome.conflicts = await merging.put_conflicts(self._db, self._shop, case.conflicts, self._moment)


def _claimed(key: PersonKey, origin: int, claims: Collection[_Claim]) -> list[tuple[Any, ...]]:
    """Identities of one record as rows of CLAIM_ARRAYS."""
    values = key.seal_all([("identities.value", claim.identity.value) for claim in claims])
    return [
        (*claim.key, origin, claim.identity.scope or None, sealed, claim.verified or None)
        for claim, sealed in zip(claims, values, strict=True)
    ]


def _apply(before: dict[str, Any], fields: dict[str, Any], new_claims: Sequence[_Claim]) -> dict[str, Any]:
    """The profile after a write. A mobile that is new to the customer is shown from now on, unless the write says."""
    after = before | fields
    after["gender"] = after["gender"] or 0
    if "mobile" not in fields:
        for claim in new_claims:
            if claim.identity.kind == "mobile":
                after["mobile"] = claim.identity.value
                break
    if after["mobile"] != before["mobile"] and "mobile_verified" not in fields:
        # The one before says nothing about this one.
        after["mobile_verified"] = after["mobile"] in [c.identity.value for c in new_claims if c.verified]
    after["mobile_verified"] = bool(after["mobile_verified"])
    return after

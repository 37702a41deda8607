"""Make several records one person, and take that back: ownership and fields are computed from the edges there are."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from app.access.settings import IdentitySettings
from app.access.shops import Shop
from app.changes import repository as changes
from app.core import clock
from app.core.crypto import PersonKey
from app.core.db import Connection, Row, columns
from app.core.errors import StartOver
from app.core.ids import derived_id, new_id
from app.customers import policy, records
from app.customers.errors import CustomerNotFound
from app.customers.merging import repository
from app.customers.merging.errors import AlreadyOneCustomer, ConflictNotFound, MergeNotFound
from app.customers.merging.graph import Clusters, winner
from app.customers.merging.survivorship import Record, Survivor, survive

MERGED: Final = "customer.merged"
REVERSED: Final = "customer.merge_reversed"

# Why two records stay apart although a write names both.
UNVERIFIED: Final = "unverified"
LIMIT: Final = "limit"
REVERSED_BEFORE: Final = "reversed_before"


class Edge(NamedTuple):
    """Two records that are one person. `kind`: what the other one was recognised by, where a write said so."""

    customer_id: int
    other_id: int
    cause: str
    kind: str | None = None


class Conflict(NamedTuple):
    """Two records that a write named as one person and that stay apart until someone decides."""

    customer_id: int
    other_id: int
    reason: str
    kind: str | None


@dataclass(slots=True)
class Neighbourhood:
    """Some people with all their records; where they are locked, it may be changed. `edges`: reversed ones too."""

    settings: IdentitySettings
    rows: dict[int, Row]
    held: list[Row]
    edges: list[Row]
    dismissed: set[frozenset[int]]
    clusters: Clusters = field(init=False)

    def __post_init__(self) -> None:
        self.refresh(self.edges)

    def refresh(self, edges: list[Row]) -> None:
        """The edges have changed, and who belongs together with them."""
        self.edges = edges
        live = ((edge["customer_id"], edge["other_id"]) for edge in self.edges if edge["reversed_at"] is None)
        self.clusters = Clusters(self.rows, live)

    def owner_before(self, record: int) -> int:
        """Who answered for it when it was looked at."""
        row = self.rows[record]
        owner: int = row["merged_into"] or row["id"]
        return owner

    def merged_at(self, group: Collection[int]) -> datetime:
        """Since when these records, of one person, are exactly the ones that they are."""
        since: datetime = max(
            edge["merged_at"] for edge in self.edges if edge["reversed_at"] is None and edge["customer_id"] in group
        )
        return since

    def is_provisional(self, record: int) -> bool:
        """Whether its person is known, but by nothing that names a person."""
        members = set(self.clusters.members(record))
        kinds = {row["kind"] for row in self.held if row["origin_customer_id"] in members}
        return bool(kinds) and kinds <= policy.PROVISIONAL  # whoever has lost all of theirs was somebody

    def kept_apart(self, one: int, other: int) -> str | None:
        """Whether someone decided that these two people are two, and how."""
        mine, theirs = set(self.clusters.members(one)), set(self.clusters.members(other))
        for edge in self.edges:
            pair = {edge["customer_id"], edge["other_id"]}
            if edge["reversed_at"] is not None and pair & mine and pair & theirs:
                return REVERSED_BEFORE
        return "dismissed" if any(pair & mine and pair & theirs for pair in self.dismissed) else None

    def too_many(self, one: int, other: int) -> list[str]:
        """Which kinds of identity the two together would have more of than one person has at a time."""
        places: list[tuple[str, str]] = []
        for record in (one, other):
            members = set(self.clusters.members(record))
            active: dict[tuple[str, str], int] = {}
            for row in self.held:
                if row["origin_customer_id"] in members and row["kind"] not in policy.PROVISIONAL:
                    active[row["kind"], row["scope"]] = active.get((row["kind"], row["scope"]), 0) + 1
            for place, count in active.items():
                places += [place] * min(count, policy.limit(self.settings, *place))
        return policy.over_limits(self.settings, places)


@dataclass(frozen=True, slots=True)
class Preview:
    """What a merge would do: who answers for both, which rows move, whose word on each field counts, and doubts."""

    winner_id: int
    moves: dict[str, int]
    fields: dict[str, Survivor]
    doubts: list[str]


async def look(db: Connection, shop: Shop, ids: Collection[int]) -> Neighbourhood:
    """Everyone whom these records belong to, with all their records, as they are at this moment.

    Raises: StartOver when someone changes them meanwhile; CustomerNotFound.
    """
    return await _neighbourhood(db, shop, ids, lock=False)


async def lock(db: Connection, shop: Shop, ids: Collection[int]) -> Neighbourhood:
    """The same, and nobody else changes them until this transaction ends.

    Raises: StartOver when someone changed them meanwhile; CustomerNotFound.
    """
    await repository.pass_gate(db, shop.id)
    return await _neighbourhood(db, shop, ids, lock=True)


async def _neighbourhood(db: Connection, shop: Shop, ids: Collection[int], *, lock: bool) -> Neighbourhood:
    found = await db.fetch(repository.ANSWERING, shop_id=shop.id, ids=list(ids))
    if len(found) < len(set(ids)):
        raise CustomerNotFound(field="customer_id")
    owners = {row["owner"] for row in found}
    rows = {row["id"]: row for row in await repository.records(db, shop.id, owners, lock=lock)}
    members = {row["id"] for row in await db.fetch(repository.MEMBERS, shop_id=shop.id, owners=list(owners))}
    if members != rows.keys() or any(rows[owner]["merged_into"] is not None for owner in owners):
        raise StartOver  # someone else was first; what they made of it is seen from the start
    among = {"shop_id": shop.id, "members": list(rows)}
    return Neighbourhood(
        shop.settings.identity_policy,
        rows,
        held=await db.fetch(repository.HELD, shop_id=shop.id, owners=list(owners)),
        edges=await db.fetch(repository.EDGES, **among),
        dismissed={frozenset(row.values()) for row in await db.fetch(repository.DISMISSED, **among)},
    )


async def join(
    db: Connection, shop: Shop, around: Neighbourhood, edges: Sequence[Edge], actor: str
) -> tuple[dict[int, int], list[UUID]]:
    """Add edges between locked records, and let everything follow.

    Returns: who answers for each record now, and the ids of the edges.
    """
    moment = clock.now()
    ids = [new_id() for _ in edges]
    await repository.add_edges(
        db,
        shop.id,
        actor,
        moment,
        [(id_, edge.customer_id, edge.other_id, edge.cause, edge.kind) for id_, edge in zip(ids, edges, strict=True)],
    )
    around.refresh(await db.fetch(repository.EDGES, shop_id=shop.id, members=list(around.rows)))
    owners = await _settle(db, shop, around, moment)
    await _settle_conflicts(db, shop, owners, actor, moment)
    facts: list[tuple[str, int | None, dict[str, Any]]] = []
    for id_, edge in zip(ids, edges, strict=True):
        owner = owners[edge.customer_id]
        merged = sorted({edge.customer_id, edge.other_id} - {owner})
        facts.append((MERGED, owner, {"merge_id": str(id_), "customer_id": owner, "merged_ids": merged}))
    await changes.emit(db, shop.id, facts, moment)
    return owners, ids


async def settle(db: Connection, shop: Shop, ids: Collection[int]) -> dict[int, int]:
    """Who answers for these records and those they are one with, as they are known now.

    Raises: StartOver; CustomerNotFound.
    """
    return await _settle(db, shop, await lock(db, shop, ids), clock.now())


async def merge(db: Connection, shop: Shop, customer_id: int, other_id: int, actor: str, cause: str = "request") -> Row:
    """Make two records one person, whatever the policy says: someone has decided. Returns the edge.

    Raises: CustomerNotFound; AlreadyOneCustomer; StartOver.
    """
    around = await lock(db, shop, {customer_id, other_id})
    if around.clusters.of(customer_id) == around.clusters.of(other_id):
        raise AlreadyOneCustomer(field="other_id")
    _, (merge_id,) = await join(db, shop, around, [Edge(customer_id, other_id, cause)], actor)
    edge = await repository.get_edge(db, shop.id, merge_id)
    assert edge is not None  # noqa: S101 added above
    return edge


async def preview(db: Connection, shop: Shop, customer_id: int, other_id: int) -> Preview:
    """What `merge` would do now. Raises: CustomerNotFound; AlreadyOneCustomer; StartOver."""
    around = await look(db, shop, {customer_id, other_id})
    if around.clusters.of(customer_id) == around.clusters.of(other_id):
        raise AlreadyOneCustomer(field="other_id")
    doubts = [
        f"{kind}: together they would have more than {policy.of_kind(shop.settings.identity_policy, kind).limit}"
        for kind in around.too_many(customer_id, other_id)
    ]
    if why := around.kept_apart(customer_id, other_id):
        doubts.append(f"someone has decided that they are two: {why}")
    around.clusters.join(customer_id, other_id)
    (winner_id,) = {_winner(around, group) for group in around.clusters.groups() if customer_id in group}
    losing = [owner for owner in {around.owner_before(one) for one in around.rows} if owner != winner_id]
    _, fields = survive(await _records(db, shop, around, list(around.rows)))
    return Preview(winner_id, await repository.would_follow(db, shop.id, losing), fields, doubts)


async def reverse(db: Connection, shop: Shop, merge_id: UUID, actor: str) -> tuple[Row, dict[int, int]]:
    """Take an edge away: everything belongs to whom the remaining edges say. Twice is once.

    Returns: the edge, and who answers for each of its two records now.
    Raises: MergeNotFound; StartOver.
    """
    edge = await repository.get_edge(db, shop.id, merge_id)
    if edge is None:
        raise MergeNotFound(field="merge_id")
    ends = (edge["customer_id"], edge["other_id"])
    around = await lock(db, shop, set(ends))
    moment = clock.now()
    if not await db.execute(repository.REVERSE, shop_id=shop.id, id=merge_id, actor=actor, moment=moment):
        edge = await repository.get_edge(db, shop.id, merge_id)
        assert edge is not None  # noqa: S101 found above, and edges stay
        return edge, {end: around.owner_before(end) for end in ends}
    around.refresh(await db.fetch(repository.EDGES, shop_id=shop.id, members=list(around.rows)))
    owners = await _settle(db, shop, around, moment)
    told = {"merge_id": str(merge_id), "customer_id": owners[ends[0]], "other_id": owners[ends[1]]}
    await changes.emit(db, shop.id, [(REVERSED, owners[ends[0]], told)], moment)
    edge = await repository.get_edge(db, shop.id, merge_id)
    assert edge is not None  # noqa: S101 found above
    return edge, {end: owners[end] for end in ends}


async def merges_of(db: Connection, shop: Shop, owner: int) -> list[Row]:
    """The edges that any record of a person is an end of, newest first."""
    members = [row["id"] for row in await db.fetch(repository.MEMBERS, shop_id=shop.id, owners=[owner])]
    return await db.fetch(repository.EDGES_OF, shop_id=shop.id, members=members)


async def put_conflicts(db: Connection, shop: Shop, conflicts: Iterable[Conflict], moment: datetime) -> list[UUID]:
    """Keep what stays apart for someone to decide. Returns their ids, in the order given."""
    pairs: dict[tuple[int, int], tuple[Any, ...]] = {}
    ids: list[UUID] = []
    for conflict in conflicts:
        low, high = sorted((conflict.customer_id, conflict.other_id))
        id_ = derived_id("merge_conflict", shop.id, low, high)
        ids.append(id_)
        pairs[low, high] = (id_, low, high, conflict.reason, conflict.kind)
    if pairs:
        await repository.put_conflicts(db, shop.id, moment, list(pairs.values()))
    return ids


async def resolve(db: Connection, shop: Shop, conflict_id: UUID, *, merging: bool, actor: str) -> Row:
    """Decide about a pair: merge them, or leave them apart and ask no more. Twice is once.

    Raises: ConflictNotFound; StartOver.
    """
    if merging:
        await repository.pass_gate(db, shop.id)  # whoever has passed it may want the pair's row
    conflict = await db.fetch_one(repository.GET_CONFLICT, shop_id=shop.id, id=conflict_id)
    if conflict is None:
        raise ConflictNotFound(field="conflict_id")
    if merging:
        around = await lock(db, shop, {conflict["customer_id"], conflict["other_id"]})
        if around.clusters.of(conflict["customer_id"]) == around.clusters.of(conflict["other_id"]):
            owners = {one: around.owner_before(one) for one in around.rows}
            await _settle_conflicts(db, shop, owners, actor, clock.now())
        else:
            await join(db, shop, around, [Edge(conflict["customer_id"], conflict["other_id"], "conflict")], actor)
    elif conflict["state"] == "open":
        await db.execute(repository.DISMISS, shop_id=shop.id, id=conflict_id, actor=actor, moment=clock.now())
    decided = await db.fetch_one(repository.GET_CONFLICT, shop_id=shop.id, id=conflict_id)
    assert decided is not None  # noqa: S101 found above, and conflicts stay
    return decided


async def tell(
    db: Connection,
    shop: Shop,
    answering: Row,
    told: dict[int, dict[str, Any]],
    cleared: Collection[str],
    *,
    again: Collection[str] = (),
    verified: tuple[str, bool] | None = None,
    dropped: str | None = None,
) -> tuple[records.Profile, dict[str, Any]]:
    """Change what single records of a merged person were told.

    Args:
        answering: the row of who answers for them, locked.
        told: by record, the profile fields that differ with their word: name to (value, word).
        cleared: fields that the person wants gone: every record forgets them.
        again: those of them that the person's profile says already: told only where the record itself says otherwise.
        verified: a mobile, and whether it is verified: in whichever records it stands.
        dropped: a mobile that nobody holds any more: the records that show it forget it, and no other.
    Returns: the profile that all of them make now, and `told` for it.
    Raises: StartOver when the records are not that person's any more.
    """
    members = await db.fetch(repository.MEMBERS, shop_id=shop.id, owners=[answering["id"]])
    rows = await repository.own_profiles(db, shop.id, [row["id"] for row in members])
    if not told.keys() <= {row["customer_id"] for row in rows}:
        raise StartOver
    known = [_record(shop, row) for row in rows]
    changed = []
    for record, row in zip(known, rows, strict=True):
        before = dict(record.profile)
        mine = {
            name: said
            for name, said in told.get(record.id, {}).items()
            if name not in again or record.profile[name] != said[0]
        }
        for name, (value, word) in mine.items():
            record.profile[name] = value
            record.told[name] = word
        record.profile |= {name: records.EMPTY[name] for name in cleared}
        if dropped is not None and record.profile["mobile"] == dropped:
            record.profile["mobile"] = None
        if record.profile["mobile"] != before["mobile"]:
            record.profile["mobile_verified"] = False  # the one before says nothing about this one
        if verified is not None and record.profile["mobile"] == verified[0]:
            record.profile["mobile_verified"] = verified[1]
        if not mine and record.profile == before:
            continue
        sealed = records.seal_profile(_key(shop, row), record.profile)
        changed.append((record.id, record.told, *sealed))
    if changed:
        await db.execute(
            repository.PUT_OWN,
            shop_id=shop.id,
            **columns(repository.PROFILE_ARRAYS, changed),
        )
    profile, survivors = survive(known)
    return profile, {name: survivor.word() for name, survivor in survivors.items()}


async def _settle(db: Connection, shop: Shop, around: Neighbourhood, moment: datetime) -> dict[int, int]:
    """Write who answers for whom by the clusters there are now. Returns that, by record."""
    owners: dict[int, int] = {}
    changed: list[list[int]] = []
    for group in around.clusters.groups():
        owner = _winner(around, group)
        before = {around.owner_before(record) for record in group}
        owners |= dict.fromkeys(group, owner)
        if before != {owner} or around.rows[owner]["members"] != len(group):
            changed.append(group)
    alone = [group[0] for group in changed if len(group) == 1]
    together = [group for group in changed if len(group) > 1]
    await _set_profiles(db, shop, around, alone, together, owners, moment)
    merged = [record for group in together for record in group if owners[record] != record]
    await db.execute(repository.SET_MERGED, shop_id=shop.id, ids=merged, owners=[owners[record] for record in merged])
    moves = {record: owner for record, owner in owners.items() if around.owner_before(record) != owner}
    before = {around.owner_before(record) for record in moves}
    await repository.follow(db, shop.id, before, moves)
    touched = before | {owners[record] for group in changed for record in group}
    await changes.mark_changed(db, shop.id, sorted(touched), moment)
    return owners


async def _settle_conflicts(db: Connection, shop: Shop, owners: dict[int, int], actor: str, moment: datetime) -> None:
    """Pairs that are one person by now need no decision any more."""
    await db.execute(
        repository.SETTLE_CONFLICTS,
        shop_id=shop.id,
        members=list(owners),
        owners=list(owners.values()),
        actor=actor,
        moment=moment,
    )


async def _set_profiles(
    db: Connection,
    shop: Shop,
    around: Neighbourhood,
    alone: list[int],
    together: list[list[int]],
    owners: dict[int, int],
    moment: datetime,
) -> None:
    everyone = [record for group in together for record in group]
    if everyone:
        fresh = [record for record in everyone if _was_alone(around, record)]
        await db.execute(repository.SAVE_OWN, shop_id=shop.id, ids=fresh)
        known = {record.id: record for record in await _records(db, shop, around, everyone)}
        answering = []
        for group in together:
            owner = owners[group[0]]
            profile, survivors = survive([known[record] for record in group])
            told = {name: survivor.word() for name, survivor in survivors.items()}
            sealed = records.seal_profile(_key(shop, around.rows[owner]), profile)
            answering.append((owner, len(group), around.merged_at(group), told, *sealed))
        await db.execute(
            repository.SET_ANSWERING,
            shop_id=shop.id,
            moment=moment,
            **columns(repository.ANSWERING_ARRAYS, answering),
        )
    if alone:
        await db.execute(repository.RESTORE, shop_id=shop.id, ids=alone, moment=moment)
        await db.execute(repository.DROP_OWN, shop_id=shop.id, ids=alone)


async def _records(db: Connection, shop: Shop, around: Neighbourhood, ids: list[int]) -> list[Record]:
    """What each was told: kept apart for who is one of several, else the customer's own row."""
    apart = {row["customer_id"]: row for row in await repository.own_profiles(db, shop.id, ids)}
    return [_record(shop, apart.get(record) or around.rows[record]) for record in ids]


def _record(shop: Shop, row: Row) -> Record:
    id_ = row["customer_id"] if "customer_id" in row else row["id"]
    profile = records.open_profile(_key(shop, row), row)
    profile["gender"] = profile["gender"] or 0
    return Record(id_, profile, row["told_at"], row["told_by"], dict(row["told"]))


def _key(shop: Shop, row: Row) -> PersonKey:
    id_ = row["customer_id"] if "customer_id" in row else row["id"]
    return shop.keys.person(id_, row["wrapped"])


def _was_alone(around: Neighbourhood, record: int) -> bool:
    row = around.rows[record]
    return row["merged_into"] is None and row["members"] == 1


def _winner(around: Neighbourhood, group: list[int]) -> int:
    strengths: dict[int, int] = {}
    for row in around.held:
        origin = row["origin_customer_id"]
        weight = policy.weight(around.settings, row["kind"], verified=row["verified_at"] is not None)
        strengths[origin] = max(strengths.get(origin, 0), weight)
    return winner(group, strengths, {record: around.rows[record]["created_at"] for record in group})

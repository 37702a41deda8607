"""Define segments and change them: a rule is a version, which counts once everybody has been asked."""

from collections.abc import Collection
from typing import Any, Final, NamedTuple
from uuid import UUID

from app.access.shops import Shop
from app.attributes import repository as attributes
from app.changes import repository as changes
from app.core import clock
from app.core.db import Connection, Row
from app.core.errors import StartOver, Unprocessable
from app.core.ids import new_id
from app.events import repository as events
from app.events.declarations import BUILT_IN
from app.segments.definitions import repository
from app.segments.definitions.schemas import SegmentCreate, SegmentPatch
from app.segments.errors import (
    SegmentArchived,
    SegmentChanged,
    SegmentCircle,
    SegmentExists,
    SegmentKind,
    SegmentNotFound,
    TooManySegments,
)
from app.segments.membership import plan
from app.segments.membership.plan import LIST
from app.segments.membership.requests import BUILD, request_build
from app.segments.rules.checking import Checked, Dependencies, check
from app.tags import declarations
from app.tags import repository as tags
from app.uses import service as uses
from app.uses.service import User

MOST_SEGMENTS: Final = 500
SEGMENT: Final = "segment"


class ListChange(NamedTuple):
    """What became of a change of a list: of how many it was one, and who is nobody."""

    changed: int
    unchanged: int
    unknown: list[int]


async def create(db: Connection, shop: Shop, told: SegmentCreate, actor: str, *, unmasked: bool) -> tuple[int, UUID]:
    """Define a segment. Returns its number, and the job that builds it.

    Raises: SegmentExists, TooManySegments, RuleUnfit, SegmentCircle, ScopeMissing, TagIsAutomatic, TagCarried.
    """
    # Whoever defines waits for who does: so many segments, circles, and what is used by what are looked at by one.
    await plan.defined_anew(db, shop.id, new_id())
    if await db.fetch_value(repository.COUNT, shop_id=shop.id) >= MOST_SEGMENTS:
        raise TooManySegments(f"A shop has up to {MOST_SEGMENTS} segments: archive one")
    moment = clock.now()
    fields = told.model_dump(include={"name", "kind", "description", "folder", "owner", "announce"})
    tag_id = await declarations.take_for_rule(db, shop.id, told.tag) if told.tag is not None else None
    segment_id = await db.fetch_value(repository.ADD, shop_id=shop.id, tag_id=tag_id, moment=moment, **fields)
    if segment_id is None:
        raise SegmentExists(f"Another segment is called {told.name}", field="name")
    if told.snapshot is not None:
        await check(db, shop, told.snapshot.tree, unmasked=unmasked)
    rule = _stored(told.tree) if told.tree is not None else {"kind": LIST, "segment": segment_id}
    checked = await check(db, shop, told.tree, unmasked=unmasked) if told.tree is not None else None
    await _write_version(db, shop, segment_id, 1, rule, actor, masked=checked is not None and checked.masked)
    await _record_uses(db, shop.id, User(SEGMENT, segment_id, told.name), checked, tag_id)
    if told.customer_ids is not None:
        values = {"segment_id": segment_id, "customer_ids": told.customer_ids}
        rows = await db.fetch(repository.PUT_ON, shop_id=shop.id, actor=actor, moment=moment, **values)
        if unknown := sorted(set(told.customer_ids) - {row["id"] for row in rows}):
            raise Unprocessable(f"There is no customer {unknown[0]}: leave out who is not there", field="customer_ids")
    snapshot = _stored(told.snapshot.tree) if told.snapshot is not None else None
    job = await request_build(db, shop.id, segment_id, 1, "definition", snapshot=snapshot)
    return segment_id, job["id"]


async def change(
    db: Connection, shop: Shop, segment_id: int, told: SegmentPatch, actor: str, *, unmasked: bool
) -> UUID | None:
    """Change a segment. Returns the job that builds a new version, if there is one.

    Raises: SegmentNotFound, SegmentArchived, SegmentChanged, SegmentExists, SegmentKind, RuleUnfit, SegmentCircle,
        ScopeMissing.
    """
    await plan.defined_anew(db, shop.id, new_id())
    row = await _held(db, shop.id, segment_id)
    if told.version is not None and told.version != row["version"]:
        raise SegmentChanged(f"The newest version is {row['version']}: read it, and change that", field="version")
    sent = told.model_dump(include=told.model_fields_set - {"rule", "text", "version"})
    fields = {name: row[name] for name in ("name", "description", "folder", "owner", "announce")} | sent
    if await db.fetch_value(repository.NAMED, shop_id=shop.id, name=fields["name"], id=segment_id) is not None:
        raise SegmentExists(f"Another segment is called {fields['name']}", field="name")
    version, user = row["version"], User(SEGMENT, segment_id, fields["name"])
    job: UUID | None = None
    if told.tree is not None:
        if row["kind"] != "dynamic":
            raise SegmentKind("A static segment follows its list: put customers on it or take them off", field="rule")
        version += 1
        checked = await check(db, shop, told.tree, unmasked=unmasked)
        await _record_uses(db, shop.id, user, checked, row["tag_id"])
        await _write_version(db, shop, segment_id, version, _stored(told.tree), actor, masked=checked.masked)
        job = (await request_build(db, shop.id, segment_id, version, "definition"))["id"]
    elif user.name != row["name"]:
        await uses.rename(db, shop.id, user)
    await db.execute(
        repository.CHANGE,
        shop_id=shop.id,
        id=segment_id,
        version=version,
        state=row["state"],
        moment=clock.now(),
        **fields,
    )
    return job


async def archive(db: Connection, shop: Shop, segment_id: int, actor: str) -> UUID:
    """Keep a segment no more: a last version, of nobody. Returns the job that builds it; asked again, another one.

    Raises: SegmentNotFound, SegmentArchived, StillUsed.
    """
    await plan.defined_anew(db, shop.id, new_id())
    row = await _held(db, shop.id, segment_id, archiving=True)
    if row["state"] == "archiving":  # its build may have been given up
        again: UUID = (await request_build(db, shop.id, segment_id, row["version"], "definition"))["id"]
        return again
    await uses.refuse_used(db, shop.id, SEGMENT, str(segment_id))
    # Until everybody has left it, it has a tag to take from them.
    await _record_uses(db, shop.id, User(SEGMENT, segment_id, row["name"]), None, row["tag_id"])
    version = row["version"] + 1
    await _write_version(db, shop, segment_id, version, None, actor, masked=False)
    fields = {name: row[name] for name in ("name", "description", "folder", "owner", "announce")}
    values = fields | {"version": version, "state": "archiving", "moment": clock.now()}
    await db.execute(repository.CHANGE, shop_id=shop.id, id=segment_id, **values)
    job: UUID = (await request_build(db, shop.id, segment_id, version, "definition"))["id"]
    return job


async def rebuild(db: Connection, shop: Shop, segment_id: int, key: str | None) -> UUID:
    """Ask everybody again by the rule that is live, or by the first where none has come to be. Returns the job.

    Raises: SegmentNotFound, SegmentArchived.
    """
    row = await _held(db, shop.id, segment_id)
    version, snapshot = None, None
    if row["live_version"] is None:
        version = row["version"]
        snapshot = await db.fetch_value(repository.SNAPSHOT, shop_id=shop.id, id=segment_id, kind=BUILD)
    job = await request_build(db, shop.id, segment_id, version, "definition", snapshot=snapshot, key=key)
    job_id: UUID = job["id"]
    return job_id


async def put_on_list(
    db: Connection, shop: Shop, segment_id: int, customer_ids: Collection[int], actor: str
) -> ListChange:
    """Put customers on a static segment's list; may run twice.

    Raises: SegmentNotFound, SegmentArchived, SegmentKind.
    """
    await _of_list(db, shop.id, segment_id)
    values = {"segment_id": segment_id, "customer_ids": list(customer_ids), "actor": actor, "moment": clock.now()}
    return await _list_changed(db, shop.id, await db.fetch(repository.PUT_ON, shop_id=shop.id, **values), customer_ids)


async def lists(db: Connection, shop_id: int, refs: Collection[int | str]) -> dict[int | str, int | SegmentKind]:
    """The static segments that are named by number or by name; of a dynamic one why it has no list."""
    ids, names = [ref for ref in refs if isinstance(ref, int)], [ref for ref in refs if isinstance(ref, str)]
    found: dict[int | str, int | SegmentKind] = {}
    for row in await db.fetch(repository.LISTS, shop_id=shop_id, ids=ids, names=names):
        told = row["id"] if row["kind"] == "static" else SegmentKind("A rule says who is in it", field="segment")
        found |= {row["id"]: told, row["name"]: told}
    return found


async def put_on_lists(
    db: Connection, shop: Shop, pairs: Collection[tuple[int, int]], actor: str
) -> set[tuple[int, int]]:
    """Put customers on lists of static segments. Returns the pairs of segment and customer that are new."""
    told = {"segment_ids": [segment for segment, _ in pairs], "customer_ids": [customer for _, customer in pairs]}
    moment = clock.now()
    rows = await db.fetch(repository.PUT_ON_LISTS, shop_id=shop.id, actor=actor, moment=moment, **told)
    new = {(row["segment_id"], row["customer_id"]) for row in rows}
    await changes.mark_changed(db, shop.id, sorted({customer for _, customer in new}), moment)
    return new


async def take_off_list(db: Connection, shop: Shop, segment_id: int, customer_ids: Collection[int]) -> ListChange:
    """Take customers off a static segment's list, whichever of their records is on it; may run twice.

    Raises: SegmentNotFound, SegmentArchived, SegmentKind.
    """
    await _of_list(db, shop.id, segment_id)
    values = {"segment_id": segment_id, "customer_ids": list(customer_ids)}
    rows = await db.fetch(repository.TAKE_OFF, shop_id=shop.id, **values)
    return await _list_changed(db, shop.id, rows, customer_ids)


async def _list_changed(
    db: Connection, shop_id: int, rows: Collection[Row], customer_ids: Collection[int]
) -> ListChange:
    moved = {row["owner"] for row in rows if row["changed"]}
    await changes.mark_changed(db, shop_id, sorted(moved), clock.now())
    changed = sum(row["changed"] for row in rows)
    unknown = sorted(set(customer_ids) - {row["id"] for row in rows})
    return ListChange(changed, len(rows) - changed, unknown)


async def _of_list(db: Connection, shop_id: int, segment_id: int) -> None:
    row = await db.fetch_one(repository.LOOK, shop_id=shop_id, id=segment_id)
    if row is None:
        raise SegmentNotFound(field="segment_id")
    if row["state"] != "active":
        raise SegmentArchived(field="segment_id")
    if row["kind"] != "static":
        raise SegmentKind("A rule says who is in a dynamic segment: change the rule", field="segment_id")


async def _held(db: Connection, shop_id: int, segment_id: int, *, archiving: bool = False) -> Row:
    query = repository.HOLD_TO_DROP if archiving else repository.HOLD
    row = await db.fetch_one(query, shop_id=shop_id, id=segment_id)
    if row is None:
        raise SegmentNotFound(field="segment_id")
    if row["state"] != "active" and not (archiving and row["state"] == "archiving"):
        raise SegmentArchived(field="segment_id")
    return row


async def _write_version(
    db: Connection,
    shop: Shop,
    segment_id: int,
    version: int,
    rule: dict[str, Any] | None,
    actor: str,
    *,
    masked: bool,
) -> None:
    values = {"segment_id": segment_id, "version": version, "rule": rule, "actor": actor, "masked": masked}
    await db.execute(repository.ADD_VERSION, shop_id=shop.id, moment=clock.now(), **values)


def _stored(rule: Any) -> dict[str, Any]:
    stored: dict[str, Any] = rule.model_dump(mode="json", by_alias=True, exclude_none=True)
    return stored


async def _record_uses(db: Connection, shop_id: int, user: User, checked: Checked | None, own_tag: int | None) -> None:
    """Hold what the rule names, so that none of it is dropped, and write down that it is used, as the own tag is."""
    depends = checked.depends if checked is not None else Dependencies()
    asked_tags = frozenset(checked.tags.values() if checked is not None else ())
    held = await tags.hold(db, shop_id, ids=asked_tags)
    attribute_types = await attributes.declared(db, shop_id, depends.attributes, hold=True)
    declared_events = depends.event_types - BUILT_IN
    event_types = await events.declared(db, shop_id, declared_events, hold=True)
    if (len(held), len(attribute_types), len(event_types)) != (
        len(asked_tags),
        len(depends.attributes),
        len(declared_events),
    ):
        raise StartOver  # something was dropped since the rule was checked
    await _refuse_circle(db, shop_id, user.id, depends.segments, asked_tags)
    things = checked.names() if checked is not None else set()
    own = {("tag", str(own_tag))} if own_tag is not None else set()
    # Until the new version is built, the one before says who is in it.
    before = await uses.by(db, shop_id, user.kind, user.id) if checked is not None else set()
    await uses.record(db, shop_id, user, things | own | before)


async def _refuse_circle(
    db: Connection, shop_id: int, segment_id: int, asked: frozenset[int], tag_ids: frozenset[int]
) -> None:
    """Raises SegmentCircle where the segments that a rule asks for, by members or by tags, ask for its own."""
    givers = {row["tag_id"]: row["id"] for row in await db.fetch(repository.GIVERS, shop_id=shop_id)}
    asks: dict[int, set[int]] = {}
    for row in await db.fetch(repository.ASKED, shop_id=shop_id):
        other = int(row["name"]) if row["thing"] == SEGMENT else givers.get(int(row["name"]))
        if other is not None and other != row["segment_id"]:  # its own tag it gives, and does not ask for
            asks.setdefault(row["segment_id"], set()).add(other)
    asks[segment_id] = {*asked, *(givers[tag] for tag in tag_ids & givers.keys())}
    reached, waiting = set(), list(asks[segment_id])
    while waiting:
        one = waiting.pop()
        if one == segment_id:
            raise SegmentCircle("By way of other segments or their tags, the rule asks for itself", field="rule")
        if one not in reached:
            reached.add(one)
            waiting += asks.get(one, ())

"""What is to be kept in a shop: its live rules, checked once for as long as nothing is defined anew."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import chain
from typing import Any, Final
from uuid import UUID

from sqlalchemy import bindparam as p
from sqlalchemy import select, text

from app.access.shops import Shop
from app.changes.repository import What
from app.core import clock
from app.core.db import Connection, Row, statement
from app.core.ids import new_id
from app.segments.errors import RuleUnfit
from app.segments.membership.requests import request_build
from app.segments.models import segment_versions, segments
from app.segments.rules import compiling
from app.segments.rules.checking import Checked, check_all
from app.segments.rules.making import Asking
from app.segments.rules.tree import RULE, ListRule, Place
from app.segments.rules.turning import Turning, turning
from app.segments.rules.windows import TICK, Moment

LIST: Final = "list"
_SHOPS: Final = 1_000
_TOGETHER: Final = 10  # more rules in a statement are no quicker

# The database's clock, read by whoever has claimed what it is about to look at.
STAND = statement(
    text(
        """
        select c.definitions, c.swept_to, greatest(clock_timestamp(), c.swept_to) as now,
            exists (select from segment_builds b where b.shop_id = :shop_id) as building,
            (select max(a.updated_at) from attribute_types a where a.shop_id = :shop_id) as attributes_at,
            (select max(e.updated_at) from event_types e where e.shop_id = :shop_id) as event_types_at
        from segment_clocks c where c.shop_id = :shop_id
        """
    )
)
START = statement(
    text(
        """
        insert into segment_clocks (shop_id, swept_to, definitions) values (:shop_id, :moment, :definitions)
        on conflict (shop_id) do update set definitions = excluded.definitions
        """
    )
)
HOLD = statement(text("select definitions from segment_clocks where shop_id = :shop_id for no key update"))
LIVE = statement(
    select(
        segments.c.id,
        segments.c.tag_id,
        segment_versions.c.version,
        segment_versions.c.rule,
        segment_versions.c.shares,
        segment_versions.c.problem,
    )
    .join(
        segment_versions,
        (segment_versions.c.shop_id == segments.c.shop_id)
        & (segment_versions.c.segment_id == segments.c.id)
        & (segment_versions.c.version == segments.c.live_version),
    )
    .where(segments.c.shop_id == p("shop_id"), segments.c.state != "archived")
    .order_by(segments.c.id)
)


TELL_UNFIT = statement(
    text(
        """
        update segment_versions v set problem = t.problem
        from segments s, unnest(cast(:ids as bigint[]), cast(:problems as text[])) as t (id, problem)
        where v.shop_id = :shop_id and s.shop_id = :shop_id and s.id = t.id
            and v.segment_id = s.id and v.version = s.live_version
        """
    )
)


@dataclass(frozen=True, slots=True)
class Kept:
    """A segment's rule that membership follows.

    Args:
        shares: the values that the rule's shares begin or end at.
        tag_id: of the automatic tag that members carry.
    """

    segment_id: int
    version: int
    checked: Checked
    shares: Mapping[Place, float | None]
    tag_id: int | None = None

    def asking(self, moment: Moment, since: Moment | None = None) -> Asking:
        """The rule asked at a moment."""
        return Asking(moment, self.checked, dict(self.shares), since)


@dataclass(frozen=True)
class Plan:
    """The live rules of a shop.

    Args:
        layers: each rule stands after those whose members or tags it asks for.
        unfit: those that do not fit the shop any more, and why: who is in them stays as it is.
    """

    key: tuple[Any, ...]
    layers: tuple[tuple[Kept, ...], ...]
    unfit: Mapping[int, str]

    @cached_property
    def rules(self) -> dict[int, Kept]:
        """By segment."""
        return {kept.segment_id: kept for layer in self.layers for kept in layer}

    @cached_property
    def turnings(self) -> dict[int, Turning | None]:
        """By segment, how to find those whom time may have turned; None where time turns nobody."""
        return {number: turning(kept.checked) for number, kept in self.rules.items()}

    @cached_property
    def facts(self) -> dict[int, frozenset[What]]:
        """By segment, of which facts its rule's answer may change; what else it asks for may change it anyway."""
        return {number: compiling.asks_facts(kept.checked.rule) for number, kept in self.rules.items()}

    def prepare(self) -> None:
        """Make all statements, which takes long for many rules or large ones."""
        for group in chain.from_iterable(self.groups):
            compiling.together(tuple(kept.checked for kept in group))
        _ = self.turnings

    @cached_property
    def groups(self) -> list[list[tuple[Kept, ...]]]:
        """Of each layer the rules that are asked together: of the same customers, and alike in looking at profiles."""
        return [[*_groups(layer)] for layer in self.layers]

    @cached_property
    def asks(self) -> dict[int, frozenset[int]]:
        """Of each segment those whose members it asks for, or whose tags."""
        givers = {kept.tag_id: kept.segment_id for kept in self.rules.values() if kept.tag_id is not None}
        return {number: _asked(kept.checked, givers) for number, kept in self.rules.items()}

    def downstream(self, segment_ids: Iterable[int]) -> set[int]:
        """These, and all that ask for them, by way of others too."""
        found = set(segment_ids)
        for layer in self.layers:
            found.update(kept.segment_id for kept in layer if not found.isdisjoint(self.asks[kept.segment_id]))
        return found

    def users_of(self, segment_id: int, tag_id: int | None) -> list[int]:
        """The segments that ask for this one's members, or for the tag that these carry."""
        return [
            number
            for number, kept in self.rules.items()
            if segment_id in kept.checked.depends.segments or tag_id in kept.checked.tags.values()
        ]


@dataclass(frozen=True, slots=True)
class Standing:
    """What is to be kept, and as of when.

    Args:
        moment: the database's now, never below what has been swept to; in a shop that shows history, its own.
        building: something is being built, and has to hear who is looked at meanwhile.
    """

    plan: Plan
    moment: Moment
    swept_to: datetime
    building: bool


_plans: dict[int, Plan] = {}


async def standing(db: Connection, shop: Shop) -> Standing | None:
    """What is to be kept now; None in a shop without segments."""
    row = await db.fetch_one(STAND, shop_id=shop.id)
    if row is None:
        return None
    key = (row["definitions"], row["attributes_at"], row["event_types_at"])
    plan = _plans.get(shop.id)
    if plan is None or plan.key != key:
        plan = await _load(db, shop, key)
        _plans.pop(shop.id, None)
        _plans[shop.id] = plan
        if len(_plans) > _SHOPS:
            del _plans[next(iter(_plans))]
    return Standing(plan, moment_of(shop, row["now"]), row["swept_to"], row["building"])


def moment_of(shop: Shop, now: datetime) -> Moment:
    """The moment that the shop's rules are asked at."""
    if shop.pinned_as_of is not None:
        now = clock.day_start(shop.pinned_as_of, shop.zone) - TICK
    return Moment(now, shop.zone)


async def defined_anew(db: Connection, shop_id: int, definitions: UUID) -> None:
    """From the commit on, whoever keeps membership looks at the definitions again."""
    await db.execute(START, shop_id=shop_id, moment=clock.now(), definitions=definitions)


async def hold_definitions(db: Connection, shop_id: int) -> None:
    """Wait for whoever defines anything, and hold up whoever comes to."""
    await db.execute(HOLD, shop_id=shop_id)


def read_rule(stored: Mapping[str, Any]) -> Any:
    """A rule as it is stored, which of a static segment is its list."""
    return ListRule.model_validate(stored) if stored["kind"] == LIST else RULE.validate_python(stored)


def read_shares(checked: Checked, stored: list[float | None] | None) -> dict[Place, float | None]:
    """The values that a rule's shares begin or end at, by the condition's place."""
    shares = compiling.shares(checked)
    return dict(zip(shares[1], stored or [None] * len(shares[1]), strict=True)) if shares else {}


async def _load(db: Connection, shop: Shop, key: tuple[Any, ...]) -> Plan:
    rows = [row for row in await db.fetch(LIVE, shop_id=shop.id) if row["rule"] is not None]
    looked_at = await check_all(db, shop, [read_rule(row["rule"]) for row in rows])
    unfit = {
        row["id"]: str(checked.detail)
        for row, checked in zip(rows, looked_at, strict=True)
        if isinstance(checked, RuleUnfit)
    }
    kept = [
        _kept(row, checked) for row, checked in zip(rows, looked_at, strict=True) if not isinstance(checked, RuleUnfit)
    ]
    told = {row["id"]: row["problem"] for row in rows}
    await db.execute(
        TELL_UNFIT,
        shop_id=shop.id,
        ids=[number for number, problem in unfit.items() if told[number] != problem],
        problems=[problem for number, problem in unfit.items() if told[number] != problem],
    )
    # Who came and went while a rule did not fit has not been asked.
    for one in kept:
        if told[one.segment_id] is not None:
            await request_build(
                db, shop.id, one.segment_id, None, "definition", key=f"fits:{one.segment_id}:{new_id()}"
            )
    plan = Plan(key, tuple(_layers(kept)), unfit)
    await asyncio.to_thread(plan.prepare)
    return plan


def _kept(row: Row, checked: Checked) -> Kept:
    return Kept(row["id"], row["version"], checked, read_shares(checked, row["shares"]), row["tag_id"])


def _layers(rules: Sequence[Kept]) -> Iterator[tuple[Kept, ...]]:
    """Each rule after those that it asks for; definitions refuse circles."""
    givers = {kept.tag_id: kept.segment_id for kept in rules if kept.tag_id is not None}
    waiting = {kept.segment_id: kept for kept in rules}
    asked = {number: _asked(kept.checked, givers) - {number} for number, kept in waiting.items()}
    while waiting:
        ready = [number for number in waiting if asked[number].isdisjoint(waiting)] or [*waiting]
        yield tuple(waiting.pop(number) for number in ready)


def _groups(layer: Sequence[Kept]) -> Iterator[tuple[Kept, ...]]:
    by_kind: dict[tuple[bool, frozenset[What]], list[Kept]] = {}
    for kept in layer:
        rule = kept.checked.rule
        by_kind.setdefault((compiling.asks_profile(rule), compiling.asks_facts(rule)), []).append(kept)
    for alike in by_kind.values():
        for start in range(0, len(alike), _TOGETHER):
            yield tuple(alike[start : start + _TOGETHER])


def _asked(checked: Checked, givers: Mapping[int, int]) -> frozenset[int]:
    return checked.depends.segments | {givers[tag_id] for tag_id in checked.tags.values() if tag_id in givers}

"""Whatever happens in whatever order, membership is what a plain evaluator says: built as a whole, kept, and swept."""

import asyncio
import os
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import timedelta
from random import Random
from typing import Any

import asyncpg
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from app.access.entry import Entry
from app.access.shops import Shop
from app.changes.repository import What
from app.core.ids import new_id
from app.segments.definitions import service as definitions
from app.segments.definitions.schemas import SegmentCreate, SegmentPatch
from app.segments.membership import building, sweeping
from app.segments.membership.keeping import keep
from app.segments.membership.moving import Cause
from app.segments.rules.windows import Moment
from tests.segments.rules import shops
from tests.segments.rules.oracle import Rule, World
from tests.segments.rules.test_oracle import PROPERTIES

# More by hand: KEHU_RULE_EXAMPLES=5000 ./kehu test tests/segments/test_kept_oracle.py
EXAMPLES = int(os.environ.get("KEHU_RULE_EXAMPLES", "200"))
YEARS = 12  # the shop's mark lies ahead of the clock, so that its now is what has been swept to
STEPS = [timedelta(microseconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1), timedelta(days=40)]
ATTRIBUTES = {name: kind for name, (kind, _) in shops.ATTRIBUTES.items()}


@dataclass
class Story:
    """A shop, what its segments ask for, and who was in them last."""

    entry: Entry
    shop: Shop
    connection: asyncpg.Connection
    tags: dict[str, int]
    chance: shops.Chance
    people: list[Any]
    rules: dict[int, Rule] = field(default_factory=dict)
    given: dict[int, str] = field(default_factory=dict)  # the automatic tags of segments
    seen: Counter[str] = field(default_factory=Counter)

    async def write(self) -> None:
        """The facts as they are, told now."""
        now = self.chance.now
        await shops.write(self.connection, self.shop, self.tags, self.people, received_at=now)

    async def mark(self) -> None:
        """The shop's now."""
        await self.connection.execute(
            "insert into segment_clocks (shop_id, swept_to, definitions) values ($1, $2, $3) "
            "on conflict (shop_id) do update set swept_to = excluded.swept_to",
            self.shop.id,
            self.chance.now,
            new_id(),
        )

    # ---- What happens

    async def define(self) -> None:
        """One more segment; perhaps of members of those before."""
        rule = self.rule()
        async with self.entry.shop(self.shop.id) as (db, of):
            name = str(new_id())
            tag = {"tag": name[-32:]} if self.chance.truth() else {}
            told = SegmentCreate.model_validate({"name": name, "rule": rule, "announce": "nothing", **tag})
            number, _ = await definitions.create(db, of, told, "test", unmasked=True)
        self.rules[number] = rule
        if tag:
            self.given[number] = tag["tag"]
        await self.build(number, 1, "definition")

    def rule(self, numbers: list[int] | None = None) -> Rule:
        """Any, but of shares, which are what they were when they were measured."""
        while "share" in str(rule := self.chance.timely() if self.chance.truth() else self.chance.rule(2)):
            pass
        among = [*(self.rules if numbers is None else numbers)]
        if among and self.chance.random.random() < 0.4:
            number = self.chance.one(among)
            inside: Rule = {"kind": "segment", "any_of": [number]}
            if number in self.given and self.chance.truth():
                inside = {"kind": "tag", "any_of": [self.given[number]]}
            return {"kind": self.chance.one(["all", "any"]), "of": [rule, self.chance.one([inside, _not(inside)])]}
        return rule

    async def edit(self) -> None:
        """Another rule, of those before it."""
        number = self.chance.one([*self.rules])
        rule = self.rule([other for other in self.rules if other < number])
        async with self.entry.shop(self.shop.id) as (db, of):
            told = SegmentPatch.model_validate({"rule": rule})
            await definitions.change(db, of, number, told, "test", unmasked=True)
            version = (await db.fetch_one(building.LOOK, shop_id=of.id, segment_id=number, version=None) or {})[
                "version"
            ]
        self.rules[number] = rule
        await self.build(number, version + 1, "definition")

    async def build(self, number: int, version: int | None, cause: Cause) -> None:
        """As the job does, with what follows from it."""
        job = new_id()
        async with self.entry.shop(self.shop.id) as (db, of):
            await building.begin(db, of, job, number)
        async with self.entry.shop(self.shop.id) as (db, of):
            done = await building.build(db, of, job, number, version, cause)
        assert "problem" not in done, done
        for user in done.get("users", ()):
            await self.build(user, None, cause)

    async def happen(self) -> None:
        """Somebody did something, or was merged, locked or forgotten."""
        who = self.chance.some(range(len(self.people)))
        for index in who:
            self.people[index] = self.chance.person(self.people[index].id)
        await self.write()
        # As a merge and its reversal do: what a record carries follows to whoever answers for it.
        await self.connection.execute(
            "update customer_tags a set customer_id = coalesce(c.merged_into, c.id) from customers c "
            "where a.shop_id = $1 and a.source = 'rule' and c.shop_id = $1 and c.id = a.origin_customer_id",
            self.shop.id,
        )
        changed = [self.people[index] for index in who]
        merged = {one.id: one.merged_into for one in changed if one.merged_into is not None}
        # What rules gave them follows, as all that is a record's own does.
        await self.connection.execute(
            "update customer_tags a set customer_id = m.owner from unnest($2::bigint[], $3::bigint[]) as m (id, owner) "
            "where a.shop_id = $1 and a.origin_customer_id = m.id and a.source = 'rule'",
            self.shop.id,
            [*merged],
            [*merged.values()],
        )
        async with self.entry.shop(self.shop.id) as (db, of):
            await keep(db, of, [one.id for one in changed if one.id not in merged], {}, merged)

    async def act(self) -> None:
        """Somebody does something, and nothing else is different: only rules that ask for it are asked."""
        one = self.chance.one(self.people)
        if one.merged_into is not None:
            return
        other = self.chance.person(one.id)
        what: What = self.chance.one(["event", "order"])
        if what == "event":
            one.events = other.events
        else:
            one.orders = other.orders
        await self.write()
        async with self.entry.shop(self.shop.id) as (db, of):
            await keep(db, of, [one.id], {}, {}, what={one.id: {what}})

    async def wait(self) -> None:
        """Time passes, and is swept."""
        self.chance.now += self.chance.one(STEPS)
        async with self.entry.shop(self.shop.id) as (db, of):
            turned = await sweeping.look(db, of, to=self.chance.now)
            assert turned is not None
            # Not only who has stats, as figures are made up here.
            await sweeping.sweep(db, of, turned, turned.everybody(), moment=Moment(self.chance.now, of.zone))
            await sweeping.finish(db, of, turned)

    # ---- What is then true

    def expected(self) -> dict[int, list[int]]:
        """Members by segment, by the plain evaluator."""
        people = [replace(one, segments=set(one.segments), tags=[*one.tags]) for one in self.people]
        world = World(people, self.chance.now, self.chance.zone, PROPERTIES, ATTRIBUTES)
        found: dict[int, list[int]] = {}
        for number, rule in self.rules.items():
            found[number] = world.members(rule)
            for one in people:
                if one.id in found[number]:
                    one.segments.add(number)
                    one.tags += [(self.given[number], None)] if number in self.given else []
        return found

    async def compare(self, after: str) -> None:
        """Members are who they should be, and the log tells of each coming and going once."""
        found: dict[int, list[int]] = {number: [] for number in self.rules}
        rows = await self.connection.fetch(
            "select segment_id, customer_id from segment_members where shop_id = $1 and segment_id = any($2) "
            "order by customer_id",
            self.shop.id,
            [*self.rules],
        )
        for row in rows:
            found[row["segment_id"]].append(row["customer_id"])
        expected = self.expected()
        assert found == expected, (after, self.chance.now, self.rules, self.people)
        assert await self.told() == {number: set(members) for number, members in expected.items()}, after
        carried = await self.connection.fetch(
            "select tag_id, name, array_agg(customer_id order by customer_id) as members from customer_tags a "
            "join tags t on t.shop_id = a.shop_id and t.id = a.tag_id "
            "where a.shop_id = $1 and a.source = 'rule' group by 1, 2",
            self.shop.id,
        )
        tagged = {self.given[number]: members for number, members in expected.items() if number in self.given}
        assert {row["name"]: row["members"] for row in carried} == {n: m for n, m in tagged.items() if m}, after
        self.seen["members"] += sum(map(len, expected.values()))

    async def told(self) -> dict[int, set[int]]:
        """Who is in by the log, where nobody comes who is in, or goes who is not."""
        inside: dict[int, set[int]] = {number: set() for number in self.rules}
        for row in await self.connection.fetch(
            "select segment_id, customer_id, entered from segment_changes "
            "where shop_id = $1 and segment_id = any($2) order by id",
            self.shop.id,
            [*self.rules],
        ):
            members = inside[row["segment_id"]]
            assert (row["customer_id"] in members) != row["entered"], dict(row)
            (members.add if row["entered"] else members.discard)(row["customer_id"])
            self.seen["moves"] += 1
        return inside


def _not(rule: Rule) -> Rule:
    return {"kind": "not", "of": rule}


async def _forget(connection: asyncpg.Connection, shop: Shop) -> None:
    await connection.execute("delete from customer_tags where shop_id = $1 and source = 'rule'", shop.id)
    await connection.execute("delete from tags where shop_id = $1 and kind = 'automatic'", shop.id)
    for table in ("segment_changes", "segment_versions", "segment_moves", "uses", "queued_jobs"):
        await connection.execute(f"delete from {table} where shop_id = $1", shop.id)  # noqa: S608
    for table, number in (("segment_members", "segment_id"), ("segments", "id")):
        sql = f"delete from {table} where shop_id = $1 and not {number} = any($2)"  # noqa: S608
        await connection.execute(sql, shop.id, shops.SEGMENTS)


async def test_kept_is_built_is_the_oracle(entry: Entry, shop: Shop, database_url: str) -> None:
    loop = asyncio.get_running_loop()
    connection = await shops.connect(database_url)
    tags = await shops.furnish(connection, shop)
    seen: Counter[str] = Counter()

    async def tell_one(random: Random) -> None:
        chance = shops.Chance(random, years=YEARS)
        told = replace(shop, zone=chance.zone)
        entry.shops._known[shop.id] = (float("inf"), told)
        story = Story(entry, told, connection, tags, chance, chance.people(), seen=seen)
        await _forget(connection, shop)
        await story.mark()
        await story.write()
        for _ in range(chance.random.randint(1, 3)):
            await story.define()
        await story.compare("define")
        for _ in range(4):
            what = chance.one(["happen", "act", "act", "wait", "wait", "edit"])
            seen[what] += 1
            await getattr(story, what)()
            await story.compare(what)

    # A seed has no simpler form.
    @settings(max_examples=EXAMPLES, phases=[Phase.reuse, Phase.generate], report_multiple_bugs=False)
    @given(random=st.randoms(use_true_random=True))
    def tell(random: Random) -> None:
        asyncio.run_coroutine_threadsafe(tell_one(random), loop).result(120)

    try:
        await asyncio.to_thread(tell)
    finally:
        entry.shops.forget(shop.id)
        await _forget(connection, shop)
        await connection.close()
    print(dict(seen))  # noqa: T201
    assert seen["moves"] > 2 * EXAMPLES

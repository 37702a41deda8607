"""Count, members, a batch, the sample and the explanation agree with a plain evaluator in Python."""

import asyncio
import os
from collections import Counter
from random import Random
from typing import Any

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from app.access.entry import Entry
from app.access.shops import Shop
from app.core.db import Connection
from app.segments.rules import compiling
from app.segments.rules.checking import check
from app.segments.rules.explaining import explain
from app.segments.rules.making import Asking
from app.segments.rules.tree import RULE
from app.segments.rules.windows import Moment
from app.segments.service import measured
from tests.segments.rules import shops
from tests.segments.rules.oracle import Rule, World, kinds

# More by hand: KEHU_RULE_EXAMPLES=1000 ./kehu test tests/segments/rules/test_oracle.py
EXAMPLES = int(os.environ.get("KEHU_RULE_EXAMPLES", "100"))
RULES = 3
PROPERTIES = {("fitting", name): kind for name, kind in shops.PROPERTIES.items()}


async def answers(db: Connection, shop: Shop, world: World, rule: Rule) -> dict[str, Any]:
    """What each way of asking says, and the oracle."""
    checked = await check(db, shop, RULE.validate_python(rule), unmasked=True)
    moment = Moment(world.now, world.zone)
    asking = Asking(moment, checked, await measured(db, shop.id, checked))
    everybody = [person.id for person in world.people]

    async def ask(compiled: compiling.Compiled, **more: Any) -> list[Any]:
        return await db.fetch(compiled.statement, shop_id=shop.id, **compiled.values(asking), **more)

    expected = world.members(rule)
    (count,) = await ask(compiling.count(checked))
    (found,) = await ask(compiling.found(checked), limit=20)
    members = [row["id"] for row in await ask(compiling.members(checked), after=0, limit=None)]
    among = [row["id"] for row in await ask(compiling.among(checked), customer_ids=everybody)]
    explained = {number: await explain(db, shop.id, asking, number) for number in everybody}
    told = {number: one for number, one in explained.items() if one is not None}
    assert told.keys() == set(everybody)
    wrong_leaves = [
        (person.id, leaf, evidence)
        for person in world.people
        for leaf, evidence in zip(shops.leaves(rule), told[person.id].evidence, strict=True)
        if evidence.holds != world.meets(leaf, person)
    ]
    return {
        "count": (count[0], len(expected)),
        "found": ((found["customers"], found["sample"]), (len(expected), expected[::-1])),
        "members": (members, expected),
        "among": (sorted(among), expected),
        "explained": ([number for number in everybody if told[number].holds], expected),
        "conditions": (wrong_leaves, []),
    }


async def test_every_way_of_asking_agrees_with_the_oracle(entry: Entry, shop: Shop, database_url: str) -> None:
    loop = asyncio.get_running_loop()
    connection = await shops.connect(database_url)
    tags = await shops.furnish(connection, shop)
    asked: Counter[str] = Counter()
    held: Counter[bool] = Counter()

    async def story(chance: shops.Chance) -> None:
        people = chance.people()
        attributes = {name: kind for name, (kind, _) in shops.ATTRIBUTES.items()}
        world = World(people, chance.now, chance.zone, PROPERTIES, attributes)
        await shops.write(connection, shop, tags, people)
        async with entry.shop(shop.id) as (db, of):
            for rule in [chance.rule() for _ in range(RULES)]:
                asked.update(kinds(rule))
                held.update(world.meets(rule, person) for person in people)
                for way, (said, expected) in (await answers(db, of, world, rule)).items():
                    assert said == expected, (way, rule, world)

    # A seed has no simpler form.
    @settings(max_examples=EXAMPLES, phases=[Phase.reuse, Phase.generate], report_multiple_bugs=False)
    @given(random=st.randoms(use_true_random=True))
    def tell(random: Random) -> None:
        asyncio.run_coroutine_threadsafe(story(shops.Chance(random)), loop).result(120)

    try:
        await asyncio.to_thread(tell)
    finally:
        await connection.close()
    print(sum(asked.values()), dict(asked), dict(held))  # noqa: T201
    assert {"all", "any", "not", *compiling.KINDS} <= asked.keys(), "every kind of condition was asked"
    assert held[True] > sum(held.values()) / 10, "and often enough it held"

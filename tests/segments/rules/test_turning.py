"""Whom time turns is found, whatever the rule; and next to nobody else where little has passed."""

import asyncio
import os
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from app.access.entry import Entry
from app.access.shops import Shop
from app.core.db import Connection
from app.segments.rules.checking import check
from app.segments.rules.making import Asking
from app.segments.rules.tree import RULE
from app.segments.rules.turning import AWAITED, turning
from app.segments.rules.windows import Moment
from tests.segments.rules import shops
from tests.segments.rules.oracle import Rule, World
from tests.segments.rules.test_oracle import PROPERTIES

# More by hand: KEHU_RULE_EXAMPLES=1000 ./kehu test tests/segments/rules/test_turning.py
EXAMPLES = int(os.environ.get("KEHU_RULE_EXAMPLES", "100"))
STEPS = [timedelta(microseconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1), timedelta(days=40)]


async def candidates(
    db: Connection, shop: Shop, rule: Rule, since: datetime, world: World
) -> tuple[set[int], set[int]]:
    """Whom the rule's own edges name, and whose facts have come true."""
    checked = await check(db, shop, RULE.validate_python(rule), unmasked=True)
    asking = Asking(Moment(world.now, world.zone), checked, {}, Moment(since, world.zone))
    awaited = await db.fetch(AWAITED, shop_id=shop.id, since=since, now=world.now)
    found = set()
    looked = turning(checked)
    if looked is not None and looked.passed(asking):
        compiled = looked.compiled
        found = {
            row["customer_id"] for row in await db.fetch(compiled.statement, shop_id=shop.id, **compiled.values(asking))
        }
    return found, {row["customer_id"] for row in awaited}


async def test_whoever_turns_is_found(entry: Entry, shop: Shop, database_url: str) -> None:
    loop = asyncio.get_running_loop()
    connection = await shops.connect(database_url)
    tags = await shops.furnish(connection, shop)
    seen: Counter[str] = Counter()

    async def story(chance: shops.Chance) -> None:
        people = chance.people()
        attributes = {name: kind for name, (kind, _) in shops.ATTRIBUTES.items()}
        now = World(people, chance.now, chance.zone, PROPERTIES, attributes)
        await shops.write(connection, shop, tags, people)
        for step in (chance.one(STEPS) for _ in range(2)):
            async with entry.shop(shop.id) as (db, of):
                for rule in [chance.timely() for _ in range(4)]:
                    before = replace(now, now=now.now - step)
                    turned = {who.id for who in people if now.meets(rule, who) != before.meets(rule, who)}
                    found, awaited = await candidates(db, of, rule, before.now, now)
                    assert turned <= found | awaited, (rule, before.now, now)
                    seen["turned"] += len(turned)
                    seen["found"] += len(found)
                    seen["all"] += len(people)

    @settings(max_examples=EXAMPLES, phases=[Phase.reuse, Phase.generate], report_multiple_bugs=False)
    @given(random=st.randoms(use_true_random=True))
    def tell(random: Random) -> None:
        asyncio.run_coroutine_threadsafe(story(shops.Chance(random)), loop).result(120)

    try:
        await asyncio.to_thread(tell)
    finally:
        await connection.close()
    print(dict(seen))  # noqa: T201
    assert seen["turned"] > seen["all"] / 100, "time turned some"
    assert seen["found"] < seen["all"] / 2, "and most were left alone"

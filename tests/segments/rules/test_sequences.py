"""One thing after another, to the microsecond: who is followed in time, who is not, and when a time is over."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from app.access.entry import Entry
from app.access.shops import Shop
from app.segments.rules import compiling
from app.segments.rules.checking import check
from app.segments.rules.making import Asking
from app.segments.rules.tree import RULE
from app.segments.rules.windows import Moment
from tests.segments.rules import shops
from tests.segments.rules.oracle import Event, Person, World

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
HOUR, DAY, TICK = timedelta(hours=1), timedelta(days=1), shops.TICK
CART, VIEW = {"kind": "event", "event": "cart"}, {"kind": "event", "event": "view"}

# By number: when they put something into the cart, and when they looked at something, so long before now.
Did = tuple[list[timedelta], list[timedelta]]
Ask = Callable[[dict[str, Any], list[Did]], Awaitable[list[int]]]


@pytest.fixture
async def ask(entry: Entry, shop: Shop, database_url: str) -> AsyncIterator[Ask]:
    """Who of these people meets a rule, by their places, from 1."""
    connection = await shops.connect(database_url)
    tags = await shops.furnish(connection, shop)

    async def asked(rule: dict[str, Any], did: list[Did]) -> list[int]:
        people = [
            Person(
                number,
                NOW - 100 * DAY,
                events=[
                    Event(str(UUID(int=1000 * number + n)), name, NOW - before, {})
                    for n, (name, before) in enumerate([*(("cart", b) for b in carts), *(("view", b) for b in views)])
                ],
            )
            for number, (carts, views) in enumerate(did, 1)
        ]
        await shops.write(connection, shop, tags, people)
        told = {"kind": "sequence"} | rule
        async with entry.shop(shop.id) as (db, of):
            checked = await check(db, of, RULE.validate_python(told), unmasked=True)
            asking = Asking(Moment(NOW, of.zone), checked, {})
            answers = []
            for compiled, more in (
                (compiling.members(checked), {"after": 0, "limit": None}),
                (compiling.among(checked), {"customer_ids": list(range(1, len(did) + 1))}),
            ):
                rows = await db.fetch(compiled.statement, shop_id=of.id, **compiled.values(asking), **more)
                answers.append(sorted(row["id"] for row in rows))
        assert answers[0] == answers[1]
        assert answers[0] == World(people, NOW, of.zone, {}, {}).members(told), "the oracle says the same"
        return answers[0]

    yield asked
    await connection.close()


async def test_then(ask: Ask) -> None:
    did: list[Did] = [
        ([5 * DAY], [4 * DAY]),  # a day later to the microsecond
        ([5 * DAY], [4 * DAY - TICK]),  # and past it
        ([5 * DAY], [5 * DAY]),  # at the same instant: not after it
        ([5 * DAY], [5 * DAY - TICK]),
        ([5 * DAY], [6 * DAY]),  # before it
        ([5 * DAY], [-HOUR]),  # yet to come
        ([], [4 * DAY]),
        ([9 * DAY, 5 * DAY], [4 * DAY]),  # any of the first
        ([-2 * HOUR], [-HOUR]),
    ]
    rule = {"first": CART, "then": VIEW, "within": {"days": 1}}
    assert await ask(rule, did) == [1, 4, 8]
    assert await ask(rule | {"within": {"hours": 25}}, did) == [1, 2, 4, 8]
    assert await ask(rule | {"window": {"last": {"days": 5}}}, did) == [], "five days ago has left the last five days"
    assert await ask(rule | {"window": {"last": {"hours": 121}}}, did) == [1, 4, 8]


async def test_without(ask: Ask) -> None:
    did: list[Did] = [
        ([DAY], []),  # over at this moment
        ([DAY - TICK], []),  # not over yet
        ([DAY], [0 * DAY]),  # followed at the last moment
        ([DAY + TICK], [0 * DAY]),  # a moment too late
        ([5 * DAY], [5 * DAY]),  # at the same instant is not after it
        ([5 * DAY], [9 * DAY]),
        ([5 * DAY, 3 * DAY], [5 * DAY - HOUR]),  # once followed, once not
        ([5 * DAY, HOUR], [5 * DAY - HOUR]),  # the second is not over yet
        ([], []),
    ]
    rule = {"first": CART, "without": VIEW, "within": {"hours": 24}}
    assert await ask(rule, did) == [1, 4, 5, 6, 7]
    assert await ask(rule | {"window": {"last": {"days": 4}}}, did) == [1, 4, 7]


async def test_so_many_of_the_first(ask: Ask) -> None:
    did: list[Did] = [
        ([HOUR], [5 * DAY, 4 * DAY, 2 * DAY]),  # three in three days to the microsecond
        ([HOUR], [5 * DAY + TICK, 4 * DAY, 2 * DAY]),
        ([HOUR], [5 * DAY, 2 * DAY]),
        ([HOUR], [2 * DAY, 2 * DAY, 2 * DAY]),  # at once
        ([2 * DAY + HOUR], [5 * DAY, 4 * DAY, 2 * DAY]),  # after two of them
        ([HOUR], [40 * DAY, 39 * DAY, 38 * DAY]),
        ([HOUR], [40 * DAY, 9 * DAY, 5 * DAY, 4 * DAY, 2 * DAY]),
    ]
    rule = {"first": VIEW, "at_least": 3, "during": {"days": 3}, "then": CART, "within": {"days": 2}}
    assert await ask(rule, did) == [1, 4, 7]
    assert await ask(rule | {"at_least": 2}, did) == [1, 2, 3, 4, 5, 7]
    assert await ask(rule | {"at_least": 4}, did) == []
    bought = {name: value for name, value in rule.items() if name != "then"} | {"without": CART}
    assert await ask(bought, did) == [5, 6]

"""A definition as SQL and as Python says the same of anybody, on real Postgres."""

import asyncio
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from app.access.entry import Entry
from app.access.shops import Shop
from app.core.db import statement
from app.scoring.tiers import compiling, repository
from app.scoring.tiers.compiling import boundaries, conditions, facts_of, judge
from app.scoring.tiers.definition import Condition, Definition, Tier
from app.scoring.tiers.fields import FIELDS
from tests.conftest import Rows
from tests.scoring.tiers.definitions import AS_OF, definitions, persons
from tests.scoring.tiers.definitions import conditions as any_condition
from tests.scoring.tiers.people import forgotten, stats, told

Person = dict[str, Any]


async def _tiers(entry: Entry, shop: Shop, definition: Definition) -> tuple[list[float | None], dict[int, str | None]]:
    """What the conditions compare with, and everybody's tier, by the database."""
    query = statement(
        text(
            f"select s.customer_id, {compiling.tier_sql(definition)} as tier from customer_stats s "  # noqa: S608
            "join customers c on c.shop_id = s.shop_id and c.id = s.customer_id where s.shop_id = :shop_id"
        )
    )
    async with entry.shop(shop.id) as (db, _):
        values = await repository.values_of(db, shop.id, definition, AS_OF)
        bound = {"tier_values": values, "tier_names": compiling.names(definition)}
        found = await db.fetch(query, shop_id=shop.id, as_of=AS_OF, **bound)
    return values, {row["customer_id"]: row["tier"] for row in found}


def _customer(person: Person) -> dict[str, Any]:
    return {"mobile": b"sealed" if person.get("mobile") else None}


def _expected(condition: Condition, people: list[Person]) -> float | None:
    if condition.among is None:
        return condition.number
    members = [
        facts_of(person, _customer(person), AS_OF)[condition.field]
        for person in people
        if person["since_on"] < AS_OF and (condition.among == "everybody" or person["net_365d_fen"] > 0)
    ]
    known = [float(value) for value in members if value is not None]
    return float(np.quantile(known, 1 - condition.number)) if known else None


async def test_sql_and_python_agree(entry: Entry, shop: Shop, rows: Rows) -> None:
    loop = asyncio.get_running_loop()

    async def story(definition: Definition, people: list[Person]) -> None:
        await forgotten(rows, shop)
        await told(rows, shop, people)
        values, tiers = await _tiers(entry, shop, definition)
        for condition, value in zip(conditions(definition), values, strict=True):
            expected = _expected(condition, people)
            assert value == (expected if expected is None else pytest.approx(expected, rel=1e-9)), condition
        for number, person in enumerate(people, 1):
            facts = facts_of(person, _customer(person), AS_OF)
            tier, evidence = judge(definition, values, facts)
            assert tiers[number] == tier, (person, evidence)
            met = {one.tier: True for one in evidence}
            for one in evidence:
                met[one.tier] &= one.met
                assert one.value == facts[one.field]
            first = next((name for name, all_met in met.items() if all_met), "rest")
            assert tier == (None if person["since_on"] >= AS_OF else first)

    @settings(max_examples=150)
    @given(definition=definitions(), people=st.lists(persons(), max_size=7))
    def check(definition: Definition, people: list[Person]) -> None:
        asyncio.run_coroutine_threadsafe(story(definition, people), loop).result(60)

    await asyncio.to_thread(check)


@settings(max_examples=400)
@given(definition=definitions(), person=persons(), days=st.integers(0, 12))
def test_a_day_moves_nobody_but_at_a_boundary(definition: Definition, person: Person, days: int) -> None:
    before, after = AS_OF + timedelta(days=days), AS_OF + timedelta(days=days + 1)
    if person["since_on"] >= before:
        return
    values = [1.5 if one.among else one.number for one in conditions(definition)]
    shown = [judge(definition, values, facts_of(person, _customer(person), day))[1] for day in (before, after)]
    turned = {
        column
        for one, other in zip(*shown, strict=True)
        if one.met != other.met
        for column in FIELDS[one.field].dates
        if person[column] is not None
    }
    reached = {
        column
        for column, most in boundaries(definition, values)
        if person[column] is not None and (before - person[column]).days == most
    }
    assert bool(turned & reached) == bool(turned)


@settings(max_examples=100)
@given(condition=any_condition().filter(lambda one: bool(FIELDS[one.field].dates)))
def test_a_boundary_is_where_truth_turns(condition: Condition) -> None:
    tiers = (Tier(name="some", label="some", when=(condition,)), Tier(name="rest", label="rest"))
    definition = Definition(name="one", tiers=tiers)
    found = boundaries(definition, [condition.number])
    assert [column for column, _ in found] == sorted(FIELDS[condition.field].dates)
    (most,) = {days for _, days in found}
    unknown = dict.fromkeys(FIELDS[condition.field].dates)

    def met(age: int) -> bool:
        facts = unknown | {found[0][0]: AS_OF - timedelta(days=age)}
        return judge(definition, [condition.number], facts_of(stats(AS_OF) | facts, {"mobile": None}, AS_OF))[1][0].met

    assert [met(age) != met(age + 1) for age in range(-2, 12)] == [age == most for age in range(-2, 12)]


async def test_a_top_share_is_of_those_it_names(entry: Entry, shop: Shop, rows: Rows) -> None:
    spenders = [stats(AS_OF, net_365d_fen=100 * n, orders=1, gross_fen=n) for n in range(1, 101)]
    others = [stats(AS_OF, orders=1, gross_fen=10**6) for _ in range(50)]
    await told(rows, shop, spenders + others)

    def definition(field: str, among: str) -> Definition:
        top = Condition.model_validate({"field": field, "top_share": 0.1, "among": among})
        tiers = (Tier(name="top", label="top", when=(top,)), Tier(name="rest", label="rest"))
        return Definition(name="top", tiers=tiers)

    async def top(field: str, among: str) -> tuple[float | None, list[int]]:
        (value,), tiers = await _tiers(entry, shop, definition(field, among))
        return value, [number for number, tier in tiers.items() if tier == "top"]

    value, found = await top("net_365d_fen", "spenders")
    assert value == pytest.approx(9010.0)
    assert sorted(found) == list(range(91, 101))
    # Nobody is in the top share of spenders who spent nothing this year, however much an order of theirs cost.
    assert sorted((await top("average_order_fen", "spenders"))[1]) == list(range(91, 101))
    value, found = await top("average_order_fen", "everybody")
    assert value == 10**6
    assert sorted(found) == list(range(101, 151)), "equal values stay together"


async def test_whoever_is_merged_or_not_there_yet_is_no_measure(entry: Entry, shop: Shop, rows: Rows) -> None:
    people = [stats(AS_OF, net_365d_fen=100), stats(AS_OF, net_365d_fen=10**9) | {"merged_into": 1}]
    await told(rows, shop, [*people, stats(AS_OF, net_365d_fen=10**9, since_on=AS_OF)])
    top = Condition(field="net_365d_fen", top_share=0.5, among="spenders")
    tiers = (Tier(name="top", label="top", when=(top,)), Tier(name="rest", label="rest"))
    values, found = await _tiers(entry, shop, Definition(name="top", tiers=tiers))
    assert values == [100.0]
    assert found[3] is None


async def test_where_nobody_spends_no_top_share_is_met(entry: Entry, shop: Shop, rows: Rows) -> None:
    await told(rows, shop, [stats(AS_OF, orders=3), stats(AS_OF, net_365d_fen=-5)])
    top = Condition(field="orders", top_share=0.5, among="spenders")
    tiers = (Tier(name="top", label="top", when=(top,)), Tier(name="rest", label="rest"))
    definition = Definition(name="top", tiers=tiers)
    values, found = await _tiers(entry, shop, definition)
    assert (values, set(found.values())) == ([None], {"rest"})
    tier, (evidence,) = judge(definition, values, facts_of(stats(AS_OF, orders=3), {"mobile": None}, AS_OF))
    assert (tier, evidence.value, evidence.threshold, evidence.met) == ("rest", 3, None, False)


async def test_values_are_one_row_of_anybody_or_nobody(entry: Entry, shop: Shop, rows: Rows) -> None:
    fixed = (Condition(field="orders", at_least=2), Condition(field="net_fen", less_than=5))
    tiers = (Tier(name="some", label="some", when=fixed), Tier(name="rest", label="rest"))
    definition = Definition(name="fixed", tiers=tiers)
    sql = f"select {compiling.values_sql(definition)} as found from customer_stats s where s.shop_id = :shop_id"  # noqa: S608
    query = statement(text(sql))
    for people in ([], [stats(AS_OF), stats(AS_OF)]):
        await told(rows, shop, people)
        async with entry.shop(shop.id) as (db, _):
            found = await db.fetch(query, shop_id=shop.id, tier_asked=compiling.asked(definition))
        assert [row["found"] for row in found] == [[2, 5]]
    assert compiling.without_shares(definition) == [2, 5]


def test_what_is_not_known_meets_nothing() -> None:
    facts = facts_of(stats(AS_OF), {"mobile": None}, AS_OF)
    assert [name for name, value in facts.items() if value is None] == [
        "average_order_fen",
        "discount_share",
        "recency_days",
        "signal_days",
    ]
    assert (facts["repeat_share"], facts["since_days"], facts["contactable"]) == (0, 10, 0)
    for bound in ("at_least", "more_than", "at_most", "less_than"):
        condition = Condition.model_validate({"field": "recency_days", bound: 0})
        tiers = (Tier(name="some", label="some", when=(condition,)), Tier(name="rest", label="rest"))
        assert judge(Definition(name="one", tiers=tiers), [0.0], facts)[0] == "rest"


def test_no_word_of_a_definition_stands_in_its_sql() -> None:
    condition = Condition(field="orders", at_least=123456)
    tiers = (Tier(name="marker_of_ours", label="x'; --", when=(condition,)), Tier(name="other_marker", label="x"))
    definition = Definition(name="x'; --", tiers=tiers)
    for sql in (compiling.tier_sql(definition), compiling.values_sql(definition)):
        assert not any(word in sql for word in ("marker", "123456", "--"))

"""What a rule becomes: one statement for its text, with every value bound, and every question behind an index."""

import re
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest

from app.access.entry import Entry
from app.access.shops import Shop
from app.consent import repository as consent
from app.segments.rules import compiling
from app.segments.rules.checking import Checked, Dependencies, check
from app.segments.rules.making import Asking
from app.segments.rules.tree import RULE
from app.segments.rules.windows import Moment
from tests.conftest import Rows
from tests.segments.rules import shops

EVERY_LITERAL: dict[str, Any] = {
    "kind": "all",
    "of": [
        {"kind": "profile", "field": "area_code", "starts_with": "marker-0"},
        {"kind": "profile", "field": "area_code", "any_of": ["marker-1", "marker-2"]},
        {"kind": "identity", "identity": "external_id", "scope": "marker-3"},
        {"kind": "consent", "purpose": "marker-4", "channel": "sms", "state": "granted"},
        {"kind": "tag", "any_of": ["marker-5"]},
        {"kind": "stat", "field": "main_channel", "contains": "marker-6"},
        {
            "kind": "event",
            "event": "view",
            "at_least": 7_700,
            "where": [{"property": "marker-7", "equals": "marker-8"}, {"property": "p", "at_least": 77_002}],
        },
        {
            "kind": "order",
            "measure": "sum",
            "channels": ["marker-9"],
            "skus": ["marker-10"],
            "categories": ["marker-11"],
            "stores": [77_003],
            "at_least": 77_004.5,
        },
        {
            "kind": "sequence",
            "first": {"kind": "event", "event": "cart", "where": [{"property": "p", "contains": "marker-12"}]},
            "without": {"kind": "order", "skus": ["marker-13"]},
            "within": {"hours": 77_005},
        },
        {"kind": "not", "of": {"kind": "share", "field": "net_fen", "top": 0.77006, "among": "buyers"}},
    ],
}


def unchecked(rule: Any) -> Checked:
    """A rule that names nothing of a shop, as if it had been looked at."""
    read = RULE.validate_python(rule)
    return Checked(read, read.model_dump_json(by_alias=True), {}, {}, {}, {}, Dependencies())


@pytest.mark.parametrize("question", ["members", "count", "among", "found"])
def test_no_word_of_a_rule_is_in_the_statement(question: str) -> None:
    sql = getattr(compiling, question)(unchecked(EVERY_LITERAL)).statement.sql
    for word in ("marker", "7700", "sms", "view", "cart"):
        assert word not in sql, word


def test_a_rule_is_compiled_once_for_its_text() -> None:
    one, other = unchecked(EVERY_LITERAL), unchecked(EVERY_LITERAL)
    assert compiling.count(one) is compiling.count(other)
    assert compiling.count(one) is not compiling.among(one)
    long = {"kind": "tag", "any_of": [f"{number:032}" for number in range(1000)]}
    assert compiling.count(unchecked(long)) is not compiling.count(unchecked(long)), "it would fill the memory"
    yes, number = ({"kind": "attribute", "name": "a", "equals": value} for value in (True, 1))
    assert unchecked(yes) != unchecked(number), "what Python holds to be equal is not the same rule"


async def test_what_a_rule_depends_on(entry: Entry, shop: Shop, database_url: str) -> None:
    connection = await shops.connect(database_url)
    await shops.furnish(connection, shop)
    await connection.close()
    rule = {
        "kind": "any",
        "of": [
            {"kind": "tag", "any_of": ["vip", "新客"]},
            {"kind": "attribute", "name": "rank", "at_least": 3},
            {"kind": "date", "attribute": "wedding", "anniversary_in_next": 3},
            {"kind": "score", "field": "tier", "none_of": ["vip"]},
            {"kind": "profile", "field": "store_id", "equals": 1},
            {
                "kind": "sequence",
                "first": {"kind": "event", "event": "fitting"},
                "then": {"kind": "order", "stores": [2]},
                "within": {"days": 1},
            },
        ],
    }
    async with entry.shop(shop.id) as (db, of):
        checked = await check(db, of, RULE.validate_python(rule), unmasked=True)
    assert checked.depends == Dependencies(
        tags=frozenset({"vip", "新客"}),
        attributes=frozenset({"rank", "wedding"}),
        event_types=frozenset({"fitting"}),
        tiers=frozenset({"vip"}),
        stores=frozenset({1, 2}),
    )


async def test_consent_is_judged_as_what_goes_out_is(entry: Entry, shop: Shop, database_url: str) -> None:
    """The same ledgers before the gate of marketing: who has granted is let through, and nobody else."""
    connection = await shops.connect(database_url)
    tags = await shops.furnish(connection, shop)
    granted = 0
    for seed in range(60):
        chance = shops.Chance(Random(seed))
        people = [person for _ in range(3) for person in chance.people()]
        for number, person in enumerate(people, 1):
            person.id, person.merged_into, person.status = number, None, "active"
            person.orders, person.events, person.identities, person.attributes, person.tags = [], [], [], [], []
        await shops.write(connection, shop, tags, people)
        numbers = [person.id for person in people]
        for channel in shops.CHANNELS:
            rule = {"kind": "consent", "channel": channel, "state": "granted"}
            async with entry.shop(shop.id) as (db, of):
                checked = await check(db, of, RULE.validate_python(rule), unmasked=True)
                compiled = compiling.among(checked)
                values = compiled.values(Asking(Moment(chance.now, chance.zone), checked, {}))
                found = await db.fetch(compiled.statement, shop_id=of.id, customer_ids=numbers, **values)
                refused = await consent.refusals(db, of.id, numbers, "marketing", channel, marketing=True)
            assert {row["id"] for row in found} == set(numbers) - refused.keys(), (seed, channel)
            granted += len(found)
    await connection.close()
    assert granted > 100


# ---- Plans

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SKU = {"property": "sku", "equals": "S1"}
WINDOW = {"last": {"hours": 2}}
WHOLE: dict[str, tuple[dict[str, Any], str]] = {
    "events of a short time": (
        {
            "kind": "event",
            "event": "view",
            "window": WINDOW,
            "at_least": 1,
            "where": [{"property": "sku", "equals": "S1"}],
        },
        "occurred",
    ),
    "several events of a short time": ({"kind": "event", "event": "view", "window": WINDOW, "at_least": 3}, "occurred"),
    "orders of a short time": ({"kind": "order", "measure": "sum", "window": WINDOW, "at_least": 1}, "paid"),
    "a tag that few carry": ({"kind": "tag", "any_of": ["vip"]}, "ix_customer_tags_tag"),
    "a tier that few are in": ({"kind": "score", "field": "tier", "equals": "vip"}, "ix_customer_scores_tier"),
    "an attribute that few have so": (
        {"kind": "attribute", "name": "rank", "at_least": 19_990},
        "ix_customer_attributes_number",
    ),
}
FEW: dict[str, dict[str, Any]] = {
    "events": {"kind": "event", "event": "view", "at_least": 3},
    "events of a time": {"kind": "event", "event": "view", "at_least": 1, "window": {"last": {"days": 30}}},
    "orders": {"kind": "order", "measure": "sum", "at_least": 1},
    "never": {"kind": "event", "event": "view", "never": True},
    "a sequence": {
        "kind": "sequence",
        "first": {"kind": "event", "event": "view"},
        "without": {"kind": "order"},
        "within": {"hours": 24},
    },
    "repeated": {
        "kind": "sequence",
        "first": {"kind": "event", "event": "view"},
        "at_least": 3,
        "during": {"days": 7},
        "then": {"kind": "order"},
        "within": {"hours": 24},
    },
    "a date": {"kind": "date", "field": "last_order", "older_than": {"days": 60}},
    "consent": {"kind": "consent", "channel": "sms", "state": "granted"},
    "a stat": {"kind": "stat", "field": "net_fen", "at_least": 1},
}


async def _fill(rows: Rows, shop: Shop) -> None:
    """20,000 customers, each of whom did and bought something, spread over 20,000 minutes."""
    at = "timestamptz '2026-03-01' - n * interval '1 minute'"
    each = "from generate_series(1, 20000) as n returning 1"
    for sql in (
        f"insert into customers (shop_id, id, created_at, updated_at, told_at) select $1, n, {at}, now(), now() {each}",
        f"""
        insert into events (shop_id, id, occurred_at, received_at, customer_id, origin_customer_id, identity_kind,
                            identity_hash, type, properties)
        select $1, gen_random_uuid(), {at}, now(), n, n, 'device', '', 'view', '{{"sku": "S1"}}' {each}
        """,
        f"""
        insert into orders (shop_id, order_no, customer_id, origin_customer_id, status, paid_at, amount_fen, currency,
                            source_version, payload_hash, received_at)
        select $1, n::text, n, n, 'paid', {at}, n, 'CNY', 1, '', now() {each}
        """,
        f"""
        insert into customer_scores (shop_id, customer_id, tier, created_at)
        select $1, n, case when n % 4000 = 0 then 'vip' else 'regular' end, now() {each}
        """,
        f"""
        insert into customer_stats (shop_id, customer_id, since_on, active_on, net_fen)
        select $1, n, now(), now(), n {each}
        """,
        f"""
        insert into consents (shop_id, customer_id, origin_customer_id, purpose, channel, state, source, occurred_at,
                              recorded_at)
        select $1, n, n, 'marketing', 'sms', 'granted', 'test', {at}, now() {each}
        """,
        f"""
        insert into customer_attributes
            (shop_id, origin_customer_id, customer_id, name, number_value, told_at, source)
        select $1, n, n, 'rank', n, now(), 'test' {each}
        """,
        """
        insert into customer_tags (shop_id, customer_id, tag_id, origin_customer_id, source, actor, assigned_at)
        select $1, n, t.id, n, 'manual', 'test', now()
        from generate_series(1, 20000) as n
        join tags t on t.shop_id = $1 and t.name = case when n % 4000 = 0 then 'vip' else '新客' end returning 1
        """,
    ):
        await rows(sql, shop.id)
    for table in shops.TABLES:
        await rows(f"analyze {table}")


async def test_every_question_walks_an_index_behind_the_wall(
    entry: Entry, rows: Rows, shop: Shop, database_url: str
) -> None:
    """EXPLAIN as the service's role: a short time is a range of its index, and a batch is looked up by customer."""
    connection = await shops.connect(database_url)
    await shops.furnish(connection, shop)
    await connection.close()
    await _fill(rows, shop)

    async def plan(question: str, rule: Any, **more: Any) -> str:
        async with entry.shop(shop.id) as (db, of):
            checked = await check(db, of, RULE.validate_python(rule), unmasked=True)
            compiled = getattr(compiling, question)(checked)
            values = compiled.values(Asking(Moment(NOW, of.zone), checked, {}))
            explain = compiled.statement._replace(sql="explain " + compiled.statement.sql)
            return "\n".join(row["QUERY PLAN"] for row in await db.fetch(explain, shop_id=of.id, **values, **more))

    for name, (rule, index) in WHOLE.items():
        found = await plan("members", rule, after=0, limit=None)
        assert index in found, (name, found)
        # Sets of customers are found first, and then all customers are looked through.
        assert set(_read_whole(found)) <= {"customers", "refunds"}, (name, found)
    batch = list(range(1, 20_000, 400))
    for name, rule in FEW.items():
        found = await plan("among", rule, customer_ids=batch)
        assert not set(_read_whole(found)) - {"refunds"}, (name, found)
        assert "_occurred_at_customer_id_idx" not in found, (name, found)


def _read_whole(plan: str) -> list[str]:
    """The tables that are read from end to end; a month without rows of ours has no index worth a walk."""
    return [table for table in re.findall(r"Seq Scan on (\w+)", plan) if not table.startswith("events_")]


async def test_many_sets_at_once_are_each_looked_through_once(
    entry: Entry, rows: Rows, shop: Shop, database_url: str
) -> None:
    """However small the planner thinks they are: joined, each customer would be compared with each of a set."""
    connection = await shops.connect(database_url)
    await shops.furnish(connection, shop)
    await connection.close()
    await _fill(rows, shop)
    parts = [
        {"kind": "consent", "channel": "sms", "state": "granted"},
        {"kind": "not", "of": {"kind": "tag", "any_of": ["vip"]}},
        {"kind": "order", "measure": "average", "at_least": 1},
        {"kind": "order", "measure": "sum", "less_than": 10_001},
        {"kind": "event", "event": "view", "at_most": 2},
        {"kind": "not", "of": FEW["repeated"]},
    ]
    async with entry.shop(shop.id) as (db, of):
        checked = await check(db, of, RULE.validate_python({"kind": "all", "of": parts}), unmasked=True)
        compiled = compiling.count(checked)
        values = compiled.values(Asking(Moment(NOW, of.zone), checked, {}))
        explain = compiled.statement._replace(sql="explain (analyze, timing off) " + compiled.statement.sql)
        found = "\n".join(row["QUERY PLAN"] for row in await db.fetch(explain, shop_id=of.id, **values))
        assert await db.fetch_value(compiled.statement, shop_id=of.id, **values) == 9_998
    assert "Rows Removed by Join Filter" not in found, found
    assert found.count("hashed SubPlan") >= 4, found

"""Customers by their attributes: what can be asked, by whom, and an index behind each question."""

from datetime import UTC, date, datetime
from typing import Any

import pytest
from sqlalchemy import text

from app.access.entry import Entry
from app.access.shops import Shop
from app.attributes import service
from app.attributes.conditions import Asked, Condition, bound, where
from app.core.db import statement
from app.directory import repository
from app.directory.filters import Filters
from app.directory.filters import bound as list_bound
from tests.attributes.test_attributes import DECLARED, declare, let_sensitive, own, told, why
from tests.conftest import Api, MakeApi, Rows


@pytest.fixture
async def people(api: Api) -> dict[int, int]:
    """Numbers to customers: some of each kind."""
    for name, body in DECLARED.items():
        await declare(api, name, body)
    return {
        1: await told(api, 1, skin="dry", points_rank=5, child_born="2019-05-01", newsletter=True, hobby="Go: 围棋"),
        2: await told(api, 2, skin="oily", points_rank=10, child_born="2020-05-01", spend=99.5),
        3: await told(api, 3, skin="oily", points_rank=20, fitted_at="2026-01-31T10:00:00+08:00", newsletter=False),
        4: await told(api, 4, second_mobile="13800000004", spend=-0.5),
    }


async def found(api: Api, people: dict[int, int], *conditions: str, **more: Any) -> set[int]:
    """The numbers of the customers in the list."""
    answer = await api.get("/v1/customers", params={"attribute": list(conditions), **more})
    assert answer.status_code == 200, answer.text
    numbers = {customer_id: number for number, customer_id in people.items()}
    return {numbers[row["id"]] for row in answer.json()["items"]}


async def test_each_kind_and_all_together(api: Api, people: dict[int, int]) -> None:
    assert await found(api, people, "skin:oily") == {2, 3}
    assert await found(api, people, "hobby:Go: 围棋") == {1}
    assert await found(api, people, "points_rank:10") == {2}
    assert await found(api, people, "points_rank>=10") == {2, 3}
    assert await found(api, people, "points_rank>10") == {3}
    assert await found(api, people, "points_rank<=10") == {1, 2}
    assert await found(api, people, "points_rank<10") == {1}
    assert await found(api, people, "spend<1e2", "spend>-1") == {2, 4}
    assert await found(api, people, "newsletter:true") == {1}
    assert await found(api, people, "newsletter:false") == {3}
    assert await found(api, people, "child_born>=2020-01-01", "child_born<2021-01-01") == {2}
    assert await found(api, people, "fitted_at:2026-01-31T10:00:00") == {3}, "without a zone: the shop's"
    assert await found(api, people, "fitted_at>2026-01-31T02:00:00Z") == set()
    assert await found(api, people, "skin:oily", "points_rank>=20") == {3}
    assert await found(api, people, "skin:oily", has_mobile=True) == set()


async def test_pages_of_a_filtered_list(api: Api, people: dict[int, int]) -> None:
    seen, cursor = [], None
    while True:
        params = {"attribute": "points_rank>0", "limit": 1} | ({"cursor": cursor} if cursor else {})
        page = (await api.get("/v1/customers", params=params)).json()
        seen += [row["id"] for row in page["items"]]
        if (cursor := page["next_cursor"]) is None:
            break
    assert seen == [people[3], people[2], people[1]]


@pytest.mark.parametrize(
    ("condition", "code"),
    [
        ("skin", "attribute_filter"),
        ("", "attribute_filter"),
        ("skin=dry", "attribute_filter"),
        ("Skin:dry", "attribute_filter"),
        ("skin:normal", "attribute_filter"),
        ("skin>dry", "attribute_filter"),
        ("hobby:", "attribute_filter"),
        ("hobby:\0", "attribute_filter"),
        ("hobby:" + "x" * 501, "attribute_filter"),
        ("newsletter>=true", "attribute_filter"),
        ("newsletter:yes", "attribute_filter"),
        ("points_rank:1.5", "attribute_filter"),
        ("points_rank:1_0", "attribute_filter"),
        ("points_rank>=" + "9" * 17, "attribute_filter"),
        ("points_rank>=" + "9" * 5000, "attribute_filter"),
        ("spend<1e999", "attribute_filter"),
        ("spend:nan", "attribute_filter"),
        ("child_born>=2020", "attribute_filter"),
        ("fitted_at>=2026-01-31", "attribute_filter"),
        ("nothing:1", "attribute_undeclared"),
        ("second_mobile:13800000004", "attribute_in_url"),
    ],
)
async def test_what_cannot_be_asked(api: Api, people: dict[int, int], condition: str, code: str) -> None:
    answer = await api.get("/v1/customers", params={"attribute": condition})
    assert why(answer) == (422, code, "attribute")
    assert "13800000004" not in answer.text


async def test_no_more_than_ten(api: Api, people: dict[int, int]) -> None:
    assert (await api.get("/v1/customers", params={"attribute": ["skin:dry"] * 11})).status_code == 422


async def test_sealed_values_are_searched_by_post(
    api: Api, people: dict[int, int], make_api: MakeApi, shop: Shop
) -> None:
    await let_sensitive(api)
    await declare(api, "doses", {"type": "integer", "class": "sensitive", "purpose": "advice"})
    await told(api, 1, doses=3)

    async def search(*conditions: dict[str, Any], by: Api = api, **more: Any) -> Any:
        return await by.post("/v1/customers/search", {"conditions": list(conditions), **more})

    async def ids(*conditions: dict[str, Any], **more: Any) -> list[int]:
        return [row["id"] for row in (await search(*conditions, **more)).json()["items"]]

    mobile = {"name": "second_mobile", "value": "13800000004"}
    assert await ids(mobile) == [people[4]]
    assert await ids({"name": "doses", "value": 3}, {"name": "skin", "value": "dry"}) == [people[1]]
    assert await ids({"name": "points_rank", "operator": ">=", "value": 10}, created_from="2020-01-01T00:00:00") == [
        people[3],
        people[2],
    ]
    first = (await search(limit=3)).json()
    assert [row["id"] for row in first["items"]] == [people[4], people[3], people[2]]
    assert await ids(limit=3, cursor=first["next_cursor"]) == [people[1]]
    for condition, code in (
        (mobile | {"operator": ">="}, "attribute_filter"),
        ({"name": "doses", "value": "3"}, "attribute_filter"),
        ({"name": "doses", "value": None}, "attribute_filter"),
        ({"name": "nothing", "value": 3}, "attribute_undeclared"),
    ):
        assert why(await search(condition)) == (422, code, "conditions")
    reader = await make_api(shop, "customers:read")
    for name in ("second_mobile", "doses", "hobby", "child_born"):
        answer = await search({"name": name, "value": 3}, by=reader)
        assert why(answer) == (403, "scope_missing", "conditions"), "who sees a value masked must not guess at it"
    by_url = await reader.get("/v1/customers", params={"attribute": "child_born>=2020-01-01"})
    assert why(by_url) == (403, "scope_missing", "attribute")
    assert await found(reader, people, "points_rank>=20", "skin:oily") == {3}
    assert (await search({"name": "points_rank", "value": 5}, by=reader)).json()["items"][0]["id"] == people[1]


async def test_an_older_word_of_a_merged_customer_is_not_found(
    api: Api, people: dict[int, int], shop: Shop, rows: Rows
) -> None:
    await own(rows, shop, people[1], people[2])
    assert await found(api, people, "skin:dry") == set()
    assert await found(api, people, "skin:oily") == {1, 3}
    await told(api, 1, skin="dry")
    assert await found(api, people, "skin:dry") == {1}
    assert await found(api, people, "skin:oily") == {3}


async def test_another_shop_finds_nothing(
    api: Api, people: dict[int, int], make_api: MakeApi, other_shop: Shop
) -> None:
    stranger = await make_api(other_shop)
    await declare(stranger, "skin", DECLARED["skin"])
    assert await found(stranger, people, "skin:oily") == set()


async def test_rules_can_ask_the_same(api: Api, people: dict[int, int], entry: Entry, shop: Shop) -> None:
    """The terms stand on their own: beside any statement's, for any name of the customer."""
    asked = [Asked("points_rank", ">", 5), Asked("second_mobile", "=", "13800000004")]
    async with entry.shop(shop.id) as (db, of):
        resolved = await service.conditions(db, of, asked, unmasked=True)
        hits = []
        for number, condition in enumerate(resolved):
            (term,) = where([condition], "p.id", prefix=f"leaf_{number}")
            query = statement(
                text(f"select p.id from customers p where p.shop_id = :shop_id and {term} order by 1")  # noqa: S608
            )
            values = bound([condition], prefix=f"leaf_{number}")
            hits.append([row["id"] for row in await db.fetch(query, shop_id=of.id, **values)])
    assert hits == [[people[2], people[3]], [people[4]]]


RARE = Condition("skin", "=", "text_value", "rare")
CONDITIONS: dict[str, tuple[Filters, bool]] = {
    "text": (Filters(attributes=(RARE,)), False),
    "text, often": (Filters(attributes=(Condition("skin", "=", "text_value", "often"),)), False),
    "number": (Filters(attributes=(Condition("points_rank", "=", "number_value", 7.0),)), False),
    "number, range": (Filters(attributes=(Condition("points_rank", ">=", "number_value", 19_990.0),)), False),
    "date, range": (Filters(attributes=(Condition("child_born", ">", "date_value", date(2074, 9, 1)),)), False),
    "instant, range": (
        Filters(attributes=(Condition("fitted_at", "<", "instant_value", datetime(2026, 1, 1, 1, tzinfo=UTC)),)),
        False,
    ),
    "boolean": (Filters(attributes=(Condition("newsletter", "=", "boolean_value", True),)), False),
    "sealed": (Filters(attributes=(Condition("second_mobile", "=", "value_hash", b"7"),)), False),
    "two": (Filters(attributes=(RARE, Condition("points_rank", ">", "number_value", 10.0))), False),
    "with a tier": (Filters(tier="vip", attributes=(RARE,)), False),
    "with a store": (Filters(store_id=7, attributes=(RARE,)), False),
    "after a place": (Filters(attributes=(RARE,)), True),
}


async def _fill(rows: Rows, shop: Shop) -> None:
    await rows(
        """
        insert into customers (shop_id, id, store_id, created_at, updated_at, told_at)
        select $1, n, n % 50, timestamptz '2026-01-01' + n * interval '1 minute', now(), now()
        from generate_series(1, 20000) as n returning 1
        """,
        shop.id,
    )
    await rows(
        """
        insert into customer_scores (shop_id, customer_id, tier, created_at)
        select shop_id, id, case when id % 10 = 0 then 'vip' else 'regular' end, created_at
        from customers where shop_id = $1 returning 1
        """,
        shop.id,
    )
    for name, column, value in (
        ("skin", "text_value", "case when n % 4000 = 0 then 'rare' else 'often' end"),
        ("points_rank", "number_value", "n"),
        ("child_born", "date_value", "date '2020-01-01' + n"),
        ("fitted_at", "instant_value", "timestamptz '2026-01-01' + n * interval '1 minute'"),
        ("newsletter", "boolean_value", "n % 4000 = 0"),
        ("second_mobile", "value_hash", "n::text::bytea"),
    ):
        sealed = "'x'" if column == "value_hash" else "null"
        await rows(
            f"""
            insert into customer_attributes
                (shop_id, origin_customer_id, customer_id, name, {column}, sealed_value, told_at, source)
            select $1, n, n, '{name}', {value}, {sealed}::bytea, now(), 'test'
            from generate_series(1, 20000) as n returning 1
            """,  # noqa: S608
            shop.id,
        )
    for table in ("customers", "customer_scores", "customer_attributes"):
        await rows(f"analyze {table}")


async def test_every_condition_walks_an_index_behind_the_wall(entry: Entry, rows: Rows, shop: Shop) -> None:
    """EXPLAIN as the service's role over 20,000 customers with 120,000 values: nothing reads the shop as a whole."""
    await _fill(rows, shop)
    for name, (filters, paged) in CONDITIONS.items():
        query = repository._page(filters, after=paged, numbered=False)
        explain = query._replace(sql="explain " + query.sql)
        place = {"after_instant": datetime(2026, 1, 9, tzinfo=UTC), "after_number": 12_000} if paged else {}
        async with entry.database.transaction(shop.id) as db:
            found = await db.fetch(explain, shop_id=shop.id, limit=50, **place, **list_bound(filters))
        plan = "\n".join(row["QUERY PLAN"] for row in found)
        assert "Seq Scan on customers" not in plan, (name, plan)
        assert "Seq Scan on customer_attributes" not in plan, (name, plan)
        assert "Seq Scan on customer_scores" not in plan, (name, plan)

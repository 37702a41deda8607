"""GET /v1/customers: filters, keyset pages, and an index behind every one of them, under row security."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from app.access.entry import Entry
from app.access.shops import Shop
from app.core.db import statement
from app.directory import repository
from app.directory.filters import Filters, bound
from tests.conftest import Api, MakeApi, Rows

T0 = datetime(2026, 1, 1, tzinfo=UTC)


async def _fill(api: Api, count: int) -> list[int]:
    customers = [
        {
            "identities": [
                {"kind": "mobile", "value": f"1380000{n:04d}"} if n % 2 else {"kind": "external_id", "value": f"X{n}"}
            ],
            "created_at": (T0 + timedelta(hours=n // 2)).isoformat(),  # pairs share an instant: the number decides
            "store_id": 100 + n % 3,
            **({"member_since": T0.isoformat()} if n % 4 == 0 else {}),
        }
        for n in range(count)
    ]
    answer = await api.post("/v1/customers/batch", {"customers": customers})
    assert answer.json()["created"] == count, answer.text
    return [row["customer_id"] for row in answer.json()["results"]]


async def _all(api: Api, limit: int, **filters: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor = None
    while True:
        params = {"limit": limit, **filters, **({"cursor": cursor} if cursor else {})}
        page = (await api.get("/v1/customers", params=params)).json()
        found += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return found


async def test_pages_show_everyone_once_newest_first(api: Api) -> None:
    ids = await _fill(api, 57)
    for limit in (1, 7, 57, 200):
        assert [row["id"] for row in await _all(api, limit)] == sorted(ids, reverse=True)


async def test_filters_narrow_and_combine(api: Api) -> None:
    ids = await _fill(api, 40)
    by_place = dict(enumerate(ids))

    async def found(**filters: Any) -> set[int]:
        return {row["id"] for row in await _all(api, 7, **filters)}

    assert await found(has_mobile=True) == {by_place[n] for n in range(40) if n % 2}
    assert await found(member=True) == {by_place[n] for n in range(0, 40, 4)}
    assert await found(store_id=101, has_mobile=False) == {by_place[n] for n in range(40) if n % 3 == 1 and not n % 2}
    start = T0 + timedelta(hours=5)
    window = {"created_from": start.isoformat(), "created_before": (start + timedelta(hours=3)).isoformat()}
    assert await found(**window) == {by_place[n] for n in range(10, 16)}
    assert await found(created_from="2026-01-01T13:00:00", store_id=100) == {
        by_place[n] for n in range(10, 40) if n % 3 == 0
    }, "a time without a zone is in the shop's zone, here eight hours ahead"


async def test_changes_are_listed_by_change(api: Api) -> None:
    ids = await _fill(api, 6)
    await api.patch(f"/v1/customers/{ids[2]}", {"remark": "x"})
    rows = await _all(api, 2, updated_from="2020-01-01T00:00:00Z")
    assert rows[0]["id"] == ids[2]
    assert len(rows) == 6


async def test_a_foreign_cursor_is_refused(api: Api) -> None:
    for cursor in ("nonsense", "W10", "WzFd", "WyJ4IiwxXQ"):
        answer = await api.get("/v1/customers", params={"cursor": cursor})
        assert (answer.status_code, answer.json()["code"], answer.json()["field"]) == (422, "invalid_cursor", "cursor")


async def test_lists_are_masked_without_the_scope(api: Api, make_api: MakeApi, shop: Shop) -> None:
    await _fill(api, 4)
    reader = await make_api(shop, "customers:read")
    rows = (await reader.get("/v1/customers", params={"has_mobile": True})).json()["items"]
    assert rows
    assert all("*" in row["mobile"] for row in rows)


async def test_the_total_is_exact_while_small_and_capped_when_filtered(
    entry: Entry, api: Api, shop: Shop, work: Callable[[], Awaitable[None]], rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _fill(api, 30)
    async with entry.shop(shop.id) as (db, _):
        assert await repository.total(db, shop.id, Filters()) == 30
        assert await repository.total(db, shop.id, Filters(has_mobile=True)) == 15
        monkeypatch.setattr(repository, "COUNTED_TO", 10)
        assert await repository.total(db, shop.id, Filters(has_mobile=True)) == 10
    await work()
    assert await rows("select customers from customer_totals where shop_id = $1", shop.id) == [{"customers": 30}]
    async with entry.shop(shop.id) as (db, _):
        monkeypatch.setattr(repository, "SMALL_SHOP", 5)
        assert await repository.total(db, shop.id, Filters()) == 30


async def test_who_carries_tags_comes_once_by_number(entry: Entry, api: Api, shop: Shop, rows: Rows) -> None:
    ids = await _fill(api, 24)
    held: list[tuple[int, int, int, datetime | None]] = [(number, 1, number, None) for number in ids[::2]]
    held += [(number, 2, number, None) for number in ids[::3]]
    held += [
        (ids[0], 1, ids[1], None),  # the same tag of another record of theirs
        (ids[1], 1, ids[1], T0),  # run out
        (ids[5], 2, ids[5], datetime(2999, 1, 1, tzinfo=UTC)),
    ]
    await rows(
        """
        insert into customer_tags
            (shop_id, customer_id, tag_id, origin_customer_id, valid_until, source, actor, assigned_at)
        select $1, customer_id, tag_id, origin, valid_until, 'manual', 'ada', $6
        from unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::timestamptz[])
            as t (customer_id, tag_id, origin, valid_until)
        returning 1
        """,
        shop.id,
        *map(list, zip(*held, strict=True)),
        T0,
    )
    place = {number: n for n, number in enumerate(ids)}

    async def check(filters: Filters, expected: list[int]) -> None:
        async with entry.shop(shop.id) as (db, of):
            assert await repository.total(db, shop.id, filters) == len(expected)
            found = []
            for offset in range(0, 30, 5):
                page = await repository.page_numbered(db, of, filters=filters, offset=offset, limit=5)
                found += [place[row.customer.id] for row in page]
                assert [row.position for row in page] == [(row.customer.created_at, row.customer.id) for row in page]
        assert found == sorted(expected, reverse=True)

    one, either = list(range(0, 24, 2)), [n for n in range(24) if n % 2 == 0 or n % 3 == 0 or n == 5]
    await check(Filters(any_tag=(1,)), one)
    await check(Filters(any_tag=(1, 2)), either)
    await check(Filters(any_tag=(1, 2), has_mobile=True), [n for n in either if n % 2])
    await check(Filters(any_tag=(1, 2), member=True), [n for n in either if n % 4 == 0])
    await check(Filters(any_tag=(3,)), [])
    # With a window the customers are walked, newest first.
    window = Filters(any_tag=(1, 2), created_from=T0 + timedelta(hours=3))
    await check(window, [n for n in either if n >= 6])


async def test_new_members_come_by_membership_and_a_tier_by_creation(
    entry: Entry, api: Api, shop: Shop, rows: Rows
) -> None:
    ids = await _fill(api, 12)
    await rows(
        "update customers set member_since = $2::timestamptz - id * interval '1 hour' where shop_id = $1 returning 1",
        shop.id,
        T0 + timedelta(hours=ids[-1]),
    )
    await rows(
        """
        insert into customer_scores (shop_id, customer_id, tier, created_at)
        select shop_id, id, 'vip', created_at from customers where shop_id = $1 returning 1
        """,
        shop.id,
    )

    async def found(**given: Any) -> list[int]:
        async with entry.shop(shop.id) as (db, of):
            filters = Filters(**given)
            page = await repository.page_numbered(db, of, filters=filters, offset=0, limit=50)
            assert await repository.total(db, shop.id, filters) == len(page)
        return [ids.index(row.customer.id) for row in page]

    assert await found(member_from=T0 + timedelta(hours=2)) == list(range(10))
    assert await found(member_before=T0 + timedelta(hours=2)) == [10, 11]
    created = {"created_from": T0 + timedelta(hours=1), "created_before": T0 + timedelta(hours=3)}
    assert await found(tier="vip", **created) == [5, 4, 3, 2]


FILTERS = [
    Filters(),
    Filters(created_from=T0, created_before=T0 + timedelta(days=1)),
    Filters(updated_from=T0),
    Filters(tier="vip"),
    Filters(store_id=7),
    Filters(member=True),
    Filters(has_mobile=True),
    Filters(tier="vip", store_id=7),
    Filters(any_tag=(1,)),
    Filters(any_tag=(1, 2), has_mobile=True),
    Filters(any_tag=(2,), tier="vip"),
    Filters(any_tag=(1,), member=True),
    Filters(any_tag=(2,), created_from=T0, created_before=T0 + timedelta(days=1)),
    Filters(tier="vip", created_from=T0, created_before=T0 + timedelta(days=1)),
    Filters(member_from=T0, member_before=T0 + timedelta(days=1)),
]


@pytest.mark.parametrize("filters", FILTERS, ids=lambda f: "+".join(f.given()) or "none")
async def test_every_filter_walks_an_index_behind_the_wall(
    entry: Entry, rows: Rows, shop: Shop, filters: Filters
) -> None:
    """EXPLAIN as the service's role over 20,000 customers: no sequential scan and no sort of the shop."""
    if not await rows("select 1 from customers where shop_id = $1 limit 1", shop.id):
        await rows(
            """
            with people as (
                insert into customers
                    (shop_id, id, mobile, store_id, member_since, created_at, updated_at, told_at)
                select $1, n, 'x', n % 50, case when n % 3 = 0 then now() end,
                       timestamptz '2026-01-01' + n * interval '1 minute', now() - n * interval '1 second', now()
                from generate_series(1, 20000) as n returning id, created_at
            )
            insert into customer_scores (shop_id, customer_id, tier, created_at)
            select $1, id, case when id % 10 = 0 then 'vip' else 'regular' end, created_at from people returning 1
            """,
            shop.id,
        )
        await rows("analyze customers")
        await rows(
            """
            insert into customer_tags
                (shop_id, customer_id, tag_id, origin_customer_id, source, actor, assigned_at)
            select $1, n, case when n % 1000 = 0 then 1 else 2 end, n, 'manual', 'ada', now()
            from generate_series(2, 20000, 2) as n
            returning 1
            """,
            shop.id,
        )
        await rows("analyze customer_scores")
        await rows("analyze customer_tags")
    query = repository._page(filters, after=False, numbered=False)
    explain = statement(text("select 1"))._replace(
        sql="explain (format text) " + query.sql, names=query.names, defaults=query.defaults
    )
    async with entry.database.transaction(shop.id) as db:
        plan = "\n".join(
            row["QUERY PLAN"] for row in await db.fetch(explain, shop_id=shop.id, limit=50, **bound(filters))
        )
    page = plan[plan.index("CTE page") if "CTE page" in plan else 0 :]
    assert "Index" in page, plan
    assert "Seq Scan on customers" not in plan, plan
    assert "Seq Scan on customer_scores" not in plan, plan
    assert "Seq Scan on customer_tags" not in plan, plan


def test_filters_are_plain_values() -> None:
    assert replace(Filters(), tier="vip").given() == {"tier": "vip"}

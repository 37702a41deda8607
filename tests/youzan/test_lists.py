"""Contract 5.4 (search 3.1.2), 5.5 (list 1.0.0) and 2.6: pages."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.conftest import Rows
from tests.youzan.conftest import LIST, SEARCH, Facade

T0 = datetime(2024, 1, 1, tzinfo=UTC)
BOTH = pytest.mark.parametrize("api", [SEARCH, LIST])


@pytest.fixture
async def seven(facade: Facade, rows: Rows) -> Facade:
    """Seven customers, a day apart, the last the newest; every third is a member, since a month after; one unknown."""
    people: list[dict[str, Any]] = [
        {
            "name": f"客{n}",
            "identities": [{"kind": "mobile", "value": f"1380000000{n}"}],
            "created_at": (T0 + timedelta(days=n)).isoformat(),
        }
        for n in range(6)
    ]
    nobody = {"identities": [{"kind": "fans_id", "value": "5009"}], "created_at": (T0 + timedelta(days=6)).isoformat()}
    answer = await facade.api.post("/v1/customers/batch", {"customers": [*people, nobody]})
    assert answer.json()["created"] == 7, answer.text
    ids = [row["customer_id"] for row in answer.json()["results"]]
    await rows(
        "update customers set member_since = created_at + interval '30 days' where id = any($1) returning id", ids[::3]
    )
    return facade


async def numbers(facade: Facade, api: str, **parameters: Any) -> list[str]:
    """The last digits of the mobiles in a page; `-` for who has none."""
    found = (await facade.data(api, **parameters))["record_list"]
    return [row.get("mobile", "-")[-1] for row in found]


async def test_5_4_rows_of_search(seven: Facade) -> None:
    data = await seven.data(SEARCH, page=1, page_size=2)
    assert data["total"] == 7
    nobody, newest = data["record_list"]
    created_at = int((T0 + timedelta(days=6)).timestamp())
    assert nobody == {
        "name": "",
        "show_name": "匿名用户",
        "gender": 0,
        "yz_uid": nobody["yz_uid"],
        "fans_id": 5009,
        "weixin_fans_id": 5009,
        "is_member": 1,
        "trade_count": 0,
        "points": 0,
        "card_ids": [],
        "created_at": created_at,
        "member_created_at": created_at + 30 * 86400,
    }
    assert (newest["mobile"], newest["show_name"], newest["name"]) == ("13800000005", "13800000005", "客5")
    assert (newest["fans_id"], newest["is_member"], newest["member_created_at"]) == (0, 0, 0)


async def test_5_5_rows_of_list(seven: Facade) -> None:
    data = await seven.data(LIST, page_no=2, page_size=1)
    assert (data["total"], data["page_no"]) == (7, 2)
    (row,) = data["record_list"]
    assert row == {
        "yz_open_id": row["yz_open_id"],
        "name": "客5",
        "mobile": "13800000005",
        "show_name": "13800000005",
        "gender": 0,
        "is_member": 0,
        "points": 0,
        "trade_count": 0,
        "created_at": int((T0 + timedelta(days=5)).timestamp()),
        "created_member_at": 0,
        "is_mobile_enable": False,
        "is_mobile_auth": False,
    }
    assert (await seven.detail(row["yz_open_id"]))["name"] == "客5"


@BOTH
async def test_2_6_pages_newest_first(seven: Facade, api: str) -> None:
    page = "page" if api == SEARCH else "page_no"
    assert await numbers(seven, api) == ["-", "5", "4", "3", "2", "1", "0"]
    assert await numbers(seven, api, **{page: 2, "page_size": 3}) == ["3", "2", "1"]
    assert await numbers(seven, api, **{page: 3, "page_size": 3}) == ["0"]
    assert await numbers(seven, api, **{page: 4, "page_size": 3}) == []
    assert await numbers(seven, api, **{page: 0, "page_size": 0}) == ["-", "5", "4", "3", "2", "1", "0"]


@BOTH
@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"page_size": 51}, 141500101),
        ({"page_size": -1}, 141500101),
        ({"page": -1}, 141500101),
        ({"is_member": 2}, 141500101),
        ({"created_at_start": -1}, 141500101),
        ({"created_at_start": 10**15}, 141500101),
        ({"created_at_start": 1700000000, "created_at_end": 1600000000}, 141500101),
        ({"page": 501, "page_size": 1}, 142710032),
        ({"page": 201, "page_size": 50}, 142710032),
        ({"page": 10**18}, 142710032),
        ({"page": 500, "page_size": 20}, 200),
        ({"page": 200, "page_size": 50}, 200),
    ],
)
async def test_2_6_limits(facade: Facade, api: str, parameters: dict[str, Any], code: int) -> None:
    assert await facade.code(api, **parameters) == code


@BOTH
@pytest.mark.parametrize("unit", [1, 1000])
async def test_windows_in_seconds_or_milliseconds(seven: Facade, api: str, unit: int) -> None:
    def at(days: int) -> int:
        return int((T0 + timedelta(days=days)).timestamp()) * unit

    member = (
        ("created_member_start", "created_member_end")
        if api == SEARCH
        else (
            "created_member_at_start",
            "created_member_at_end",
        )
    )
    assert await numbers(seven, api, created_at_start=at(2), created_at_end=at(4)) == ["4", "3", "2"]
    assert await numbers(seven, api, created_at_start=at(5), created_at_end=0) == ["-", "5"]
    assert await numbers(seven, api, created_at_end=at(0)) == ["0"]
    assert await numbers(seven, api, **{member[0]: at(31), member[1]: at(36)}) == ["-", "3"]
    assert await numbers(seven, api, **{member[1]: at(33)}) == ["3", "0"]


@BOTH
async def test_filters(seven: Facade, api: str) -> None:
    assert await numbers(seven, api, is_member=1) == ["-", "3", "0"]
    assert await numbers(seven, api, is_member=0) == ["5", "4", "2", "1"]
    assert await numbers(seven, api, has_mobile=False) == ["-"]
    assert await numbers(seven, api, has_mobile=True, is_member=1) == ["3", "0"]
    assert (await seven.data(api, has_mobile=True, is_member=1))["total"] == 2
    assert (await seven.data(api, tag_ids=[1]))["total"] == 0
    assert (await seven.data(api, tag_ids=[]))["total"] == 7


@BOTH
async def test_masked_without_pii_read(seven: Facade, make_facade: Any, api: str) -> None:
    reader: Facade = await make_facade(seven.shop, "customers:read")
    nobody, newest = (await reader.data(api, page_size=2))["record_list"]
    assert nobody["show_name"] == "匿名用户"
    assert nobody.get("fans_id", 0) == 0
    assert (newest["mobile"], newest["show_name"], newest["name"]) == ("138****0005", "138****0005", "客**")


@BOTH
async def test_5_4_trade_count_is_what_the_refresh_counted(seven: Facade, api: str, work: Any) -> None:
    order = {
        "order_no": "O1",
        "identities": [{"kind": "mobile", "value": "13800000005"}],
        "paid_at": T0.isoformat(),
        "amount_fen": 100,
        "version": 1,
    }
    await seven.api.post("/v1/orders", order)
    await work()
    data = await seven.data(api, page_size=2)
    assert [row["trade_count"] for row in data["record_list"]] == [0, 1]
    assert data["total"] == 7

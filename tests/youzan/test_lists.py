"""Contract 5.4 (search, search.list), 5.5 (list), 5.6 (list.phone, list.yzopenid) and 2.6: pages."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi import FastAPI

from app.access.shops import Shop
from tests.conftest import Rows
from tests.youzan.conftest import (
    LIST,
    LIST_PHONE,
    LIST_YZOPENID,
    MEMBERS,
    SEARCH,
    SEARCH_310,
    SEARCH_LIST,
    Facade,
    Listening,
)

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


async def test_5_4_search_3_1_0_answers_like_3_1_2(seven: Facade) -> None:
    assert await seven.data(SEARCH_310, page_no=1, page_size=3) == await seven.data(SEARCH, page=1, page_size=3)
    assert await numbers(seven, SEARCH_310, page_no=2, page_size=3) == ["3", "2", "1"]
    assert await numbers(seven, SEARCH_310, is_member=1) == ["-", "3", "0"]
    window = {"created_at_start": int((T0 + timedelta(days=5)).timestamp())}
    assert await numbers(seven, SEARCH_310, **window) == ["-", "5"]
    assert await seven.code(SEARCH_310, page_no=501, page_size=1) == 142710032
    assert await seven.code(SEARCH_310, page_size=51) == 141500101
    assert await seven.code(SEARCH_310, page_no="x") == 4010


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"card_alias": "Y2x42qhvviya8l", "page": 1}, 141502105),
        ({"card_alias": "Y2x42qhvviya8l", "page": 501}, 142710032),
        ({"card_alias": "", "page": 1}, 141500101),
        ({"page": 1}, 141500101),
        ({"card_alias": "Y2x42qhvviya8l"}, 141500101),
        ({"card_alias": "Y2x42qhvviya8l", "page": "x"}, 4010),
    ],
)
async def test_5_4_members_of_a_card_that_is_not_there(facade: Facade, parameters: dict[str, Any], code: int) -> None:
    assert await facade.code(MEMBERS, **parameters) == code


@pytest.fixture
async def traders(seven: Facade, work: Any) -> Facade:
    """The seven, of whom 1, 3 and 5 traded: 1 and 5 on one day, 5 later than 1; 3 the day before, twice."""
    for number, paid_at, amount in (
        (1, T1 + timedelta(hours=1), 1000),
        (5, T1 + timedelta(hours=2), 250),
        (3, T1 - timedelta(days=1), 300),
        (3, T1 - timedelta(days=9), 201),
    ):
        order = {
            "order_no": f"O{number}-{paid_at.day}",
            "identities": [{"kind": "mobile", "value": f"1380000000{number}"}],
            "paid_at": paid_at.isoformat(),
            "amount_fen": amount,
            "version": 1,
        }
        assert (await seven.api.post("/v1/orders", order)).status_code in (200, 201)
    await work()
    return seven


T1 = datetime(2024, 3, 9, 17, tzinfo=UTC)  # one o'clock of the tenth in China


async def listed(facade: Facade, **parameters: Any) -> list[str]:
    """The last digits of the mobiles in a page of search.list; `-` for who has none."""
    found = (await facade.data(SEARCH_LIST, **parameters))["list"]
    return [row.get("mobile", "-")[-1] for row in found]


async def test_5_4_rows_of_search_list(traders: Facade) -> None:
    data = await traders.data(SEARCH_LIST, order_column="lastTradeTime", page_size=3)
    assert data["total"] == 7
    assert data["list"][2] == {
        "name": "客3",
        "nick_name": "",
        "mobile": "13800000003",
        "fans_weixin_open_id": "",
        "show_name": "13800000003",
        "fans_type": [],
        "is_member": 1,
        "points": 0,
        "cards": [],
        "fans_picture": "",
        "avg_price": 250,
        "trade_count": 2,
        "last_trade_time": int((T1 - timedelta(days=1)).timestamp()),
    }
    (nobody,) = (await traders.data(SEARCH_LIST, page_size=1))["list"]
    assert (nobody["show_name"], nobody["avg_price"], nobody["last_trade_time"]) == ("匿名用户", 0, 0)
    assert "mobile" not in nobody


async def test_5_4_search_list_in_each_order(traders: Facade) -> None:
    newest = ["-", "5", "4", "3", "2", "1", "0"]
    assert await listed(traders) == newest
    assert await listed(traders, order_column="createdAt", order_mode="desc") == newest
    assert await listed(traders, order_column="createdAt", order_mode="asc") == newest[::-1]
    assert await listed(traders, order_column="", order_mode="") == newest
    # Those who never traded come last in either direction.
    assert await listed(traders, order_column="lastTradeTime") == ["5", "1", "3", "-", "4", "2", "0"]
    assert await listed(traders, order_column="lastTradeTime", order_mode="asc") == ["3", "1", "5", "0", "2", "4", "-"]


@pytest.mark.parametrize("size", [1, 2, 3, 4])
async def test_5_4_pages_of_search_list_show_everyone_once(traders: Facade, size: int) -> None:
    for asked in ({"order_column": "lastTradeTime"}, {"order_mode": "asc"}):
        pages = [await listed(traders, page=page, page_size=size, **asked) for page in range(1, 9)]
        assert [row for page in pages for row in page] == await listed(traders, **asked), asked


@pytest.mark.parametrize("order", [{}, {"order_column": "lastTradeTime"}])
async def test_5_4_windows_of_search_list_are_exact(traders: Facade, order: dict[str, str]) -> None:
    def at(hours: int) -> int:
        return int((T1 + timedelta(hours=hours)).timestamp())

    for start, end, expected in (
        (at(1), at(2), {"1", "5"}),
        (at(2), at(9), {"5"}),
        (at(-24), at(1), {"1", "3"}),
        (at(-23), at(0), set()),
        (at(-900), at(-24), {"3"}),
        (at(3), at(900), set()),
        (None, at(1), {"1", "3"}),
        (at(2) * 1000, None, {"5"}),
    ):
        data = await traders.data(SEARCH_LIST, last_trade_time_start=start, last_trade_time_end=end, **order)
        assert {row["mobile"][-1] for row in data["list"]} == expected, (start, end)
        assert data["total"] == len(expected)
    window = {"last_trade_time_start": at(-24)}
    assert await listed(traders, is_member=1, **window, **order) == ["3"]
    assert await listed(traders, created_at_end=int((T0 + timedelta(days=1)).timestamp()), **window, **order) == ["1"]
    assert await listed(traders, page=2, page_size=2, **window, **order) == (["3"] if order else ["1"])


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"page_size": 51}, 141500101),
        ({"page": 501, "page_size": 1}, 142710032),
        ({"page": 201, "page_size": 50}, 142710032),
        ({"page": 200, "page_size": 50, "order_column": "lastTradeTime"}, 200),
        ({"order_column": "name"}, 141500101),
        ({"order_mode": "up"}, 141500101),
        ({"last_trade_time_start": 1700000000, "last_trade_time_end": 1600000000}, 141500101),
        ({"last_trade_time_start": "x"}, 4010),
        ({"is_member": "x"}, 4010),
        ({"tag_ids": "1,2"}, 200),
        ({"tag_ids": "x"}, 4010),
    ],
)
async def test_5_4_limits_of_search_list(facade: Facade, parameters: dict[str, Any], code: int) -> None:
    assert await facade.code(SEARCH_LIST, **parameters) == code


async def test_5_4_search_list_shows_the_newest_openid_to_who_may_see_it(facade: Facade, make_facade: Any) -> None:
    for value in ("oWx7", "oWx8"):
        identities = [{"kind": "mobile", "value": "13800000000"}, {"kind": "wechat_openid", "value": value}]
        await facade.api.post("/v1/customers", {"name": "欧阳娜", "identities": identities})
    (row,) = (await facade.data(SEARCH_LIST))["list"]
    assert row["fans_weixin_open_id"] == "oWx8"
    reader: Facade = await make_facade(facade.shop, "customers:read")
    (row,) = (await reader.data(SEARCH_LIST))["list"]
    assert (row["fans_weixin_open_id"], row["name"], row["mobile"]) == ("", "欧阳**", "138****0000")


async def test_5_6_rows_by_phone(seven: Facade, rows: Rows) -> None:
    data = await seven.data(LIST_PHONE, phones=["13800000003", "13900000000", "+86-13800000001", "13800000003"])
    assert [row["social_info"]["mobile"] for row in data] == ["13800000003", "13800000001"]
    (stored,) = await rows(
        "select * from customers where shop_id = $1 and created_at = $2", seven.shop.id, T0 + timedelta(days=3)
    )
    assert data[0] == {
        "yz_open_id": data[0]["yz_open_id"],
        "created_time": int(stored["created_at"].timestamp() * 1000),
        "updated_time": int(stored["updated_at"].timestamp() * 1000),
        "label_info": {
            "is_member": True,
            "remark": "",
            "node_kdt_id": seven.shop.id,
            "customer_node_kdt_id": seven.shop.id,
            "member_node_kdt_id": seven.shop.id,
            "member_created_time": int((T0 + timedelta(days=33)).timestamp() * 1000),
            "member_expired_time": 0,
        },
        "social_info": {"wx_nickname": "", "mobile": "13800000003", "weixin": ""},
    }
    assert (await seven.detail(data[0]["yz_open_id"]))["name"] == "客3"
    assert (data[1]["label_info"]["member_node_kdt_id"], data[1]["label_info"]["member_created_time"]) == (0, 0)


async def test_5_6_rows_by_open_id(seven: Facade) -> None:
    people = (await seven.data(LIST, page_size=3))["record_list"]
    asked = [person["yz_open_id"] for person in people]
    data = await seven.data(LIST_YZOPENID, yz_open_ids=[asked[2], "nobody", asked[0], asked[2]])
    assert [row["yz_open_id"] for row in data] == [asked[2], asked[0]]
    assert [row["social_info"]["mobile"] for row in data] == ["13800000004", ""]
    assert data[:1] == await seven.data(LIST_PHONE, phones=["13800000004"])


async def test_5_6_each_phone_of_one_customer_has_its_row(facade: Facade) -> None:
    identities = [{"kind": "mobile", "value": f"1380000000{n}"} for n in range(2)]
    made = await facade.api.post("/v1/customers", {"identities": identities})
    data = await facade.data(LIST_PHONE, phones=["13800000001", "13800000000"])
    assert [row["social_info"]["mobile"] for row in data] == ["13800000001", "13800000000"]
    assert {row["yz_open_id"] for row in data} == {made.json()["open_id"]}


@pytest.mark.parametrize("form", ['["13800000000","13800000001"]', "13800000000,13800000001"])
async def test_5_6_lists_as_text(facade: Facade, form: str) -> None:
    await facade.create("13800000000")
    await facade.create("13800000001")
    assert len(await facade.data(LIST_PHONE, phones=form)) == 2
    assert len((await facade.raw(LIST_PHONE, "GET", params={"phones": form}))["data"]) == 2


@pytest.mark.parametrize(
    ("api", "parameters", "code"),
    [
        (LIST_PHONE, {}, 141500101),
        (LIST_PHONE, {"phones": ["12"]}, 141500101),
        (LIST_PHONE, {"phones": [f"138000000{n:02}" for n in range(51)]}, 141500101),
        (LIST_PHONE, {"phones": [f"138000000{n:02}" for n in range(50)]}, 200),
        (LIST_PHONE, {"phones": []}, 200),
        (LIST_PHONE, {"phones": {"a": 1}}, 4010),
        (LIST_PHONE, {"phones": [["13800000000"]]}, 4010),
        (LIST_PHONE, {"phones": "[1"}, 4010),
        (LIST_YZOPENID, {}, 141500101),
        (LIST_YZOPENID, {"yz_open_ids": ["x"] * 51}, 141500101),
        (LIST_YZOPENID, {"yz_open_ids": ["z" * 22, "z" * 65000]}, 200),
        (LIST_YZOPENID, {"yz_open_ids": 1.5}, 4010),
    ],
)
async def test_5_6_limits(facade: Facade, api: str, parameters: dict[str, Any], code: int) -> None:
    assert await facade.code(api, **parameters) == code


async def test_5_6_strangers_the_masked_and_the_erased(
    facade: Facade, make_facade: Any, other_shop: Shop, rows: Rows
) -> None:
    open_id = await facade.create("13800000000", remark="喜欢玫瑰", wei_xin="wx_ouyang_na_1990")
    both = ((LIST_PHONE, {"phones": ["13800000000"]}), (LIST_YZOPENID, {"yz_open_ids": [open_id]}))
    reader: Facade = await make_facade(facade.shop, "customers:read")
    stranger: Facade = await make_facade(other_shop)
    for api, asked in both:
        (row,) = await reader.data(api, **asked)
        assert (row["social_info"]["mobile"], row["label_info"]["remark"]) == ("138****0000", "****")
        assert "ouyang" not in row["social_info"]["weixin"]
        assert await stranger.data(api, **asked) == []
    log = await rows(
        "select call, objects from access_log where shop_id = $1 and call = any($2)",
        facade.shop.id,
        [api for api, _ in both],
    )
    assert sorted((entry["call"], entry["objects"]) for entry in log) == [(LIST_PHONE, 1), (LIST_YZOPENID, 1)]
    await rows("update customers set status = 'erased' where shop_id = $1 returning id", facade.shop.id)
    for api, asked in both:
        assert await facade.data(api, **asked) == []


async def test_5_6_fifty_customers_are_one_statement(facade: Facade, app: FastAPI) -> None:
    phones = [f"138000000{n:02}" for n in range(50)]
    people = [{"identities": [{"kind": "mobile", "value": phone}]} for phone in phones]
    await facade.api.post("/v1/customers/batch", {"customers": people})
    assert await facade.data(LIST_PHONE, phones=[]) == []  # from now on the caller is known
    seen: list[str] = []
    async with Listening(app.state.entry.database._pool, lambda record: seen.append(record.query)):
        assert len(await facade.data(LIST_PHONE, phones=phones)) == 50
    assert len(seen) == 3, seen  # BEGIN, the customers, COMMIT

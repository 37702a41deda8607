"""Contract 5.1, 5.2, 5.3, 5.7 and 5.9: create, update, remark.update, get, info.get."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from app.access.shops import Shop
from tests.conftest import Rows
from tests.youzan.conftest import CREATE, DETAIL, GET, GET_300, INFO, REMARK, UPDATE, Facade

EVERYTHING: dict[str, Any] = {
    "name": "欧阳娜",
    "gender": 2,
    "birthday": "1990-02-28 00:00:00",
    "remark": "喜欢玫瑰",
    "contact_address": {"area_code": 420704, "address": "湖北省鄂州市鄂城区滨湖路 1 号"},
    "ascription_kdt_id": 4242,
    "wei_xin": "wx_ouyang_na_1990",
    "outer_card_no": "POS-000123",
}


async def stored(rows: Rows, shop: Shop) -> dict[str, Any]:
    """The shop's only customer."""
    (row,) = await rows("select * from customers where shop_id = $1", shop.id)
    return row


async def test_5_1_everything_that_create_can_say(facade: Facade, rows: Rows) -> None:
    data = await facade.data(
        CREATE,
        mobile="13800000000",
        country_code="+86",
        is_mobile_auth=True,
        customer_create=EVERYTHING,
        label_info={"src_way": 2008, "src_channel": 2000},
        scrm_channel_type=1,
        is_do_ext_point=False,
        create_date="2020-05-06 07:08:09",
    )
    assert data["account_type"] == "YouZanAccount"
    row = await stored(rows, facade.shop)
    assert data["account_id"] == str(row["id"])
    assert (row["gender"], str(row["birthday"]), row["area_code"], row["store_id"]) == (2, "1990-02-28", "420704", 4242)
    assert (row["source_way"], row["source_channel"], row["mobile_verified"]) == (2008, 2000, True)
    assert row["created_at"].isoformat() == "2020-05-05T23:08:09+00:00"
    assert row["member_since"] is None
    kinds = await rows("select kind from identities where shop_id = $1 order by kind", facade.shop.id)
    assert [kind["kind"] for kind in kinds] == ["card_no", "mobile"]
    events = await rows("select kind from domain_events where shop_id = $1", facade.shop.id)
    assert [event["kind"] for event in events] == ["customer.created"]
    assert len(await rows("select * from customer_changes where shop_id = $1", facade.shop.id)) == 1


async def test_5_1_whoever_exists_is_refused_and_not_changed(facade: Facade, rows: Rows) -> None:
    await facade.create("13800000000", name="甲", outer_card_no="C1")
    assert await facade.code(CREATE, mobile="13800000000", customer_create={"name": "乙"}) == 143001027
    assert await facade.code(CREATE, mobile="13800000001", customer_create={"outer_card_no": "C1"}) == 143001027
    row = await stored(rows, facade.shop)
    assert row["version"] == 1
    assert len(await rows("select * from identities where shop_id = $1", facade.shop.id)) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"mobile": None},
        {"mobile": ""},
        {"mobile": "1380000000"},
        {"mobile": "138000000000"},
        {"mobile": "12800000000"},
        {"mobile": "+8613800000000"},
        {"mobile": "138****0000"},
        {"mobile": "１３８００００００００"},
        {"country_code": "+1", "mobile": "1"},
        {"country_code": "中国"},
        {"customer_create": {"gender": 3}},
        {"customer_create": {"birthday": "1990/02/28"}},
        {"customer_create": {"birthday": "1990-02-30"}},
        {"customer_create": {"birthday": "1490-02-03"}},
        {"customer_create": {"birthday": "2990-02-03"}},
        {"customer_create": {"name": "长" * 101}},
        {"customer_create": {"name": "欧阳**"}},
        {"customer_create": {"contact_address": {"area_code": 12}}},
        {"customer_create": {"ascription_kdt_id": -1}},
        {"customer_create": {"ascription_kdt_id": 2**53}},
        {"customer_create": {"outer_card_no": "x" * 300}},
        {"label_info": {"src_way": -1}},
        {"create_date": "yesterday"},
        {"create_date": "2990-01-01 00:00:00"},
    ],
)
async def test_5_1_141500101(facade: Facade, rows: Rows, changes: dict[str, Any]) -> None:
    answer = await facade.call(CREATE, **{"mobile": "13800000000", **changes})
    assert answer["code"] == 141500101, answer
    assert not await rows("select id from customers where shop_id = $1", facade.shop.id)


async def test_5_1_another_country(facade: Facade) -> None:
    data = await facade.data(CREATE, mobile="2015550123", country_code="1")
    detail = await facade.detail(data["yz_open_id"])
    assert (detail["mobile_country_code"], detail["mobile"]) == ("+1", "2015550123")


async def test_5_1_zero_and_empty_values_of_typed_clients(facade: Facade, rows: Rows) -> None:
    empty = {
        "name": "",
        "gender": 0,
        "birthday": "",
        "remark": "",
        "contact_address": {"area_code": 0, "address": ""},
        "ascription_kdt_id": 0,
        "wei_xin": "",
        "outer_card_no": "",
    }
    await facade.data(CREATE, mobile="13800000000", country_code="", customer_create=empty, create_date="")
    row = await stored(rows, facade.shop)
    for name in ("name", "birthday", "remark", "address", "area_code", "store_id", "wei_xin"):
        assert row[name] is None, name


async def test_5_1_the_head_office_as_owner_is_no_branch(facade: Facade, rows: Rows) -> None:
    await facade.create(ascription_kdt_id=facade.shop.id)
    assert (await stored(rows, facade.shop))["store_id"] is None


async def test_5_2_only_the_given_keys_change(facade: Facade, rows: Rows) -> None:
    open_id = await facade.create(**EVERYTHING)
    account = {"account_type": "YzOpenId", "account_id": open_id}
    answer = await facade.data(
        UPDATE,
        account=account,
        customer_update={"name": "欧阳乐", "remark": "", "gender": None},
        external_request_id="7",
    )
    assert answer is True
    row = await stored(rows, facade.shop)
    assert (row["gender"], row["area_code"], row["store_id"], row["version"]) == (2, "420704", 4242, 2)
    detail = await facade.detail(open_id)
    assert (detail["name"], detail["remark"], detail["wei_xin"]) == ("欧阳乐", "", "wx_ouyang_na_1990")
    change = {"contact_address": {"address": "武汉"}, "birthday": "1991-03-01", "ascription_kdt_id": facade.shop.id}
    assert await facade.data(UPDATE, account=account, customer_update=change) is True
    row = await stored(rows, facade.shop)
    assert (row["area_code"], str(row["birthday"]), row["store_id"]) == ("420704", "1991-03-01", None)
    got = await facade.data(GET, account=account)
    assert got["contact_address"]["address"] == "武汉"


async def test_5_2_an_update_that_changes_nothing(facade: Facade, rows: Rows) -> None:
    await facade.create(name="甲")
    account = {"account_type": "Mobile", "account_id": "13800000000"}
    for change in ({}, {"name": "甲"}):
        assert await facade.data(UPDATE, account=account, customer_update=change) is True
    assert (await stored(rows, facade.shop))["version"] == 1


@pytest.fixture
async def known(facade: Facade) -> dict[str, str]:
    """A customer's accounts in system S."""
    answer = await facade.api.post(
        "/v1/customers",
        {
            "name": "甲",
            "identities": [
                {"kind": "mobile", "value": "13800000000"},
                {"kind": "fans_id", "value": "5009"},
                {"kind": "open_user_id", "value": "u-7"},
                {"kind": "wechat_openid", "value": "oWx7"},
            ],
        },
    )
    customer = answer.json()
    return {
        "YouZanAccount": str(customer["id"]),
        "YzOpenId": customer["open_id"],
        "Mobile": "13800000000",
        "FansID": "5009",
        "OpenUserId": "u-7",
        "WeiXinOpenId": "oWx7",
    }


@pytest.mark.parametrize("kind", ["YouZanAccount", "YzOpenId", "Mobile", "FansID", "OpenUserId", "WeiXinOpenId"])
async def test_4_every_account_type_of_system_s(facade: Facade, known: dict[str, str], kind: str) -> None:
    account = {"account_type": kind, "account_id": known[kind]}
    assert await facade.data(UPDATE, account=account, customer_update={"name": kind}) is True
    got = await facade.data(GET, account=account)
    assert (got["name"], got["out_user_id"]) == (kind, "u-7")


MISSING = {
    "YouZanAccount": "99999999",
    "YzOpenId": "nobody",
    "Mobile": "13900000000",
    "FansID": "1",
    "OpenUserId": "nobody",
    "WeiXinOpenId": "nobody",
}


@pytest.mark.parametrize("kind", MISSING)
async def test_5_2_5_7_nobody_there(facade: Facade, kind: str) -> None:
    account = {"account_type": kind, "account_id": MISSING[kind]}
    assert await facade.code(UPDATE, account=account, customer_update={"name": "x"}) == 141502108
    assert await facade.code(GET, account=account) == 141001107


async def test_5_2_5_7_an_erased_customer_is_nobody(facade: Facade, rows: Rows) -> None:
    await facade.create()
    await rows("update customers set status = 'erased' where shop_id = $1 returning id", facade.shop.id)
    account = {"account_type": "Mobile", "account_id": "13800000000"}
    assert await facade.code(UPDATE, account=account, customer_update={"name": "x"}) == 141502108
    assert await facade.code(GET, account=account) == 141001107


@pytest.mark.parametrize(
    "parameters",
    [
        {"customer_update": {}},
        {"account": {"account_type": "Mobile", "account_id": "13800000000"}},
        {"account": {}, "customer_update": {}},
        {"account": {"account_type": "Nickname", "account_id": "x"}, "customer_update": {}},
        {"account": {"account_type": "1", "account_id": "5009"}, "customer_update": {}},
        {"account": {"account_type": "Mobile", "account_id": "12"}, "customer_update": {}},
        {"account": {"account_type": "FansID", "account_id": "x"}, "customer_update": {}},
        {"account": {"account_type": "YouZanAccount", "account_id": "x"}, "customer_update": {}},
        {"account": {"account_type": "Mobile", "account_id": "13800000000"}, "customer_update": {"gender": 9}},
        {"account": {"account_type": "Mobile", "account_id": "13800000000"}, "customer_update": {"name": "欧**"}},
        {"account": {"account_type": "Mobile", "account_id": "13800000000"}, "customer_update": {"birthday": "soon"}},
    ],
)
async def test_5_2_141500101(facade: Facade, rows: Rows, parameters: dict[str, Any]) -> None:
    await facade.create()
    answer = await facade.call(UPDATE, **parameters)
    assert answer["code"] == 141500101, answer
    assert (await stored(rows, facade.shop))["version"] == 1


async def test_5_7_a_full_answer(facade: Facade, rows: Rows) -> None:
    await facade.create(**EVERYTHING)
    await rows("update customers set member_since = now() where shop_id = $1 returning id", facade.shop.id)
    assert await facade.data(GET, account={"account_type": "Mobile", "account_id": "13800000000"}) == {
        "name": "欧阳娜",
        "gender": 2,
        "birthday": "1990-02-28",
        "mobile": "13800000000",
        "is_member": True,
        "remark": "喜欢玫瑰",
        "contact_address": {
            "area_code": 420704,
            "areaCode": "420704",
            "province": "",
            "city": "",
            "county": "",
            "address": "湖北省鄂州市鄂城区滨湖路 1 号",
        },
    }


async def test_5_7_an_answer_about_nobody_much(facade: Facade) -> None:
    await facade.create()
    got = await facade.data(GET, account={"account_type": "Mobile", "account_id": "13800000000"})
    assert got["gender"] == 0
    assert got["is_member"] is False
    assert "birthday" not in got
    assert got["contact_address"]["area_code"] == 0


async def test_5_7_masked_without_pii_read(facade: Facade, make_facade: Any) -> None:
    await facade.create(**EVERYTHING)
    reader = await make_facade(facade.shop, "customers:read")
    got = await reader.data(GET, account={"account_type": "Mobile", "account_id": "13800000000"})
    assert (got["name"], got["mobile"], got["birthday"], got["remark"]) == (
        "欧阳**",
        "138****0000",
        "1990-**-**",
        "****",
    )
    assert "滨湖路" not in got["contact_address"]["address"]


async def test_2_7_a_new_open_id_is_read_back(facade: Facade) -> None:
    open_id = await facade.create()
    assert (await facade.data(DETAIL, yz_open_id=open_id, fields="user_base"))["yz_open_id"] == open_id


async def told(rows: Rows, shop: Shop) -> list[dict[str, Any]]:
    """The data of the shop's update events."""
    events = await rows(
        "select data from domain_events where shop_id = $1 and kind = 'customer.updated' order by id", shop.id
    )
    return [json.loads(event["data"]) for event in events]


@pytest.mark.parametrize("place", ["outside", "inside", "both"])
async def test_5_2_a_request_id_is_told_with_the_change(facade: Facade, rows: Rows, place: str) -> None:
    await facade.create(name="甲")
    account = {"account_type": "Mobile", "account_id": "13800000000"}
    given: dict[str, Any] = {"account": account, "customer_update": {"name": "乙"}}
    if place != "outside":
        given["customer_update"]["external_request_id"] = "inner"
    if place != "inside":
        given["external_request_id"] = 7
    assert await facade.data(UPDATE, **given) is True
    (row,) = await rows("select id from customers where shop_id = $1", facade.shop.id)
    expected = "inner" if place == "inside" else "7"
    assert await told(rows, facade.shop) == [
        {"customer_id": row["id"], "fields": ["name"], "external_request_id": expected}
    ]


async def test_5_2_nothing_more_is_told_without_a_request_id(facade: Facade, rows: Rows) -> None:
    await facade.create(name="甲")
    account = {"account_type": "Mobile", "account_id": "13800000000"}
    for request_id in (None, ""):
        change = {"name": f"乙{request_id}", "external_request_id": ""}
        assert await facade.data(UPDATE, account=account, customer_update=change, external_request_id=request_id)
    assert [set(data) for data in await told(rows, facade.shop)] == [{"customer_id", "fields"}] * 2
    assert await facade.data(UPDATE, account=account, customer_update={}, external_request_id="8") is True
    assert len(await told(rows, facade.shop)) == 2  # nothing changed, so nothing is told
    for bad, code in (("x" * 129, 141500101), ({"a": 1}, 4010)):
        given = {"account": account, "customer_update": {"name": "丙"}, "external_request_id": bad}
        assert await facade.code(UPDATE, **given) == code
    assert len(await told(rows, facade.shop)) == 2


async def test_5_3_a_remark_is_changed_and_cleared(facade: Facade, rows: Rows) -> None:
    open_id = await facade.create(**EVERYTHING)
    account = {"account_type": "YzOpenId", "account_id": open_id}
    assert await facade.data(REMARK, account=json.dumps(account), remark="喜欢 茉莉") is True
    assert (await facade.detail(open_id))["remark"] == "喜欢 茉莉"
    row = await stored(rows, facade.shop)
    assert (row["version"], row["gender"], row["area_code"]) == (2, 2, "420704")
    assert [data["fields"] for data in await told(rows, facade.shop)] == [["remark"]]
    assert await facade.data(REMARK, account=account, remark="") is True
    assert (await stored(rows, facade.shop))["remark"] is None


@pytest.mark.parametrize("kind", ["YouZanAccount", "YzOpenId", "Mobile", "FansID", "OpenUserId", "WeiXinOpenId"])
async def test_5_3_by_every_account_type(facade: Facade, known: dict[str, str], kind: str) -> None:
    account = {"account_type": kind, "account_id": known[kind]}
    assert await facade.data(REMARK, account=account, remark=kind) is True
    assert (await facade.data(GET, account=account))["remark"] == kind
    assert (
        await facade.code(REMARK, account={"account_type": kind, "account_id": MISSING[kind]}, remark="x") == 141502108
    )


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({}, 141500101),
        ({"remark": "x"}, 141500101),
        ({"account": {"account_type": "Mobile", "account_id": "13800000000"}}, 141500101),
        ({"account": {"account_type": "Mobile", "account_id": "13800000000"}, "remark": "x" * 2001}, 141500101),
        ({"account": {"account_type": "Mobile", "account_id": "13800000000"}, "remark": "****"}, 141500101),
        ({"account": {"account_type": "2", "account_id": "13800000000"}, "remark": "x"}, 141500101),
        ({"account": {"account_type": "Mobile", "account_id": "13800000000"}, "remark": ["x"]}, 4010),
        ({"account": 7, "remark": "x"}, 4010),
    ],
)
async def test_5_3_refusals_change_nothing(facade: Facade, rows: Rows, parameters: dict[str, Any], code: int) -> None:
    await facade.create(remark="before")
    assert await facade.code(REMARK, **parameters) == code
    assert (await stored(rows, facade.shop))["version"] == 1


MEMBER_SINCE = datetime(2024, 5, 6, 16, 0, 0, tzinfo=UTC)  # already the next day in China


async def test_5_7_a_full_answer_of_3_0_0(facade: Facade, rows: Rows) -> None:
    await facade.create(**EVERYTHING)
    await rows("update customers set member_since = $2 where shop_id = $1 returning id", facade.shop.id, MEMBER_SINCE)
    order = {
        "order_no": "O1",
        "identities": [{"kind": "mobile", "value": "13800000000"}],
        "paid_at": "2024-06-30T18:05:03+00:00",
        "amount_fen": 100,
        "version": 1,
    }
    assert (await facade.api.post("/v1/orders", order)).status_code in (200, 201)
    for by in (
        {"fans_id": 0, "fans_type": 0, "mobile": "13800000000"},
        {"mobile": "+86-13800000000"},
    ):
        assert await facade.data(GET_300, **by) == {
            "name": "欧阳娜",
            "gender": 2,
            "birthday": "1990-02-28",
            "area": {
                "province_id": 420000,
                "province_name": "",
                "city_id": 420700,
                "city_name": "",
                "county_id": 420704,
                "county_name": "",
            },
            "mobile": "13800000000",
            "source_type": 0,
            "tag_names": "",
            "remark": "喜欢玫瑰",
            "current_points": 0,
            "trade_count": 1,
            "last_trade_time": "2024-07-01 02:05:03",
            "first_time": "2024-05-07 00:00:00",
        }


async def test_5_7_an_answer_of_3_0_0_about_nobody_much(facade: Facade) -> None:
    await facade.api.post("/v1/customers", {"identities": [{"kind": "fans_id", "value": "5009"}]})
    got = await facade.data(GET_300, fans_id="5009", fans_type=1, mobile="")
    assert "mobile" not in got
    assert {name: got[name] for name in ("name", "gender", "birthday", "last_trade_time", "first_time")} == {
        "name": "",
        "gender": 0,
        "birthday": "",
        "last_trade_time": "",
        "first_time": "",
    }
    assert {value for name, value in got["area"].items() if name.endswith("_id")} == {0}


@pytest.mark.parametrize(("code", "ids"), [(420000, (420000, 0, 0)), (420700, (420000, 420700, 0))])
async def test_5_7_a_code_of_a_province_or_a_city(facade: Facade, code: int, ids: tuple[int, ...]) -> None:
    await facade.create(contact_address={"area_code": code})
    area = (await facade.data(GET_300, mobile="13800000000"))["area"]
    assert (area["province_id"], area["city_id"], area["county_id"]) == ids


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({}, 141500101),
        ({"fans_id": 0, "mobile": ""}, 141500101),
        ({"fans_id": -1}, 141500101),
        ({"mobile": "12"}, 141500101),
        ({"fans_id": 1}, 141001107),
        ({"mobile": "13900000000"}, 141001107),
        ({"fans_id": 1, "mobile": "13800000000"}, 141001107),
        ({"fans_id": "x"}, 4010),
        ({"mobile": {}}, 4010),
    ],
)
async def test_5_7_refusals_of_3_0_0(facade: Facade, parameters: dict[str, Any], code: int) -> None:
    await facade.create()
    assert await facade.code(GET_300, **parameters) == code


async def test_5_9_who_holds_a_card(facade: Facade) -> None:
    made = await facade.api.post(
        "/v1/customers",
        {
            "name": "甲",
            "identities": [
                {"kind": "card_no", "value": "305812218727787134"},
                {"kind": "mobile", "value": "13800000000"},
                {"kind": "fans_id", "value": "5009"},
            ],
        },
    )
    expected = {
        "card_name": "",
        "card_alias": "",
        "name": "甲",
        "mobile": "13800000000",
        "fans_id": 5009,
        "fans_type": 1,
        "yz_open_id": made.json()["open_id"],
        "activated_time": "",
        "card_start_time": "",
        "card_end_time": "",
        "take_card_time": "",
        "is_experience_card": False,
    }
    assert await facade.data(INFO, card_no="305812218727787134") == expected
    assert await facade.data(INFO, card_no=305812218727787134) == expected


async def test_5_9_nobody_holds_it(facade: Facade, make_facade: Any, other_shop: Shop, rows: Rows) -> None:
    await facade.create(outer_card_no="C1")
    refused = await facade.call(INFO, card_no="C2")
    assert (refused["code"], refused["message"]) == (141502107, "card number not exist")
    assert await (await make_facade(other_shop)).code(INFO, card_no="C1") == 141502107
    for bad, code in ((None, 141500101), ("", 141500101), ([], 4010)):
        assert await facade.code(INFO, card_no=bad) == code
    await rows("update customers set status = 'erased' where shop_id = $1 returning id", facade.shop.id)
    assert await facade.code(INFO, card_no="C1") == 141502107
    assert await facade.code(GET_300, mobile="13800000000") == 141001107


async def test_older_shapes_are_masked_without_pii_read(facade: Facade, make_facade: Any) -> None:
    identities = [{"kind": "fans_id", "value": "5009"}, {"kind": "card_no", "value": "C1"}]
    made = await facade.api.post(
        "/v1/customers", {"name": "欧阳娜", "birthday": "1990-02-28", "identities": identities}
    )
    assert made.status_code == 201
    reader: Facade = await make_facade(facade.shop, "customers:read")
    got = await reader.data(GET_300, fans_id=5009)
    assert (got["name"], got["birthday"]) == ("欧阳**", "1990-**-**")
    shown = await reader.data(INFO, card_no="C1")
    assert (shown["name"], shown["fans_id"], shown["fans_type"]) == ("欧阳**", 0, 0)

"""Contract 5.1, 5.2 and 5.7: create, update, get."""

from typing import Any

import pytest

from app.access.shops import Shop
from tests.conftest import Rows
from tests.youzan.conftest import CREATE, DETAIL, GET, UPDATE, Facade

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

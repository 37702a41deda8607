"""Contract 5.8: one flat object, filled by groups."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.conftest import Rows
from tests.youzan.conftest import CREATE, DETAIL, Facade
from tests.youzan.test_customers import EVERYTHING

ALWAYS = {"yz_open_id", "gender", "points", "member_source_kdt_id", "customer_attrinfos"}
BASE = {
    "name",
    "show_name",
    "remark",
    "wei_xin",
    "mobile",
    "mobile_country_code",
    "birthday",
    "latest_avatar",
    "latest_nickname",
    "wx_avatar",
    "wx_nickname",
    "province_name",
    "city_name",
    "county_name",
    "area_code",
    "ascription_kdt_id",
    "source_channel",
    "member_source_channel",
    "created_at",
    "updated_at",
    "member_created_at",
    "outer_card_no",
}
GROUPS: dict[str, dict[str, Any]] = {
    "tags": {"tags": [], "tag_ids": []},
    "benefit_cards": {"cards": []},
    "benefit_rights": {"rights": []},
    "benefit_level": {"level": 0, "level_infos": []},
    "level": {"level": 0, "level_infos": []},
    "credit": {"points": 0},
    "giftcard": {"giftcard_balance": 0},
    "prepaid": {"prepaid_balance": 0},
    "coupon": {"coupon_num": 0},
    "auth_info": {},
    "behavior": {
        "trade_count": 0,
        "total_trade_amount": 0,
        "last_trade_at": 0,
        "refund_count": 0,
        "refund_trade_amount": 0,
    },
}


@pytest.mark.parametrize("version", ["1.0.0", "1.0.1"])
async def test_user_base(facade: Facade, rows: Rows, version: str) -> None:
    created = await facade.data(
        CREATE, mobile="13800000000", customer_create=EVERYTHING, label_info={"src_channel": 2000}
    )
    moment = datetime.now(UTC).replace(microsecond=123_000)
    await rows(
        "update customers set member_since = $2, created_at = $2 where shop_id = $1 returning id",
        facade.shop.id,
        moment,
    )
    data = await facade.data(
        f"youzan.scrm.customer.detail.get/{version}", yz_open_id=created["yz_open_id"], fields="user_base"
    )
    assert set(data) == ALWAYS | BASE
    expected = {
        "yz_open_id": created["yz_open_id"],
        "name": "欧阳娜",
        "show_name": "欧阳娜",
        "remark": "喜欢玫瑰",
        "wei_xin": "wx_ouyang_na_1990",
        "mobile": "13800000000",
        "mobile_country_code": "+86",
        "gender": 2,
        "birthday": "1990-02-28 00:00:00",
        "area_code": 420704,
        "ascription_kdt_id": 4242,
        "member_source_kdt_id": 4242,
        "source_channel": 2000,
        "outer_card_no": "POS-000123",
        "created_at": int(moment.timestamp() * 1000),
        "member_created_at": int(moment.timestamp() * 1000),
    }
    assert {name: data[name] for name in expected} == expected


async def test_show_name_falls_from_name_to_mobile_to_nobody(facade: Facade) -> None:
    assert (await facade.detail(await facade.create("13800000000", name="甲")))["show_name"] == "甲"
    assert (await facade.detail(await facade.create("13800000001")))["show_name"] == "13800000001"
    made = await facade.api.post("/v1/customers", {"identities": [{"kind": "fans_id", "value": "77"}]})
    nobody = await facade.detail(made.json()["open_id"])
    assert nobody["show_name"] == "匿名用户"
    assert not {"mobile", "mobile_country_code", "birthday"} & set(nobody)
    assert (nobody["gender"], nobody["member_source_kdt_id"], nobody["member_created_at"]) == (0, 0, 0)
    assert nobody["ascription_kdt_id"] == facade.shop.id


@pytest.mark.parametrize("group", GROUPS)
async def test_groups_answer_their_empty_values(facade: Facade, group: str) -> None:
    open_id = await facade.create()
    data = await facade.detail(open_id, group)
    assert set(data) == ALWAYS | set(GROUPS[group])
    assert {name: data[name] for name in GROUPS[group]} == GROUPS[group]


async def test_all_groups_at_once_and_unknown_ones_passed_over(facade: Facade) -> None:
    open_id = await facade.create(birthday="1990-01-01")
    data = await facade.detail(open_id, f" user_base , nonsense,{','.join(GROUPS)}")
    assert set(data) == ALWAYS | BASE | {name for group in GROUPS.values() for name in group}


async def test_behavior_counts_the_orders_as_they_are_now(facade: Facade) -> None:
    open_id = await facade.create()
    paid = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
    for number, amount in enumerate((1000, 2500, 700)):
        order = {
            "order_no": f"O{number}",
            "identities": [{"kind": "mobile", "value": "13800000000"}],
            "paid_at": (paid + timedelta(days=number)).isoformat(),
            "amount_fen": amount,
            "version": 1,
        }
        assert (await facade.api.post("/v1/orders", order)).status_code in (200, 201)
    refund = {"refund_no": "R1", "order_no": "O1", "amount_fen": 400, "refunded_at": paid.isoformat()}
    await facade.api.post("/v1/refunds", refund)
    data = await facade.detail(open_id, "behavior")
    assert {name: data[name] for name in GROUPS["behavior"]} == {
        "trade_count": 3,
        "total_trade_amount": 4200,
        "last_trade_at": int((paid + timedelta(days=2)).timestamp() * 1000),
        "refund_count": 1,
        "refund_trade_amount": 400,
    }


@pytest.mark.parametrize(("kind", "value"), [(1, "5009"), (2, "13800000000"), (3, "u-7"), (5, None)])
@pytest.mark.parametrize("as_text", [False, True])
async def test_4_every_account_type_of_system_n(facade: Facade, kind: int, value: str | None, as_text: bool) -> None:
    made = await facade.api.post(
        "/v1/customers",
        {
            "name": "甲",
            "identities": [
                {"kind": "mobile", "value": "13800000000"},
                {"kind": "fans_id", "value": "5009"},
                {"kind": "open_user_id", "value": "u-7"},
            ],
        },
    )
    info = {"account_type": kind, "account_id": value or made.json()["open_id"]}
    data = await facade.data(DETAIL, account_info=json.dumps(info) if as_text else info, fields="user_base")
    assert data["name"] == "甲"


async def test_the_open_id_wins(facade: Facade) -> None:
    open_id = await facade.create("13800000000", name="甲")
    other = await facade.create("13800000001", name="乙")
    info = {"account_type": 2, "account_id": "13800000001"}
    data = await facade.data(DETAIL, yz_open_id=open_id, account_info=info, fields="user_base")
    assert data["name"] == "甲"
    inside = {"account_type": 0, "account_id": "", "yz_open_id": other}
    assert (await facade.data(DETAIL, yz_open_id="", account_info=inside, fields="user_base"))["name"] == "乙"


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"account_info": {"account_type": 2, "account_id": "13900000000"}}, 141001107),
        ({"account_info": {"account_type": 1, "account_id": "1"}}, 141001107),
        ({"account_info": {"account_type": 5, "account_id": "nobody"}}, 144100000),
        ({"yz_open_id": "nobody"}, 144100000),
        ({}, 141500101),
        ({"yz_open_id": "", "account_info": {}}, 141500101),
        ({"account_info": {"account_type": 9, "account_id": "1"}}, 141500101),
        ({"account_info": {"account_type": "Mobile", "account_id": "13800000000"}}, 141500101),
        ({"account_info": {"account_type": 2, "account_id": "12"}}, 141500101),
        ({"yz_open_id": "nobody", "fields": None}, 141500101),
        ({"yz_open_id": "nobody", "fields": "nonsense"}, 141500101),
        ({"yz_open_id": "nobody", "fields": ""}, 141500101),
    ],
)
async def test_refusals(facade: Facade, parameters: dict[str, Any], code: int) -> None:
    assert await facade.code(DETAIL, **({"fields": "user_base"} | parameters)) == code


async def test_logged_off_or_not_existing(facade: Facade, rows: Rows) -> None:
    open_id = await facade.create()
    await rows("update customers set status = 'erased' where shop_id = $1 returning id", facade.shop.id)
    assert await facade.code(DETAIL, yz_open_id=open_id, fields="user_base") == 144100001
    info = {"account_type": 2, "account_id": "13800000000"}
    assert await facade.code(DETAIL, account_info=info, fields="user_base") == 144100001
    await rows("delete from customers where shop_id = $1 returning id", facade.shop.id)
    assert await facade.code(DETAIL, yz_open_id=open_id, fields="user_base") == 144100001


async def test_masked_without_pii_read(facade: Facade, make_facade: Any) -> None:
    open_id = await facade.create(**EVERYTHING)
    reader: Facade = await make_facade(facade.shop, "customers:read")
    data = await reader.detail(open_id)
    assert {name: data[name] for name in ("name", "show_name", "mobile", "birthday", "remark", "outer_card_no")} == {
        "name": "欧阳**",
        "show_name": "欧阳**",
        "mobile": "138****0000",
        "birthday": "1990-**-**",
        "remark": "****",
        "outer_card_no": "****",
    }
    assert "ouyang" not in data["wei_xin"]

"""Contract 6: user look-ups."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from app.access.shops import Shop
from tests.conftest import Rows
from tests.youzan.conftest import (
    CHECK,
    FOLLOWER,
    USER_BASIC,
    USER_NUMBER,
    USER_OPENID,
    USER_UNIONID,
    USER_WEIXIN,
    USERS_INFO,
    Facade,
    code_of,
)

MOMENT = datetime(2024, 5, 6, 16, 0, 0, tzinfo=UTC)  # already the next day in China
IDENTITIES = [
    {"kind": "mobile", "value": "13800000000"},
    {"kind": "fans_id", "value": "5009"},
    {"kind": "wechat_openid", "value": "oWx7"},
    {"kind": "wechat_unionid", "value": "uWx7"},
]
Json = dict[str, Any]


@pytest.fixture
async def user(facade: Facade, rows: Rows) -> Json:
    """A woman with a mobile and two ids of WeChat's, as /v1 shows her."""
    answer = await facade.api.post("/v1/customers", {"name": "欧阳娜", "gender": 2, "identities": IDENTITIES})
    made: Json = answer.json()
    await rows(
        "update customers set created_at = $2, updated_at = $2 where shop_id = $1 returning id", facade.shop.id, MOMENT
    )
    return made


def primitive(user: Json, platform: int) -> Json:
    """What each of her accounts tells."""
    return {
        "yz_open_id": user["open_id"],
        "nick_name": "",
        "avatar": "",
        "gender": 2,
        "country": "",
        "province": "",
        "city": "",
        "created_time": "2024-05-07 00:00:00",
        "updated_time": "2024-05-07 00:00:00",
        "platform_type": platform,
    }


LATEST = {"avatar": "", "nick_name": ""}


@pytest.mark.parametrize("version", ["1.0.0", "1.0.1"])
async def test_info_tells_the_mobile_account_unless_asked_for_others(facade: Facade, user: Json, version: str) -> None:
    data = await facade.data(f"youzan.users.info.query/{version}", yz_open_id=user["open_id"])
    assert data == {
        "user_list": [{"primitive_info": primitive(user, 0), "mobile_info": {"mobile": "13800000000"}}],
        "latest_info": LATEST,
    }


@pytest.mark.parametrize("asked", [[1], ["1", "2"], "[1,2]", "1,9"])
async def test_info_tells_a_wechat_account_once(facade: Facade, user: Json, asked: Any) -> None:
    data = await facade.data(USERS_INFO, weixin_union_id="uWx7", result_type_list=asked)
    assert data["user_list"] == [
        {
            "primitive_info": primitive(user, 1),
            "wechat_info": {
                "wechat_type": 1,
                "union_id": "uWx7",
                "is_fans": 2,
                "follow_time": 0,
                "unfollow_time": 0,
                "last_talk_time": 0,
            },
            "platform_info": {"weixin_open_id": "oWx7"},
        }
    ]


async def test_info_tells_each_type_asked_for(facade: Facade, user: Json) -> None:
    data = await facade.data(USERS_INFO, mobile="13800000000", result_type_list=[2, 0])
    assert [entry["primitive_info"]["platform_type"] for entry in data["user_list"]] == [0, 2]
    assert (await facade.data(USERS_INFO, mobile="13800000000", result_type_list=[9]))["user_list"] == []


@pytest.mark.parametrize(
    "by",
    [
        {"mobile": "13800000000"},
        {"mobile": "+86-13800000000"},
        {"mobile": 13800000000},
        {"weixin_union_id": "uWx7"},
        {"weixin_open_id": "oWx7", "open_id_type": 1},
        {"weixin_open_id": "oWx7", "open_id_type": "2"},
        {"yz_open_id": "", "mobile": "13800000000", "weixin_union_id": "nobody"},
        {"mobile": None, "weixin_union_id": "uWx7", "weixin_open_id": "nobody", "open_id_type": 1},
    ],
)
async def test_info_goes_by_the_first_that_is_given(facade: Facade, user: Json, by: Json) -> None:
    (entry,) = (await facade.data(USERS_INFO, **by))["user_list"]
    assert entry["primitive_info"]["yz_open_id"] == user["open_id"]


@pytest.mark.parametrize(
    "by",
    [
        {"yz_open_id": "nobody", "mobile": "13800000000"},
        {"mobile": "13900000000", "weixin_union_id": "uWx7"},
        {"weixin_union_id": "nobody"},
        {"weixin_open_id": "nobody", "open_id_type": 9},
    ],
)
async def test_info_of_nobody_is_empty(facade: Facade, user: Json, by: Json) -> None:
    assert await facade.data(USERS_INFO, **by) == {"user_list": [], "latest_info": LATEST}


async def test_info_of_another_country(facade: Facade) -> None:
    made = await facade.api.post("/v1/customers", {"identities": [{"kind": "mobile", "value": "+1 201 555 0123"}]})
    (entry,) = (await facade.data(USERS_INFO, mobile="+1-2015550123"))["user_list"]
    assert entry["primitive_info"]["yz_open_id"] == made.json()["open_id"]
    assert entry["mobile_info"] == {"mobile": "+1-2015550123"}


@pytest.mark.parametrize("version", ["3.0.0", "3.0.1"])
async def test_basic(facade: Facade, user: Json, version: str) -> None:
    expected = {
        "yz_open_id": user["open_id"],
        "nick_name": "",
        "avatar": "",
        "mobile": "13800000000",
        "country_code": "+86",
    }
    name = f"youzan.user.basic.get/{version}"
    for by in (
        {"yz_open_id": user["open_id"], "mobile": "13900000000"},
        {"mobile": "13800000000"},
        {"mobile": "13800000000", "country_code": "+86"},
        {"mobile": "13800000000", "country_code": "86", "yz_open_id": ""},
        {"mobile": "+86-13800000000", "country_code": "+1"},
    ):
        assert await facade.data(name, **by) == expected, by


async def test_basic_without_a_mobile(facade: Facade) -> None:
    made = await facade.api.post("/v1/customers", {"identities": [{"kind": "fans_id", "value": "77"}]})
    open_id = made.json()["open_id"]
    assert await facade.data(USER_BASIC, yz_open_id=open_id) == {"yz_open_id": open_id, "nick_name": "", "avatar": ""}


async def test_weixin_openid(facade: Facade, user: Json) -> None:
    expected = {"open_id": "oWx7", "union_id": "uWx7", "is_fans": 2}
    assert await facade.data(USER_WEIXIN, mobile="13800000000", country_code="+86", wechat_type=1) == expected
    assert await facade.data(USER_WEIXIN, yz_open_id=user["open_id"], wechat_type="2") == expected


async def test_weixin_openid_tells_the_newest(facade: Facade, user: Json) -> None:
    more = {"identities": [{"kind": "wechat_openid", "value": "oWx8", "scope": "wxapp"}]}
    assert (await facade.api.patch(f"/v1/customers/{user['id']}", more)).status_code == 200
    assert (await facade.data(USER_WEIXIN, mobile="13800000000"))["open_id"] == "oWx8"
    # Found by value alone is only what was registered without an appid.
    assert await facade.data(USER_OPENID, open_id="oWx7") == {"yz_open_id": user["open_id"]}
    assert await facade.code(USER_OPENID, open_id="oWx8") == 141001107


async def test_weixin_openid_of_nobody_and_of_no_openid(facade: Facade) -> None:
    assert await facade.code(USER_WEIXIN, mobile="13900000000") == 135200021
    await facade.create("13800000001")
    refused = await facade.call(USER_WEIXIN, mobile="13800000001")
    assert (refused["code"], refused["message"]) == (135200021, "绑定关系不存在")


@pytest.mark.parametrize("as_text", [False, True])
async def test_openid_by_number(facade: Facade, user: Json, as_text: bool) -> None:
    assert await facade.data(USER_NUMBER, user_id=str(user["id"]) if as_text else user["id"]) == {
        "yz_open_id": user["open_id"],
        "user_id": user["id"],
        "created_at": int(MOMENT.timestamp() * 1000),
        "updated_at": int(MOMENT.timestamp() * 1000),
    }


async def test_unionid_is_null_for_nobody(facade: Facade, user: Json) -> None:
    assert await facade.data(USER_UNIONID, union_id="uWx7") == {"yz_open_id": user["open_id"]}
    nobody = await facade.call(USER_UNIONID, union_id="nobody")
    assert (nobody["success"], nobody["code"], nobody["data"]) == (True, 200, None)


async def test_account_check(facade: Facade, user: Json) -> None:
    for kind, value, there in (
        ("Mobile", "13800000000", True),
        ("Mobile", "13900000000", False),
        ("UnionId", "uWx7", True),
        ("UnionId", "oWx7", False),
    ):
        assert await facade.data(CHECK, account_type=kind, account_id=value) is there, (kind, value)
    refused = await facade.call(CHECK, account_type="FansID", account_id="5009")
    assert (refused["code"], refused["message"]) == (135200036, "帐号类型非法")


@pytest.mark.parametrize("version", ["3.0.0", "3.0.1"])
async def test_follower(facade: Facade, user: Json, version: str) -> None:
    order = {
        "order_no": "O1",
        "identities": [{"kind": "mobile", "value": "13800000000"}],
        "paid_at": MOMENT.isoformat(),
        "amount_fen": 12345,
        "version": 1,
    }
    assert (await facade.api.post("/v1/orders", order)).status_code in (200, 201)
    expected = {
        "user": {
            "user_id": 5009,
            "weixin_openid": "oWx7",
            "union_id": "uWx7",
            "nick": "",
            "avatar": "",
            "sex": "f",
            "city": "",
            "follow_time": "",
            "is_follow": False,
            "points": 0,
            "traded_num": 1,
            "traded_money": 123.45,
            "tags": [],
            "level_info": {"level_id": 0, "level_name": ""},
        }
    }
    name = f"youzan.users.weixin.follower.get/{version}"
    for by in ({"weixin_openid": "oWx7", "fans_id": 0}, {"fans_id": 5009}, {"fans_id": "5009", "weixin_openid": ""}):
        assert await facade.data(name, **by) == expected, by
    some = await facade.data(name, fans_id=5009, fields="sex, traded_num,nonsense")
    assert some == {"user": {"sex": "f", "traded_num": 1}}


async def test_no_follower(facade: Facade, user: Json) -> None:
    refused = await facade.call(FOLLOWER, fans_id=1)
    assert (refused["code"], refused["message"]) == (141500201, "weixin follower not found")
    assert await facade.code(FOLLOWER, weixin_openid="nobody", fans_id=5009) == 141500201


@pytest.mark.parametrize(
    ("api", "parameters", "code"),
    [
        (USERS_INFO, {}, 141500101),
        (USERS_INFO, {"mobile": "12"}, 141500101),
        (USERS_INFO, {"mobile": "+54-1"}, 141500101),
        (USERS_INFO, {"weixin_open_id": "oWx7"}, 141500101),
        (USERS_INFO, {"weixin_open_id": "oWx7", "open_id_type": 3}, 141500101),
        (USERS_INFO, {"mobile": "13800000000", "result_type_list": [3]}, 141500101),
        (USERS_INFO, {"mobile": "13800000000", "result_type_list": ["x"]}, 4010),
        (USERS_INFO, {"mobile": {"a": 1}}, 4010),
        (USERS_INFO, {"mobile": "13800000000", "open_id_type": "x"}, 4010),
        (USER_BASIC, {}, 141500101),
        (USER_BASIC, {"mobile": "13900000000"}, 141001107),
        (USER_BASIC, {"yz_open_id": "nobody"}, 141001107),
        (USER_BASIC, {"mobile": "13800000000", "country_code": "中国"}, 141500101),
        (USER_BASIC, {"mobile": ["13800000000"]}, 4010),
        (USER_WEIXIN, {}, 141500101),
        (USER_WEIXIN, {"mobile": "13800000000", "wechat_type": 3}, 141500101),
        (USER_WEIXIN, {"mobile": "13800000000", "wechat_type": "x"}, 4010),
        (USER_NUMBER, {}, 141500101),
        (USER_NUMBER, {"user_id": 0}, 141500101),
        (USER_NUMBER, {"user_id": "x"}, 4010),
        (USER_NUMBER, {"user_id": 1}, 141001107),
        (USER_NUMBER, {"user_id": 2**53}, 141001107),
        (USER_OPENID, {}, 141500101),
        (USER_OPENID, {"open_id": ""}, 141500101),
        (USER_OPENID, {"open_id": []}, 4010),
        (USER_OPENID, {"weixin_openid": "nobody"}, 141001107),
        (USER_UNIONID, {}, 141500101),
        (USER_UNIONID, {"union_id": ""}, 141500101),
        (USER_UNIONID, {"union_id": {"a": "b"}}, 4010),
        (CHECK, {}, 141500101),
        (CHECK, {"account_type": "Mobile"}, 141500101),
        (CHECK, {"account_type": "Mobile", "account_id": "12"}, 141500101),
        (CHECK, {"account_type": "Mobile", "account_id": []}, 4010),
        (FOLLOWER, {}, 141500101),
        (FOLLOWER, {"fans_id": -1}, 141500101),
        (FOLLOWER, {"fans_id": "x"}, 4010),
        (FOLLOWER, {"fans_id": 5009, "fields": "nonsense"}, 141500101),
    ],
)
async def test_refusals(facade: Facade, user: Json, api: str, parameters: Json, code: int) -> None:
    answer = await facade.call(api, **parameters)
    assert code_of(answer) == code, answer


BY_EVERY_WAY: list[tuple[str, Json, Any]] = [
    (USERS_INFO, {"mobile": "13800000000", "result_type_list": [0, 1]}, {"user_list": [], "latest_info": LATEST}),
    (USER_BASIC, {"mobile": "13800000000"}, 141001107),
    (USER_WEIXIN, {"mobile": "13800000000"}, 135200021),
    (USER_OPENID, {"open_id": "oWx7"}, 141001107),
    (USER_UNIONID, {"union_id": "uWx7"}, None),
    (CHECK, {"account_type": "Mobile", "account_id": "13800000000"}, False),
    (FOLLOWER, {"fans_id": 5009}, 141500201),
]


@pytest.mark.parametrize(("api", "by", "nobody"), BY_EVERY_WAY)
async def test_another_shop_sees_nobody(
    facade: Facade, user: Json, make_facade: Any, other_shop: Shop, api: str, by: Json, nobody: Any
) -> None:
    assert code_of(await facade.call(api, **by)) == 200
    stranger: Facade = await make_facade(other_shop)
    answer = await stranger.call(api, **by)
    assert (answer["data"] if answer["success"] else answer["code"]) == nobody
    assert await stranger.code(USER_BASIC, yz_open_id=user["open_id"]) == 141001107
    assert await stranger.code(USER_NUMBER, user_id=user["id"]) == 141001107


@pytest.mark.parametrize(("api", "by", "nobody"), BY_EVERY_WAY)
async def test_the_erased_are_nobody(facade: Facade, user: Json, rows: Rows, api: str, by: Json, nobody: Any) -> None:
    await rows("update customers set status = 'erased' where shop_id = $1 returning id", facade.shop.id)
    answer = await facade.call(api, **by)
    assert (answer["data"] if answer["success"] else answer["code"]) == nobody


async def test_masked_without_pii_read(facade: Facade, user: Json, make_facade: Any) -> None:
    reader: Facade = await make_facade(facade.shop, "customers:read")
    answers = [
        await reader.call(api, **by)
        for api, by in (
            (USERS_INFO, {"weixin_union_id": "uWx7", "result_type_list": [0, 1]}),
            (USER_BASIC, {"yz_open_id": user["open_id"]}),
            (USER_WEIXIN, {"yz_open_id": user["open_id"]}),
            (FOLLOWER, {"weixin_openid": "oWx7"}),
        )
    ]
    text = json.dumps(answers)
    for value in ("13800000000", "oWx7", "uWx7", "5009"):
        assert value not in text, value
    by_mobile, wechat = answers[0]["data"]["user_list"]
    assert by_mobile["mobile_info"] == {"mobile": "138****0000"}
    assert (wechat["platform_info"]["weixin_open_id"], wechat["wechat_info"]["union_id"]) == ("", "")
    assert answers[1]["data"]["mobile"] == "138****0000"
    assert answers[2]["data"] == {"open_id": "", "union_id": "", "is_fans": 2}
    assert answers[3]["data"]["user"]["user_id"] == 0


async def test_the_log_tells_whom_a_look_up_showed(facade: Facade, user: Json, rows: Rows) -> None:
    for api, by, _ in BY_EVERY_WAY:
        await facade.data(api, **by)
        (entry,) = await rows("select * from access_log where shop_id = $1 and call = $2", facade.shop.id, api)
        assert (entry["customers"], entry["action"]) == ([user["id"]], "read"), api

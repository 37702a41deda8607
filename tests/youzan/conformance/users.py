"""Contract 6: users."""

from typing import Final

from tests.youzan.conformance.patterns import MILLISECONDS, MOMENT, Each, Has
from tests.youzan.conformance.requests import row
from tests.youzan.conformance.world import (
    ANONYMOUS_FAN,
    KNOWN,
    OPENID,
    UNIONID,
    call,
    data,
    open_id,
    refused,
)

_QUERY: Final = "youzan.users.info.query/1.0.1"
_PRIMITIVE: Final = Has({"yz_open_id": str, "gender": int, "created_time": MOMENT, "updated_time": MOMENT})
_FOLLOWER: Final = "youzan.users.weixin.follower.get/3.0.1"
_TAGS: Final = "youzan.users.weixin.follower.tags."

ROWS: Final = (
    row(
        "6 info.query",
        "by mobile",
        call(_QUERY, {"mobile": KNOWN}),
        data(Has({"user_list": [Has({"primitive_info": _PRIMITIVE, "mobile_info": Has({"mobile": KNOWN})})]})),
    ),
    row("6 info.query", "+86-138… too", call(_QUERY, {"mobile": f"+86-{KNOWN}"}), data(Has({"user_list": [dict]}))),
    row("6 info.query", "by yz_open_id", call(_QUERY, {"yz_open_id": open_id}), data(Has({"user_list": [dict]}))),
    row(
        "6 info.query",
        "by unionid",
        call(_QUERY, {"weixin_union_id": UNIONID, "result_type_list": [1]}),
        data(Has({"user_list": [dict]})),
    ),
    row(
        "6 info.query",
        "by openid and its type",
        call(_QUERY, {"weixin_open_id": OPENID, "open_id_type": 1, "result_type_list": [1]}),
        data(
            Has(
                {
                    "user_list": [
                        Has(
                            {
                                "wechat_info": Has({"union_id": UNIONID, "is_fans": int}),
                                "platform_info": {"weixin_open_id": OPENID},
                            }
                        )
                    ]
                }
            )
        ),
    ),
    row("6 info.query", "nobody", call(_QUERY, {"mobile": "13800009999"}), data(Has({"user_list": []}))),
    row(
        "6 basic.get",
        "by mobile",
        call("youzan.user.basic.get/3.0.1", {"mobile": KNOWN, "country_code": "+86"}),
        data({"yz_open_id": open_id, "nick_name": str, "avatar": str, "mobile": KNOWN, "country_code": "+86"}),
    ),
    row(
        "6 weixin.openid.get",
        "135200021: no WeChat account is bound",
        call("youzan.user.weixin.openid.get/3.0.0", {"mobile": KNOWN, "wechat_type": 1}),
        refused(135200021),
    ),
    row(
        "6 openid.get",
        "by the account's number, times in milliseconds",
        call("youzan.user.openid.get/1.0.0", {"user_id": lambda world: int(world.account_id)}),
        data(
            {
                "yz_open_id": open_id,
                "user_id": lambda world: int(world.account_id),
                "created_at": MILLISECONDS,
                "updated_at": MILLISECONDS,
            }
        ),
    ),
    row(
        "6 getbyopenid",
        "by a WeChat openid",
        call("youzan.user.openid.getbyopenid/1.0.0", {"open_id": OPENID}),
        data({"yz_open_id": str}),
    ),
    row(
        "6 unionid.get",
        "by a unionid",
        call("youzan.user.unionid.get/1.0.0", {"union_id": UNIONID}),
        data({"yz_open_id": str}),
    ),
    row("6 unionid.get", "nobody is null", call("youzan.user.unionid.get/1.0.0", {"union_id": "none"}), data(None)),
    row(
        "6 account.check",
        "Mobile",
        call("youzan.users.account.check/1.0.0", {"account_type": "Mobile", "account_id": KNOWN}),
        data(True),
    ),
    row(
        "6 account.check",
        "UnionId of nobody",
        call("youzan.users.account.check/1.0.0", {"account_type": "UnionId", "account_id": "none"}),
        data(False),
    ),
    row(
        "6 account.check",
        "135200036: another type",
        call("youzan.users.account.check/1.0.0", {"account_type": "FansID", "account_id": "1"}),
        refused(135200036),
    ),
    row(
        "6 follower.get",
        "by openid",
        call(_FOLLOWER, {"weixin_openid": OPENID}),
        data(
            {
                "user": {
                    "user_id": int(ANONYMOUS_FAN),
                    "weixin_openid": OPENID,
                    "union_id": UNIONID,
                    "nick": str,
                    "avatar": str,
                    "sex": str,
                    "city": str,
                    "follow_time": str,
                    "is_follow": bool,
                    "points": int,
                    "traded_num": int,
                    "traded_money": float,
                    "tags": Each({"id": int, "name": str}),
                    "level_info": {"level_id": int, "level_name": str},
                }
            }
        ),
    ),
    row("6 follower.get", "141500201: no such fan", call(_FOLLOWER, {"fans_id": 1}), refused(141500201)),
    row(
        "6 follower.tags",
        "add answers the user, get the tags",
        call(_TAGS + "get/3.0.0", {"fans_id": ANONYMOUS_FAN}),
        data({"tags": [{"tag_id": int, "tag_name": "vip"}]}),
        row(
            "6 follower.tags",
            "add",
            call(_TAGS + "add/3.0.0", {"fans_id": ANONYMOUS_FAN, "tags": "vip"}),
            data({"user": Has({"tags": [{"id": int, "name": "vip"}]})}),
        ),
    ),
    row(
        "6 follower.tags",
        "delete",
        call(_TAGS + "delete/3.0.0", {"weixin_openid": OPENID, "tags": "vip,new"}),
        data({"is_success": True}),
    ),
)

"""Contract 4 and 5: accounts and customers."""

from typing import Any, Final

from tests.youzan.conformance.patterns import MILLISECONDS, MOMENT, SECONDS, Each, Has, Maybe, Text
from tests.youzan.conformance.requests import (
    BY_MOBILE,
    CREATED,
    DETAIL,
    PROFILE,
    row,
)
from tests.youzan.conformance.world import (
    KNOWN,
    NAME,
    Row,
    account_id,
    call,
    data,
    new_mobile,
    open_id,
    refused,
    text_of,
)

_LIST_ROW: Final = {
    "yz_open_id": str,
    "name": str,
    "mobile": Maybe(str),
    "show_name": str,
    "gender": int,
    "is_member": int,
    "points": int,
    "trade_count": int,
    "created_at": SECONDS,
    "created_member_at": SECONDS,
    "is_mobile_enable": bool,
    "is_mobile_auth": bool,
}
_SEARCH_ROW: Final = {
    "name": str,
    "mobile": Maybe(str),
    "show_name": str,
    "gender": int,
    "yz_uid": int,
    "fans_id": int,
    "weixin_fans_id": int,
    "is_member": int,
    "trade_count": int,
    "points": int,
    "card_ids": Each(int),
    "created_at": SECONDS,
    "member_created_at": SECONDS,
}
_DETAIL: Final = {
    "yz_open_id": str,
    "name": NAME,
    "show_name": NAME,
    "remark": str,
    "wei_xin": str,
    "mobile": KNOWN,
    "mobile_country_code": "+86",
    "gender": int,
    "birthday": MOMENT,
    "latest_avatar": str,
    "latest_nickname": str,
    "wx_avatar": str,
    "wx_nickname": str,
    "province_name": str,
    "city_name": str,
    "county_name": str,
    "area_code": int,
    "ascription_kdt_id": int,
    "member_source_kdt_id": int,
    "source_channel": int,
    "member_source_channel": int,
    "created_at": MILLISECONDS,
    "updated_at": MILLISECONDS,
    "member_created_at": MILLISECONDS,
    "outer_card_no": str,
    "customer_attrinfos": [],
    "points": int,
}


def _detail(fields: str, pattern: dict[str, Any]) -> Row:
    return row("5.8", f"fields: {fields}", call("detail.get/1.0.1", DETAIL | {"fields": fields}), data(Has(pattern)))


ROWS: Final = (
    row("4 S", "Mobile", call("get/3.1.0", {"account": BY_MOBILE}), data(Has({"name": NAME}))),
    row(
        "4 S",
        "YouZanAccount",
        call("get/3.1.0", {"account": {"account_type": "YouZanAccount", "account_id": account_id}}),
        data(Has({"name": NAME})),
    ),
    row(
        "4 S",
        "YzOpenId",
        call("get/3.1.0", {"account": {"account_type": "YzOpenId", "account_id": open_id}}),
        data(Has({"name": NAME})),
    ),
    row("4 N", "2 is a mobile in detail.get", call("detail.get/1.0.0", DETAIL), data(Has({"name": NAME}))),
    row(
        "4 N",
        "5 is an open id",
        call("detail.get/1.0.1", {"account_info": {"account_type": "5", "account_id": open_id}, "fields": "user_base"}),
        data(Has({"name": NAME})),
    ),
    row(
        "5.1",
        "data: account_id, account_type, yz_open_id",
        call("create/3.0.0", {"mobile": new_mobile, "customer_create": PROFILE}),
        data(CREATED),
    ),
    row(
        "5.1", "11 mainland digits, otherwise 141500101", call("create/3.0.0", {"mobile": "12345"}), refused(141500101)
    ),
    row("5.1", "no mobile is 141500101", call("create/3.0.0", {"customer_create": PROFILE}), refused(141500101)),
    row(
        "5.1",
        "country_code defaults to +86",
        call("create/3.0.0", {"mobile": new_mobile, "country_code": "+86"}),
        data(CREATED),
    ),
    row(
        "5.1",
        "every published field",
        call(
            "create/3.0.0",
            {
                "mobile": new_mobile,
                "is_mobile_auth": True,
                "customer_create": PROFILE
                | {"contact_address": {"area_code": 420704, "address": "x"}, "wei_xin": "w", "ascription_kdt_id": 7},
                "label_info": {"src_way": 2008, "src_channel": 2000},
                "scrm_channel_type": 1,
                "is_do_ext_point": True,
                "create_date": "2019-05-01 10:00:00",
            },
        ),
        data(CREATED),
    ),
    row(
        "5.1",
        "whoever exists is refused, never changed",
        call("create/3.0.0", {"mobile": KNOWN, "customer_create": {"name": "another"}}),
        refused(143001027),
    ),
    row(
        "5.2",
        "data is true",
        call("update/3.0.0", {"account": BY_MOBILE, "customer_update": {"remark": "y"}}),
        data(True),
    ),
    row(
        "5.2",
        "the account as JSON text",
        call("update/3.0.0", {"account": text_of(BY_MOBILE), "customer_update": text_of({"remark": "y"})}),
        data(True),
    ),
    row(
        "5.2",
        "nobody is 141502108",
        call(
            "update/3.0.0",
            {"account": {"account_type": "Mobile", "account_id": "13800009999"}, "customer_update": {"name": "x"}},
        ),
        refused(141502108),
    ),
    row(
        "5.4 3.1.2",
        "total and record_list",
        call("search/3.1.2", {"page": 1, "page_size": 5}),
        data({"total": int, "record_list": Each(_SEARCH_ROW)}),
    ),
    row(
        "5.5",
        "total, page_no and record_list",
        call("list/1.0.0", {"page_no": 1, "page_size": 5}),
        data({"total": int, "page_no": 1, "record_list": Each(_LIST_ROW)}),
    ),
    row(
        "5.5",
        "windows in seconds",
        call("list/1.0.0", {"created_at_start": 1, "created_at_end": 2}),
        data({"total": 0, "page_no": 1, "record_list": []}),
    ),
    row(
        "5.5",
        "windows in milliseconds",
        call("list/1.0.0", {"created_at_start": 1_000_000_000_000, "created_at_end": 1_000_000_001_000}),
        data({"total": 0, "page_no": 1, "record_list": []}),
    ),
    row(
        "5.7 3.1.0",
        "both spellings of the region",
        call("get/3.1.0", {"account": BY_MOBILE}),
        data(
            {
                "name": NAME,
                "gender": int,
                "birthday": Text(r"\d{4}-\d{2}-\d{2}"),
                "mobile": KNOWN,
                "is_member": bool,
                "remark": str,
                "out_user_id": Maybe(str),
                "contact_address": {
                    "area_code": int,
                    "areaCode": str,
                    "province": str,
                    "city": str,
                    "county": str,
                    "address": str,
                },
            }
        ),
    ),
    row("5.8", "user_base", call("detail.get/1.0.1", DETAIL), data(_DETAIL)),
    row(
        "5.8", "by yz_open_id", call("detail.get/1.0.1", {"yz_open_id": open_id, "fields": "user_base"}), data(_DETAIL)
    ),
    _detail(
        "behavior",
        {
            "trade_count": int,
            "total_trade_amount": int,
            "last_trade_at": int,
            "refund_count": int,
            "refund_trade_amount": int,
        },
    ),
    _detail("credit", {"points": int}),
    _detail("level", {"level": int, "level_infos": list}),
    _detail("benefit_level", {"level": int, "level_infos": list}),
    _detail("tags", {"tags": list, "tag_ids": Each(int)}),
    _detail("benefit_cards", {"cards": list}),
    _detail("benefit_rights", {"rights": list}),
    _detail("giftcard", {"giftcard_balance": int}),
    _detail("prepaid", {"prepaid_balance": int}),
    _detail("coupon", {"coupon_num": int}),
    _detail("auth_info", {"yz_open_id": str}),
    row(
        "5.8",
        "gender, points and member_source_kdt_id are never null, customer_attrinfos is []",
        call("detail.get/1.0.1", DETAIL | {"fields": "tags"}),
        data(Has({"gender": int, "points": int, "member_source_kdt_id": int, "customer_attrinfos": []})),
    ),
    row(
        "5.8",
        "141001107: nobody has the account",
        call("detail.get/1.0.1", DETAIL | {"account_info": {"account_type": 2, "account_id": "13800009999"}}),
        refused(141001107),
    ),
    row(
        "5.8",
        "144100000: not this shop's",
        call("detail.get/1.0.1", {"yz_open_id": "A" * 22, "fields": "user_base"}),
        refused(144100000),
    ),
    row("5.8", "141500101: neither identifier", call("detail.get/1.0.1", {"fields": "user_base"}), refused(141500101)),
)

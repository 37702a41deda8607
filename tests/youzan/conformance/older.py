"""Contract 5, the rest: remarks, older searches, customers by phones, open ids and cards."""

from typing import Final

from tests.youzan.conformance.patterns import MILLISECONDS, SECONDS, AnyOf, Each, Has, Maybe, Text
from tests.youzan.conformance.requests import BY_MOBILE, row
from tests.youzan.conformance.world import ANONYMOUS_FAN, CARD, KNOWN, NAME, call, data, open_id, refused

_TIME: Final = AnyOf(("", Text(r"\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}")))
_SEARCHED: Final = {
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
_FOUND: Final = {
    "yz_open_id": str,
    "created_time": MILLISECONDS,
    "updated_time": MILLISECONDS,
    "label_info": {
        "is_member": bool,
        "remark": str,
        "node_kdt_id": int,
        "customer_node_kdt_id": int,
        "member_node_kdt_id": int,
        "member_created_time": MILLISECONDS,
        "member_expired_time": MILLISECONDS,
    },
    "social_info": {"wx_nickname": str, "mobile": KNOWN, "weixin": str},
}
_LISTED: Final = {
    "name": str,
    "nick_name": str,
    "mobile": Maybe(str),
    "fans_weixin_open_id": str,
    "show_name": str,
    "fans_type": list,
    "is_member": int,
    "points": int,
    "cards": list,
    "fans_picture": str,
    "avg_price": int,
    "trade_count": int,
    "last_trade_time": SECONDS,
}

ROWS: Final = (
    row("5.3", "data is true", call("remark.update/3.0.0", {"account": BY_MOBILE, "remark": "z"}), data(True)),
    row("5.3", "account and remark are required", call("remark.update/3.0.0", {"remark": "z"}), refused(141500101)),
    row(
        "5.4 3.1.0",
        "page_no, page_size, is_member, a window in seconds",
        call(
            "search/3.1.0",
            {"page_no": 1, "page_size": 5, "is_member": 0, "created_at_start": 1, "created_at_end": 4_000_000_000},
        ),
        data({"total": int, "record_list": Each(_SEARCHED)}),
    ),
    row("5.4 3.1.0", "page_size up to 50", call("search/3.1.0", {"page_size": 51}), refused(141500101)),
    row("5.4 3.0.0", "no card of that alias", call("search/3.0.0", {"card_alias": "x", "page": 1}), refused(141502105)),
    row(
        "5.4 search.list",
        "order_column and order_mode",
        call("search.list/1.0.0", {"order_column": "lastTradeTime", "order_mode": "asc", "page": 1, "page_size": 5}),
        data({"total": int, "list": Each(_LISTED)}),
    ),
    row("5.6", "by phones, an array", call("list.phone/1.0.0", {"phones": [KNOWN, "13800009999"]}), data([_FOUND])),
    row("5.6", "at most 50 phones", call("list.phone/1.0.0", {"phones": [KNOWN] * 51}), refused(141500101)),
    row("5.6", "by open ids", call("list.yzopenid/1.0.0", {"yz_open_ids": [open_id]}), data([_FOUND])),
    row(
        "5.7 3.0.0",
        "by mobile, flat, times as text",
        call("get/3.0.0", {"fans_id": 0, "fans_type": 0, "mobile": KNOWN}),
        data(
            {
                "name": NAME,
                "gender": 2,
                "birthday": str,
                "area": {
                    "province_id": int,
                    "province_name": str,
                    "city_id": int,
                    "city_name": str,
                    "county_id": int,
                    "county_name": str,
                },
                "mobile": KNOWN,
                "source_type": int,
                "tag_names": str,
                "remark": str,
                "current_points": int,
                "trade_count": int,
                "last_trade_time": _TIME,
                "first_time": _TIME,
            }
        ),
    ),
    row(
        "5.7 3.0.0",
        "by fan number",
        call("get/3.0.0", {"fans_id": int(ANONYMOUS_FAN), "fans_type": 1, "mobile": ""}),
        data(Has({"name": ""})),
    ),
    row(
        "5.9",
        "by card number",
        call("info.get/3.0.0", {"card_no": CARD}),
        data(Has({"card_name": str, "card_alias": str, "name": str, "fans_id": int(ANONYMOUS_FAN), "yz_open_id": str})),
    ),
    row("5.9", "141502107: nobody has the card", call("info.get/3.0.0", {"card_no": "none"}), refused(141502107)),
)

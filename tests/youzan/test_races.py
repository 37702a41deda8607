"""Contract 5.1 under load, and every call under nonsense."""

import asyncio
import copy
import json
from collections import Counter
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.conftest import Rows
from tests.youzan.conftest import (
    ALL,
    CATEGORY,
    CHECK,
    CREATE,
    DETAIL,
    FOLLOWER,
    FOLLOWER_ADD,
    FOLLOWER_DELETE,
    FOLLOWER_GET,
    FOR_MANY,
    GET,
    GET_300,
    INFO,
    LIST,
    LIST_PHONE,
    LIST_YZOPENID,
    MEMBERS,
    RELATION_ADD,
    RELATION_DELETE,
    RELATION_GET,
    REMARK,
    SEARCH,
    SEARCH_310,
    SEARCH_LIST,
    TAGRELATION_ADD,
    TAGRELATION_DELETE,
    TAGRELATION_QUERY,
    UPDATE,
    USER_BASIC,
    USER_NUMBER,
    USER_OPENID,
    USER_UNIONID,
    USER_WEIXIN,
    USERS_INFO,
    Facade,
    Listening,
    code_of,
    envelope,
)


async def test_300_creations_of_one_phone_are_one_customer(facade: Facade, rows: Rows) -> None:
    answers = await asyncio.gather(*(facade.call(CREATE, mobile="13800000000") for _ in range(300)))
    assert Counter(map(code_of, answers)) == {200: 1, 143001027: 299}
    (row,) = await rows("select id from customers where shop_id = $1", facade.shop.id)
    assert {answer["data"]["account_id"] for answer in answers if answer["success"]} == {str(row["id"])}
    assert len(await rows("select kind from identities where shop_id = $1", facade.shop.id)) == 1


async def test_creations_that_share_a_card_or_a_phone_leave_no_half_customer(facade: Facade, rows: Rows) -> None:
    answers = await asyncio.gather(
        *(
            facade.call(CREATE, mobile=f"1380000000{n % 5}", customer_create={"outer_card_no": f"C{n % 3}"})
            for n in range(60)
        )
    )
    assert set(map(code_of, answers)) == {200, 143001027}
    made = sum(answer["success"] for answer in answers)
    assert len(await rows("select id from customers where shop_id = $1", facade.shop.id)) == made
    assert len(await rows("select kind from identities where shop_id = $1", facade.shop.id)) == 2 * made


ACCOUNT: dict[str, Any] = {"account_type": "Mobile", "account_id": "13800000000"}
TAGS: dict[str, Any] = {"tags": [{"tag_name": "vip"}]}
GOOD: dict[str, dict[str, Any]] = {
    CREATE: {
        "mobile": "13800000000",
        "country_code": "+86",
        "is_mobile_auth": True,
        "customer_create": {
            "name": "甲",
            "gender": 1,
            "birthday": "1990-01-01",
            "remark": "x",
            "contact_address": {"area_code": 420704, "address": "x"},
            "ascription_kdt_id": 7,
            "wei_xin": "w",
            "outer_card_no": "C1",
        },
        "label_info": {"src_way": 2008, "src_channel": 2000},
        "create_date": "2020-01-01 00:00:00",
    },
    UPDATE: {
        "account": ACCOUNT,
        "customer_update": {"name": "乙", "gender": 2, "contact_address": {"area_code": 1}},
        "external_request_id": "r-7",
    },
    GET: {"account": ACCOUNT},
    DETAIL: {
        "yz_open_id": "x",
        "account_info": {"account_type": 2, "account_id": "13800000000"},
        "fields": "user_base",
    },
    SEARCH: {
        "page": 1,
        "page_size": 20,
        "is_member": 1,
        "created_at_start": 1700000000,
        "created_member_end": 1700000000000,
        "has_mobile": True,
        "tag_ids": [],
    },
    LIST: {"page_no": 1, "page_size": 20, "created_at_end": "1700000000", "created_member_at_start": 1},
    REMARK: {"account": ACCOUNT, "remark": "x"},
    GET_300: {"fans_id": 5009, "fans_type": 1, "mobile": "13800000000"},
    INFO: {"card_no": "C1"},
    MEMBERS: {"card_alias": "Y2x42qhvviya8l", "page": 1},
    SEARCH_310: {"page_no": 1, "page_size": 20, "is_member": 0, "created_at_start": 1700000000},
    SEARCH_LIST: {
        "page": 1,
        "page_size": 20,
        "is_member": 1,
        "created_at_end": 1700000000,
        "last_trade_time_start": 1600000000,
        "last_trade_time_end": 1700000000000,
        "tag_ids": "",
        "order_column": "lastTradeTime",
        "order_mode": "asc",
    },
    LIST_PHONE: {"phones": ["13800000000", "+54-91123456789"]},
    LIST_YZOPENID: {"yz_open_ids": ["x", "z" * 22]},
    USERS_INFO: {
        "yz_open_id": "x",
        "mobile": "13800000000",
        "weixin_union_id": "u",
        "weixin_open_id": "o",
        "open_id_type": 1,
        "result_type_list": [0, 1, 2, 9],
    },
    USER_BASIC: {"mobile": "13800000000", "country_code": "+86", "yz_open_id": "x"},
    USER_WEIXIN: {"mobile": "13800000000", "country_code": "+86", "yz_open_id": "x", "wechat_type": 1},
    USER_NUMBER: {"user_id": 10000001},
    USER_OPENID: {"open_id": "o"},
    USER_UNIONID: {"union_id": "u"},
    CHECK: {"account_type": "Mobile", "account_id": "13800000000"},
    FOLLOWER: {"weixin_openid": "o", "fans_id": 5009, "fields": "nick,tags"},
    RELATION_ADD: ACCOUNT | TAGS,
    RELATION_DELETE: ACCOUNT | TAGS,
    RELATION_GET: ACCOUNT,
    TAGRELATION_ADD: {"account": ACCOUNT} | TAGS,
    TAGRELATION_DELETE: {"account": ACCOUNT} | TAGS,
    TAGRELATION_QUERY: {"account": ACCOUNT, "display_type": 2, "filter_invalid_tag": True, "filter_category_tag": True},
    FOR_MANY: {"account_list_request_dtos": [{"account": ACCOUNT, "user_tag_creates": TAGS["tags"]}]},
    CATEGORY: {"tag_category_id": 0},
    FOLLOWER_ADD: {"weixin_openid": "o-1", "fans_id": 5009, "tags": "vip,new"},
    FOLLOWER_GET: {"weixin_openid": "o-1", "fans_id": 5009},
    FOLLOWER_DELETE: {"weixin_openid": "", "fans_id": 5009, "tags": "vip,new"},
}

NONSENSE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([0, -1, 2**31, 2**53, 2**63, 2**64, 10**400, "", "0", "-1", "1e9", "９", "²", "null", "{", "[[]]"]),
    st.sampled_from(["+", "+1", "+999999", "00", "1" * 5000, "4", "5", "Mobile", "FansID", "YzOpenId", "2024-02-30"]),
    st.sampled_from(["\x00", "\ud7ff", "'; drop table customers; --", "%s", "a,b", "user_base,,", "9" * 22, "z" * 22]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
    st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=5), st.integers(), max_size=3),
)


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """A good request with up to three places changed, in one of the forms."""
    api = draw(st.sampled_from(list(GOOD)))
    body = copy.deepcopy(GOOD[api])
    for _ in range(draw(st.integers(1, 3))):
        place = body
        while True:
            name = draw(st.sampled_from([*place, "extra"]))
            if isinstance(place.get(name), dict) and place[name] and draw(st.booleans()):
                place = place[name]
            else:
                break
        if draw(st.integers(0, 4)) == 0:
            place.pop(name, None)
        else:
            place[name] = draw(NONSENSE)
    form = draw(st.sampled_from(["json", "json", "data", "params", "bytes"]))
    if form == "json":
        return api, {"json": body}
    if form == "bytes":
        content_type = draw(st.sampled_from(["application/json", "multipart/form-data; boundary=B", ""]))
        return api, {"content": draw(st.binary(max_size=60)), "headers": {"content-type": content_type}}
    flat = {name: _text(value) for name, value in body.items() if value is not None}
    return api, {form: flat, "method": "GET" if form == "params" else "POST"}


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)


@settings(max_examples=400)
@given(request=requests())
async def test_nonsense_gets_an_envelope_and_never_5001(facade: Facade, request: tuple[str, dict[str, Any]]) -> None:
    api, options = request
    answer = await facade.raw(api, **copy.deepcopy(options))
    assert code_of(answer) != 5001, (api, options, answer)


@settings(max_examples=150)
@given(
    path=st.one_of(st.sampled_from(ALL), st.text(st.characters(exclude_categories=["Cs"]), max_size=20)),
    method=st.sampled_from(["GET", "POST", "PUT", "PROPFIND"]),
    query=st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    content_type=st.sampled_from(["application/json", "text/xml", "multipart/form-data", "application/json;;;", ";"]),
    body=st.binary(max_size=40),
)
async def test_strange_requests_get_an_envelope(
    facade: Facade, path: str, method: str, query: str, content_type: str, body: bytes
) -> None:
    assume(
        path.strip("/").split("/")[0] not in ("entry", "oauthentry")
    )  # older hosts' ways, with an envelope of their own
    below = quote(path).replace(".", "%2E")  # else the client would walk up the path by itself
    url = f"/api/{below}?{quote(query, safe='&=+%[];')}"
    answer = await facade.api.http.request(method, url, content=body, headers={"content-type": content_type})
    assert code_of(envelope(answer)) in (4001, 4004, 4005, 4007, 4201, 4203)


async def test_the_measured_calls_take_few_statements(facade: Facade, app: FastAPI) -> None:
    seen: list[str] = []
    open_id = await facade.create("13800000001", outer_card_no="C9")
    pool = app.state.entry.database._pool

    def note(record: Any) -> None:
        seen.append(record.query)

    async with Listening(pool, note):
        await facade.detail(open_id, "user_base,behavior,credit,tags,level,benefit_cards")
    assert len(seen) == 4, seen  # BEGIN, the customer with the order figures, the tags, COMMIT
    seen.clear()
    async with Listening(pool, note):
        await facade.create("13800000002")
    assert len(seen) == 3, seen

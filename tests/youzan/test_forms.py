"""Contract 1.2 and 1.4: one meaning in every form that clients send it."""

import json
from typing import Any
from urllib.parse import quote_plus

import pytest

from tests.conftest import Rows
from tests.youzan.conftest import CREATE, DETAIL, GET, LIST, SEARCH, UPDATE, Facade, code_of

PROFILE = {"name": "李 小花", "gender": 2, "birthday": "1990-02-28", "contact_address": {"area_code": 420704}}


def text(value: Any) -> str:
    """JSON text, non-ASCII as it is."""
    return json.dumps(value, ensure_ascii=False)


CREATIONS: dict[str, dict[str, Any]] = {
    "node": {
        "content": text({"mobile": "13800000000", "customer_create": PROFILE, "host": "open.youzanyun.com"}).encode(),
        "headers": {
            "content-type": "application/json;charset=UTF-8",
            "user-agent": "YZY-Open-Client 1.0.0 - Node",
        },
    },
    "php, escaped": {
        "content": json.dumps({"mobile": "13800000000", "customer_create": PROFILE}).encode(),
        "headers": {"content-type": "application/json", "user-agent": "YZY-Open-Client 2.0.20-PHP"},
    },
    "waywake": {
        "json": {"mobile": "13800000000", "customer_create": PROFILE, "host": "x", "method": "POST"},
        "headers": {"accept": "*/*", "sec-fetch-mode": "cors", "accept-encoding": "gzip, deflate"},
    },
    "newtonsoft nulls": {
        "json": {
            "mobile": "13800000000",
            "country_code": None,
            "is_mobile_auth": None,
            "label_info": None,
            "create_date": None,
            "customer_create": PROFILE | {"remark": None, "wei_xin": None},
        }
    },
    "json text": {"json": {"mobile": "13800000000", "customer_create": text(PROFILE)}},
    "a mobile as number": {"json": {"mobile": 13800000000, "customer_create": PROFILE}},
    "numbers as text": {"json": {"mobile": "13800000000", "customer_create": PROFILE | {"gender": "2"}}},
    "form, json text": {"data": {"mobile": "13800000000", "customer_create": text(PROFILE)}},
    "form of the old Java SDK": {
        "data": {"mobile": "13800000000", "customer_create": text(PROFILE)},
        "headers": {
            "content-type": "application/x-www-form-urlencoded; charset=ISO-8859-1",
            "content-encoding": "utf-8",
        },
    },
    "form, brackets": {
        "data": {
            "mobile": "13800000000",
            "customer_create[name]": "李 小花",
            "customer_create[gender]": "2",
            "customer_create[birthday]": "1990-02-28",
            "customer_create[contact_address][area_code]": "420704",
        }
    },
    "multipart": {"files": {"mobile": (None, "13800000000"), "customer_create": (None, text(PROFILE))}},
    "query": {"method": "GET", "params": {"mobile": "13800000000", "customer_create": text(PROFILE)}},
    "byte order mark": {
        "content": b"\xef\xbb\xbf" + text({"mobile": "13800000000", "customer_create": PROFILE}).encode(),
        "headers": {"content-type": "application/json"},
    },
}


@pytest.mark.parametrize("form", CREATIONS)
async def test_1_4_a_creation_in_every_form(facade: Facade, rows: Rows, form: str) -> None:
    answer = await facade.raw(CREATE, **CREATIONS[form])
    assert answer.get("success") is True, answer
    (row,) = await rows("select * from customers where shop_id = $1", facade.shop.id)
    assert (row["gender"], str(row["birthday"]), row["area_code"]) == (2, "1990-02-28", "420704")
    detail = await facade.detail(answer["data"]["yz_open_id"])
    assert (detail["name"], detail["mobile"]) == ("李 小花", "13800000000")


@pytest.mark.parametrize("empty", ["{}", "[]", "null", "", "  "])
async def test_1_4_an_empty_struct(facade: Facade, empty: str) -> None:
    assert code_of(await facade.raw(CREATE, data={"mobile": "13800000000", "customer_create": empty})) == 200
    assert await facade.code(CREATE, mobile="13800000001", customer_create=json.loads(empty.strip() or '""')) == 200


@pytest.mark.parametrize(
    "form",
    [
        {"json": {}},
        {"content": b"", "headers": {"content-type": "application/json;charset=UTF-8"}},
        {"content": b"[]", "headers": {"content-type": "application/json"}},
        {"content": b"null", "headers": {"content-type": "application/json"}},
        {"content": b""},
        {"data": {"access_token": "ignored", "method": "youzan.scrm.customer.search"}},
        {"method": "GET"},
    ],
)
async def test_1_2_no_parameters(facade: Facade, form: dict[str, Any]) -> None:
    assert code_of(await facade.raw(SEARCH, **form)) == 200


async def test_1_4_get_as_a_go_client_sends_it(facade: Facade) -> None:
    await facade.create("13800000000", name="王五")
    account = quote_plus('{"account_id": "13800000000", "account_type": "Mobile"}')
    answer = await facade.api.http.get(f"/api/{GET}?access_token={facade.token}&account={account}")
    assert answer.json()["data"]["name"] == "王五"


async def test_1_4_get_with_brackets(facade: Facade) -> None:
    await facade.create("13800000000", name="王五")
    params = {"account[account_id]": "13800000000", "account[account_type]": "Mobile"}
    assert (await facade.raw(GET, "GET", params=params))["data"]["name"] == "王五"


async def test_1_4_account_id_as_a_number(facade: Facade) -> None:
    await facade.create("13800000000", name="王五")
    account = {"account_type": "Mobile", "account_id": 13800000000}
    assert (await facade.data(GET, account=account))["name"] == "王五"
    by_number = {"account_type": 2, "account_id": 13800000000}
    assert (await facade.data(DETAIL, account_info=by_number, fields="user_base"))["name"] == "王五"
    by_text = {"account_type": "2", "account_id": "13800000000"}
    assert (await facade.data(DETAIL, account_info=json.dumps(by_text), fields="user_base"))["name"] == "王五"


async def test_1_4_lists_by_query_with_everything_as_text(facade: Facade) -> None:
    await facade.create("13800000000")
    params = {"page": "1", "page_size": "10", "is_member": "0", "has_mobile": "true", "created_at_start": ""}
    assert (await facade.raw(SEARCH, "GET", params=params))["data"]["total"] == 1
    assert (await facade.raw(LIST, "GET", params=params | {"has_mobile": "false"}))["data"]["total"] == 0
    for tags in ("1", "1,2", "[1, 2]"):
        assert (await facade.raw(LIST, "GET", params={"tag_ids": tags}))["data"]["total"] == 0
    assert (await facade.raw(LIST, "GET", params={"tag_ids[]": "1"}))["data"]["total"] == 0


@pytest.mark.parametrize(
    ("api", "parameters"),
    [
        (CREATE, {"mobile": {"a": 1}}),
        (CREATE, {"mobile": ["13800000000"]}),
        (CREATE, {"mobile": True}),
        (CREATE, {"mobile": "13800000000", "customer_create": "not json"}),
        (CREATE, {"mobile": "13800000000", "customer_create": [1]}),
        (CREATE, {"mobile": "13800000000", "customer_create": 7}),
        (CREATE, {"mobile": "13800000000", "customer_create": {"gender": "male"}}),
        (CREATE, {"mobile": "13800000000", "customer_create": {"gender": 1.5}}),
        (CREATE, {"mobile": "13800000000", "customer_create": {"contact_address": "东湖路 1 号"}}),
        (CREATE, {"mobile": "13800000000", "is_mobile_auth": "perhaps"}),
        (UPDATE, {"account": "13800000000", "customer_update": {}}),
        (UPDATE, {"account": {"account_type": "Mobile", "account_id": {}}, "customer_update": {}}),
        (GET, {"account": [{}]}),
        (DETAIL, {"yz_open_id": {}, "fields": "user_base"}),
        (DETAIL, {"yz_open_id": "x", "fields": ["user_base"]}),
        (SEARCH, {"page": "one"}),
        (SEARCH, {"has_mobile": []}),
        (SEARCH, {"tag_ids": ["a"]}),
        (SEARCH, {"created_at_start": "2024-01-01"}),
        (LIST, {"page_size": {}}),
    ],
)
async def test_2_3_a_wrong_type_is_4010(facade: Facade, api: str, parameters: dict[str, Any]) -> None:
    answer = await facade.call(api, **parameters)
    assert code_of(answer) == 4010, answer


async def test_1_1_a_base_url_that_ends_in_a_slash(facade: Facade) -> None:
    http = facade.api.http
    found = await http.post(f"http://kehu.test//api/{LIST}?access_token={facade.token}", json={})
    assert code_of(found.json()) == 200
    asked = {"client_id": "nobody", "authorize_type": "silent"}
    assert (await http.post("http://kehu.test//auth/token", json=asked)).json()["code"] == 1103

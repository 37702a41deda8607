"""Contract 7 (tags), 6 (follower tags), 5.8 (the group of detail.get) and 5.4, 5.5 (`tag_ids`)."""

import asyncio
import json
from collections import Counter
from typing import Any

import pytest

from app.access.settings import FacadeSettings, ShopSettings
from app.access.shops import Shop
from tests.conftest import Rows
from tests.youzan.conftest import (
    CATEGORY,
    FOLLOWER_ADD,
    FOLLOWER_DELETE,
    FOLLOWER_GET,
    FOR_MANY,
    LIST,
    RELATION_ADD,
    RELATION_DELETE,
    RELATION_GET,
    SEARCH,
    TAGRELATION_ADD,
    TAGRELATION_DELETE,
    TAGRELATION_QUERY,
    Facade,
    code_of,
)

ACCOUNT: dict[str, Any] = {"account_type": "Mobile", "account_id": "13800000000"}
NOBODY: dict[str, Any] = {"account_type": "Mobile", "account_id": "13899999999"}
WRITES = pytest.mark.parametrize("api", [RELATION_ADD, RELATION_DELETE, TAGRELATION_ADD, TAGRELATION_DELETE])
READS = pytest.mark.parametrize("api", [RELATION_GET, TAGRELATION_QUERY])


def named(*names: str) -> list[dict[str, str]]:
    """The list of tags as calls take it."""
    return [{"tag_name": name} for name in names]


def addressed(api: str, account: dict[str, Any]) -> dict[str, Any]:
    """The account where the call looks for it."""
    return {"account": account} if "tagrelation" in api else account


async def tag(facade: Facade, *names: str, account: dict[str, Any] = ACCOUNT) -> None:
    """Tag a customer."""
    assert await facade.data(RELATION_ADD, **account, tags=named(*names)) is True


async def names_of(facade: Facade, account: dict[str, Any] = ACCOUNT) -> list[str]:
    """The names of a customer's tags, sorted."""
    return sorted(tag["name"] for tag in await facade.data(RELATION_GET, **account))


async def told(rows: Rows, shop: Shop) -> list[tuple[str, str]]:
    """What was told about tags: kind and name, in order."""
    found = await rows(
        "select kind, customer_id, data from domain_events where shop_id = $1 and kind like 'tag.%' order by id",
        shop.id,
    )
    facts = [(row["kind"], row["customer_id"], json.loads(row["data"])) for row in found]
    assert all(set(data) == {"customer_id", "tag_id", "tag_name"} for _, _, data in facts)
    assert all(data["customer_id"] == customer for _, customer, data in facts)
    return [(kind, data["tag_name"]) for kind, _, data in facts]


async def tag_ids(rows: Rows, shop: Shop) -> dict[str, int]:
    """The shop's tags by name."""
    return {row["name"]: row["id"] for row in await rows("select id, name from tags where shop_id = $1", shop.id)}


async def test_7_add_makes_what_is_not_there_and_get_answers_a_bare_array(facade: Facade, rows: Rows) -> None:
    await facade.create()
    assert await facade.data(RELATION_GET, **ACCOUNT) == []
    assert await facade.data(RELATION_ADD, **ACCOUNT, tags=named("高价值", " 新客 ", "高价值")) is True
    ids = await tag_ids(rows, facade.shop)
    assert set(ids) == {"高价值", "新客"}
    assert all(0 < number < 2**53 for number in ids.values())
    found = await facade.data(RELATION_GET, **ACCOUNT)
    assert sorted(found, key=lambda tag: tag["id"]) == sorted(
        ({"id": number, "name": name} for name, number in ids.items()), key=lambda tag: int(str(tag["id"]))
    )
    held = await rows("select * from customer_tags where shop_id = $1", facade.shop.id)
    assert {row["tag_id"] for row in held} == set(ids.values())
    assert {(row["source"], row["actor"]) for row in held} == {("facade", facade.api.client.client_id)}
    assert {row["valid_until"] for row in held} == {None}


async def test_7_the_declared_shape_is_a_setting(facade: Facade) -> None:
    await facade.create()
    await tag(facade, "a")
    settings = ShopSettings(facade=FacadeSettings(tag_relation_shape="object"))
    put = await facade.api.http.put("/v1/shop/settings", json=settings.model_dump(mode="json"))
    assert put.status_code == 200, put.text
    data = await facade.data(RELATION_GET, **ACCOUNT)
    assert [tag["name"] for tag in data["tags"]] == ["a"]


async def test_7_delete_and_what_the_customer_lacks_is_no_error(facade: Facade, rows: Rows) -> None:
    await facade.create()
    await tag(facade, "a", "b")
    assert await facade.data(RELATION_DELETE, **ACCOUNT, tags=named("b", "c")) is True
    assert await facade.data(RELATION_DELETE, **ACCOUNT, tags=named("b")) is True
    assert await names_of(facade) == ["a"]
    assert set(await tag_ids(rows, facade.shop)) == {"a", "b"}, "the tag itself stays, and none was made"


async def test_only_what_changes_is_told(facade: Facade, rows: Rows) -> None:
    await facade.create()
    await rows("delete from customer_changes where shop_id = $1 returning id", facade.shop.id)
    await tag(facade, "a")
    await tag(facade, "a")
    await facade.data(RELATION_DELETE, **ACCOUNT, tags=named("a"))
    await facade.data(RELATION_DELETE, **ACCOUNT, tags=named("a", "b"))
    assert await told(rows, facade.shop) == [("tag.added", "a"), ("tag.removed", "a")]
    assert len(await rows("select id from customer_changes where shop_id = $1", facade.shop.id)) == 2


async def test_an_assignment_that_holds_keeps_who_made_it(facade: Facade, rows: Rows, make_facade: Any) -> None:
    await facade.create()
    await tag(facade, "a")
    before = await rows("select * from customer_tags where shop_id = $1", facade.shop.id)
    await tag(await make_facade(facade.shop), "a")
    assert await rows("select * from customer_tags where shop_id = $1", facade.shop.id) == before


async def test_one_that_has_run_out_is_not_carried_and_can_be_given_anew(facade: Facade, rows: Rows) -> None:
    await facade.create()
    await tag(facade, "a")
    await rows(
        "update customer_tags set valid_until = now() - interval '1 second' where shop_id = $1 returning 1",
        facade.shop.id,
    )
    number = (await tag_ids(rows, facade.shop))["a"]
    assert await names_of(facade) == []
    assert (await facade.data(LIST, tag_ids=[number]))["total"] == 0
    await tag(facade, "a")
    assert await names_of(facade) == ["a"]
    assert [kind for kind, _ in await told(rows, facade.shop)] == ["tag.added", "tag.added"]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("FansID", "5009"),
        ("Mobile", "13800000000"),
        ("YouZanAccount", None),
        ("OpenUserId", "u-7"),
        ("WeiXinOpenId", "o-1"),
        ("YzOpenId", None),
        (1, "5009"),
        (2, 13800000000),
        (3, "u-7"),
        ("5", None),
    ],
)
async def test_4_account_types(facade: Facade, kind: Any, value: Any) -> None:
    made = await facade.api.post(
        "/v1/customers",
        {
            "identities": [
                {"kind": "mobile", "value": "13800000000"},
                {"kind": "fans_id", "value": "5009"},
                {"kind": "open_user_id", "value": "u-7"},
                {"kind": "wechat_openid", "value": "o-1"},
            ]
        },
    )
    own = str(made.json()["id"]) if kind == "YouZanAccount" else made.json()["open_id"]
    account = {"account_type": kind, "account_id": value or own}
    assert await facade.data(TAGRELATION_ADD, account=account, tags=named("a")) is True
    data = await facade.data(TAGRELATION_QUERY, account=json.dumps(account))
    assert data["yz_open_id"] == made.json()["open_id"]
    (shown,) = data["tags"]
    assert shown == {"name": "a", "tag_id": shown["tag_id"], "category_name": "", "category_id": 0}
    many = [{"account": account, "user_tag_creates": named("a")}]
    assert await facade.data(FOR_MANY, account_list_request_dtos=many) is True
    if isinstance(kind, str) and not kind.isdigit():
        assert await facade.data(RELATION_DELETE, **account, tags=named("a")) is True
        assert await facade.data(RELATION_GET, **account) == []
    else:
        assert await facade.code(RELATION_ADD, **account, tags=named("a")) == 141500101


@WRITES
@pytest.mark.parametrize(
    ("tags", "code"),
    [
        (named(*(str(n) for n in range(20))), 200),
        (named(*(str(n) for n in range(21))), 141500101),
        (named("长" * 32), 200),
        (named("长" * 33), 141500101),
        (named("a", " "), 141500101),
        ([], 141500101),
        ("", 141500101),
        (None, 141500101),
        ([{}], 141500101),
        ([{"tag_name": None}], 141500101),
        ([{"tag_name": ["a"]}], 4010),
        ([7], 4010),
        ({"a": 1}, 4010),
        (7, 4010),
        ("{", 4010),
        ("[7]", 4010),
        (json.dumps(named("a", "b")), 200),
        ([json.dumps({"tag_name": "a"})], 200),
    ],
)
async def test_7_the_list_of_tags(facade: Facade, rows: Rows, api: str, tags: Any, code: int) -> None:
    await facade.create()
    assert await facade.code(api, **addressed(api, ACCOUNT), tags=tags) == code
    if code != 200:
        assert not await rows("select id from tags where shop_id = $1", facade.shop.id)


@WRITES
async def test_1_4_forms(facade: Facade, api: str) -> None:
    await facade.create()
    await tag(facade, "b")
    account = {"account": json.dumps(ACCOUNT)} if "tagrelation" in api else ACCOUNT
    form = {**account, "tags": json.dumps(named("a b", "b"))}
    assert (await facade.raw(api, data=form))["data"] is True
    assert (await facade.raw(api, "GET", params=form))["data"] is True
    name = "account[{}]" if "tagrelation" in api else "{}"
    bracketed = {name.format(key): value for key, value in ACCOUNT.items()} | {"tags[0][tag_name]": "b"}
    assert (await facade.raw(api, data=bracketed))["data"] is True
    assert await names_of(facade) == (["a b", "b"] if api.split("/")[0].endswith("add") else [])


@WRITES
async def test_142400105_nobody_has_the_account(facade: Facade, rows: Rows, api: str) -> None:
    await facade.create()
    for account in (NOBODY, {"account_type": "YzOpenId", "account_id": "x"}, ACCOUNT):
        if account is ACCOUNT:
            await rows("update customers set status = 'erased' where shop_id = $1 returning id", facade.shop.id)
        assert await facade.code(api, **addressed(api, account), tags=named("a")) == 142400105
    assert not await rows("select id from tags where shop_id = $1", facade.shop.id)


@READS
async def test_142400105_of_reads(facade: Facade, api: str) -> None:
    assert await facade.code(api, **addressed(api, NOBODY)) == 142400105
    assert await facade.code(api, **addressed(api, {"account_type": "x", "account_id": "1"})) == 141500101


@READS
async def test_another_shop_sees_nothing(facade: Facade, make_facade: Any, other_shop: Shop, api: str) -> None:
    open_id = await facade.create()
    await tag(facade, "a")
    stranger: Facade = await make_facade(other_shop)
    await stranger.create()
    own = addressed(api, ACCOUNT)
    data = await stranger.data(api, **own)
    assert (data["tags"] if isinstance(data, dict) else data) == []
    theirs = addressed(api, {"account_type": "YzOpenId", "account_id": open_id})
    assert await stranger.code(api, **theirs) == 142400105
    assert (await stranger.data(CATEGORY, tag_category_id=0))["tags"] == []


async def test_2_4_the_old_hosts_answer_the_bare_values(facade: Facade) -> None:
    await facade.create()
    form = {"access_token": facade.token, **ACCOUNT, "tags": json.dumps(named("a"))}
    base = "/api/oauthentry/youzan.scrm.tag.relation/4.0.0"
    assert (await facade.api.http.post(f"{base}/add", data=form)).json() == {"response": True}
    (shown,) = (await facade.api.http.get(f"{base}/get", params=form)).json()["response"]
    assert shown["name"] == "a"
    lost = (await facade.api.http.post(f"{base}/add", data=form | NOBODY)).json()
    assert lost["error_response"]["code"] == 142400105


async def test_tags_of_one_name_in_two_shops_are_two(
    facade: Facade, make_facade: Any, other_shop: Shop, rows: Rows
) -> None:
    stranger: Facade = await make_facade(other_shop)
    for one in (facade, stranger):
        await one.create()
        await tag(one, "a")
    ours, theirs = await tag_ids(rows, facade.shop), await tag_ids(rows, other_shop)
    assert ours["a"] != theirs["a"]
    assert (await facade.data(LIST, tag_ids=[theirs["a"]]))["total"] == 0


async def with_category(rows: Rows, shop: Shop, name: str, *tags: str, status: int = 0) -> int:
    """A category that holds these tags."""
    (made,) = await rows(
        "insert into tag_categories (shop_id, name, status, add_rule, support_tag_type, sync_external, created_at, "
        "updated_at) values ($1, $2, $3, 1, 2, true, now(), now()) returning id",
        shop.id,
        name,
        status,
    )
    number: int = made["id"]
    await rows(
        "update tags set category_id = $2 where shop_id = $1 and name = any($3) returning id", shop.id, number, [*tags]
    )
    return number


async def test_7_query_with_categories_and_filters(facade: Facade, rows: Rows) -> None:
    await facade.create()
    await tag(facade, "plain", "good", "off", "in an old one")
    good = await with_category(rows, facade.shop, "偏好", "good")
    await with_category(rows, facade.shop, "旧", "in an old one", status=1)
    await rows("update tags set status = 1 where shop_id = $1 and name = 'off' returning id", facade.shop.id)

    async def query(**filters: Any) -> list[str]:
        found = (await facade.data(TAGRELATION_QUERY, account=ACCOUNT, **filters))["tags"]
        return sorted(tag["name"] for tag in found)

    found = (await facade.data(TAGRELATION_QUERY, account=ACCOUNT))["tags"]
    assert {(tag["name"], tag["category_name"], tag["category_id"]) for tag in found} == {
        ("plain", "", 0),
        ("good", "偏好", good),
    }
    assert await query(filter_invalid_tag=False) == ["good", "off", "plain"]
    assert await query(filter_category_tag="false") == ["good", "in an old one", "plain"]
    assert await query(filter_invalid_tag=False, filter_category_tag=False) == ["good", "in an old one", "off", "plain"]
    assert await query(filter_invalid_tag="", display_type="") == ["good", "plain"]
    assert await query(display_type=1) == await query(display_type=2) == ["good", "plain"]
    assert await query(display_type=0) == []
    assert await facade.code(TAGRELATION_QUERY, account=ACCOUNT, display_type=3) == 141500101
    assert await facade.code(TAGRELATION_QUERY, account=ACCOUNT, display_type="x") == 4010


async def test_7_category_get(facade: Facade, rows: Rows) -> None:
    await facade.create()
    await tag(facade, "a", "b", "c")
    number = await with_category(rows, facade.shop, "偏好", "a", "b")
    await rows("update tags set status = 1 where shop_id = $1 and name = 'b' returning id", facade.shop.id)
    ids = await tag_ids(rows, facade.shop)
    data = await facade.data(CATEGORY, tag_category_id=str(number))
    assert data.pop("tags") == [
        {"tag_id": ids["a"], "tag_name": "a", "tag_status": 0},
        {"tag_id": ids["b"], "tag_name": "b", "tag_status": 1},
    ]
    assert data == {
        "tag_category_id": number,
        "tag_category_name": "偏好",
        "tag_category_status": 0,
        "kdt_id": facade.shop.id,
        "tag_add_rule": 1,
        "support_tag_type": 2,
        "sync_external": True,
        "allow_view_roles": [],
        "allow_edit_roles": [],
    }
    rest = await facade.data(CATEGORY, tag_category_id=0)
    assert (rest["tag_category_name"], [tag["tag_name"] for tag in rest["tags"]]) == ("未分组", ["c"])


@pytest.mark.parametrize(
    ("number", "code"), [(None, 141500101), (-1, 141500101), (2**63, 141500101), (10**9, 141500101), ("x", 4010)]
)
async def test_7_category_get_refuses(facade: Facade, number: Any, code: int) -> None:
    assert await facade.code(CATEGORY, tag_category_id=number) == code


async def test_7_add_for_many(facade: Facade, rows: Rows) -> None:
    for mobile in ("13800000000", "13800000001"):
        await facade.create(mobile)
    second = {"account_type": "Mobile", "account_id": "13800000001"}
    await tag(facade, "a", "b", "c")
    await facade.data(RELATION_DELETE, **ACCOUNT, tags=named("a", "b", "c"))
    asked = [
        {"account": ACCOUNT, "user_tag_creates": named("a", "b")},
        {"account": json.dumps(second), "user_tag_creates": json.dumps(named("b"))},
        {"account": ACCOUNT, "user_tag_creates": named("b", "c")},
    ]
    assert await facade.data(FOR_MANY, account_list_request_dtos=json.dumps(asked)) is True
    assert await names_of(facade) == ["a", "b", "c"]
    assert await names_of(facade, second) == ["b"]
    log = await rows(
        "select objects, customers from access_log where shop_id = $1 and call like '%formany%'", facade.shop.id
    )
    assert [row["objects"] for row in log] == [2]


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ([{"account": NOBODY, "user_tag_creates": named("a")}], 142400105),
        ([{"account": {"account_type": "YzOpenId", "account_id": "x"}, "user_tag_creates": named("a")}], 142400105),
        (
            [{"account": {"account_type": "YouZanAccount", "account_id": "9" * 20}, "user_tag_creates": named("a")}],
            142400105,
        ),
        ([{"account": ACCOUNT, "user_tag_creates": named("new")}], 142400105),
        ([{"account": {"account_type": "x", "account_id": "1"}, "user_tag_creates": named("a")}], 141500101),
        ([{"account": ACCOUNT, "user_tag_creates": []}], 141500101),
        ([{"account": ACCOUNT, "user_tag_creates": named(*"abcdefghijklmnopqrstu")}], 141500101),
        ([{"account": ACCOUNT, "user_tag_creates": named("a")}] * 100, 141500101),
        ([], 141500101),
        (None, 141500101),
        ([1], 4010),
        ("x", 4010),
    ],
)
async def test_7_add_for_many_is_all_or_nobody(facade: Facade, rows: Rows, asked: Any, code: int) -> None:
    await facade.create()
    await facade.create("13800000001")
    await tag(facade, "a", account={"account_type": "Mobile", "account_id": "13800000001"})
    good = [{"account": ACCOUNT, "user_tag_creates": named("a")}]
    assert (
        await facade.code(
            FOR_MANY, account_list_request_dtos=good + asked if isinstance(asked, list) and asked else asked
        )
        == code
    )
    assert await names_of(facade) == []
    assert set(await tag_ids(rows, facade.shop)) == {"a"}


async def follower(facade: Facade) -> int:
    """A customer with an openid, a union id and a fan number."""
    made = await facade.api.post(
        "/v1/customers",
        {
            "gender": 2,
            "identities": [
                {"kind": "fans_id", "value": "5009"},
                {"kind": "wechat_openid", "value": "o-1"},
                {"kind": "wechat_unionid", "value": "u-1"},
            ],
        },
    )
    number: int = made.json()["id"]
    order = {
        "order_no": "O1",
        "identities": [{"kind": "fans_id", "value": "5009"}],
        "paid_at": "2024-05-06T07:08:09Z",
        "amount_fen": 1205,
        "version": 1,
    }
    assert (await facade.api.post("/v1/orders", order)).status_code in (200, 201)
    return number


@pytest.mark.parametrize("who", [{"weixin_openid": "o-1"}, {"fans_id": 5009}, {"weixin_openid": "", "fans_id": "5009"}])
async def test_6_follower_tags(facade: Facade, rows: Rows, who: dict[str, Any]) -> None:
    await follower(facade)
    user = (await facade.data(FOLLOWER_ADD, **who, tags="vip, new ,"))["user"]
    ids = await tag_ids(rows, facade.shop)
    assert set(ids) == {"vip", "new"}
    assert {tag["name"]: tag["id"] for tag in user.pop("tags")} == ids
    assert user == {
        "user_id": 5009,
        "weixin_openid": "o-1",
        "union_id": "u-1",
        "sex": "f",
        "traded_num": 1,
        "traded_money": 12.05,
        "nick": "",
        "avatar": "",
        "city": "",
        "follow_time": "",
        "is_follow": False,
        "points": 0,
        "level_info": {"level_id": 0, "level_name": ""},
    }
    found = await facade.data(FOLLOWER_GET, **who)
    assert {tag["tag_name"]: tag["tag_id"] for tag in found["tags"]} == ids
    assert await facade.data(FOLLOWER_DELETE, **who, tags="vip,none") == {"is_success": True}
    assert [tag["tag_name"] for tag in (await facade.data(FOLLOWER_GET, **who))["tags"]] == ["new"]
    held = await rows("select source, actor from customer_tags where shop_id = $1", facade.shop.id)
    assert held == [{"source": "facade", "actor": facade.api.client.client_id}]


@pytest.mark.parametrize("api", [FOLLOWER_ADD, FOLLOWER_GET, FOLLOWER_DELETE])
@pytest.mark.parametrize(
    ("who", "code"),
    [
        ({"weixin_openid": "o-2"}, 141500201),
        ({"fans_id": 1}, 141500201),
        ({}, 141500101),
        ({"weixin_openid": "", "fans_id": 0}, 141500101),
        ({"fans_id": "x"}, 4010),
    ],
)
async def test_6_no_such_follower(facade: Facade, rows: Rows, api: str, who: dict[str, Any], code: int) -> None:
    await follower(facade)
    assert await facade.code(api, **who, tags="vip") == code
    assert not await rows("select id from tags where shop_id = $1", facade.shop.id)


@pytest.mark.parametrize("api", [FOLLOWER_ADD, FOLLOWER_DELETE])
@pytest.mark.parametrize(
    ("tags", "code"),
    [
        (",".join(str(n) for n in range(20)), 200),
        (",".join(str(n) for n in range(21)), 141500101),
        ("长" * 33, 141500101),
        (" , ", 141500101),
        (None, 141500101),
        (["vip"], 200),
        ([["vip"]], 4010),
    ],
)
async def test_6_the_list_of_tags(facade: Facade, api: str, tags: Any, code: int) -> None:
    await follower(facade)
    assert await facade.code(api, fans_id=5009, tags=tags) == code


async def test_6_masked_without_pii_read(facade: Facade, make_facade: Any) -> None:
    await follower(facade)
    writer: Facade = await make_facade(facade.shop, "customers:read customers:write")
    user = (await writer.data(FOLLOWER_ADD, fans_id=5009, tags="vip"))["user"]
    assert (user["user_id"], user["weixin_openid"], user["union_id"]) == (0, "", "")


async def test_6_who_may_only_write_reads_nothing_by_tagging(facade: Facade, make_facade: Any, rows: Rows) -> None:
    await follower(facade)
    writer: Facade = await make_facade(facade.shop, "customers:write pii:read")
    assert await writer.data(FOLLOWER_ADD, fans_id=5009, tags="vip") == {"user": {}}
    assert set(await tag_ids(rows, facade.shop)) == {"vip"}


async def test_5_8_the_group_of_detail(facade: Facade, rows: Rows) -> None:
    open_id = await facade.create()
    await tag(facade, "a", "b")
    ids = await tag_ids(rows, facade.shop)
    data = await facade.detail(open_id, "tags")
    assert {tag["tag_name"]: tag["tag_id"] for tag in data["tags"]} == ids
    assert data["tag_ids"] == [tag["tag_id"] for tag in data["tags"]]
    assert "tags" not in await facade.detail(open_id)


@pytest.mark.parametrize("api", [SEARCH, LIST])
async def test_5_4_tag_ids_finds_who_carries_any(facade: Facade, rows: Rows, api: str) -> None:
    for n in range(5):
        await facade.create(f"1380000000{n}")
    for n, names in enumerate([("a",), ("a", "b"), ("b",), ("c",)]):
        await tag(facade, *names, account={"account_type": "Mobile", "account_id": f"1380000000{n}"})
    ids = await tag_ids(rows, facade.shop)

    async def found(**parameters: Any) -> tuple[int, str]:
        data = await facade.data(api, **parameters)
        return data["total"], "".join(row["mobile"][-1] for row in data["record_list"])

    assert await found(tag_ids=[ids["a"]]) == (2, "10")
    assert await found(tag_ids=[ids["a"], ids["b"], ids["a"]]) == (3, "210")
    assert await found(tag_ids=f"{ids['a']},{ids['c']}") == (3, "310")
    assert await found(tag_ids=json.dumps([ids["c"]]), has_mobile=True) == (1, "3")
    assert await found(tag_ids=[ids["c"]], has_mobile=False) == (0, "")
    assert await found(tag_ids=[ids["a"], ids["b"]], page=2, page_size=2) == (3, "0")
    assert await found(tag_ids=[0, -1, 2**53, 2**63]) == (0, "")
    assert await found(tag_ids=[2**63, ids["c"]]) == (1, "3")
    assert await found(tag_ids=[]) == (5, "43210")
    assert await facade.code(api, tag_ids=list(range(101))) == 141500101
    assert await facade.code(api, tag_ids=["x"]) == 4010


async def test_50_additions_of_one_new_tag_make_one(facade: Facade, rows: Rows) -> None:
    await facade.create()
    answers = await asyncio.gather(*(facade.call(RELATION_ADD, **ACCOUNT, tags=named("new")) for _ in range(50)))
    assert Counter(map(code_of, answers)) == {200: 50}
    assert len(await rows("select id from tags where shop_id = $1", facade.shop.id)) == 1
    assert len(await rows("select tag_id from customer_tags where shop_id = $1", facade.shop.id)) == 1
    assert await told(rows, facade.shop) == [("tag.added", "new")]


async def test_additions_and_deletions_at_once_never_deadlock(facade: Facade, rows: Rows) -> None:
    names = list("abcdef")
    accounts = [{"account_type": "Mobile", "account_id": f"1380000000{n}"} for n in range(3)]
    for account in accounts:
        await facade.create(account["account_id"])
    await tag(facade, *names)

    def one(n: int) -> Any:
        turned = names[n % 6 :] + names[: n % 6]
        turned = turned[::-1] if n % 2 else turned
        if n % 3 == 0:
            many = [{"account": account, "user_tag_creates": named(*turned)} for account in accounts[:: 1 - n % 2 * 2]]
            return facade.call(FOR_MANY, account_list_request_dtos=many)
        api = RELATION_DELETE if n % 3 == 1 else RELATION_ADD
        return facade.call(api, **accounts[n % 3 - 1], tags=named(*turned, f"new {n % 5}"))

    # The gateway would try again after a deadlock, so that answers alone prove nothing.
    deadlocks = "select deadlocks from pg_stat_database where datname = current_database()"
    before = await rows(deadlocks)
    answers = await asyncio.gather(*(one(n) for n in range(120)))
    assert Counter(map(code_of, answers)) == {200: 120}
    assert await rows(deadlocks) == before
    held = await rows("select customer_id, tag_id from customer_tags where shop_id = $1", facade.shop.id)
    balance: Counter[tuple[int, int]] = Counter()
    for row in await rows(
        "select kind, data from domain_events where shop_id = $1 and kind like 'tag.%'", facade.shop.id
    ):
        data = json.loads(row["data"])
        balance[data["customer_id"], data["tag_id"]] += 1 if row["kind"] == "tag.added" else -1
    assert {pair for pair, count in balance.items() if count} == {(row["customer_id"], row["tag_id"]) for row in held}
    assert set(balance.values()) <= {0, 1}


@pytest.mark.parametrize(
    "name",
    [
        "youzan.scrm.tag.category.create",
        "youzan.scrm.tag.category.list",
        "youzan.scrm.tag.search.template",
        "youzan.scrm.tag.template.create",
        "youzan.scrm.tag.get",
    ],
)
async def test_calls_whose_fields_are_unpublished_are_unknown(facade: Facade, name: str) -> None:
    assert await facade.code(f"{name}/1.0.0") == 4005

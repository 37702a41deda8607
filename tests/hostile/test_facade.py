"""Every call of the façade under the special list: HTTP 200, a valid envelope and never 5001, whatever is sent."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import quote_from_bytes, urlencode

import httpx
import orjson
import pytest

from app.youzan.registry import APIS
from tests.hostile import values
from tests.hostile.conftest import Digest
from tests.hostile.routes import leaves, replaced
from tests.hostile.shops import TAG, Furnished
from tests.hostile.values import some
from tests.hostile.wire import JSON, Answer, Headers, RawClient
from tests.youzan.conftest import code_of, envelope

FORM = ("Content-Type", "application/x-www-form-urlencoded")
MULTIPART = ("Content-Type", "multipart/form-data; boundary=cut")
BROKEN = 5001
HOLE = "\x02here\x03"

long = partial(pytest.param, marks=[pytest.mark.hostile_long, pytest.mark.timeout(3600)])

_ACCOUNT: dict[str, Any] = {"account_type": "FansID", "account_id": "77"}
_TAGS: dict[str, Any] = {"tags": [{"tag_name": "text"}]}
_PROFILE = {
    "name": "王小明",
    "gender": 1,
    "birthday": "1990-12-31",
    "remark": "text",
    "contact_address": {"area_code": 310115, "address": "text"},
    "ascription_kdt_id": 7,
}
_WINDOW = {"created_at_start": 1_600_000_000, "created_at_end": 1_800_000_000, "created_member_start": 1_600_000_000}
_LIST = {"page": 1, "page_size": 20, "is_member": 0, "has_mobile": True, "tag_ids": [], **_WINDOW}
# Accepted as they stand, with every parameter that the call knows; a new call needs one of its own.
GOOD: dict[str, dict[str, Any]] = {
    "youzan.scrm.customer.create": {
        "mobile": "13700000001",
        "country_code": "+86",
        "is_mobile_auth": True,
        "customer_create": _PROFILE | {"wei_xin": "text", "outer_card_no": "K-1"},
        "label_info": {"src_way": 1, "src_channel": 2},
        "create_date": "2026-01-02 03:04:05",
    },
    "youzan.scrm.customer.update": {
        "account": _ACCOUNT,
        "customer_update": _PROFILE,
        "external_request_id": "text",
    },
    "youzan.scrm.customer.get": {"account": _ACCOUNT, "fans_id": 77, "fans_type": 1, "mobile": ""},
    "youzan.scrm.customer.detail.get": {
        "account_info": {"account_type": "1", "account_id": "77"},
        "fields": "user_base,behavior,tags,level",
    },
    "youzan.scrm.customer.search": _LIST | {"card_alias": "text"},
    "youzan.scrm.customer.list": _LIST | {"page_no": 1},
    "youzan.scrm.customer.remark.update": {"account": _ACCOUNT, "remark": "text"},
    "youzan.scrm.customer.info.get": {"card_no": "C-1"},
    "youzan.scrm.customer.search.list": _LIST
    | {
        "tag_ids": "",
        "last_trade_time_start": 1_600_000_000,
        "last_trade_time_end": 1_800_000_000,
        "order_column": "lastTradeTime",
        "order_mode": "asc",
    },
    "youzan.scrm.customer.list.phone": {"phones": ["13700000001", "+1-2015550123"]},
    "youzan.scrm.customer.list.yzopenid": {"yz_open_ids": ["z" * 22, "x"]},
    "youzan.users.info.query": {
        "yz_open_id": "",
        "mobile": "",
        "weixin_union_id": "",
        "weixin_open_id": "oWx7",
        "open_id_type": 1,
        "result_type_list": [0, 1],
    },
    "youzan.user.basic.get": {"mobile": "13711111111", "country_code": "+86", "yz_open_id": ""},
    "youzan.user.weixin.openid.get": {
        "mobile": "13711111111",
        "country_code": "+86",
        "yz_open_id": "",
        "wechat_type": 1,
    },
    "youzan.user.openid.get": {"user_id": 10_000_000},
    "youzan.user.openid.getbyopenid": {"open_id": "oWx7"},
    "youzan.user.unionid.get": {"union_id": "uWx7"},
    "youzan.users.account.check": {"account_type": "UnionId", "account_id": "uWx7"},
    "youzan.users.weixin.follower.get": {"weixin_openid": "", "fans_id": 77, "fields": "sex,traded_money"},
    "youzan.scrm.tag.relation.add": _ACCOUNT | _TAGS,
    "youzan.scrm.tag.relation.delete": _ACCOUNT | _TAGS,
    "youzan.scrm.tag.relation.get": _ACCOUNT,
    "youzan.scrm.tagrelation.add": {"account": _ACCOUNT} | _TAGS,
    "youzan.scrm.tagrelation.delete": {"account": _ACCOUNT} | _TAGS,
    "youzan.scrm.tagrelation.query": {
        "account": _ACCOUNT,
        "display_type": 2,
        "filter_invalid_tag": True,
        "filter_category_tag": True,
    },
    "youzan.scrm.tag.addformany": {
        "account_list_request_dtos": [{"account": _ACCOUNT, "user_tag_creates": [{"tag_name": TAG}]}]
    },
    "youzan.scrm.tag.category.get": {"tag_category_id": 0},
    "youzan.users.weixin.follower.tags.add": {"fans_id": "77", "weixin_openid": "", "tags": "text,more"},
    "youzan.users.weixin.follower.tags.get": {"fans_id": "77", "weixin_openid": ""},
    "youzan.users.weixin.follower.tags.delete": {"fans_id": "77", "weixin_openid": "", "tags": "text,more"},
}


@dataclass
class Target:
    """The façade of one shop, and what went wrong there."""

    raw: RawClient
    furnished: Furnished
    wrong: list[str] = field(default_factory=list)
    fired: int = 0

    async def call(
        self, path: str, headers: Headers, body: bytes | None, *, method: str = "POST", chunked: bool = False
    ) -> int:
        """The answer's code, once it is what any client can read."""
        answer = await self.raw.send(method, path, headers, body, chunked=chunked)
        self.fired += 1
        code = _code(answer, token=path.startswith("/auth"), head=method == "HEAD")
        if code is None or code == BROKEN:
            self.wrong.append(f"{code} {method} {path[:200]} {headers} {body and body[:200]!r} -> {answer}"[:900])
        return code or 0

    def verdict(self, at_least: int) -> None:
        """Nothing went wrong, and enough was tried."""
        print(f"{self.fired} requests")  # noqa: T201 shown with -s
        assert not self.wrong, "\n".join([f"{len(self.wrong)} wrong", *self.wrong[:40]])
        assert self.fired >= at_least


def _code(answer: Answer, *, token: bool, head: bool) -> int | None:
    """The code in the envelope; None when it is no valid envelope."""
    if head:
        return 200 if answer.status == 200 else None
    try:
        if not token:
            return code_of(envelope(httpx.Response(answer.status, headers=answer.headers, content=answer.body)))
        found = answer.json
        assert answer.status == 200
        assert answer.headers["content-type"] == "application/json"
        assert set(found) == {"success", "code", "data", "message"}
        assert found["success"] is (found["code"] == 200) is (found["data"] is not None)
        return int(found["code"])
    except (AssertionError, ValueError, KeyError, TypeError):
        return None


def _paths(at: Furnished) -> Iterator[tuple[str, dict[str, Any]]]:
    known = {"user_id": at.things["customer_id"], "yz_open_id": at.things["open_id"]}
    for name, version in APIS:
        own = {key: value for key, value in known.items() if key in GOOD[name]}
        yield f"/api/{name}/{version}?access_token={at.token}", GOOD[name] | own


async def test_an_example_of_every_call_is_accepted(furnished: Furnished, raw: RawClient) -> None:
    target = Target(raw, furnished)
    for path, good in _paths(furnished):
        expected = 141502105 if "customer.search/3.0.0" in path else 200  # there is no card yet
        assert await target.call(path, [JSON], orjson.dumps(good)) == expected, path
    target.verdict(len(APIS))


@pytest.mark.parametrize("share", [20, long(1)])
async def test_every_leaf_of_every_call(furnished: Furnished, raw: RawClient, share: int) -> None:
    """Every value of every parameter: as JSON, and in a form, where nested values are JSON texts or bracketed names."""
    target = Target(raw, furnished)
    for path, good in _paths(furnished):
        for number, place in enumerate(leaves(good)):
            for value in some([*values.NEVER_TEXT, *values.LEAVES], share, number):
                body = orjson.dumps(replaced(good, place, HOLE)).replace(orjson.dumps(HOLE), value)
                await target.call(path, [JSON], body)
                if not place:
                    continue
                text = value[1:-1] if value.startswith(b'"') else value
                pairs = [(f"{place[0]}{''.join(f'[{step}]' for step in place[1:])}", quote_from_bytes(text[:60_000]))]
                pairs += [(name, quote_from_bytes(_text(item))) for name, item in good.items() if name != place[0]]
                form = "&".join(f"{quote_from_bytes(name.encode())}={item}" for name, item in pairs)
                await target.call(path, [FORM], form.encode())
                if len(form) < 50_000:
                    await target.call(f"{path}&{form}", [], None, method="GET")
    target.verdict(700)


@pytest.mark.parametrize("share", [2, long(1)])
async def test_every_body_of_every_call(furnished: Furnished, raw: RawClient, digest: Digest, share: int) -> None:
    """Bodies that are none, in every form; what the gateway refuses is stored nowhere."""
    target = Target(raw, furnished)
    before = await digest(furnished.shop)
    for path, good in _paths(furnished):
        content = orjson.dumps(good)
        for body in some(values.bodies(content), share, len(path)):
            if body in (b"null", b"\xef\xbb\xbf" + content):
                continue  # no parameters at all, and what some clients send: both are taken
            code = await target.call(path, [JSON], body)
            assert code not in (200, 0, BROKEN), (code, path, body[:100])
        for body in some(_multiparts(content), share, len(path)):
            await target.call(path, [MULTIPART], body)
        for kind in some(values.CONTENT_TYPES, share, len(path)):
            code = await target.call(path, [("Content-Type", kind)], b"\x00\xff{")
            assert code in (4004, 4007, 141500101, 200), (code, kind)
        huge = b'{"a":"' + b"a" * values.TEN_MEGABYTES + b'"}'
        assert await target.call(path, [JSON], huge) == 4004
        assert await target.call(path, [FORM], huge, chunked=True) == 4004
    after = await digest(furnished.shop)
    assert {name for name in after if before[name] != after[name]} == set()
    target.verdict(150)


@pytest.mark.parametrize("calls", [{"youzan.scrm.customer.search"}, long({name for name, _ in APIS})])
async def test_bodies_just_under_the_limit(furnished: Furnished, raw: RawClient, calls: set[str]) -> None:
    target = Target(raw, furnished)
    many = b"&".join(b"k%d[a][]=1" % n for n in range(500_000))
    for path, _ in _paths(furnished):
        if path.split("/")[2] in calls:
            for body in values.HEAVY:
                await target.call(path, [JSON], body)
            for body in (many, b"a" * 8_000_000, b"a=" + b"%" * 7_000_000, b"&" * 8_000_000, b"[" * 8_000_000):
                await target.call(path, [FORM], body)
                await target.call(path, [MULTIPART], b"--cut\r\n" * 100_000 + body[:4_000_000])
    target.verdict(len(values.HEAVY))


@pytest.mark.parametrize("share", [4, long(1)])
async def test_paths_methods_queries_and_tokens(furnished: Furnished, raw: RawClient, share: int) -> None:
    target = Target(raw, furnished)
    for path, good in _paths(furnished):
        bare, _, query = path.partition("?")
        content = orjson.dumps(good)
        for method in values.METHODS:
            await target.call(path, [JSON], content, method=method)
        for value in some(values.IN_TARGET, share, len(path)):
            await target.call(f"{bare}?access_token={value}", [JSON], content)
            await target.call(f"{bare}/{value}?{query}", [JSON], content)
            await target.call(f"/api/{value}/3.0.0?{query}", [JSON], content)
        for more in ("&" * 5_000, "&".join(f"k{n}=1" for n in range(5_000)), "=&=", "%00=%00", "a=" + "b" * 60_000):
            await target.call(f"{path}&{more}", [JSON], content)
            await target.call(f"{path}&{more}", [], None, method="GET")
        for secret in some(values.AUTHORIZATIONS, share, len(path)):
            code = await target.call(bare, [("Authorization", secret), furnished.key, JSON], content)
            assert code == 4201
        for header in some(values.HEADERS, share, len(path)):
            await target.call(path, [JSON, header], content)
    for rest in ("", "/", "a/" * 2_000, "%0a/%0d", "..%2f..%2fauth/token", "auth_exempt//", "_textarea_/", "a/b?c=d"):
        assert await target.call(f"/api/{rest}", [JSON], b"{}") in (4001, 4005)
    target.verdict(300)


@pytest.mark.parametrize("share", [3, long(1)])
async def test_the_token_endpoint(furnished: Furnished, raw: RawClient, digest: Digest, share: int) -> None:
    client = furnished.api.client
    good = {
        "client_id": client.client_id,
        "client_secret": client.client_secret,
        "authorize_type": "silent",
        "grant_id": furnished.shop.id,
        "refresh": False,
        "refresh_token": "a" * 32,
    }
    target = Target(raw, furnished)
    assert await target.call("/auth/token", [JSON], orjson.dumps(good)) == 200
    before = await digest(furnished.shop)
    for place in leaves(good):
        if place in (("refresh",), ("refresh_token",)):
            continue
        for kind in ("silent", "refresh_token"):
            for value in some([*values.NEVER_TEXT, *values.LEAVES], share, len(place)):
                asked = replaced(good | {"authorize_type": kind}, place, HOLE)
                body = orjson.dumps(asked).replace(orjson.dumps(HOLE), value)
                assert await target.call("/auth/token", [JSON], body) != 200, body[:200]
    content = orjson.dumps(good)
    for body in values.bodies(content):
        assert await target.call("/auth/token", [JSON], body) != 200, body[:100]
    for body in (*some(values.HEAVY, share, 0), b"", b"[]", b"a" * values.TEN_MEGABYTES):
        assert await target.call("/auth/token", [JSON], body) != 200
    for kind in values.CONTENT_TYPES:
        await target.call("/auth/token", [("Content-Type", kind)], content)
    for method in values.METHODS:
        await target.call("/auth/token", [JSON], content, method=method)
    for header in values.HEADERS:
        await target.call("/auth/token", [JSON, header], content)
    after = await digest(furnished.shop)
    assert {name for name in after if before[name] != after[name]} == set()
    target.verdict(250)


def _text(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else orjson.dumps(value)


def _multiparts(content: bytes) -> list[bytes]:
    head = b'--cut\r\nContent-Disposition: form-data; name="mobile"\r\n\r\n'
    return [
        *(b"", b"--cut--", b"--cut", b"\r\n--cut\r\n\r\n--cut--", content, b"--cut\r\n" * 5_000, head, head + b"1\r\n"),
        *(head + b"1\r\n--cut--", head * 1_500 + b"--cut--", head.replace(b"mobile", b"m" * 5_000) + b"\r\n--cut--"),
        *(head.replace(b"mobile", b"\xff\x00") + b"\r\n--cut--", head + b"\x00\xff\r\n--cut--", head + b"a" * 70_000),
        head.replace(b"mobile", b"account[account_id][a][b][c][d][e][f]") + b"1\r\n--cut--",
        b"--cut\r\n" + b"X: y\r\n" * 5_000 + b"\r\n\r\n--cut--",
    ]


def test_every_call_has_an_example() -> None:
    assert {name for name, _ in APIS} == set(GOOD)
    assert urlencode({"a": 1}) == "a=1"

"""A caller of the façade, with a token got the way that clients get theirs."""

from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from app.access.shops import Shop
from tests.conftest import Api, MakeApi

CREATE = "youzan.scrm.customer.create/3.0.0"
UPDATE = "youzan.scrm.customer.update/3.0.0"
GET = "youzan.scrm.customer.get/3.1.0"
DETAIL = "youzan.scrm.customer.detail.get/1.0.1"
SEARCH = "youzan.scrm.customer.search/3.1.2"
LIST = "youzan.scrm.customer.list/1.0.0"
REMARK = "youzan.scrm.customer.remark.update/3.0.0"
GET_300 = "youzan.scrm.customer.get/3.0.0"
INFO = "youzan.scrm.customer.info.get/3.0.0"
MEMBERS = "youzan.scrm.customer.search/3.0.0"
SEARCH_310 = "youzan.scrm.customer.search/3.1.0"
SEARCH_LIST = "youzan.scrm.customer.search.list/1.0.0"
LIST_PHONE = "youzan.scrm.customer.list.phone/1.0.0"
LIST_YZOPENID = "youzan.scrm.customer.list.yzopenid/1.0.0"
USERS_INFO = "youzan.users.info.query/1.0.1"
USER_BASIC = "youzan.user.basic.get/3.0.1"
USER_WEIXIN = "youzan.user.weixin.openid.get/3.0.0"
USER_NUMBER = "youzan.user.openid.get/1.0.0"
USER_OPENID = "youzan.user.openid.getbyopenid/1.0.0"
USER_UNIONID = "youzan.user.unionid.get/1.0.0"
CHECK = "youzan.users.account.check/1.0.0"
FOLLOWER = "youzan.users.weixin.follower.get/3.0.1"
RELATION_ADD = "youzan.scrm.tag.relation.add/4.0.0"
RELATION_DELETE = "youzan.scrm.tag.relation.delete/4.0.0"
RELATION_GET = "youzan.scrm.tag.relation.get/4.0.0"
TAGRELATION_ADD = "youzan.scrm.tagrelation.add/1.0.0"
TAGRELATION_DELETE = "youzan.scrm.tagrelation.delete/1.0.0"
TAGRELATION_QUERY = "youzan.scrm.tagrelation.query/1.0.0"
FOR_MANY = "youzan.scrm.tag.addformany/1.0.0"
CATEGORY = "youzan.scrm.tag.category.get/1.0.0"
FOLLOWER_ADD = "youzan.users.weixin.follower.tags.add/3.0.0"
FOLLOWER_GET = "youzan.users.weixin.follower.tags.get/3.0.0"
FOLLOWER_DELETE = "youzan.users.weixin.follower.tags.delete/3.0.0"
ALL = (
    CREATE,
    UPDATE,
    GET,
    DETAIL,
    "youzan.scrm.customer.detail.get/1.0.0",
    SEARCH,
    LIST,
    REMARK,
    GET_300,
    INFO,
    MEMBERS,
    SEARCH_310,
    SEARCH_LIST,
    LIST_PHONE,
    LIST_YZOPENID,
    USERS_INFO,
    "youzan.users.info.query/1.0.0",
    USER_BASIC,
    "youzan.user.basic.get/3.0.0",
    USER_WEIXIN,
    USER_NUMBER,
    USER_OPENID,
    USER_UNIONID,
    CHECK,
    FOLLOWER,
    "youzan.users.weixin.follower.get/3.0.0",
    RELATION_ADD,
    RELATION_DELETE,
    RELATION_GET,
    TAGRELATION_ADD,
    TAGRELATION_DELETE,
    TAGRELATION_QUERY,
    FOR_MANY,
    CATEGORY,
    FOLLOWER_ADD,
    FOLLOWER_GET,
    FOLLOWER_DELETE,
)
NULLABLE = (USER_UNIONID,)  # nobody is no refusal there, but a `data` of null

Json = dict[str, Any]


@dataclass(frozen=True)
class Facade:
    """One client of one shop."""

    api: Api
    shop: Shop
    token: str

    async def raw(self, path: str, method: str = "POST", *, token: str | None = None, **options: Any) -> Json:
        """Any request below /api/ with the token in the query; checks what holds for every answer."""
        params = [*options.pop("params", {}).items(), ("access_token", token or self.token)]
        body = envelope(await self.api.http.request(method, f"/api/{path}", params=params, **options))
        assert body.get("data") is not None or body.get("success") is not True or path in NULLABLE
        return body

    async def call(self, api: str, **parameters: Any) -> Json:
        """A call as current SDKs make it."""
        return await self.raw(api, json=parameters)

    async def data(self, api: str, **parameters: Any) -> Any:
        """The `data` of a call that succeeds."""
        answer = await self.call(api, **parameters)
        assert answer.get("success") is True, answer
        return answer["data"]

    async def code(self, api: str, **parameters: Any) -> int:
        """The code of a call that is refused."""
        return code_of(await self.call(api, **parameters))

    async def create(self, mobile: str = "13800000000", **profile: Any) -> str:
        """A new customer's `yz_open_id`."""
        open_id: str = (await self.data(CREATE, mobile=mobile, customer_create=profile))["yz_open_id"]
        return open_id

    async def detail(self, open_id: str, fields: str = "user_base") -> Json:
        """A customer's detail."""
        found: Json = await self.data(DETAIL, yz_open_id=open_id, fields=fields)
        return found


def envelope(answer: httpx.Response) -> Json:
    """The body, once it is what any client can read: HTTP 200, JSON, one of the three envelopes, a trace id."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    body: Json = answer.json()
    if "gw_err_resp" in body:
        assert list(body) == ["gw_err_resp"]
        refused = body["gw_err_resp"]
        assert set(refused) == {"trace_id", "err_code", "err_msg"}
        assert isinstance(refused["err_code"], int)
        assert refused["err_msg"]
        assert refused["trace_id"].startswith("yz7-")
    else:
        assert set(body) == {"trace_id", "code", "success", "message", "data"}
        assert body["trace_id"].startswith("yz7-")
        assert (body["code"] == 200) is body["success"]
        assert body["success"] or body["data"] is None
        assert body["message"]
    return body


def code_of(body: Json) -> int:
    """200, the business code or the gateway's."""
    code: int = body["gw_err_resp"]["err_code"] if "gw_err_resp" in body else body["code"]
    return code


class Listening:
    """Notes every statement of every idle connection in the pool."""

    def __init__(self, pool: Any, note: Any) -> None:
        self._pool = pool
        self._note = note

    async def __aenter__(self) -> None:
        for holder in self._pool._holders:
            if holder._con is not None:
                holder._con.add_query_logger(self._note)

    async def __aexit__(self, *_: object) -> None:
        for holder in self._pool._holders:
            if holder._con is not None:
                holder._con.remove_query_logger(self._note)


@pytest.fixture
async def make_facade(make_api: MakeApi) -> Any:
    """`await make_facade(shop, "customers:read")`: a client with these scopes."""

    async def make(of: Shop, scopes: str = "all") -> Facade:
        api = await make_api(of, scopes)
        answer = await api.post(
            "/auth/token",
            {
                "client_id": api.client.client_id,
                "client_secret": api.client.client_secret,
                "authorize_type": "silent",
                "grant_id": of.id,
                "refresh": False,
            },
        )
        return Facade(api, of, answer.json()["data"]["access_token"])

    return make


@pytest.fixture
async def facade(make_facade: Any, shop: Shop) -> Facade:
    """A client that may do everything in the test's shop."""
    made: Facade = await make_facade(shop)
    return made

"""What the conformance table asks about: a shop on a served process, with somebody known, and how requests are made."""

import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import httpx

from app.access.shops import Shop
from tests.conftest import Api
from tests.youzan.conformance.patterns import Has, Maybe, fits

KNOWN: Final = "13912345678"
ANONYMOUS_FAN: Final = "900001"
OPENID: Final = "oWx7"
UNIONID: Final = "uWx7"
CARD: Final = "C-900001"
NAME: Final = "李小花"

Value = Any  # JSON, with callables of the world where a value is only known at run time
Check = Callable[["World", httpx.Response], None]


@dataclass
class World:
    """One shop as its client sees it."""

    base_url: str
    api: Api
    shop: Shop
    token: str
    open_id: str
    account_id: str
    numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(13_700_000_000))

    def mobile(self) -> str:
        """One that nobody has."""
        return str(next(self.numbers))

    def told(self, value: Value) -> Any:
        """The value with what is only known at run time filled in."""
        if callable(value) and not isinstance(value, type):
            return self.told(value(self))
        if isinstance(value, dict):
            return {key: self.told(item) for key, item in value.items()}
        if isinstance(value, Has | Maybe):
            return type(value)(self.told(value.pattern))
        return [self.told(item) for item in value] if isinstance(value, list) else value


class Case(Protocol):
    """A confirmed row of the contract, however it is asked."""

    @property
    def section(self) -> str:
        """Its section, and the call or the message."""

    @property
    def name(self) -> str:
        """As the suite prints it."""

    async def ask(self, world: World, http: httpx.AsyncClient) -> None:
        """Ask, and look at the answer. Raises AssertionError."""


@dataclass(frozen=True)
class Row:
    """One confirmed row of the contract: its section, its words, a request, and what the answer must be."""

    section: str
    says: str
    method: str
    path: Value
    check: Check
    options: Mapping[str, Value] = field(default_factory=dict)
    before: tuple["Row", ...] = ()

    @property
    def name(self) -> str:
        """As the suite prints it."""
        return f"{self.section} {self.says}"

    async def ask(self, world: World, http: httpx.AsyncClient) -> None:
        """Send it, after what has to be there before, and look at the answer."""
        for earlier in self.before:
            await earlier.ask(world, http)
        answer = await http.request(self.method, world.told(self.path), **world.told(dict(self.options)))
        self.check(world, answer)


def new_mobile(world: World) -> str:
    """A value: a mobile that nobody has."""
    return world.mobile()


def token(world: World) -> str:
    """A value: the client's token."""
    return world.token


def open_id(world: World) -> str:
    """A value: the open id of somebody known."""
    return world.open_id


def account_id(world: World) -> str:
    """A value: the account number of somebody known."""
    return world.account_id


def text_of(value: Value) -> Value:
    """A value: the JSON text of another."""
    return lambda world: json.dumps(world.told(value), ensure_ascii=False)


def call(api: str, parameters: Value = None, **options: Value) -> dict[str, Any]:
    """Form A as current SDKs send it; `options` of httpx instead of the JSON body where they are given."""
    name, _, version = api.partition("/")
    full = name if name.startswith("youzan.") else f"youzan.scrm.customer.{name}"
    sent = options or {"json": {} if parameters is None else parameters}
    query = {"access_token": token} | sent.pop("params", {})
    return {"method": "POST", "path": f"/api/{full}/{version}", "options": {"params": query, **sent}}


def old(path: str, form: Value, *, method: str = "POST") -> dict[str, Any]:
    """Form E as the old Java and PHP clients send it: a form, the token in it; or a GET."""
    headers = {
        "content-type": "application/x-www-form-urlencoded; charset=ISO-8859-1",
        "content-encoding": "utf-8",
    }
    sent = {"access_token": token} | form
    options = {"params": sent} if method == "GET" else {"data": sent, "headers": headers}
    return {"method": method, "path": f"/api/oauthentry/{path}", "options": options}


def _body(answer: httpx.Response) -> Any:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    return answer.json()


def data(pattern: Value) -> Check:
    """Success in the current envelope, with `data` as the pattern says."""

    def check(world: World, answer: httpx.Response) -> None:
        body = _body(answer)
        assert set(body) == {"trace_id", "code", "success", "message", "data"}, body
        assert (body["code"], body["success"]) == (200, True), body
        fits(world.told(pattern), body["data"])

    return check


def refused(code: int) -> Check:
    """A business refusal in the current envelope."""

    def check(world: World, answer: httpx.Response) -> None:
        body = _body(answer)
        assert set(body) == {"trace_id", "code", "success", "message", "data"}, body
        assert (body["code"], body["success"], body["data"]) == (code, False, None), body
        assert isinstance(body["message"], str)
        assert isinstance(body["trace_id"], str)

    return check


def gateway(code: int, message: str = "") -> Check:
    """A refusal of the gateway: one key, three inside."""

    def check(world: World, answer: httpx.Response) -> None:
        body = _body(answer)
        assert list(body) == ["gw_err_resp"], body
        error = body["gw_err_resp"]
        fits({"trace_id": str, "err_code": code, "err_msg": str}, error)
        assert message in error["err_msg"], error

    return check


def legacy(pattern: Value) -> Check:
    """Success in the legacy envelope."""

    def check(world: World, answer: httpx.Response) -> None:
        body = _body(answer)
        assert list(body) == ["response"], body
        fits(world.told(pattern), body["response"])

    return check


def legacy_refused(code: int) -> Check:
    """A refusal in the legacy envelope: the text under both of its keys."""

    def check(world: World, answer: httpx.Response) -> None:
        body = _body(answer)
        assert list(body) == ["error_response"], body
        fits({"code": code, "msg": str, "message": body["error_response"]["msg"]}, body["error_response"])

    return check


def body_is(pattern: Value) -> Check:
    """A body of its own form, as the token endpoints have."""

    def check(world: World, answer: httpx.Response) -> None:
        fits(world.told(pattern), _body(answer), "body")

    return check

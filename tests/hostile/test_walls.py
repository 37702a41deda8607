"""Another shop's things and another scope's calls: nothing leaks, and "not yours" cannot be told from "not there"."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import UUID

import orjson
import pytest
from fastapi import FastAPI

from app.access.scopes import SCOPES
from app.youzan.registry import APIS
from tests.conftest import MakeApi
from tests.hostile.conftest import Digest
from tests.hostile.routes import Json, Route, v1
from tests.hostile.shops import Furnished, token_of, unlimited
from tests.hostile.test_facade import GOOD
from tests.hostile.wire import JSON, Answer, Headers, RawClient

SEED = 20_260_302
# Of what differs between any two answers.
UNIQUE = {"date", "x-request-id", "content-length"}
PLACEHOLDER = {"customer_id": "9007199254740991"}
NOBODYS = {"endpoint_id": UUID(int=0), "export_id": UUID(int=0)}  # what a DELETE would take away

long = partial(pytest.param, marks=[pytest.mark.hostile_long, pytest.mark.timeout(7200)])


@dataclass(frozen=True)
class Attempt:
    """The same request twice: about a thing of another shop's, and about one that nobody has."""

    method: str
    theirs: str
    nobodys: str
    headers: Headers
    their_body: bytes | None = None
    nobodys_body: bytes | None = None
    said: tuple[str, str] | None = None  # what differs between the two, where a refusal may repeat it


@dataclass
class Wall:
    """One caller in front of another shop's wall."""

    raw: RawClient
    mine: Furnished
    other: Furnished
    chance: random.Random = field(default_factory=lambda: random.Random(SEED))
    secrets: set[bytes] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)
    tried: int = 0

    async def compare(self, attempt: Attempt) -> None:
        """Both, in either order: same status, code, shape and headers, and nothing of the other shop in either."""
        asked = [(attempt.theirs, attempt.their_body), (attempt.nobodys, attempt.nobodys_body)]
        turned = self.chance.random() < 0.5
        answers = [
            # Each with a key of its own, or the second request for touches would be the first again.
            await self.raw.send(attempt.method, target, (*attempt.headers, _key(self.chance)), body)
            for target, body in (reversed(asked) if turned else asked)
        ]
        theirs, nobodys = reversed(answers) if turned else answers
        self.tried += 2
        self.leaks(theirs, attempt.theirs, attempt.their_body)
        their_word, nobodys_word = attempt.said or ("", "")
        if _seen(theirs, their_word) != _seen(nobodys, nobodys_word):
            self.wrong.append(f"told apart: {attempt} -> {theirs} / {nobodys}"[:1500])

    async def look(self, target: str) -> None:
        """Ask for a list: only rows of one's own may be in it."""
        answer = await self.raw.send("GET", target, [self.mine.key])
        self.tried += 1
        self.leaks(answer, target, None)
        if answer.status not in (200, 404, 422):
            self.wrong.append(f"{target} -> {answer}"[:500])

    def leaks(self, answer: Answer, target: str, body: bytes | None) -> None:
        """Note anything of the other shop's that the request did not itself contain."""
        said = target.encode() + (body or b"")
        for secret in self.secrets:
            if secret in answer.body and secret not in said:
                self.wrong.append(f"leaked {secret!r}: {target} -> {answer}"[:800])


def _seen(answer: Answer, word: str) -> Any:
    """What a caller can tell an answer by: of a success, the types of its values; of a refusal, all but their word."""
    headers = {name: value for name, value in answer.headers.items() if name not in UNIQUE}
    try:
        found = answer.json
    except ValueError:
        return answer.status, headers, answer.body
    if answer.status < 300:
        return answer.status, headers, _shape(found)
    return answer.status, headers, orjson.loads(answer.body.replace(word.encode(), b"")) if word else found


def _shape(value: Json, name: str = "") -> Json:
    if name in ("success", "message", "err_code", "err_msg") or (name == "code" and isinstance(value, int)):
        return value
    if isinstance(value, dict):
        return {key: _shape(item, key) for key, item in value.items()}
    if isinstance(value, list):
        return [_shape(item) for item in value]
    return type(value).__name__


def _attempts(app: FastAPI, wall: Wall) -> list[Any]:
    """One maker of attempts for each place of the route table that takes an id."""
    theirs, routes = wall.other.things, v1(app)
    makers: list[Any] = []
    for route in routes:
        for name in route.path:
            makers.append(partial(_by_path, wall, route, name))
        if "request_id" in route.query or "run" in route.query:
            name = "request_id" if "request_id" in route.query else "run"
            makers.append(partial(_by_query, wall, route, name))
        if "store_id" in route.query:
            makers.append(
                lambda route=route: _pair(
                    wall, route, f"?store_id={theirs['own_store']}", f"?store_id={wall.chance.randrange(10**8, 10**9)}"
                )
            )
    makers += [partial(_by_body, wall, *row) for row in _bodies(wall)]
    makers += [partial(_by_facade, wall, *row) for row in _facade(wall)]
    assert len(makers) > 40
    return makers


def _by_path(wall: Wall, route: Route, name: str) -> Attempt:
    whose = "copied" if route.method == "PUT" else "own"  # names that the caller chooses: each shop has its own
    if name == "store_id":
        theirs, nobodys = str(wall.other.things[f"{whose}_store"]), str(wall.chance.randrange(10**8, 10**9))
    elif name in ("code", "type"):
        theirs, nobodys = wall.other.things[f"{whose}_{name}"], f"none-{wall.chance.randrange(10**5, 10**6)}"
    elif name == "name":
        theirs, nobodys = wall.other.things[f"{whose}_{name}"], f"none_{wall.chance.randrange(10**5, 10**6)}"
    elif name in ("tag_id", "category_id", "segment_id"):
        theirs, nobodys = str(wall.other.things[name]), str(wall.chance.randrange(2**52, 2**53))
    elif name == "customer_id":
        theirs = str(wall.other.things[name] + wall.chance.randrange(5))
        nobodys = str(wall.chance.randrange(2**52, 2**53))
    else:
        theirs, nobodys = wall.chance.choice(_uuids(wall.other)), _nobodys(wall)
    target = partial(route.template.format, **{key: item for key, item in wall.mine.things.items() if key != name})
    body = None if route.body is None else orjson.dumps(_harmless(route.body))
    headers = [wall.mine.key, JSON]
    return Attempt(route.method, target(**{name: theirs}), target(**{name: nobodys}), headers, body, body)


def _by_query(wall: Wall, route: Route, name: str) -> Attempt:
    return _pair(wall, route, f"?{name}={wall.chance.choice(_uuids(wall.other))}", f"?{name}={_nobodys(wall)}")


def _pair(wall: Wall, route: Route, theirs: str, nobodys: str) -> Attempt:
    target = route.target(wall.mine.things)
    return Attempt(route.method, target + theirs, target + nobodys, [wall.mine.key, JSON])


def _bodies(wall: Wall) -> Iterator[tuple[str, str, Json, Any, Any]]:
    """Method, path, body with a hole, what is theirs, and how to make up what is nobody's."""
    theirs, chance = wall.other.things, wall.chance
    known = {"identities": [{"kind": "external_id", "value": "X-1", "scope": "pos"}]}

    def number() -> int:
        return chance.randrange(2**52, 2**53)

    def mobile() -> str:
        return f"137{chance.randrange(10**8):08}"

    for path, more in (
        ("/v1/consents", {"channel": "webhook", "state": "granted", "source": "a till"}),
        ("/v1/suppressions", {"reason": "asked"}),
        ("/v1/suppressions/removals", {}),
    ):
        yield "POST", path, lambda value, more=more: {"customer_id": value} | more, theirs["customer_id"], number
        if path != "/v1/suppressions":
            yield "POST", path, lambda value, more=more: {"identity": _mobile(value)} | more, theirs["mobile"], mobile
    rule = {"kind": "profile", "field": "gender", "known": True}
    explain = "/v1/segments/explain"
    yield "POST", explain, lambda value: {"rule": rule, "customer_id": value}, theirs["customer_id"], number
    yield "POST", "/v1/customers/lookup", lambda value: {"identity": _mobile(value)}, theirs["mobile"], mobile
    yield (
        "POST",
        "/v1/triggers/touches",
        lambda value: {"template": "hello", "variables": {"name": "you"}, "audience": {"customer_ids": [value]}},
        theirs["customer_id"],
        number,
    )
    yield (
        "POST",
        "/v1/triggers/touches",
        lambda value: {"template": value, "audience": {"customer_ids": [1]}},
        theirs["own_code"],
        lambda: f"none-{chance.randrange(10**5, 10**6)}",
    )
    for path, body in (
        ("/v1/customers", lambda value: known | {"attributes": {value: "M"}}),
        ("/v1/customers/search", lambda value: {"conditions": [{"name": value, "value": "M"}]}),
    ):
        yield "POST", path, body, theirs["own_name"], lambda: f"none_{chance.randrange(10**5, 10**6)}"
    yield (
        "POST",
        "/v1/tags/assignments",
        lambda value: {"add": [{"customer_id": 1, "tag": value}]},
        theirs["marker"],
        _fresh(chance, "记号9"),
    )
    yield (
        "POST",
        "/v1/tags",
        lambda value: {"name": f"{chance.random()}", "category_id": value},
        theirs["category_id"],
        number,
    )
    yield "POST", "/v1/customers", lambda value: known | {"store_id": value}, theirs["copied_store"], number
    order = known | {"status": "created", "amount_fen": 1}
    yield "POST", "/v1/orders", lambda value: order | {"order_no": value}, theirs["order_no"], _fresh(chance, "E-9")
    event = known | {"type": "view", "occurred_at": "2026-01-01T00:00:00Z"}
    yield "POST", "/v1/events", lambda value: event | {"event_id": value}, theirs["event_no"], _fresh(chance, "V-9")
    yield (
        "POST",
        "/v1/events",
        lambda value: event | {"event_id": f"{chance.random()}", "type": value},
        theirs["own_type"],
        _fresh(chance, "only-9"),
    )
    refund = {"order_no": "none", "amount_fen": 1, "refunded_at": "2026-01-01T00:00:00Z"}
    yield (
        "POST",
        "/v1/refunds",
        lambda value: refund | {"refund_no": f"R-{value}"},
        theirs["order_no"],
        _fresh(chance, "E-8"),
    )
    yield (
        "POST",
        "/v1/refunds",
        lambda value: refund | {"refund_no": f"R-{chance.random()}"[:30], "order_no": value},
        theirs["order_no"],
        _fresh(chance, "E-7"),
    )


def _by_body(wall: Wall, method: str, path: str, body: Any, theirs: Any, nobodys: Any) -> Attempt:
    headers = [wall.mine.key, JSON]
    nobody = nobodys()
    said = (theirs, nobody) if theirs in (wall.other.things["own_name"], wall.other.things["marker"]) else None
    return Attempt(method, path, path, headers, orjson.dumps(body(theirs)), orjson.dumps(body(nobody)), said)


def _facade(wall: Wall) -> Iterator[tuple[str, Any, Any, Any]]:
    """API, body with a hole, what is theirs, and how to make up what is nobody's."""
    theirs, chance = wall.other.things, wall.chance
    update = {"customer_update": {"remark": "seen"}}

    def open_id() -> str:
        return "0" + "".join(chance.choice("0123456789ABCDEFGHIJabcdefghij") for _ in range(21))

    def number() -> str:
        return str(chance.randrange(2**52, 2**53))

    def mobile() -> str:
        return f"137{chance.randrange(10**8):08}"

    for kind, value, other in (
        ("YzOpenId", theirs["open_id"], open_id),
        ("YouZanAccount", str(theirs["customer_id"]), number),
        ("Mobile", theirs["mobile"], mobile),
    ):
        account = partial(_account, kind)
        yield "youzan.scrm.customer.get/3.1.0", lambda value, a=account: {"account": a(value)}, value, other
        yield "youzan.scrm.customer.update/3.0.0", lambda value, a=account: {"account": a(value)} | update, value, other
        remark = "youzan.scrm.customer.remark.update/3.0.0"
        yield remark, lambda value, a=account: {"account": a(value), "remark": "seen"}, value, other
    for version in ("1.0.0", "1.0.1"):
        name = f"youzan.scrm.customer.detail.get/{version}"
        yield name, lambda value: {"yz_open_id": value, "fields": "user_base,behavior"}, theirs["open_id"], open_id
        for kind, value, other in (("5", theirs["open_id"], open_id), ("2", theirs["mobile"], mobile)):
            account = partial(_account, kind)
            yield name, lambda value, a=account: {"account_info": a(value), "fields": "user_base"}, value, other
    for value, other, key, names in (
        (theirs["open_id"], open_id, "yz_open_id", ("user.basic.get/3.0.1", "user.weixin.openid.get/3.0.0")),
        (theirs["open_id"], open_id, "yz_open_ids", ("scrm.customer.list.yzopenid/1.0.0",)),
        (theirs["mobile"], mobile, "mobile", ("user.basic.get/3.0.0", "users.info.query/1.0.1")),
        (theirs["mobile"], mobile, "mobile", ("scrm.customer.get/3.0.0", "user.weixin.openid.get/3.0.0")),
        (theirs["mobile"], mobile, "phones", ("scrm.customer.list.phone/1.0.0",)),
        (str(theirs["customer_id"]), number, "user_id", ("user.openid.get/1.0.0",)),
    ):
        for name in names:
            yield f"youzan.{name}", lambda value, key=key: {key: value}, value, other


def _by_facade(wall: Wall, api: str, body: Any, theirs: Any, nobodys: Any) -> Attempt:
    target = f"/api/{api}?access_token={wall.mine.token}"
    return Attempt("POST", target, target, [JSON], orjson.dumps(body(theirs)), orjson.dumps(body(nobodys())))


def _account(kind: str, value: str) -> Json:
    return {"account_type": kind, "account_id": value}


def _mobile(value: str) -> Json:
    return {"kind": "mobile", "value": value}


def _fresh(chance: random.Random, start: str) -> Any:
    return lambda: f"{start}{chance.randrange(10**6, 10**7)}"


def _harmless(body: Json) -> Json:
    """Of the example, what changes nothing that the other attempts need."""
    if "identities" in body and "order_no" not in body:
        return {"remark": "seen"}
    return body


def _uuids(of: Furnished) -> list[str]:
    jobs = ("endpoint_id", "delivery_id", "request_id", "touch_id", "job_id", "run", "invalid_event_id")
    return [of.things[name] for name in (*jobs, "merge_id", "conflict_id", "export_id", "import_id")]


def _nobodys(wall: Wall) -> str:
    return str(UUID(int=wall.chance.getrandbits(128), version=4))


def _key(chance: random.Random) -> tuple[str, str]:
    return "Idempotency-Key", f"k{chance.random()}"


def _secrets(of: Furnished) -> set[bytes]:
    """Texts that only the other shop has."""
    own = {of.things[name] for name in ("marker", "mobile", "own_code", "own_store", "order_no", "event_no", "open_id")}
    return {str(value).encode() for value in own | {of.things["customer_id"], *_uuids(of), of.token}}


async def _cursors(app: FastAPI, wall: Wall) -> list[str]:
    """Lists of one's own, asked for from where the other shop's list stands, with every filter that names theirs."""
    found = []
    for route in v1(app):
        if "cursor" not in route.query:
            continue
        answer = await wall.raw.send("GET", f"{route.target(wall.other.things)}?limit=1", [wall.other.key])
        cursor = answer.json["next_cursor"]
        assert cursor, route
        found += [f"{route.target(wall.mine.things)}?limit={limit}&cursor={cursor}" for limit in (1, 2, 200)]
        for name in ("store_id", "request_id"):
            if name in route.query:
                value = wall.other.things["own_store" if name == "store_id" else name]
                found.append(f"{route.target(wall.mine.things)}?{name}={value}&cursor={cursor}")
    assert len(found) > 15
    return found


@pytest.mark.parametrize("attempts", [1_000, long(100_000)])
async def test_another_shops_things_are_not_there(
    app: FastAPI, furnished: Furnished, other_furnished: Furnished, raw: RawClient, digest: Digest, attempts: int
) -> None:
    wall = Wall(raw, furnished, other_furnished, secrets=_secrets(other_furnished))
    # A list says how far its owner has come; both shops have the same, so that this cannot tell them apart either.
    before = await digest(other_furnished.shop)
    makers = _attempts(app, wall)
    lists = await _cursors(app, wall)
    while wall.tried < attempts and len(wall.wrong) < 20:
        for maker in makers:
            await wall.compare(maker())
        for target in lists:
            await wall.look(target)
    print(f"{wall.tried} attempts")  # noqa: T201 shown with -s
    assert not wall.wrong, "\n".join([f"{len(wall.wrong)} wrong", *wall.wrong[:20]])
    assert await digest(other_furnished.shop) == before


async def test_a_key_of_another_shops_request_is_a_new_key(
    furnished: Furnished, other_furnished: Furnished, raw: RawClient
) -> None:
    """The same Idempotency-Key and the same body in two shops are two requests with two answers."""
    body = orjson.dumps({"identities": [{"kind": "card_no", "value": "K-9"}], "name": "同名"})
    answers = []
    for shop in (furnished, other_furnished):
        headers = [shop.key, JSON, ("Idempotency-Key", "one-key")]
        answers.append(await raw.send("POST", "/v1/customers", headers, body))
    assert [answer.status for answer in answers] == [201, 201]
    assert answers[0].json["id"] != answers[1].json["id"]
    assert "idempotent-replayed" not in answers[1].headers


async def test_a_token_is_for_its_own_shop(furnished: Furnished, other_furnished: Furnished, raw: RawClient) -> None:
    """One's own secret with another shop's number and with nobody's, and the other's client with one's own secret."""
    client, other = furnished.api.client, other_furnished.api.client
    good = {"client_id": client.client_id, "client_secret": client.client_secret, "authorize_type": "silent"}
    codes = []
    for asked in (
        good | {"grant_id": other_furnished.shop.id},
        good | {"grant_id": 2**40},
        good | {"client_id": other.client_id, "grant_id": furnished.shop.id},
        good | {"client_id": "0" * 18, "grant_id": furnished.shop.id},
    ):
        answer = await raw.send("POST", "/auth/token", [JSON], orjson.dumps(asked))
        assert answer.json["data"] is None
        codes.append((answer.json["code"], answer.status))
    assert codes[0] == codes[1] == codes[2] == codes[3]
    refresh = {"client_id": client.client_id, "client_secret": client.client_secret, "authorize_type": "refresh_token"}
    stolen = orjson.dumps(refresh | {"refresh_token": other_furnished.token})
    nothing = orjson.dumps(refresh | {"refresh_token": "0" * 32})
    told = [(await raw.send("POST", "/auth/token", [JSON], body)).body for body in (stolen, nothing)]
    assert told[0] == told[1]


# ---- Scopes


async def _with_scopes(make_api: MakeApi, of: Furnished, scopes: str) -> Furnished:
    api = await make_api(of.shop, scopes)
    return Furnished(of.shop, api, await token_of(of.shop, api), of.things)


async def _try_scopes(app: FastAPI, raw: RawClient, caller: Furnished, held: set[str]) -> list[str]:
    """Every route and every call of the façade with these scopes: refused exactly where one is missing."""
    wrong = []
    for route in v1(app):
        key = [("Idempotency-Key", "a-key")] if "Idempotency-Key" in route.headers else []
        # An empty object is refused by every body, and by none before the scope.
        body = None if route.body is None else b"{}"
        target = route.template.format(**caller.things | PLACEHOLDER | NOBODYS)
        answer = await raw.send(route.method, target, [caller.key, JSON, *key], body)
        refused = answer.status == 403 and answer.json["code"] == "scope_missing"
        if refused is (set(route.scopes) <= held) or answer.status in (401, 429) or answer.status >= 500:
            wrong.append(f"{route} with {held}: {answer}"[:500])
    for (name, version), api in APIS.items():
        target = f"/api/{name}/{version}?access_token={caller.token}"
        answer = await raw.send("POST", target, [JSON], orjson.dumps(GOOD[name]))
        refused = answer.json.get("gw_err_resp", {}).get("err_code") == 4204
        if refused is (api.scope in held):
            wrong.append(f"{name}/{version} with {held}: {answer}"[:500])
    return wrong


async def test_each_scope_alone(
    app: FastAPI, furnished: Furnished, make_api: MakeApi, raw: RawClient, digest: Digest
) -> None:
    for scope in SCOPES:
        caller = await _with_scopes(make_api, furnished, scope)
        before = await digest(furnished.shop)
        assert not (wrong := await _try_scopes(app, raw, caller, {scope})), "\n".join(wrong)
        if scope in ("customers:read", "scores:read", "pii:read"):
            assert await digest(furnished.shop) == before


@pytest.mark.hostile_long
@pytest.mark.timeout(3600)
async def test_any_scopes_together(app: FastAPI, furnished: Furnished, make_api: MakeApi, raw: RawClient) -> None:
    chance = random.Random(SEED)
    for _ in range(250):
        held = {scope for scope in SCOPES if chance.random() < 0.5} or {"admin"}
        caller = await _with_scopes(make_api, furnished, " ".join(held))
        assert not (wrong := await _try_scopes(app, raw, caller, held)), "\n".join(wrong)
        await unlimited(furnished.api)

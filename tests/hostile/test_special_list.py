"""Every route of /v1 under the special list: refused with a problem document, at once, and nothing is kept of it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import orjson
import pytest
from fastapi import FastAPI

from tests.hostile import values
from tests.hostile.conftest import Digest
from tests.hostile.routes import Json, Place, Route, leaves, replaced, v1
from tests.hostile.shops import Furnished, unlimited
from tests.hostile.values import some
from tests.hostile.wire import JSON, Answer, Headers, RawClient

HOLE = "\x02here\x03"

Make = Callable[[Route, Furnished], Iterator["Shot"]]

long = partial(pytest.param, marks=[pytest.mark.hostile_long, pytest.mark.timeout(3600)])


@dataclass(frozen=True)
class Shot:
    """One request; `never` when no state of things makes it acceptable."""

    route: Route
    target: str
    headers: Headers
    body: bytes | None = None
    method: str | None = None
    chunked: bool = False
    never: bool = False

    def __str__(self) -> str:
        parts = (
            self.method or self.route.method,
            self.target[:200],
            *(f"{name!r}: {value!r}"[:100] for name, value in self.headers[1:]),
        )
        return " ".join(map(str, parts)) + (f" {self.body[:200]!r}" if self.body else "")


@dataclass
class Range:
    """Where it is shot, and what went wrong so far."""

    raw: RawClient
    furnished: Furnished
    wrong: list[str] = field(default_factory=list)
    fired: int = 0

    async def fire(self, shot: Shot) -> Answer:
        """Send, and note what must never be answered."""
        method = shot.method or shot.route.method
        answer = await self.raw.send(method, shot.target, shot.headers, shot.body, chunked=shot.chunked)
        self.fired += 1
        if answer.status >= 500 or answer.status == 0:
            self.wrong.append(f"{answer.status} {shot} -> {answer.body[:200]!r}")
        elif answer.status >= 400 and method != "HEAD" and not _refused_well(answer):
            self.wrong.append(f"no problem document: {shot} -> {answer.status} {answer.body[:200]!r}")
        elif shot.never and answer.status < 400:
            self.wrong.append(f"accepted: {shot} -> {answer.status}")
        if answer.status == 200 and shot.route.template == "/v1/shop/settings":
            await unlimited(self.furnished.api)  # it may have told itself to go slowly
        return answer


async def _volley(digest: Digest, range_: Range, shots: Sequence[Shot]) -> None:
    """Fire them all: whatever was refused has left no trace in any table of the shop, and reading changes nothing."""
    before = await digest(range_.furnished.shop)
    refused, accepted = [], 0
    for shot in shots:
        if (await range_.fire(shot)).status >= 400:
            refused.append(shot)
        else:
            accepted += shot.route.method != "GET"
    if accepted and refused:  # what was accepted changed rows, so the refused ones are told apart by firing them again
        before = await digest(range_.furnished.shop)
        accepted = sum([(await range_.fire(shot)).status < 400 for shot in refused])
    if not accepted:
        after = await digest(range_.furnished.shop)
        changed = [table for table in before if before[table] != after[table]]
        if changed:
            range_.wrong.append(f"{changed} changed by one of {len(refused)} refused requests, such as {shots[0]}")
    elif refused:
        range_.wrong.append(f"refused first, accepted later: one of {len(refused)} such as {refused[0]}")


def _volleys(shots: Iterable[Shot]) -> Iterator[list[Shot]]:
    """Large where nothing will be accepted, small where something may."""
    sure: list[Shot] = []
    waiting: list[Shot] = []
    for shot in shots:
        if shot.never or shot.route.method == "GET":
            sure.append(shot)
        else:
            waiting.append(shot)
        if len(waiting) == 8:
            yield waiting
            waiting = []
    yield from filter(None, (waiting, sure))


async def _under_fire(
    app: FastAPI, furnished: Furnished, raw: RawClient, digest: Digest, make: Make, *, at_least: int
) -> None:
    """Every route under the shots that `make` makes for it."""
    range_ = Range(raw, furnished)
    for route in v1(app):
        for volley in _volleys(make(route, furnished)):
            await _volley(digest, range_, volley)
    print(f"{range_.fired} requests")  # noqa: T201 shown with -s
    assert not range_.wrong, "\n".join([f"{len(range_.wrong)} wrong", *range_.wrong[:40]])
    assert range_.fired >= at_least


# ---- Bodies


async def test_an_example_of_every_route_is_accepted(app: FastAPI, furnished: Furnished, raw: RawClient) -> None:
    """What is spoilt below is good before it is spoilt."""
    routes = sorted(v1(app), key=lambda route: route.method == "DELETE")
    for route in routes:
        body = b"mobile\n13800138001\n" if str(route) == "POST /v1/imports" else _good(route, furnished)
        answer = await raw.send(route.method, route.target(furnished.things), _headers(route, furnished), body)
        assert answer.status in (200, 201, 202, 204), (route, answer.body, route.body)
        if str(route) == "POST /v1/push-sources":  # it took the place of the one that was there
            furnished.things["client_id"] = route.body["client_id"]


@pytest.mark.parametrize("share", [12, long(1)])
async def test_every_leaf_of_every_body(
    app: FastAPI, furnished: Furnished, raw: RawClient, digest: Digest, share: int
) -> None:
    """Every value of every body, and every container, replaced by each entry of the list (a share of them, shifted)."""

    def make(route: Route, at: Furnished) -> Iterator[Shot]:
        for number, place in enumerate(leaves(route.body) if route.body is not None else ()):
            never = [(value, True) for value in some(values.NEVER_TEXT, share, number)]
            maybe = [(value, False) for value in some(values.LEAVES, share, number)]
            for value, refused in (*never, *maybe):
                body = _with(route.body, place, value)
                yield Shot(route, route.target(at.things), _headers(route, at), body, never=refused)

    await _under_fire(app, furnished, raw, digest, make, at_least=400)


@pytest.mark.parametrize("share", [3, long(1)])
async def test_every_body_as_a_whole(
    app: FastAPI, furnished: Furnished, raw: RawClient, digest: Digest, share: int
) -> None:
    def make(route: Route, at: Furnished) -> Iterator[Shot]:
        target, headers, good = route.target(at.things), _headers(route, at), _good(route, at)
        shift = len(target)
        for body in some(values.bodies(good or b"{}"), share, shift):
            yield Shot(route, target, headers, body, never=good is not None)
        if good is not None:
            for empty in (None, b"", b"[]", b"{}", values.twice(good)):
                yield Shot(route, target, headers, empty)
            for kind in some(values.CONTENT_TYPES, share, shift):
                yield Shot(route, target, (*headers[:-1], ("Content-Type", kind)), good)
            yield Shot(route, target, headers[:-1], good)
            yield Shot(route, target, (*headers, JSON, ("content-type", "text/plain")), good)
            yield Shot(route, target, headers, good, chunked=True)

    await _under_fire(app, furnished, raw, digest, make, at_least=500)


async def test_bodies_of_ten_megabytes(app: FastAPI, furnished: Furnished, raw: RawClient, digest: Digest) -> None:
    """Refused by their announced length, and by their length when none is announced."""
    huge = b'{"a":"' + b"a" * values.TEN_MEGABYTES + b'"}'

    def make(route: Route, at: Furnished) -> Iterator[Shot]:
        headers = _headers(route, at)
        for body, chunked in ((huge, False), *([(huge, True)] if route.template.endswith("orders/batch") else [])):
            # A file may be that large, and any bytes are a file.
            never = str(route) != "POST /v1/imports"
            yield Shot(route, route.target(at.things), headers, body, chunked=chunked, never=never)

    await _under_fire(app, furnished, raw, digest, make, at_least=39)


@pytest.mark.parametrize("templates", [{"/v1/orders/batch"}, long(None)])
async def test_bodies_just_under_the_limit(
    app: FastAPI, furnished: Furnished, raw: RawClient, digest: Digest, templates: set[str] | None
) -> None:
    """Hundreds of thousands of keys or elements: read and refused well within the five seconds."""

    def make(route: Route, at: Furnished) -> Iterator[Shot]:
        if route.body is None or (templates is not None and route.template not in templates):
            return
        for body in (*values.HEAVY, *_heavy_rows(route.body)):
            yield Shot(route, route.target(at.things), _headers(route, at), body)

    await _under_fire(app, furnished, raw, digest, make, at_least=10)


# ---- Everything around the body


@pytest.mark.parametrize("share", [4, long(1)])
async def test_paths_and_queries(
    app: FastAPI, furnished: Furnished, raw: RawClient, digest: Digest, share: int
) -> None:
    def make(route: Route, at: Furnished) -> Iterator[Shot]:
        target, headers, good = route.target(at.things), _headers(route, at), _good(route, at)
        shift = len(target)
        for name in route.path:
            for value in some(values.IN_TARGET, share, shift):
                things = at.things | {name: value}
                yield Shot(route, route.target(things), headers, good)
        for number, name in enumerate(route.query):
            cursors = values.CURSORS if name == "cursor" else []
            for value in some([*values.IN_TARGET, *cursors], share, shift + number):
                yield Shot(route, f"{target}?{name}={value}", headers, good)
            yield Shot(route, f"{target}?{name}=1&{name}=2&{name}[]=3", headers, good)
        for query in (
            "&" * 5_000,
            "&".join(f"k{n}=1" for n in range(5_000)),
            "=&=",
            "%00=%00",
            "limit",
            "a=" + "b" * 60_000,
        ):
            yield Shot(route, f"{target}?{query}", headers, good)

    await _under_fire(app, furnished, raw, digest, make, at_least=700)


@pytest.mark.parametrize("share", [4, long(1)])
async def test_headers_and_credentials(
    app: FastAPI, furnished: Furnished, raw: RawClient, digest: Digest, share: int
) -> None:
    def make(route: Route, at: Furnished) -> Iterator[Shot]:
        target, headers, good = route.target(at.things), _headers(route, at), _good(route, at)
        shift = len(target)
        for header in some(values.HEADERS, share, shift):
            yield Shot(route, target, (*headers, header), good)
        yield Shot(route, target, (*headers, *((f"X-{n}", "a") for n in range(500))), good)
        for secret in some(values.AUTHORIZATIONS, share, shift):
            yield Shot(route, target, (("Authorization", secret), *headers[1:]), good, never=True)
        yield Shot(route, target, (("X-Nothing", ""), *headers[1:]), b"{", never=True)

    await _under_fire(app, furnished, raw, digest, make, at_least=400)


async def test_methods_that_a_path_does_not_have(
    app: FastAPI, furnished: Furnished, raw: RawClient, digest: Digest
) -> None:
    taken = {(route.method, route.template) for route in v1(app)}
    # /v1/webhooks/deliveries is also /v1/webhooks/{endpoint_id}: what is there for one template may answer for another.
    shared = {"/v1/webhooks/{endpoint_id}", "/v1/webhooks/deliveries/{delivery_id}"}

    def make(route: Route, at: Furnished) -> Iterator[Shot]:
        for method in values.METHODS:
            if (method, route.template) not in taken:
                never = route.template not in shared
                yield Shot(route, route.target(at.things), _headers(route, at), _good(route, at), method, never=never)

    await _under_fire(app, furnished, raw, digest, make, at_least=320)


async def test_framing_that_lies(furnished: Furnished, raw: RawClient) -> None:
    """Lengths that are none, that come twice or that disagree: refused or cut off, never taken for another request."""
    key = f"Authorization: Bearer {furnished.api.client.api_key}\r\nContent-Type: application/json\r\n".encode()
    smuggled = (
        b"DELETE /v1/webhooks/%b HTTP/1.1\r\nHost: a\r\n" % furnished.things["endpoint_id"].encode() + key + b"\r\n"
    )
    for lines, body in (
        (b"Content-Length: 2\r\nContent-Length: 5\r\n", b"{}abc"),
        (b"Content-Length: -1\r\n", b"{}"),
        (b"Content-Length: 99999999999999999999999999\r\n", b"{}"),
        (b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n" + smuggled),
        (b"Transfer-Encoding: chunked\r\n", b"zz\r\n{}\r\n0\r\n\r\n"),
        (b"Transfer-Encoding: chunked, identity\r\n", b"2\r\n{}\r\n0\r\n\r\n"),
        (b"Transfer-Encoding: xchunked\r\nContent-Length: 2\r\n", b"{}" + smuggled),
        (b"Content-Length : 2\r\n", b"{}"),
    ):
        async with RawClient(f"http://{raw._host}:{raw._port}") as alone:
            request = b"POST /v1/customers HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + key + lines + b"\r\n" + body
            answer = await alone.exchange(request)
            assert answer.status < 500, (lines, answer)
            assert answer.status == 0 or answer.status >= 400, (lines, answer)
    still = await raw.send("GET", f"/v1/webhooks/{furnished.things['endpoint_id']}", [furnished.key])
    assert still.status == 200


def _headers(route: Route, at: Furnished) -> tuple[tuple[str | bytes, str | bytes], ...]:
    """The key first and the content type last."""
    key = (("Idempotency-Key", f"a-key-for-{route.template}"),) if "Idempotency-Key" in route.headers else ()
    return (at.key, *key, JSON)


def _good(route: Route, at: Furnished) -> bytes | None:
    if route.body is None:
        return None
    real = {name: at.things[name] for name in ("other_id", "customer_id") if name in route.body}
    if "tag" in route.template and "name" in route.body:  # a name is taken once
        real["name"] = str(route)[:32]
    return orjson.dumps(route.body | real)


def _with(body: Json, place: Place, value: bytes) -> bytes:
    return orjson.dumps(replaced(body, place, HOLE)).replace(orjson.dumps(HOLE), value)


def _heavy_rows(body: Json) -> Iterator[bytes]:
    """A batch whose thousand rows hold hundreds of unknown keys each."""
    for name, rows in body.items():
        if isinstance(rows, list) and rows and isinstance(rows[0], dict):
            yield orjson.dumps({name: [{f"{n:x}": 1 for n in range(64)} for _ in range(1000)]})
            yield orjson.dumps({name: [{"items": [{f"{n:x}": 1 for n in range(60)}] * 2000}] * 6})


def _refused_well(answer: Answer) -> bool:
    try:
        return answer.is_problem
    except (ValueError, KeyError, TypeError):
        return False

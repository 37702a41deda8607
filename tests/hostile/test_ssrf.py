"""Hundreds of ways to name an address inside: through the subscription call and through the delivery, none connects."""

import asyncio
import itertools
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from ipaddress import ip_network

import httpx
import pytest

from app.access.entry import Entry
from app.access.shops import Shop
from app.core.config import Settings
from app.core.outbound import Outbound, OutboundError, RefusedAddress, Reply
from app.main import create_app
from app.webhooks.jobs import fan_out
from app.webhooks.lanes import Deliverer
from tests.conftest import Api, Rows

# Stands for the outside in what follows: the only address that is allowed there, and a real receiver.
OUTSIDE = "127.0.0.2"
NAME = "receiver.example.com"
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")


@dataclass
class Inside:
    """A listener on every loopback address; whoever connects has come through the guard."""

    port: int = 0
    connections: int = 0

    def met(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Count, and hang up."""
        self.connections += 1
        writer.close()


@pytest.fixture
async def inside() -> AsyncIterator[Inside]:
    """The same port on 127.0.0.1 and, where there is one, on ::1."""
    made = Inside()
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(await asyncio.start_server(made.met, "127.0.0.1", 0))
        made.port = server.sockets[0].getsockname()[1]
        with suppress(OSError):
            await stack.enter_async_context(await asyncio.start_server(made.met, "::1", made.port))
        yield made


def _spellings() -> Iterator[str]:
    """127.0.0.1 and 10.0.0.1 as four, three, two and one number, each in three bases, with leading zeros or without."""
    for address in (0x7F000001, 0x0A000001):
        parts = address.to_bytes(4, "big")
        for shapes in itertools.product(("{}", "0x{:x}", "0{:o}"), repeat=4):
            yield ".".join(shape.format(part) for shape, part in zip(shapes, parts, strict=True))
        for shape in ("{}", "0x{:X}", "0{:o}", "0X{:x}", "000{:o}", "0x0000{:x}"):
            yield shape.format(address)
            yield f"{parts[0]}.{shape.format(address & 0xFFFFFF)}"
            yield f"{parts[0]}.{parts[1]}.{shape.format(address & 0xFFFF)}"


_V6 = [
    *("::1", "::", "0:0:0:0:0:0:0:1", "::ffff:127.0.0.1", "::ffff:7f00:1", "::FFFF:10.0.0.1", "::7f00:1"),
    *("64:ff9b::127.0.0.1", "64:ff9b::a00:1", "64:ff9b:1::7f00:1", "2002:7f00:1::", "2002:a00:1::1", "fd00::1"),
    *("2001:0:4136:e378:8000:63bf:80ff:fffe", "fe80::1", "fe80::1%25lo", "fe80::1%lo", "::1%lo", "fec0::1", "fc00::1"),
    *("fd00:ec2::254", "ff02::1", "100::1", "2001:db8::1", "5f00::1", "3fff::1", "::ffff:0:127.0.0.1"),
    *(
        "0000:0000:0000:0000:0000:ffff:7f00:0001",
        "::ffff:169.254.169.254",
        "2001:10::1",
        "::127.0.0.1",
        "::2",
        "::ffff:1",
    ),
]
_HOSTS = [
    *("localhost", "LOCALHOST", "localhost.", "a.localhost", "localhost%2e", "loc%61lhost", "ⓛocalhost", "localhost。"),
    *("127.0.0.1.", "127.1", "127.0.1", "0", "0.0.0.0", "127.255.255.254", "127。0。0。1", "１２７.０.０.１"),  # noqa: S104
    *("①②⑦.0.0.1", "127%2e0%2e0%2e1", "%31%32%37.0.0.1", "127.0.0.1%00", "127.0.0.1%0d%0a", "127.0.0.1\u00ad"),
    *("10.0.0.1", "172.16.0.1", "172.31.255.254", "192.168.0.1", "169.254.169.254", "100.100.100.200", "100.64.0.1"),
    *("192.0.0.192", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "168.63.129.16", "192.0.2.1"),
    *("0x7f.1", "0177.1", "0x7f000001", "017700000001", "2130706433", "4294967297", "127.0.0.256", "127.0.0.0x1"),
]
_AROUND = [
    *("http://user@127.0.0.1:{0}/", "http://user:pass@127.0.0.1:{0}/", "http://example.com@127.0.0.1:{0}/"),
    *(
        "http://example.com:80@127.0.0.1:{0}/",
        "http://127.0.0.1:{0}\\@example.com/",
        "http://example.com\\@127.0.0.1:{0}/",
    ),
    *("http://127.0.0.1:{0}#@example.com/", "http://127.0.0.1:{0}?@example.com/", "http://@127.0.0.1:{0}/"),
    *("http://example.com%40127.0.0.1:{0}/", "http://a@b@127.0.0.1:{0}/", "http://127.0.0.1%40example.com:{0}@[::1]/"),
    *("http:127.0.0.1:{0}/", "http:/127.0.0.1:{0}/", "http:///127.0.0.1:{0}/", "//127.0.0.1:{0}/", "127.0.0.1:{0}/"),
    *("http:\\\\127.0.0.1:{0}\\", "http://\t127.0.0.1:{0}/", "http://127.0.0.1\n:{0}/", " http://127.0.0.1:{0}/"),
    *("hTTp://127.0.0.1:{0}/", "http://127.0.0.1:0{0}/", "http://127.0.0.1:{0}:80/", "http://[127.0.0.1]:{0}/"),
    *(
        "http://[::1]:{0}@example.com/",
        "http://[::1",
        "http://[::1]a:{0}/",
        "http://::1:{0}/",
        "https://127.0.0.1:{0}/",
    ),
    *("ftp://127.0.0.1:{0}/", "gopher://127.0.0.1:{0}/_x", "file:///etc/passwd", "ws://127.0.0.1:{0}/", "unix:/run/x"),
    *("dict://127.0.0.1:{0}/", "jar:http://127.0.0.1:{0}!/", "http+unix://%2frun%2fx/", "data:,x", "javascript:1"),
    *("http://example.com:6379/", "http://example.com:22/", "http://example.com:5432/", "http://example.com:0/"),
    *("http://127.0.0.1:{0}/\r\nHost: example.com", "http://a\r\nHost: 127.0.0.1/", "http://", "", "http:// /"),
]
URLS = [
    *(f"http://{host}:{{0}}/" for host in (*_spellings(), *_HOSTS, *(f"[{host}]" for host in _V6))),
    *_AROUND,
]


async def _everything(_: str, __: int) -> Sequence[str]:
    raise AssertionError("a literal address was given to the resolver")


@asynccontextmanager
async def _service(settings: Settings, api: Api, *allowed: str) -> AsyncIterator[httpx.AsyncClient]:
    """The service with these networks allowed, and a caller of it."""
    networks = [ip_network(network) for network in allowed]
    app = create_app(settings.model_copy(update={"outbound_allow_networks": networks}))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app),
            base_url="http://kehu.test",
            headers={"Authorization": f"Bearer {api.client.api_key}"},
        ) as http,
    ):
        yield http


def _proxied(monkeypatch: pytest.MonkeyPatch, inside: Inside) -> None:
    """Whoever believes the environment ends up inside."""
    for name in PROXIES:
        monkeypatch.setenv(name, f"http://127.0.0.1:{inside.port}")
    monkeypatch.setenv("NO_PROXY", "")


async def test_no_subscription_names_an_address_inside(
    settings: Settings, api: Api, inside: Inside, rows: Rows, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(set(URLS)) >= 300
    _proxied(monkeypatch, inside)
    async with _service(settings, api) as http:
        good = await http.post("/v1/webhooks", json={"url": f"https://{NAME}/", "kinds": ["order.paid"]})
        accepted = []
        for url in URLS:
            url = url.format(inside.port)
            made = await http.post("/v1/webhooks", json={"url": url, "kinds": ["order.paid"]})
            changed = await http.patch(f"/v1/webhooks/{good.json()['id']}", json={"url": url})
            assert made.status_code < 500
            assert changed.status_code < 500
            if made.status_code != 422 or changed.status_code != 422:
                accepted.append(url)
            elif url:
                assert made.json()["code"] == changed.json()["code"] == "url_refused", (url, made.text)
                assert url not in made.text
    assert accepted == []
    assert [row["url"] for row in await rows("select url from webhook_endpoints where shop_id = $1", shop.id)] == [
        f"https://{NAME}/"
    ]
    assert inside.connections == 0


async def test_no_delivery_reaches_an_address_inside(inside: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same list again at the client through which everything leaves, as if it had been stored."""
    _proxied(monkeypatch, inside)
    async with Outbound(timeout_seconds=2, resolve=_everything) as client:
        for url in URLS:
            with pytest.raises(RefusedAddress):
                await client.post(url.format(inside.port), b"{}", {})
    assert inside.connections == 0


async def test_no_name_leads_inside(inside: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names that resolve to an address inside, alone, among others, or in an unusual form of it."""
    _proxied(monkeypatch, inside)
    closed = ["127.0.0.1", "0.0.0.0", "10.0.0.1", "169.254.169.254", "100.64.0.1", *_V6[:14], "fe80::1%1"]  # noqa: S104
    for answers in (*([address] for address in closed), *(["8.8.8.8", address] for address in closed)):

        async def resolve(_: str, __: int, answers: Sequence[str] = answers) -> Sequence[str]:
            return answers

        async with Outbound(timeout_seconds=2, resolve=resolve) as client:
            with pytest.raises(RefusedAddress, match="address_refused"):
                await client.post(f"http://{NAME}:{inside.port}/", b"{}", {})
    assert inside.connections == 0


async def test_a_name_that_changes_its_mind_is_asked_once(inside: Inside) -> None:
    """Rebinding: a good address for the check, another for the connection. There is one look, and it decides."""
    asked = 0

    async def resolve(_: str, __: int) -> Sequence[str]:
        nonlocal asked
        asked += 1
        return [OUTSIDE] if asked % 2 else ["127.0.0.1"]

    with socket.create_server((OUTSIDE, inside.port)) as outside:
        outside.settimeout(0)
        allowed = [ip_network(f"{OUTSIDE}/32")]
        async with Outbound(allow_networks=allowed, timeout_seconds=0.3, resolve=resolve) as client:
            for number in range(1, 9):
                with pytest.raises(OutboundError) as refused:
                    await client.post(f"http://{NAME}:{inside.port}/", b"{}", {"connection-number": str(number)})
                assert asked == number  # one look for each request: no connection is kept after a failure
                assert isinstance(refused.value, RefusedAddress) is (number % 2 == 0)
    assert inside.connections == 0


@asynccontextmanager
async def _redirecting(inside: Inside, location: str) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A receiver outside that sends everybody inside."""
    seen: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            seen.append(await reader.readuntil(b"\r\n\r\n"))
            status = (301, 302, 303, 307, 308)[len(seen) % 5]
            place = location.format(inside.port).encode()
            head = b"HTTP/1.1 %d X\r\nLocation: %b\r\nRefresh: 0; url=%b\r\nContent-Location: %b\r\n"
            writer.write(head % (status, place, place, place) + b"Content-Length: 0\r\nConnection: close\r\n\r\n")
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, OUTSIDE, 0) as server:
        yield f"http://{OUTSIDE}:{server.sockets[0].getsockname()[1]}/hook", seen


@pytest.mark.parametrize(
    "location", ["http://127.0.0.1:{0}/", "//127.0.0.1:{0}/", "http://[::1]:{0}/", "/\\127.0.0.1:{0}/"]
)
async def test_no_redirect_leads_inside(inside: Inside, location: str) -> None:
    async with (
        _redirecting(inside, location) as (url, seen),
        Outbound(allow_networks=[ip_network(f"{OUTSIDE}/32")], timeout_seconds=2) as client,
    ):
        for _ in range(5):
            reply = await client.post(url, b"{}", {})
            assert isinstance(reply, Reply)
            assert 300 <= reply.status < 400
    assert len(seen) == 5
    assert inside.connections == 0


async def test_a_subscribed_receiver_cannot_send_us_inside(
    settings: Settings, api: Api, shop: Shop, entry: Entry, inside: Inside, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the subscription over the event to the delivery: the redirect is an answer like any other failure."""
    _proxied(monkeypatch, inside)
    outside = ip_network(f"{OUTSIDE}/32")
    deliverer = Deliverer(entry, allow_networks=[outside], timeout_seconds=2, lease_seconds=5)
    async with (
        _redirecting(inside, "http://127.0.0.1:{0}/") as (url, seen),
        _service(settings, api, str(outside)) as http,
    ):
        made = await http.post("/v1/webhooks", json={"url": url, "kinds": ["customer.created"]})
        assert made.status_code == 201
        await _delivered(api, shop, entry, deliverer)
    assert len(seen) == 1
    assert inside.connections == 0
    attempts = await rows("select status, error from webhook_attempts where shop_id = $1", shop.id)
    assert [300 <= attempt["status"] < 400 for attempt in attempts] == [True]


async def test_a_receiver_that_was_allowed_once_is_not_called_any_more(
    api: Api, shop: Shop, entry: Entry, inside: Inside, rows: Rows
) -> None:
    """A subscription from before the networks were closed, or put into the table by another way."""
    url = f"http://127.0.0.1:{inside.port}/"
    assert (await api.post("/v1/webhooks", {"url": url, "kinds": ["customer.created"]})).status_code == 201
    await _delivered(api, shop, entry, Deliverer(entry, allow_networks=[], timeout_seconds=2, lease_seconds=5))
    assert inside.connections == 0
    attempts = await rows("select status, error from webhook_attempts where shop_id = $1", shop.id)
    assert [(attempt["status"], attempt["error"]) for attempt in attempts] == [(None, "url_refused")]


async def _delivered(api: Api, shop: Shop, entry: Entry, deliverer: Deliverer) -> None:
    customer = {"identities": [{"kind": "card_no", "value": "C-1"}]}
    assert (await api.post("/v1/customers", customer)).status_code == 201
    assert await fan_out(entry, shop.id)
    await deliverer.step(shop.id)
    await deliverer.settle(shop.id)
    await deliverer.close()

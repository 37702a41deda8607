"""The guarded client against hostile targets and misbehaving receivers, all on loopback."""

import asyncio
import gzip
import ssl
import struct
import time
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path
from socket import SO_LINGER, SOL_SOCKET
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from app.core.outbound import Ambiguous, BadUrl, NotSent, Outbound, OutboundError, RefusedAddress, check_url
from app.core.targets import is_allowed

LOOPBACK = [ip_network("127.0.0.0/8")]

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Receiver:
    """A server that runs one answer per request and remembers what it read."""

    answer: Answer
    port: int = 0
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await read_request(reader):
                self.requests.append(head)
                await self.answer(reader, writer)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


async def read_request(reader: asyncio.StreamReader) -> bytes:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""
    length = next((line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), b":0")
    return head + await reader.readexactly(int(length.split(b":")[1]))


@asynccontextmanager
async def receiver(answer: Answer, tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    made = Receiver(answer)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0, ssl=tls)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        await server.wait_closed()


def says(text: bytes, then: Callable[[asyncio.StreamWriter], None] | None = None) -> Answer:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(text)
        if then:
            await writer.drain()
            then(writer)

    return answer


def reply(body: bytes = b"", status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def hang_up(writer: asyncio.StreamWriter) -> None:
    writer.close()


def reset(writer: asyncio.StreamWriter) -> None:
    # Lingering for zero seconds makes the close a reset.
    writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def resolver(**names: str | Sequence[str]) -> Callable[[str, int], Awaitable[Sequence[str]]]:
    """Names (dots as underscores) to addresses; literal addresses answer themselves, as the system's resolver does."""

    async def resolve(host: str, port: int) -> Sequence[str]:
        found = names.get(host.replace(".", "_"), host)
        return [found] if isinstance(found, str) else found

    return resolve


def outbound(**options: Any) -> Outbound:
    settings: dict[str, Any] = {"allow_networks": LOOPBACK, "timeout_seconds": 5.0}
    return Outbound(**settings | options)


# ---- What is sent, what comes back


async def test_post_sends_the_bytes_and_returns_the_reply() -> None:
    async with receiver(says(reply(b"thanks", "201 Created", "x-mark: 1"))) as there, outbound() as client:
        got = await client.post(f"http://127.0.0.1:{there.port}/hook?a=1", b'{"a":"\xe4"}', {"Webhook-Id": "evt_1"})
    assert (got.status, got.body, got.headers["X-Mark"], got.truncated) == (201, b"thanks", "1", False)
    head, _, body = there.requests[0].partition(b"\r\n\r\n")
    assert body == b'{"a":"\xe4"}'
    assert head.startswith(b"POST /hook?a=1 HTTP/1.1\r\n")
    assert b"webhook-id: evt_1" in head.lower()
    assert b"accept-encoding: identity" in head.lower()
    assert b"user-agent: kehu" in head.lower()


async def test_other_methods_and_own_user_agent() -> None:
    async with receiver(says(reply(b"{}"))) as there, outbound() as client:
        got = await client.request("GET", f"http://127.0.0.1:{there.port}/", headers={"User-Agent": "mine"})
    assert got.body == b"{}"
    assert there.requests[0].lower().count(b"user-agent: mine") == 1
    assert b"user-agent: kehu" not in there.requests[0].lower()


async def test_connections_are_kept_but_cookies_are_not() -> None:
    async with receiver(says(reply(b"", "200 OK", "set-cookie: a=1; Path=/"))) as there, outbound() as client:
        for _ in range(3):
            await client.post(f"http://127.0.0.1:{there.port}/", b"", {})
    assert there.connections == 1
    assert len(there.requests) == 3
    assert not any(b"cookie" in request.lower() for request in there.requests)


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
async def test_redirects_are_not_followed(status: str) -> None:
    async with receiver(says(reply())) as inside, outbound() as client:
        answer = reply(b"", status, f"location: http://127.0.0.1:{inside.port}/secret")
        async with receiver(says(answer)) as there:
            got = await client.post(f"http://127.0.0.1:{there.port}/", b"x", {})
    assert got.status == int(status[:3])
    assert inside.connections == 0


async def test_proxies_and_trust_from_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiver(says(reply())) as proxy, receiver(says(reply(b"direct"))) as there:
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("SSL_CERT_FILE", "/dev/null")
        async with outbound() as client:
            assert (await client.post(f"http://127.0.0.1:{there.port}/", b"", {})).body == b"direct"
            with pytest.raises(NotSent):
                await client.post("https://127.0.0.1:1/", b"", {})
    assert proxy.connections == 0


# ---- Targets that are refused

HOSTILE_HOSTS = [
    *(
        "127.0.0.1",
        "127.1.2.3",
        "127.0.0.1.",
        "localhost",
        "LOCALHOST",
        "localhost.",
        "a.localhost",
        "0.0.0.0",  # noqa: S104 -- not bound to, refused
        "0.1.2.3",
    ),
    *("10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254", "100.64.0.1", "100.100.100.200"),
    *("192.0.0.192", "192.0.2.1", "198.18.0.1", "198.51.100.7", "203.0.113.9", "192.88.99.1", "168.63.129.16"),
    *("224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255"),
    *("2130706433", "0x7f000001", "0x7f.1", "0x7f.0.0.1", "0177.0.0.1", "0177.1", "127.1", "127.0.1", "017700000001"),
    *(
        "00000000177.1",
        "127.0.0.0x1",
        "0X7F.1",
        "1",
        "0",
        "0x",
        "256.256.256.256",
        "127.0.0.1.5",
        "a.0x7f",
        "4294967295",
    ),
    *("[::]", "[::1]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::FFFF:10.0.0.1]"),
    *("[::127.0.0.1]", "[::ffff:0:127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b::10.0.0.1]", "[64:ff9b:1::1]"),
    *("[2002:7f00:1::]", "[2002:a00:1::1]", "[2001:0:4136:e378:8000:63bf:80ff:fffe]", "[2001:db8::1]", "[100::1]"),
    *(
        "[fe80::1]",
        "[fe80::1%25lo]",
        "[fe80::1%lo]",
        "[fec0::1]",
        "[fc00::1]",
        "[fd00:ec2::254]",
        "[ff02::1]",
        "[ff0e::1]",
    ),
    *("[3fff::1]", "[5f00::1]", "[::ffff:8.8.8.8]", "[::1", "::1", "[127.0.0.1]", "[]", ""),
    *(
        "user@127.0.0.1",
        "user:pass@example.com",
        "example.com:80@127.0.0.1",
        "127.0.0.1\\@example.com",
        "a@b@127.0.0.1",
    ),
    *("１２７.０.０.１", "①②⑦.0.0.1", "127。0。0。1", "127%2e0.0.1", "%31%32%37.0.0.1", "ⓛocalhost", "loc\u00adalhost"),
    *(
        "127.0.0.1%00.example.com",
        "exa mple.com",
        " 127.0.0.1",
        "127.0.0.1\t",
        "127.0.0.1\r\nHost: a",
        "a..b",
        ".a",
        "-a.b",
    ),
    *("a" * 64 + ".com", "a." * 130 + "com", "exam<ple>.com", "a'b.com", "\ud800.com", "*.example.com", "{host}"),
]


@pytest.mark.parametrize("host", HOSTILE_HOSTS)
async def test_hostile_hosts_are_refused_before_anything_is_sent(host: str) -> None:
    async with receiver(says(reply())) as there, Outbound(timeout_seconds=2) as client:
        url = f"http://{host}:{there.port}/"
        with pytest.raises(BadUrl, match="the "):
            check_url(url)
        with pytest.raises(RefusedAddress):
            await client.post(url, b"", {})
    assert there.connections == 0


@pytest.mark.parametrize(
    "url",
    [
        *(
            "",
            "/",
            "//127.0.0.1/",
            "example.com",
            "example.com/a",
            "http:",
            "http:/",
            "http://",
            "http:///a",
            "https:example.com",
        ),
        *("ftp://example.com/", "file:///etc/passwd", "gopher://example.com/", "ws://example.com/", "unix:/run/x.sock"),
        *(
            "javascript:alert(1)",
            "data:text/plain,a",
            "http+unix://%2frun%2fx/",
            "HTTPX://example.com",
            " http://example.com",
        ),
        *("http://example.com:0/", "http://example.com:-1/", "http://example.com:65536/", "http://example.com:8o/"),
        *("http://example.com:6379/", "http://example.com:25/", "http://example.com:22/", "http://example.com:5432/"),
        *(
            "http://example.com\n/",
            "http://example.com/\x00",
            "http://" + "a" * 3000 + "/",
            "http://example.com:9" + "9" * 5000,
        ),
    ],
)
def test_urls_that_cannot_be_called_are_refused_with_a_remedy(url: str) -> None:
    with pytest.raises(BadUrl, match="the ") as refused:
        check_url(url)
    assert ";" in str(refused.value) or "must" in str(refused.value)
    assert refused.value.__cause__ is None


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "HTTPS://Example.COM:8443/hook?key=1#top",
        "http://8.8.8.8/",
        "https://[2606:4700::1111]/",
        "https://商店.中国/回调?名=1",
        "https://xn--fiq228c.cn/",
        "http://my_service.example.com./",
        "http://0x7f.example.com/",
    ],
)
def test_public_urls_pass(url: str) -> None:
    check_url(url)


@given(st.text() | st.text("http://[]:@.0x7f1%", max_size=30).map(lambda text: "http://" + text))
def test_checking_raises_nothing_else(url: str) -> None:
    with suppress(BadUrl):
        check_url(url)


@given(st.ip_addresses(v=4))
def test_wrapped_addresses_never_open_what_is_closed(inner: Any) -> None:
    wide = [ip_network("::/0")]
    for wrapped in (
        f"::ffff:{inner}",
        f"::{inner}",
        f"64:ff9b::{inner}",
        f"2002:{int(inner) >> 16:x}:{int(inner) & 0xFFFF:x}::",
    ):
        assert not is_allowed(ip_address(wrapped))
        if int(inner) > 1:
            assert is_allowed(ip_address(wrapped), wide) == is_allowed(inner)


def test_allowed_networks_open_only_themselves() -> None:
    networks = [ip_network("10.1.0.0/16"), ip_network("fd00::/8")]
    assert is_allowed(ip_address("10.1.2.3"), networks)
    assert is_allowed(ip_address("fd00::1"), networks)
    assert not is_allowed(ip_address("10.2.0.1"), networks)
    assert not is_allowed(ip_address("::ffff:10.1.2.3"), networks)
    check_url("http://10.1.2.3/", networks)
    with pytest.raises(BadUrl):
        check_url("http://10.2.0.1/", networks)


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["10.0.0.1"],
        ["169.254.169.254"],
        ["::1"],
        ["::ffff:127.0.0.1"],
        ["fe80::1%lo"],
        ["8.8.8.8", "127.0.0.1"],
        ["127.0.0.1", "8.8.8.8"],
    ],
)
async def test_names_that_point_inside_are_refused(addresses: list[str]) -> None:
    async with (
        receiver(says(reply())) as there,
        Outbound(timeout_seconds=2, resolve=resolver(inside_example_com=addresses)) as client,
    ):
        with pytest.raises(RefusedAddress, match="address_refused"):
            await client.post(f"http://inside.example.com:{there.port}/", b"", {})
    assert there.connections == 0


async def test_rebinding_cannot_win_because_the_name_is_asked_once_and_its_answer_called() -> None:
    answers = [["127.0.0.1"], ["10.0.0.1"], ["127.0.0.1"]]
    asked: list[str] = []

    async def flip(host: str, port: int) -> list[str]:
        asked.append(host)
        return answers[len(asked) - 1]

    async with (
        receiver(says(reply(b"", "200 OK", "connection: close"))) as there,
        Outbound(timeout_seconds=2, allow_networks=[ip_network("127.0.0.1/32")], resolve=flip) as client,
    ):
        url = f"http://rebind.example.com:{there.port}/"
        assert (await client.post(url, b"", {})).status == 200
        assert len(asked) == 1
        with pytest.raises(RefusedAddress):
            await client.post(url, b"", {})
        assert (await client.post(url, b"", {})).status == 200
    assert (len(asked), there.connections) == (3, 2)
    assert b"host: rebind.example.com" in there.requests[0].lower()


# ---- Not sent


@pytest.mark.parametrize("error", [OSError("no such name"), UnicodeError("label"), None])
async def test_a_name_that_does_not_resolve_is_not_sent(error: Exception | None) -> None:
    async def fail(host: str, port: int) -> list[str]:
        if error:
            raise error
        return []

    async with outbound(resolve=fail) as client:
        with pytest.raises(NotSent, match="name_not_resolved") as failed:
            await client.post("https://nowhere.example.com/", b"", {})
    assert not isinstance(failed.value, RefusedAddress)


async def test_a_slow_resolver_is_not_sent() -> None:
    async def slow(host: str, port: int) -> list[str]:
        await asyncio.sleep(60)
        return []

    async with outbound(resolve=slow, timeout_seconds=0.2) as client:
        with pytest.raises(NotSent, match="timeout_in_connect"):
            await client.post("https://slow.example.com/", b"", {})


async def test_a_refused_connection_is_not_sent() -> None:
    async with receiver(says(reply())) as gone:
        pass
    async with outbound() as client:
        with pytest.raises(NotSent, match="connect_failed"):
            await client.post(f"http://127.0.0.1:{gone.port}/", b"", {})


async def test_the_next_address_is_tried_when_one_does_not_answer() -> None:
    async with (
        receiver(says(reply())) as there,
        outbound(resolve=resolver(two_example_com=["127.0.0.9", "127.0.0.1"])) as client,
    ):
        assert (await client.post(f"http://two.example.com:{there.port}/", b"", {})).status == 200


async def test_a_full_pool_is_not_sent_and_recovers() -> None:
    async with (
        receiver(never) as there,
        receiver(says(reply())) as other,
        outbound(max_connections=2, timeout_seconds=0.4, connect_timeout_seconds=0.2) as client,
    ):
        url = f"http://127.0.0.1:{there.port}/"
        errors = await asyncio.gather(*(client.post(url, b"", {}) for _ in range(8)), return_exceptions=True)
        assert sorted(map(repr, errors)) == ["Ambiguous('timeout_in_reply')"] * 2 + ["NotSent('timeout_in_queue')"] * 6
        for _ in range(3):
            assert (await client.post(f"http://127.0.0.1:{other.port}/", b"", {})).status == 200
    assert len(there.requests) == 2


@pytest.mark.parametrize(
    "headers",
    [
        {"content-length": "5"},
        {"Transfer-Encoding": "chunked"},
        {"Host": "elsewhere"},
        {"Connection": "upgrade"},
        {"x-a": "b\r\nx-c: d"},
        {"x a": "b"},
        {"x-a": "名"},
        {"名": "b"},
        {"": "b"},
    ],
)
async def test_headers_that_would_break_the_message_are_not_sent(headers: dict[str, str]) -> None:
    async with receiver(says(reply())) as there, outbound() as client:
        with pytest.raises(NotSent, match="bad_headers"):
            await client.post(f"http://127.0.0.1:{there.port}/", b"x", headers)
    assert there.requests == []


# ---- Ambiguous


async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def trickle_body(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
    await trickle(writer, b"a")


async def trickle_head(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    await trickle(writer, b"x: y\r\n")


async def trickle_continue(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await trickle(writer, b"HTTP/1.1 102 Processing\r\n\r\n")


async def trickle(writer: asyncio.StreamWriter, text: bytes) -> None:
    for _ in range(1000):
        writer.write(text)
        await writer.drain()
        await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("answer", "reason", "status"),
    [
        (never, "timeout_in_reply", None),
        (trickle_head, "timeout_in_reply", None),
        (trickle_continue, "timeout_in_reply", None),
        (trickle_body, "timeout_in_body", 200),
        (says(b"", hang_up), "protocol_error", None),
        (says(b"", reset), "connection_lost", None),
        (says(b"HTTP/1.1 20", hang_up), "protocol_error", None),
        (says(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", hang_up), "protocol_error", 200),
        (says(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", reset), "connection_lost", 200),
        (says(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"), "protocol_error", None),
        (says(b"-ERR unknown command\r\n\r\n"), "protocol_error", None),
        (says(b"HTTP/1.1 200 OK\r\n" + b"x: " + b"y" * 300_000 + b"\r\n\r\n"), "protocol_error", None),
        (says(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n"), "protocol_error", None),
        (says(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"), "protocol_error", 200),
        (says(b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"), "protocol_error", None),
    ],
)
async def test_failures_after_the_request_are_ambiguous(answer: Answer, reason: str, status: int | None) -> None:
    async with receiver(answer) as there, outbound(timeout_seconds=0.5) as client:
        began = time.monotonic()
        with pytest.raises(Ambiguous) as failed:
            await client.post(f"http://127.0.0.1:{there.port}/?phone=13812341234", b"x", {})
        assert time.monotonic() - began < 2
    assert (failed.value.reason, failed.value.status) == (reason, status)
    assert len(there.requests) == 1


async def test_a_request_that_cannot_be_written_is_ambiguous() -> None:
    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(1)
        writer.close()

    server = await asyncio.start_server(deaf, "127.0.0.1", 0)
    async with server, outbound(timeout_seconds=0.3) as client:
        with pytest.raises(Ambiguous, match="timeout_in_request"):
            await client.post(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", b"x" * 30_000_000, {})
        await asyncio.sleep(1)


async def test_cancelled_callers_stay_cancelled_and_leave_no_connection() -> None:
    open_there = 0

    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal open_there
        open_there += 1
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf")
        with suppress(OSError):
            await reader.read()  # until the client has closed its side
        open_there -= 1

    async with receiver(half) as there, receiver(says(reply())) as other, outbound(max_connections=3) as client:
        for yields in range(60):
            task = asyncio.create_task(client.post(f"http://127.0.0.1:{there.port}/", b"", {}))
            for _ in range(yields):
                await asyncio.sleep(0)
            # Twice: the second one meets the clean-up after the first.
            task.cancel()
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        calls = (client.post(f"http://127.0.0.1:{other.port}/", b"", {}) for _ in range(9))
        assert [got.status for got in await asyncio.gather(*calls)] == [200] * 9
        await asyncio.sleep(0.05)
        assert there.connections > 10
        assert open_there == 0


# ---- Bodies


async def huge(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n")
    for _megabyte in range(1000):
        writer.write(b"a" * 1_000_000)
        await writer.drain()


async def test_a_huge_body_is_cut_and_the_rest_not_read() -> None:
    async with receiver(huge) as there, outbound(max_response_bytes=1000) as client:
        got = await client.post(f"http://127.0.0.1:{there.port}/", b"", {})
        assert (got.status, got.body, got.truncated) == (200, b"a" * 1000, True)
        await client.post(f"http://127.0.0.1:{there.port}/", b"", {})
    assert there.connections == 2


@pytest.mark.parametrize(("size", "truncated"), [(999, False), (1000, False), (1001, True)])
async def test_the_cap_is_exact(size: int, truncated: bool) -> None:
    for body, headers in ((b"a" * size, []), (gzip.compress(b"a" * size), ["content-encoding: gzip"])):
        async with (
            receiver(says(reply(body, "200 OK", *headers))) as there,
            outbound(max_response_bytes=1000) as client,
        ):
            got = await client.post(f"http://127.0.0.1:{there.port}/", b"", {})
        assert (got.body, got.truncated) == (b"a" * min(size, 1000), truncated)


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "GZIP", "deflate"])
async def test_a_compressed_bomb_is_cut(encoding: str) -> None:
    body = (zlib if encoding == "deflate" else gzip).compress(bytes(50_000_000))
    answer = says(reply(body, "200 OK", f"content-encoding: {encoding}"))
    async with receiver(answer) as there, outbound(max_response_bytes=100_000) as client:
        tracemalloc.start()
        got = await client.post(f"http://127.0.0.1:{there.port}/", b"", {})
        _, peak_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert (got.body, got.truncated) == (bytes(100_000), True)
    assert peak_bytes < 2_000_000


@pytest.mark.parametrize(
    ("encoding", "body"),
    [("gzip", b"not gzip"), ("br", b"\x00\x01"), ("gzip, gzip", gzip.compress(b"a", mtime=0))],
)
async def test_what_cannot_be_expanded_stays_as_it_came(encoding: str, body: bytes) -> None:
    async with receiver(says(reply(body, "200 OK", f"content-encoding: {encoding}"))) as there, outbound() as client:
        assert (await client.post(f"http://127.0.0.1:{there.port}/", b"", {})).body == body


# ---- TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for receiver.example.com, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "receiver.example.com")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("receiver.example.com")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "receiver.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.fixture
def server_tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


NAMES = resolver(receiver_example_com="127.0.0.1", other_example_com="127.0.0.1")


async def test_tls_is_verified_against_the_name_not_the_address(certificate: Path, server_tls: ssl.SSLContext) -> None:
    shown: list[str] = []
    server_tls.sni_callback = lambda socket, name, context: shown.append(name)
    trust = ssl.create_default_context(cafile=certificate)
    async with receiver(says(reply()), server_tls) as there, outbound(tls=trust, resolve=NAMES) as client:
        assert (await client.post(f"https://receiver.example.com:{there.port}/", b"", {})).status == 200
        for wrong in ("other.example.com", "127.0.0.1"):
            with pytest.raises(NotSent, match="tls_failed"):
                await client.post(f"https://{wrong}:{there.port}/", b"", {})
    assert shown[:2] == ["receiver.example.com", "other.example.com"]
    assert len(there.requests) == 1


async def test_an_unknown_issuer_is_not_sent(server_tls: ssl.SSLContext) -> None:
    async with receiver(says(reply()), server_tls) as there, outbound(resolve=NAMES) as client:
        with pytest.raises(NotSent, match="tls_failed"):
            await client.post(f"https://receiver.example.com:{there.port}/", b"", {})
    assert there.requests == []


async def test_a_server_without_tls_is_not_sent() -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(plain, "127.0.0.1", 0)
    async with server, outbound() as client:
        with pytest.raises(NotSent, match="tls_failed"):
            await client.post(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/", b"", {})


async def slowly(host: str, port: int) -> list[str]:
    await asyncio.sleep(0.2)
    return ["127.0.0.1"]


@pytest.mark.parametrize(("resolve", "reason"), [(NAMES, "tls_timeout"), (slowly, "timeout_in_tls")])
async def test_a_handshake_without_end_is_not_sent_and_leaves_no_socket(resolve: Any, reason: str) -> None:
    left = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()  # until the client has closed its side
        writer.close()
        left.set()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    # With a slow resolver the limit of the whole is reached before that of the handshake.
    async with server, outbound(timeout_seconds=0.5, connect_timeout_seconds=0.4, resolve=resolve) as client:
        with pytest.raises(NotSent, match=reason):
            await client.post(f"https://receiver.example.com:{server.sockets[0].getsockname()[1]}/", b"", {})
        await asyncio.wait_for(left.wait(), 1)


async def test_broken_tls_records_after_the_request_are_ambiguous(
    certificate: Path, server_tls: ssl.SSLContext
) -> None:
    def garble(writer: asyncio.StreamWriter) -> None:
        raw = writer.get_extra_info("ssl_object")  # writes past the encryption, into the socket itself
        assert raw is not None
        writer.transport._ssl_protocol._transport.write(b"\x17\x03\x03\x00\x20" + b"\x00" * 32)  # type: ignore[attr-defined]

    trust = ssl.create_default_context(cafile=certificate)
    async with receiver(says(b"", garble), server_tls) as there, outbound(tls=trust, resolve=NAMES) as client:
        with pytest.raises(Ambiguous) as failed:
            await client.post(f"https://receiver.example.com:{there.port}/", b"x", {})
    assert failed.value.reason == "connection_lost"


def test_every_error_has_one_base_and_a_short_reason() -> None:
    assert issubclass(RefusedAddress, NotSent)
    assert issubclass(NotSent, OutboundError)
    assert issubclass(Ambiguous, OutboundError)
    assert not issubclass(Ambiguous, NotSent)
    assert str(Ambiguous("timeout_in_body", 200)) == "timeout_in_body"

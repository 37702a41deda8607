"""The one guarded HTTP client through which everything outgoing leaves."""

import asyncio
import socket
import ssl
import zlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from ipaddress import ip_address
from types import TracebackType
from typing import Any, Self, cast

import anyio
import httpcore
import httpx

from app.core.targets import BadUrl, Network, check_url, is_allowed

__all__ = ["Ambiguous", "BadUrl", "NotSent", "Outbound", "OutboundError", "RefusedAddress", "Reply", "check_url"]

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]

# The client frames the message; a caller's length or encoding could cut a request in half after it was begun.
_OUR_HEADERS = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-length",
        "expect",
        "host",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_MAX_ADDRESSES_TRIED = 4
_PHASES = {
    "connection.connect_tcp": "connect",
    "connection.start_tls": "tls",
    "http11.send_request_headers": "request",
    "http11.receive_response_headers": "reply",
    "http11.receive_response_body": "body",
}


class OutboundError(Exception):
    """A request without a usable reply. `reason` is a short constant, fit for logs and the delivery list."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class NotSent(OutboundError):
    """Not one byte of the request left: trying again cannot send twice."""


class RefusedAddress(NotSent):
    """The target is guarded: a URL, port or address that this installation does not call."""


class Ambiguous(OutboundError):
    """The request may have arrived. `status` is set when at least the head of a reply was seen."""

    def __init__(self, reason: str, status: int | None = None) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply of any status; redirects too, since none is followed. `truncated`: the body was longer than the cap."""

    status: int
    headers: httpx.Headers
    body: bytes
    truncated: bool = False


class Outbound:
    """One pool of guarded connections; build it once per process and close it with `aclose`.

    Args:
        allow_networks: networks that may be called although they are not public.
        timeout_seconds: for the whole exchange: waiting for the pool, names, TLS, and the last byte of the body.
        max_response_bytes: kept of a body, before and after decompression; the rest is not read.
        max_connections: in use at once; callers above this number wait, and time out as NotSent.
        max_keepalive_connections: open and idle, on top of those.
        keepalive_seconds: below the 5 s after which common servers hang up, because a connection that closes
            while a request is written leaves that request ambiguous.
        tls: trust store; by default the certifi bundle, whatever the environment says.
        resolve: host and port to addresses; raises OSError. By default the system's resolver.

    It speaks to an httpx transport without `httpx.AsyncClient` around it: cookies, redirects, proxies from the
    environment and a log line with the URL (whose query may hold a token) are features of the client, so none
    of them has to be switched off here.
    """

    def __init__(
        self,
        *,
        allow_networks: Sequence[Network] = (),
        timeout_seconds: float = 15.0,
        max_response_bytes: int = 65_536,
        max_connections: int = 100,
        max_keepalive_connections: int = 20,
        keepalive_seconds: float = 2.0,
        tls: ssl.SSLContext | None = None,
        resolve: Resolve | None = None,
    ) -> None:
        self._allow_networks = tuple(allow_networks)
        self._timeout_seconds = timeout_seconds
        self._max_response_bytes = max_response_bytes
        # The queue is ours: in httpcore's, a request cancelled just after it was given a new connection takes that
        # connection's place in the pool for good.
        self._places = asyncio.Semaphore(max_connections)
        self._transport = _GuardedTransport(
            httpcore.AsyncConnectionPool(
                ssl_context=tls or httpx.create_ssl_context(trust_env=False),
                max_connections=None,
                max_keepalive_connections=max_keepalive_connections,
                keepalive_expiry=keepalive_seconds,
                network_backend=_GuardedBackend(self._allow_networks, resolve or resolve_by_system),
            )
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close every connection."""
        await self._transport.aclose()

    async def post(self, url: str, content: bytes, headers: Mapping[str, str]) -> Reply:
        """POST the bytes as they are. Raises: RefusedAddress, NotSent, Ambiguous."""
        return await self.request("POST", url, content=content, headers=headers)

    async def request(
        self, method: str, url: str, *, content: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Reply:
        """Send one request, once: no retries, no redirects.

        Raises: RefusedAddress, NotSent, Ambiguous, and nothing else that the network or the receiver can cause.
        """
        progress = _Progress()
        request = self._build(method, url, content, headers or {}, progress)
        try:
            # anyio's timeout, not asyncio's: httpcore guards its clean-up with anyio, and only from anyio's.
            with anyio.fail_after(self._timeout_seconds):
                async with self._places:
                    return await self._exchange(request, progress)
        except TimeoutError as error:
            raise progress.failure(f"timeout_in_{progress.phase}") from error
        except httpx.LocalProtocolError as error:  # a header that is no header; framing is ours, so nothing was written
            raise NotSent("bad_headers") from error
        except (httpx.HTTPError, OSError) as error:  # OSError: TLS records broken after the handshake
            raise progress.failure(_reason(error)) from error

    def _build(
        self, method: str, url: str, content: bytes, headers: Mapping[str, str], progress: "_Progress"
    ) -> httpx.Request:
        try:
            target = check_url(url, self._allow_networks)
        except BadUrl as error:
            raise RefusedAddress("url_refused") from error
        if _OUR_HEADERS.intersection(name.lower() for name in headers):
            raise NotSent("bad_headers")
        # We ask for plain bodies; whoever compresses all the same is expanded up to the cap.
        merged = httpx.Headers({"user-agent": "Kehu", "accept-encoding": "identity"})
        try:
            merged.update(headers)
        except UnicodeEncodeError as error:
            raise NotSent("bad_headers") from error
        extensions = {"trace": progress, "timeout": {"connect": min(5.0, self._timeout_seconds)}}
        return httpx.Request(method, target, headers=merged, content=content, extensions=extensions)

    async def _exchange(self, request: httpx.Request, progress: "_Progress") -> Reply:
        response = await self._transport.handle_async_request(request)
        progress.status = response.status_code
        try:
            body, cut = await _read(response, self._max_response_bytes)
        finally:
            await response.aclose()
        if response.headers.get("content-encoding", "").lower() in {"gzip", "x-gzip", "deflate"}:
            body, cut = _expand(body, cut, self._max_response_bytes)
        return Reply(response.status_code, response.headers, body, cut)


async def resolve_by_system(host: str, port: int) -> Sequence[str]:
    """Ask the system's resolver, in a thread: it goes on there after a timeout. Raises: OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(sockaddr[0]) for *_, sockaddr in found]


class _GuardedTransport(httpx.AsyncHTTPTransport):
    """httpx's own transport over a pool of ours: it offers no parameter for the network backend.

    Should httpx rename the attribute, every request fails; none goes out unguarded.
    """

    def __init__(self, pool: httpcore.AsyncConnectionPool) -> None:
        self._pool = pool


class _GuardedBackend(httpcore.AsyncNetworkBackend):
    """Resolves, judges and connects in one step, so the address judged is the address called.

    TLS is started above this layer with the host of the URL, so certificates are checked against the name.
    """

    def __init__(self, allow_networks: Sequence[Network], resolve: Resolve) -> None:
        self._allow_networks = allow_networks
        self._resolve = resolve
        self._sockets = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 -- the base class
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        timed_out = False
        for address in (await self._addresses(host, port))[:_MAX_ADDRESSES_TRIED]:
            try:
                return _Stream(await self._sockets.connect_tcp(address, port, timeout, local_address, socket_options))
            except httpcore.ConnectTimeout:
                timed_out = True
            except httpcore.ConnectError:
                pass
        raise NotSent("connect_timeout" if timed_out else "connect_failed")

    async def _addresses(self, host: str, port: int) -> list[str]:
        try:
            found = list(dict.fromkeys(await self._resolve(host, port)))
        except (OSError, UnicodeError) as error:
            raise NotSent("name_not_resolved") from error
        if not found:
            raise NotSent("name_not_resolved")
        # One closed address refuses the name. Calling only the open ones would hide a name that points inside,
        # by attack or by mistake, and make the outcome depend on which answer the resolver gave this time.
        if not all(is_allowed(ip_address(address), self._allow_networks) for address in found):
            raise RefusedAddress("address_refused")
        return found


class _Stream(httpcore.AsyncNetworkStream):
    """A TCP stream that is closed when its TLS handshake is cancelled; httpcore's own would stay open."""

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 -- the base class
        return await self._stream.read(max_bytes, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 -- the base class
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 -- the base class
    ) -> httpcore.AsyncNetworkStream:
        try:
            return await self._stream.start_tls(ssl_context, server_hostname, timeout)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self._stream.aclose()
            raise


class _Progress:
    """How far a request came; httpcore calls it at each step of the request that carries it."""

    def __init__(self) -> None:
        self.phase = "queue"
        self.status: int | None = None

    async def __call__(self, event: str, info: Mapping[str, Any]) -> None:
        step, _, moment = event.rpartition(".")
        if moment == "started":
            self.phase = _PHASES.get(step, self.phase)

    def failure(self, reason: str) -> OutboundError:
        if self.phase in {"queue", "connect", "tls"}:
            return NotSent(reason)
        return Ambiguous(reason, self.status)


def _reason(error: Exception) -> str:
    if isinstance(error, httpx.ConnectTimeout):
        return "tls_timeout"
    if isinstance(error, httpx.ConnectError):  # TCP failures were sorted by the backend
        return "tls_failed"
    return "protocol_error" if isinstance(error, httpx.ProtocolError) else "connection_lost"


async def _read(response: httpx.Response, limit: int) -> tuple[bytes, bool]:
    body = bytearray()
    # httpx types it as an iterator; closed here, a body that is left unread does not wait for the garbage collector.
    async with aclosing(cast(AsyncGenerator[bytes, None], response.aiter_raw())) as chunks:
        async for chunk in chunks:
            room = limit - len(body)
            body += chunk[:room]
            if len(chunk) > room:
                return bytes(body), True
    return bytes(body), False


def _expand(body: bytes, cut: bool, limit: int) -> tuple[bytes, bool]:
    decoder = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)  # reads the gzip or the zlib header
    try:
        expanded = decoder.decompress(body, limit + 1)
    except zlib.error:
        return body, cut
    return expanded[:limit], cut or len(expanded) > limit

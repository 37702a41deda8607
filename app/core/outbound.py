"""The one guarded HTTP client through which everything outgoing leaves."""

import asyncio
import ssl
import zlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import anyio
import httpcore
import httpx

from app.core.guard import (
    GuardedBackend,
    GuardedTransport,
    NotSent,
    OutboundError,
    RefusedAddress,
    Resolve,
    resolve_by_system,
)
from app.core.targets import BadUrl, Network, check_url

__all__ = ["Ambiguous", "BadUrl", "NotSent", "Outbound", "OutboundError", "RefusedAddress", "Reply", "check_url"]

# The client frames the message; a caller's length or encoding could cut a request in half after it was begun.
_OUR_HEADERS = {"accept-encoding", "connection", "content-length", "expect", "host", "transfer-encoding", "upgrade"}
_PHASES = {
    "connection.connect_tcp": "connect",
    "connection.start_tls": "tls",
    "http11.send_request_headers": "request",
    "http11.receive_response_headers": "reply",
    "http11.receive_response_body": "body",
}


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
        timeout_seconds: for the whole exchange, from the name to the last byte of the body.
        connect_timeout_seconds: before that, for a free connection; within it, for each address tried and for TLS.
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
        connect_timeout_seconds: float = 5.0,
        max_response_bytes: int = 65_536,
        max_connections: int = 100,
        max_keepalive_connections: int = 20,
        keepalive_seconds: float = 2.0,
        tls: ssl.SSLContext | None = None,
        resolve: Resolve | None = None,
    ) -> None:
        self._allow_networks = tuple(allow_networks)
        self._timeout_seconds = timeout_seconds
        self._connect_timeout_seconds = connect_timeout_seconds
        self._max_response_bytes = max_response_bytes
        # The queue is ours: in httpcore's, a request cancelled just after it was given a new connection takes that
        # connection's place in the pool for good.
        self._places = asyncio.Semaphore(max_connections)
        self._transport = GuardedTransport(
            httpcore.AsyncConnectionPool(
                ssl_context=tls or httpx.create_ssl_context(trust_env=False),
                max_connections=None,
                max_keepalive_connections=max_keepalive_connections,
                keepalive_expiry=keepalive_seconds,
                network_backend=GuardedBackend(self._allow_networks, resolve or resolve_by_system),
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
        await self._take_place()
        try:
            return await _cancelled_by_anyio(lambda: self._exchange(request, progress), self._timeout_seconds)
        except TimeoutError as error:
            raise progress.failure(f"timeout_in_{progress.phase}") from error
        except httpx.LocalProtocolError as error:  # a header that is no header; framing is ours, so nothing was written
            raise NotSent("bad_headers") from error
        except (httpx.HTTPError, OSError) as error:  # OSError: TLS records broken after the handshake
            raise progress.failure(_reason(error)) from error
        finally:
            self._places.release()

    async def _take_place(self) -> None:
        # A limit of its own: a request that waited through most of the other would be sent and at once given up.
        try:
            with anyio.fail_after(self._connect_timeout_seconds):
                await self._places.acquire()
        except TimeoutError as error:
            raise NotSent("timeout_in_queue") from error

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
        extensions = {"trace": progress, "timeout": {"connect": self._connect_timeout_seconds}}
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


class _Progress:
    """How far a request came; httpcore calls it at each step of the request that carries it."""

    def __init__(self) -> None:
        self.phase = "connect"
        self.status: int | None = None

    async def __call__(self, event: str, info: Mapping[str, Any]) -> None:
        step, _, moment = event.rpartition(".")
        if moment == "started":
            self.phase = _PHASES.get(step, self.phase)

    def failure(self, reason: str) -> OutboundError:
        if self.phase in {"connect", "tls"}:
            return NotSent(reason)
        return Ambiguous(reason, self.status)


async def _cancelled_by_anyio(work: Callable[[], Awaitable[Reply]], timeout_seconds: float) -> Reply:
    """The work's reply or error, from a task of its own.

    httpcore shields its clean-up from anyio's cancellation only. A caller cancelled by asyncio, directly or by a
    timeout, would leave connections open and marked as in use; a task group turns the one kind into the other.
    """
    outcome: list[Reply | Exception] = []

    async def run() -> None:
        try:
            with anyio.fail_after(timeout_seconds):
                outcome.append(await work())
        except Exception as error:
            outcome.append(error)

    async with anyio.create_task_group() as group:
        group.start_soon(run)
    if isinstance(outcome[0], Exception):
        raise outcome[0]
    return outcome[0]


def _reason(error: Exception) -> str:
    if isinstance(error, httpx.ConnectTimeout):
        return "tls_timeout"
    if isinstance(error, httpx.ConnectError):  # TCP failures were sorted by the backend
        return "tls_failed"
    return "protocol_error" if isinstance(error, httpx.ProtocolError) else "connection_lost"


async def _read(response: httpx.Response, limit: int) -> tuple[bytes, bool]:
    body = bytearray()
    async for chunk in response.aiter_raw():
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

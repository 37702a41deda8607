"""Connections that are opened only to addresses judged fit, at the moment of connecting."""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from ipaddress import ip_address
from typing import Any

import anyio
import httpcore
import httpx

from app.core.targets import Network, is_allowed

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]

_MAX_ADDRESSES_TRIED = 4


class OutboundError(Exception):
    """A request without a usable reply. `reason` is a short constant, fit for logs and the delivery list."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class NotSent(OutboundError):
    """Not one byte of the request left: trying again cannot send twice."""


class RefusedAddress(NotSent):
    """The target is guarded: a URL, port or address that this installation does not call."""


async def resolve_by_system(host: str, port: int) -> Sequence[str]:
    """Ask the system's resolver, in a thread: it goes on there after a timeout. Raises: OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(sockaddr[0]) for *_, sockaddr in found]


class GuardedTransport(httpx.AsyncHTTPTransport):
    """httpx's own transport over a pool of ours: it offers no parameter for the network backend.

    Should httpx rename the attribute, every request fails; none goes out unguarded.
    """

    def __init__(self, pool: httpcore.AsyncConnectionPool) -> None:
        self._pool = pool


class GuardedBackend(httpcore.AsyncNetworkBackend):
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

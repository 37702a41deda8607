"""A fast local receiver of webhooks: it answers at once, and remembers what came when."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from app.webhooks.signing import verify
from benchmarks.client import HOST

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_OK: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@dataclass(slots=True)
class Inbox:
    """What arrived: (moment by the performance counter, head, body)."""

    port: int = 0
    messages: list[tuple[float, bytes, bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where to send."""
        return f"http://{HOST}:{self.port}/hook"

    async def until(self, count: int, *, idle_seconds: float) -> None:
        """Wait for so many messages, or until none has come for a while."""
        seen, quiet_since = -1, time.perf_counter()
        while len(self.messages) < count and time.perf_counter() - quiet_since < idle_seconds:
            if len(self.messages) != seen:
                seen, quiet_since = len(self.messages), time.perf_counter()
            await asyncio.sleep(0.05)

    def verified(self, secret: str) -> list[tuple[float, dict[str, Any]]]:
        """Every message with its moment, after its signature was verified. Raises BadSignature."""
        found = []
        for moment, head, body in self.messages:
            lines = (line.partition(": ") for line in head.decode().split("\r\n")[1:])
            verify([secret], {name.lower(): value for name, _, value in lines}, body, time.time())
            found.append((moment, orjson.loads(body)))
        return found


@asynccontextmanager
async def listening() -> AsyncIterator[Inbox]:
    """Receive on a free port."""
    inbox = Inbox()
    server = await asyncio.get_running_loop().create_server(lambda: _Protocol(inbox), HOST, 0)
    inbox.port = server.sockets[0].getsockname()[1]
    try:
        yield inbox
    finally:
        server.close()


class _Protocol(asyncio.Protocol):
    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._buffer = bytearray()
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(self._buffer, 0, end)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(self._buffer) < whole:
                return
            message = bytes(self._buffer[:end]), bytes(self._buffer[end + 4 : whole])
            del self._buffer[:whole]
            self._inbox.messages.append((time.perf_counter(), *message))
            self._transport.write(_OK)

"""A client without manners: it sends the bytes that it is given, and a server that thinks too long has failed."""

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import urlsplit

PATIENCE_SECONDS = 5.0
JSON = ("Content-Type", "application/json")

Headers = Sequence[tuple[str | bytes, str | bytes]]


class Hang(AssertionError):
    """No answer within five seconds."""


@dataclass(frozen=True)
class Answer:
    """What came back; `headers` with names in lower case. Status 0: the server hung up without an answer."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    seconds: float = 0.0

    @property
    def json(self) -> Any:
        """The parsed body. Raises ValueError."""
        return json.loads(self.body)

    @property
    def is_problem(self) -> bool:
        """Whether this is the refusal that the contract promises: a problem document that says its own status."""
        if self.headers.get("content-type") != "application/problem+json":
            return False
        found = self.json
        return found["status"] == self.status and bool(found["code"] and found["title"] and found["detail"])


class RawClient:
    """Keeps connections to one server, one per request under way. Safe to use from many tasks."""

    def __init__(self, base_url: str) -> None:
        parts = urlsplit(base_url)
        self._host, self._port = str(parts.hostname), parts.port or 80
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for _reader, writer in self._idle:
            writer.close()
        self._idle.clear()

    async def send(
        self,
        method: str | bytes,
        target: str | bytes,
        headers: Headers = (),
        body: bytes | None = None,
        *,
        chunked: bool = False,
        patience: float = PATIENCE_SECONDS,
    ) -> Answer:
        """One request, its length announced unless it comes in chunks. Raises Hang."""
        lines = [_bytes(method) + b" " + _bytes(target) + b" HTTP/1.1", b"Host: kehu.test"]
        lines += [_bytes(name) + b": " + _bytes(value) for name, value in headers]
        if chunked:
            lines.append(b"Transfer-Encoding: chunked")
            body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in _parts(body or b"")) + b"0\r\n\r\n"
        elif body is not None:
            lines.append(b"Content-Length: %d" % len(body))
        return await self.exchange(b"\r\n".join(lines) + b"\r\n\r\n" + (body or b""), patience=patience)

    async def exchange(self, request: bytes, *, patience: float = PATIENCE_SECONDS) -> Answer:
        """Exactly these bytes, on a connection that was left open or a new one. Raises Hang."""
        started = time.monotonic()
        kept = bool(self._idle)
        reader, writer = self._idle.pop() if kept else await self._connect()
        try:
            async with asyncio.timeout(patience):
                writer.write(request)  # sent while the answer is awaited: it may come before the server has read all
                status, headers, body = await _answer(reader, head_only=request.startswith(b"HEAD "))
        except TimeoutError:
            writer.close()
            raise Hang(f"no answer in {patience} s to {request[:120]!r}") from None
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()
            if kept:  # it may have been closed since the answer before
                return await self.exchange(request, patience=patience)
            return Answer(0, seconds=time.monotonic() - started)
        if headers.get("connection") == "close" or status >= 500 or len(request) > 100_000:
            writer.close()  # after a large body the server may still be reading what it refused
        else:
            self._idle.append((reader, writer))
        return Answer(status, headers, body, time.monotonic() - started)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(self._host, self._port, limit=64 << 20)


async def _answer(reader: asyncio.StreamReader, *, head_only: bool) -> tuple[int, dict[str, str], bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    status = int(first.split(" ")[1])
    if status == 100:
        return await _answer(reader, head_only=head_only)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
    if head_only or status in (204, 304):
        return status, headers, b""
    if headers.get("transfer-encoding") == "chunked":
        body = b""
        while size := int(await reader.readline(), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readline()
        return status, headers, body
    return status, headers, await reader.readexactly(int(headers.get("content-length", 0)))


def _parts(body: bytes) -> list[bytes]:
    return [body[start : start + 65_536] for start in range(0, len(body), 65_536)]


def _bytes(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text

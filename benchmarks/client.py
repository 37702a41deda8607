"""A light HTTP/1.1 client on raw sockets: keep-alive, one request at a time on each connection, every answer checked.

httpx would take more of the two cores than what it measures. This client writes ready bytes and looks at an answer's
status, its Content-Length and one marker in its body.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final, NamedTuple, Self

import orjson

HOST: Final = "127.0.0.1"
CONNECTIONS: Final = 16
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_END: Final = b"\r\n\r\n"


class Answer(NamedTuple):
    """A reply."""

    status: int
    body: bytes


class WrongAnswer(Exception):
    """Not what a correct service answers; measuring on would measure errors."""


class Connection(asyncio.Protocol):
    """One keep-alive connection; ask again only after the answer."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._needed = 0
        self._body_at = 0
        self._waiter: asyncio.Future[Answer] | None = None
        self._transport: asyncio.Transport

    @classmethod
    async def open(cls, port: int) -> Self:
        """Connect on loopback."""
        _, connection = await asyncio.get_running_loop().create_connection(cls, HOST, port)
        return connection

    def ask(self, request: bytes) -> "asyncio.Future[Answer]":
        """Send a request. Returns the future of its answer."""
        self._waiter = self._loop.create_future()
        self._transport.write(request)
        return self._waiter

    def close(self) -> None:
        """Hang up."""
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio's hook."""
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        """asyncio's hook: an answer is complete when its announced length is there."""
        buffer = self._buffer
        buffer += data
        if not self._needed:
            end = buffer.find(_END)
            if end < 0:
                return
            length = _LENGTH.search(buffer, 0, end)
            self._body_at = end + len(_END)
            self._needed = self._body_at + (int(length[1]) if length else 0)
        if len(buffer) >= self._needed:
            answer = Answer(int(buffer[9:12]), bytes(buffer[self._body_at : self._needed]))
            buffer.clear()
            self._needed = 0
            if self._waiter is not None and not self._waiter.done():
                self._waiter.set_result(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio's hook."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(exc or ConnectionResetError("the server hung up"))


def request(method: str, target: str, body: bytes = b"", *, bearer: str | None = None) -> bytes:
    """A request as bytes."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {HOST}"]
    if bearer:
        lines.append(f"Authorization: Bearer {bearer}")
    if body or method != "GET":
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode() + _END + body


@asynccontextmanager
async def connected(port: int, count: int = CONNECTIONS) -> AsyncIterator[list[Connection]]:
    """Open connections, closed at the end."""
    async with AsyncExitStack() as stack:
        connections = []
        for _ in range(count):
            connections.append(await Connection.open(port))
            stack.callback(connections[-1].close)
        yield connections


def checked(answer: Answer, marker: bytes) -> Answer:
    """The answer. Raises WrongAnswer unless it is a success that holds the marker."""
    if not 200 <= answer.status < 300 or marker not in answer.body:
        raise WrongAnswer(f"status {answer.status}, expected {marker!r} in: {answer.body[:300]!r}")
    return answer


async def drive(
    connections: list[Connection], make: Callable[[], bytes], marker: bytes, seconds: float
) -> tuple[list[float], float]:
    """Keep every connection busy for the time given; what has been sent by then is waited for.

    Returns: latencies in seconds, and the time from the first request to the last answer.
    """
    latencies: list[float] = []
    clock = time.perf_counter
    begun = clock()
    deadline = begun + seconds

    async def keep_asking(connection: Connection) -> None:
        while (sent := clock()) < deadline:
            checked(await connection.ask(make()), marker)
            latencies.append(clock() - sent)

    await asyncio.gather(*(keep_asking(connection) for connection in connections))
    return latencies, clock() - begun


async def pace(port: int, requests: Sequence[bytes], per_second: float, marker: bytes) -> list[tuple[float, float]]:
    """Send at an even pace, whatever the answers take.

    Returns: for each request when it was due to be sent, and the seconds from then to its answer.
    """
    sent: list[tuple[float, float]] = [(0.0, 0.0)] * len(requests)
    async with connected(port) as connections:
        free: asyncio.Queue[Connection] = asyncio.Queue()
        for connection in connections:
            free.put_nowait(connection)

        async def one(index: int, due: float) -> None:
            connection = await free.get()
            checked(await connection.ask(requests[index]), marker)
            sent[index] = due, time.perf_counter() - due
            free.put_nowait(connection)

        begun = time.perf_counter()
        tasks = []
        for index in range(len(requests)):
            due = begun + index / per_second
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            tasks.append(asyncio.create_task(one(index, due)))
        await asyncio.gather(*tasks)
    return sent


async def call(port: int, method: str, target: str, value: Any = None, *, bearer: str, headers: str = "") -> Any:
    """One JSON call of the setting-up. Raises WrongAnswer."""
    body = b"" if value is None else orjson.dumps(value)
    ready = request(method, target, body, bearer=bearer)
    if headers:
        ready = ready.replace(b"\r\n", f"\r\n{headers}\r\n".encode(), 1)
    async with connected(port, 1) as (connection,):
        answer = checked(await connection.ask(ready), b"")
    return orjson.loads(answer.body) if answer.body else None

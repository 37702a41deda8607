"""A receiver of webhooks that counts by message id, and misbehaves as a test says."""

import asyncio
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, Literal, NamedTuple

HOST: Final = "127.0.0.1"
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_ID: Final = re.compile(rb"\r\nwebhook-id: *([!-~]+)", re.IGNORECASE)


class Message(NamedTuple):
    """One request, with the moment of its arrival by the monotonic clock."""

    path: str
    id: str
    body: bytes
    moment: float
    peer: int  # the sender's port


class Answer(NamedTuple):
    """`cut`: "reset" hangs up without an answer, "after" answers and hangs up; `hang`: no answer, no end."""

    status: int = 200
    after_seconds: float = 0.0
    hang: bool = False
    cut: Literal["", "reset", "after"] = ""


@dataclass
class Receiver:
    """Strict: every arrival has its effect. De-duplicating, as the standard asks: an id has its effect once.

    `behave` is asked at each arrival, after the effect, and may be changed at any time.
    """

    deduplicating: bool = True
    port: int = 0
    behave: Callable[[Message], Answer] = lambda _: Answer()
    messages: list[Message] = field(default_factory=list)
    effects: Counter[str] = field(default_factory=Counter)
    open: int = 0  # arrivals that have had no answer yet

    def url(self, path: str = "/hook") -> str:
        """Where to send."""
        return f"http://{HOST}:{self.port}{path}"

    def take(self, message: Message) -> Answer:
        """Count the message and say what happens to it."""
        self.messages.append(message)
        if not self.deduplicating or message.id not in self.effects:
            self.effects[message.id] += 1
        return self.behave(message)

    def wrong(self, owed: Iterable[str]) -> list[str]:
        """What is lost, doubled or was never owed; nothing if each id had its effect exactly once."""
        expected = set(owed)
        lost, foreign = expected - self.effects.keys(), self.effects.keys() - expected
        doubled = [one for one, count in self.effects.items() if count > 1]
        named = {"lost": lost, "doubled": doubled, "never owed": foreign}
        return [f"{what} at the receiver: {len(ids)}, {sorted(ids)[:3]}" for what, ids in named.items() if ids]

    def repeats(self) -> int:
        """Arrivals beyond the first of an id."""
        return len(self.messages) - len({message.id for message in self.messages})

    def longest_gap(self, since: float) -> float:
        """The longest time, from a moment on, in which nothing new arrived before the last new id did."""
        seen: set[str] = set()
        moments = [since]
        for message in self.messages:
            if message.id not in seen and message.moment >= since:
                moments.append(message.moment)
            seen.add(message.id)
        return max((later - sooner for sooner, later in pairwise(moments)), default=0.0)


@asynccontextmanager
async def receiving(*, deduplicating: bool = True) -> AsyncIterator[Receiver]:
    """A receiver on a free port."""
    receiver = Receiver(deduplicating)
    connections: set[_Connection] = set()
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(receiver, connections), HOST, 0)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        for connection in list(connections):
            connection.transport.abort()
        await asyncio.sleep(0)


class _Connection(asyncio.Protocol):
    def __init__(self, receiver: Receiver, connections: "set[_Connection]") -> None:
        self._receiver, self._connections = receiver, connections
        self._buffer = bytearray()
        self._open = 0
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self._peer: int = transport.get_extra_info("peername")[1]
        self._connections.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._connections.discard(self)
        self._receiver.open -= self._open
        self._open = 0

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._buffer[:end])
            length = _LENGTH.search(head)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(self._buffer) < whole:
                return
            body = bytes(self._buffer[end + 4 : whole])
            del self._buffer[:whole]
            named = _ID.search(head)
            message_id = named[1].decode() if named else "-"
            message = Message(head.split(b" ")[1].decode(), message_id, body, time.monotonic(), self._peer)
            self._count(1)
            self._obey(self._receiver.take(message))

    def _obey(self, answer: Answer) -> None:
        if answer.hang:
            return
        if answer.cut == "reset":
            self.transport.abort()
        elif answer.after_seconds:
            asyncio.get_running_loop().call_later(answer.after_seconds, self._say, answer)
        else:
            self._say(answer)

    def _say(self, answer: Answer) -> None:
        if self.transport.is_closing():
            return
        self._count(-1)
        self.transport.write(f"HTTP/1.1 {answer.status} X\r\nContent-Length: 0\r\n\r\n".encode())
        if answer.cut == "after":
            self.transport.close()

    def _count(self, change: int) -> None:
        self._open += change
        self._receiver.open += change

"""A receiver on loopback that keeps what it was sent, and answers as a test says."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from standardwebhooks import Webhook


@dataclass
class Message:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        """What a receiver de-duplicates by."""
        return self.headers["webhook-id"]

    @property
    def json(self) -> Any:
        """The parsed body."""
        return json.loads(self.body)

    def verify(self, secret: str) -> Any:
        """By the reference implementation. Raises when the signature does not fit."""
        return Webhook(secret).verify(self.body, self.headers)


@dataclass
class Answer:
    """Status, headers, body, and how long to wait before; `cut`: hang up instead."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    after_seconds: float = 0.0
    cut: bool = False
    body: bytes = b""


@dataclass
class Receiver:
    """`answer` may be changed at any time."""

    url: str = ""
    answer: Callable[[Message], Answer] = lambda _: Answer()
    messages: list[Message] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def ids(self) -> list[str]:
        """Message ids in the order of arrival, repeats included."""
        return [message.id for message in self.messages]

    async def until(self, count: int, *, seconds: float = 10.0) -> None:
        """Wait for so many messages in all. Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while len(self.messages) < count:
                self.news.clear()
                await self.news.wait()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, kept alive."""
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                first, *lines = head.decode().split("\r\n")
                headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines if line)}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                message = Message(first.split(" ")[1], headers, body)
                self.messages.append(message)
                self.news.set()
                answer = self.answer(message)
                if answer.after_seconds:
                    await asyncio.sleep(answer.after_seconds)
                if answer.cut:
                    return
                extra = "".join(f"{name}: {value}\r\n" for name, value in answer.headers.items())
                head_out = f"HTTP/1.1 {answer.status} X\r\n{extra}content-length: {len(answer.body)}\r\n\r\n"
                writer.write(head_out.encode() + answer.body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """A receiver on a free port."""
    receiver = Receiver()
    tasks: set[asyncio.Task[None]] = set()

    def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(receiver.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    try:
        yield receiver
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

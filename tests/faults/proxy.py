"""A TCP proxy that does to connections what networks do: cuts, silence, delay, resets, and answers that get lost."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from random import Random
from typing import Final, Literal

HOST: Final = "127.0.0.1"
Fate = Literal["close", "hang"]
Lose = Callable[[bytes], Fate | None]
_COMMIT: Final = b"COMMIT\x00"


@dataclass(eq=False)
class _Link:
    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    fate: Fate | None = None


@dataclass
class Proxy:
    """Stands in front of a port. Every setting may be changed while connections are open.

    `lose` looks at what the client sends, and decides what becomes of the answer: the request is always forwarded, so
    what it asks for happens. "close": the connection ends instead of the answer; "hang": the answer never comes.
    """

    target: int
    port: int = 0
    refusing: bool = False
    delay_seconds: float = 0.0
    lose: Lose = lambda _: None
    lost: int = 0
    _links: set[_Link] = field(default_factory=set)
    _flowing: asyncio.Event = field(default_factory=asyncio.Event)

    def silence(self) -> None:
        """Half-open: connections stay, new ones are made, and nothing comes through."""
        self._flowing.clear()

    def resume(self) -> None:
        """Everything goes through again."""
        self.refusing, self.delay_seconds = False, 0.0
        self._flowing.set()

    def cut(self, *, reset: bool = False) -> int:
        """End every open connection, with FIN or with RST. Returns how many."""
        links = list(self._links)
        for link in links:
            for writer in (link.client, link.server):
                if reset:
                    linger = writer.get_extra_info("socket")
                    linger.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    writer.transport.abort()
                else:
                    writer.close()
        return len(links)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection from its beginning to its end."""
        link: _Link | None = None
        try:
            if self.refusing:
                return
            answers, onward = await asyncio.open_connection(HOST, self.target)
            link = _Link(writer, onward)
            self._links.add(link)
            pumps = [asyncio.create_task(self._ask(link, reader)), asyncio.create_task(self._answer(link, answers))]
            try:
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
        except OSError:
            pass
        finally:
            writer.transport.abort()
            if link is not None:
                self._links.discard(link)
                link.server.transport.abort()

    async def _ask(self, link: _Link, reader: asyncio.StreamReader) -> None:
        while data := await self._read(reader):
            if link.fate is None and (fate := self.lose(data)) is not None:
                link.fate = fate
                self.lost += 1
            link.server.write(data)
            await link.server.drain()

    async def _answer(self, link: _Link, reader: asyncio.StreamReader) -> None:
        while data := await self._read(reader):
            # The answer is here, so what was asked for has happened.
            if link.fate == "close":
                return
            if link.fate is None:
                link.client.write(data)
                await link.client.drain()

    async def _read(self, reader: asyncio.StreamReader) -> bytes:
        with suppress(ConnectionError):
            data = await reader.read(65_536)
            if self.delay_seconds:
                await asyncio.sleep(self.delay_seconds)
            await self._flowing.wait()
            return data
        return b""


@asynccontextmanager
async def proxying(target: int) -> AsyncIterator[Proxy]:
    """A proxy on a free port that lets everything through for now."""
    proxy = Proxy(target)
    proxy.resume()
    tasks: set[asyncio.Task[None]] = set()

    def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(proxy.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(serve, HOST, 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def some_commits(chance: Random, share: float, *, hanging: float = 0.2) -> Lose:
    """Lose the answers to this share of commits; of those, `hanging` never come and the others end the connection."""

    def lose(data: bytes) -> Fate | None:
        return _fate(chance, hanging) if data.endswith(_COMMIT) and chance.random() < share else None

    return lose


def some_requests(chance: Random, share: float, *, hanging: float = 0.5) -> Lose:
    """Lose the answers to this share of HTTP requests."""

    def lose(data: bytes) -> Fate | None:
        return _fate(chance, hanging) if data.startswith(b"POST ") and chance.random() < share else None

    return lose


def _fate(chance: Random, hanging: float) -> Fate:
    return "hang" if chance.random() < hanging else "close"

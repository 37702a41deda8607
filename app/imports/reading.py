"""An upload read back as a file by a thread, and cut into batches that are the same at every reading."""

import asyncio
import io
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from typing import Any, BinaryIO, Final, NamedTuple, cast

from app.imports.asked import Asked
from app.imports.csv_source import CsvFile, read_csv
from app.imports.kinds import Kind
from app.imports.ndjson import Objects
from app.imports.rows import Unit

BATCH_ROWS: Final = 1000
BATCH_BYTES: Final = 4 << 20
BATCH_ITEMS: Final = 20_000  # lines of orders
_GATHERING: Final = 0.25  # what reading a file to its end takes of the whole, about


class Batch(NamedTuple):
    """Up to a thousand rows, or fewer large ones. `number` None: a sign of life, nothing to apply yet."""

    number: int | None
    units: list[Unit]
    rows: int  # read so far
    share: float  # of the work, once this batch is in


class Chunks(io.RawIOBase):
    """The pieces of an upload as a file: a thread reads it, the event loop fetches, one piece is in memory."""

    def __init__(self, fetch: Callable[[int], Awaitable[bytes | None]]) -> None:
        self._loop = asyncio.get_running_loop()
        self._fetch = fetch
        self._pending: Future[bytes | None] | None = None
        self._given_up = False
        self.seek(0)

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """To places near the beginning."""
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a place in the file, or tell where it stands."""
        if whence == 0:
            self._number, self._left, self.position = 0, memoryview(b""), 0
            while self.position < offset and (taken := self.read(offset - self.position)):
                del taken
        return self.position

    def readinto(self, buffer: Any) -> int:
        """io's hook."""
        if not self._left:
            self._left = memoryview(self._next() or b"")
        count = min(len(buffer), len(self._left))
        buffer[:count] = self._left[:count]
        self._left = self._left[count:]
        self.position += count
        return count

    def give_up(self) -> None:
        """Let the thread that waits for a piece go. Called by the event loop."""
        self._given_up = True
        if self._pending is not None:
            self._pending.cancel()

    def _next(self) -> bytes | None:
        if self._given_up:
            raise OSError("nobody wants the file any more")
        self._pending = asyncio.run_coroutine_threadsafe(_awaited(self._fetch(self._number)), self._loop)
        self._number += 1
        return self._pending.result()


async def _awaited(piece: Awaitable[bytes | None]) -> bytes | None:
    return await piece


class Reading:
    """A file on its way into batches. Walk it in a thread; walked again, it gives the same batches."""

    def __init__(self, chunks: Chunks, size: int, kind: Kind, form: str, asked: Asked) -> None:
        self._chunks, self._size, self._kind, self._form, self._asked = chunks, max(1, size), kind, form, asked
        self._file: CsvFile | Objects
        self._taken = 0
        self.unknown_columns: list[str] = []

    def batches(self) -> Iterator[Batch]:
        """Raises FileRefused."""
        file = cast(BinaryIO, io.BufferedReader(self._chunks, 1 << 16))
        units = self._open(file)
        batch: list[Unit] = []
        number, begun, items = 0, self._chunks.position, 0
        for unit in units:
            if unit is None:
                yield Batch(None, [], self.rows_read, self._share())
                continue
            batch.append(unit)
            items += len(getattr(getattr(unit, "payload", None), "items", ()))
            # Where the file stands is counted in whole reads, which are the same at every reading.
            large = len(batch) >= 20 and self._chunks.position - begun > BATCH_BYTES
            if len(batch) == BATCH_ROWS or items > BATCH_ITEMS or large:
                self._taken += len(batch)
                yield Batch(number, batch, self.rows_read, self._share())
                batch, number, begun, items = [], number + 1, self._chunks.position, 0
        self._taken += len(batch)
        yield Batch(number, batch, self.rows_read, self._share())

    @property
    def rows_read(self) -> int:
        """So far."""
        return self._file.rows_read

    def _open(self, file: BinaryIO) -> Iterator[Unit]:
        if self._form == "ndjson":
            self._file = Objects(file, self._kind.take, self._asked)
            return iter(self._file)
        self._file = read_csv(file, self._kind.layout)
        self.unknown_columns = list(self._file.header.unknown)
        return self._kind.read(self._file.rows, self._asked)

    def _share(self) -> float:
        read = min(1.0, self._chunks.position / self._size)
        if not self._kind.gathers or self._form == "ndjson":
            return read
        groups = self._asked.memory.group_count
        return _GATHERING * read + (1 - _GATHERING) * (min(1.0, self._taken / groups) if read == 1.0 and groups else 0)

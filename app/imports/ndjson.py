"""Reads a file of JSON objects, one a line, as a stream."""

from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Final

from app.core.errors import AppError
from app.core.wire import parse_json
from app.imports.asked import Asked
from app.imports.csv_source import MAX_LINE_BYTES, skip_line
from app.imports.rows import Outgoing, Payload, RowError, RowRefused, Unit

_BOM: Final = b"\xef\xbb\xbf"


class Objects:
    """An open file's objects, read by a kind's `take`. They can be walked once; `rows_read` counts them."""

    def __init__(self, file: BinaryIO, take: Callable[[int, Payload, Asked], Any], asked: Asked) -> None:
        self._file, self._take, self._asked = file, take, asked
        self.rows_read = 0

    def __iter__(self) -> Iterator[Unit]:
        """What each line says, or why it was left out; empty lines pass unseen."""
        line = 0
        while raw := self._file.readline(MAX_LINE_BYTES + 1):
            line += 1
            if line == 1:
                raw = raw.removeprefix(_BOM)
            if not raw.strip():
                continue
            self.rows_read += 1
            if len(raw) > MAX_LINE_BYTES:
                skip_line(self._file, raw)
                yield RowError(line, "", f"the line is longer than {MAX_LINE_BYTES:,} bytes")
                continue
            yield self._read(line, raw)

    def _read(self, line: int, raw: bytes) -> Unit:
        try:
            value = parse_json(raw)
        except AppError:
            return RowError(line, "", "the line is not a JSON object in UTF-8, or holds more than a call may")
        if not isinstance(value, dict):
            return RowError(line, "", "the line is JSON, and not an object")
        try:
            return Outgoing(line, self._take(line, value, self._asked))
        except RowRefused as refused:
            return refused.error

"""Reads a CSV file of any size as a stream of rows, whatever its encoding, delimiter and state of repair."""

import csv
import itertools
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from app.imports.errors import FileRefused
from app.imports.header import Header, Layout, read_header, recognised
from app.imports.rows import Row

MAX_LINE_BYTES = 1 << 20
SAMPLE_BYTES = 1 << 20
DELIMITERS = ",;\t"
_NAMES = {"utf-8": "UTF-8", "gb18030": "GBK"}


@dataclass(slots=True)
class CsvFile:
    """An open file: its header, and its rows, which can be walked once. `rows_read` counts them as they pass."""

    header: Header
    rows: Iterator[Row] = field(default_factory=lambda: iter(()))
    rows_read: int = 0


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    text: str
    fault: str = ""


def read_csv(file: BinaryIO, layout: Layout) -> CsvFile:
    """Match an open file's header, and read its rows. Memory stays within a few MiB however large the file is.

    UTF-8 (with or without BOM) or GBK, whichever leaves fewer undecodable lines in the first MiB; delimited by comma,
    semicolon or tab, whichever makes the header more familiar. Empty lines pass unseen; short rows lack their last
    cells. Rows with a fault: a line over 1 MiB, a cell over 128 Ki characters, bytes that do not decode, NUL, a quote
    that does not close within 1 MiB, more cells than the header has.
    Raises: FileRefused.
    """
    lines = _lines(file, _encoding(file))
    first = next((line for line in lines if line.text.strip() or line.fault), None)
    if first is None:
        raise FileRefused("The file is empty")
    delimiter = max(DELIMITERS, key=lambda each: _familiarity(first.text, each, layout))
    records = _Records(itertools.chain([first], lines), delimiter).walk()
    _, names, fault = next(records)
    if fault:
        raise FileRefused(f"The header cannot be read: {fault}")
    opened = CsvFile(read_header(names, layout))
    opened.rows = _rows(records, opened)
    return opened


def _encoding(file: BinaryIO) -> str:
    """Decide from the start of the file, and leave it standing at the first byte of text."""
    sample = file.read(SAMPLE_BYTES)
    if sample.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise FileRefused("The file is in UTF-16: save it as CSV UTF-8")
    file.seek(3 if sample.startswith(b"\xef\xbb\xbf") else 0)
    if sample.startswith(b"\xef\xbb\xbf"):
        return "utf-8"
    lines = sample.split(b"\n")
    whole = lines if len(sample) < SAMPLE_BYTES or len(lines) == 1 else lines[:-1]
    # GB18030 contains GBK. One damaged line in a UTF-8 file must not turn all the others into nonsense.
    return min(_NAMES, key=lambda encoding: sum(not _decodes(line, encoding) for line in whole))


def _decodes(line: bytes, encoding: str) -> bool:
    try:
        line.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _lines(file: BinaryIO, encoding: str) -> Iterator[_Line]:
    """Physical lines. In both encodings no part of a longer character looks like a newline, a quote or a delimiter."""
    number = 0
    while raw := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(raw) > MAX_LINE_BYTES:
            skip_line(file, raw)
            yield _Line(number, "", f"the line is longer than {MAX_LINE_BYTES:,} bytes")
            continue
        try:
            text, fault = raw.decode(encoding), ""
        except UnicodeDecodeError:
            text, fault = raw.decode(encoding, "replace"), f"the line is not {_NAMES[encoding]} text"
        yield _Line(number, text, "the line contains a NUL character" if "\0" in text else fault)


def skip_line(file: BinaryIO, raw: bytes) -> None:
    """Read on to the end of a line of which `raw` is the beginning."""
    while raw and not raw.endswith(b"\n"):
        raw = file.readline(1 << 16)


def _familiarity(text: str, delimiter: str, layout: Layout) -> tuple[int, int]:
    try:
        names = next(csv.reader([text.rstrip("\r\n")], delimiter=delimiter), [])
    except csv.Error:  # told with the line, once the delimiter is chosen
        names = []
    return recognised(names, layout), len(names)


class _Records:
    """Joins lines into records, since a quoted cell may run over several, and survives a quote that never closes."""

    def __init__(self, lines: Iterator[_Line], delimiter: str) -> None:
        self._lines = lines
        self._delimiter = delimiter
        self._returned: deque[_Line] = deque()
        self._taken: list[_Line] = []
        self._ended = False

    def walk(self) -> Iterator[tuple[int, list[str], str]]:
        """(first line, cells, fault) of each record, empty ones included."""
        while True:
            # Strict, or a stray quote would quietly swallow every line up to the next stray quote.
            reader = csv.reader(self._feed(), delimiter=self._delimiter, strict=True)
            try:
                for cells in reader:
                    record = self._taken[0].number, cells, next((line.fault for line in self._taken if line.fault), "")
                    self._taken.clear()
                    yield record
                return
            except csv.Error as exc:
                first, *others = self._taken
                cells, fault = self._alone(first, exc)
                if others or self._ended:
                    fault = "a quote opened on this line is not closed, or not before a delimiter"
            self._taken.clear()
            self._returned.extendleft(reversed(others))
            yield first.number, cells, fault

    def _feed(self) -> Iterator[str]:
        size = 0
        while line := self._returned.popleft() if self._returned else next(self._lines, None):
            size = len(line.text) + (size if self._taken else 0)
            self._taken.append(line)
            if size > MAX_LINE_BYTES:
                break
            self._ended = False
            yield line.text
        self._ended = True

    def _alone(self, line: _Line, exc: csv.Error) -> tuple[list[str], str]:
        """The cells of a line that breaks the rules, read leniently: text after a closing quote belongs to the cell."""
        try:
            return next(csv.reader([line.text], delimiter=self._delimiter), []), line.fault
        except csv.Error:
            return [], f"the line is not CSV: {exc}"


def _rows(records: Iterator[tuple[int, list[str], str]], opened: CsvFile) -> Iterator[Row]:
    header = opened.header
    for line, cells, fault in records:
        filled = len(cells)
        while filled > header.width and not cells[filled - 1].strip():
            filled -= 1
        if filled > header.width and not fault:
            fault = f"the row has {filled} cells where the header has {header.width}"
        known = {}
        for name, index in header.positions:
            if index < filled and (cell := cells[index].strip()):
                if cell[0] == "=":
                    cell = _unwrapped(cell)
                if cell:
                    known[name] = cell
        if known or fault or any(cell.strip() for cell in cells):
            opened.rows_read += 1
            yield Row(line, known, fault)


def _unwrapped(text: str) -> str:
    """The cell out of the `="…"` in which shop exports wrap numbers for spreadsheets."""
    return text[2:-1].strip() if text.startswith('="') and text.endswith('"') and len(text) > 2 else text

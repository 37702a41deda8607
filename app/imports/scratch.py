"""What must be remembered over a whole file, kept in a temporary file instead of memory."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from itertools import groupby, islice
from operator import itemgetter

import orjson

from app.imports.rows import Row

CACHE_KIB = 32 * 1024
# One open transaction and no journal: nothing here is worth recovering.
_SCHEMA = f"""
PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -{CACHE_KIB};
CREATE TABLE groups (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE rows (
    number INTEGER, sequence INTEGER, line INTEGER, fault TEXT, cells BLOB, PRIMARY KEY (number, sequence)
) WITHOUT ROWID;
CREATE TABLE seen (key BLOB PRIMARY KEY, line INTEGER) WITHOUT ROWID;
BEGIN;
"""


class Scratch:
    """Remembers rows by group, and who was seen where. Memory stays under about 32 MiB; the rest goes to disk.

    Used by one thread at a time. The disk space is about the size of the input and is freed on close or death.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._group = ("", -1)
        self._count = 0

    def add(self, group: str, row: Row) -> None:
        """Keep a row under a group's name; groups keep the order in which they first came."""
        if group != self._group[0]:
            self._group = (group, self._number(group))
        self._count += 1
        # The sequence number is in the key, so a group comes back in file order.
        record = (self._group[1], self._count, row.line, row.fault, orjson.dumps(row.cells))
        self._db.execute("INSERT INTO rows VALUES (?, ?, ?, ?, ?)", record)

    def groups(self, most: int) -> Iterator[list[Row]]:
        """The first `most` rows of each group. One group is in memory at a time."""
        stored = self._db.execute("SELECT number, line, fault, cells FROM rows ORDER BY number, sequence")
        for _, records in groupby(stored, key=itemgetter(0)):
            yield [Row(line, orjson.loads(cells), fault) for _, line, fault, cells in islice(records, most)]

    def first_line(self, key: str, line: int) -> int:
        """The line that first brought this key: `line` itself when it is new."""
        digest = blake2b(key.encode(), digest_size=16).digest()
        found = self._db.execute("SELECT line FROM seen WHERE key = ?", (digest,)).fetchone()
        if found:
            return int(found[0])
        self._db.execute("INSERT INTO seen VALUES (?, ?)", (digest, line))
        return line

    def _number(self, group: str) -> int:
        self._db.execute("INSERT OR IGNORE INTO groups (name) VALUES (?)", (group,))
        return int(self._db.execute("SELECT number FROM groups WHERE name = ?", (group,)).fetchone()[0])


@contextmanager
def scratch() -> Iterator[Scratch]:
    """An empty scratch store, gone when the block ends."""
    # An empty name is SQLite's private temporary database: in its cache, and on disk once that is full.
    db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    try:
        db.executescript(_SCHEMA)
        yield Scratch(db)
    finally:
        db.close()

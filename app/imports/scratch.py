"""What must be remembered over a whole file, kept in a temporary file instead of memory, and unreadable to others."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from itertools import groupby
from operator import itemgetter

import orjson
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from app.imports.rows import Row

CACHE_KIB = 32 * 1024
GROUP_BYTES = 8 << 20
_SKETCH_BYTES = 16 << 20  # a power of two
_FRESH = 5000
# One open transaction and no journal: nothing here is worth recovering.
_SCHEMA = f"""
PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -{CACHE_KIB};
CREATE TABLE groups (number INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE);
CREATE TABLE rows (
    number INTEGER, sequence INTEGER, line INTEGER, cells BLOB, PRIMARY KEY (number, sequence)
) WITHOUT ROWID;
CREATE TABLE seen (key TEXT PRIMARY KEY, line INTEGER) WITHOUT ROWID;
BEGIN;
"""


class Scratch:
    """Remembers rows by group, and who was seen where. Memory stays under about 32 MiB; the rest goes to disk.

    Used by one thread at a time. The disk space is about the size of the input and is freed on close or death. What is
    on disk is sealed with a key that dies with the process, names are salted hashes.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._box = AESGCM(os.urandom(32))
        self._salt = os.urandom(16)
        self._sketch = bytearray(_SKETCH_BYTES)
        self._fresh: dict[str, int] = {}
        self._group = ("", -1)
        self._count = 0
        self.group_count = 0

    def add(self, group: str, row: Row) -> None:
        """Keep a row under a group's name; groups keep the order in which they first came."""
        if group != self._group[0]:
            self._group = (group, self._number(group))
        self._count += 1
        sealed = self._box.encrypt(self._nonce(self._count), orjson.dumps([row.cells, row.fault]), None)
        # The sequence number is in the key, so a group comes back in file order.
        self._db.execute("INSERT INTO rows VALUES (?, ?, ?, ?)", (self._group[1], self._count, row.line, sealed))

    def groups(self, most: int) -> Iterator[list[Row]]:
        """The first `most` rows of each group, and of a huge one the first 8 MiB; one group is in memory at a time."""
        stored = self._db.execute("SELECT number, sequence, line, cells FROM rows ORDER BY number, sequence")
        for _, records in groupby(stored, key=itemgetter(0)):
            rows, size = [], 0
            for _, sequence, line, sealed in records:
                cells, fault = orjson.loads(self._box.decrypt(self._nonce(sequence), sealed, None))
                size += len(sealed)
                rows.append(Row(line, cells, fault or ("the order is too large" if size > GROUP_BYTES else "")))
                if len(rows) == most or size > GROUP_BYTES:
                    break
            yield rows

    def first_line(self, key: str, line: int) -> int:
        """The line that first brought this key: `line` itself when it is new."""
        # A bit that is not set says for certain that the key is new; nearly every key is.
        place = hash(key) & (8 * _SKETCH_BYTES - 1)
        byte, bit = place >> 3, 1 << (place & 7)
        if self._sketch[byte] & bit:
            return self._look_up(key, line)
        self._sketch[byte] |= bit
        self._fresh[self._digest(key).hex()] = line
        if len(self._fresh) == _FRESH:
            self._keep()
        return line

    def _look_up(self, key: str, line: int) -> int:
        self._keep()
        digest = self._digest(key).hex()
        if self._db.execute("INSERT OR IGNORE INTO seen VALUES (?, ?)", (digest, line)).rowcount:
            return line
        return int(self._db.execute("SELECT line FROM seen WHERE key = ?", (digest,)).fetchone()[0])

    def _keep(self) -> None:
        # One step of SQLite's, without the interpreter's lock: row by row it would be fought over with who writes.
        self._db.execute("INSERT INTO seen SELECT key, value FROM json_each(?)", (orjson.dumps(self._fresh).decode(),))
        self._fresh.clear()

    def _number(self, group: str) -> int:
        digest = self._digest(group)
        self.group_count += self._db.execute("INSERT OR IGNORE INTO groups (name) VALUES (?)", (digest,)).rowcount
        return int(self._db.execute("SELECT number FROM groups WHERE name = ?", (digest,)).fetchone()[0])

    def _digest(self, text: str) -> bytes:
        return blake2b(self._salt + text.encode(), digest_size=16).digest()

    @staticmethod
    def _nonce(number: int) -> bytes:
        return number.to_bytes(12, "big")  # counted, under a key that is used once


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

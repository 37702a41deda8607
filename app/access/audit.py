"""The access log: every call that reads or changes personal data leaves a row, or is not answered.

The row travels with COMMIT, in the same round trip and the same transaction. A chain of hashes over the rows, written
by one worker at a time, shows later whether one was edited, removed or swapped.
"""

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

import orjson
from sqlalchemy import text

from app.access.models import access_log
from app.core.db import Connection, Row, statement
from app.core.ids import new_id

BELL: Final = "access_log"  # nobody rings it: the log is sealed at every poll
FEW: Final = 20
_PLAIN: Final = re.compile(r"[\w./:{}+\- ]{0,200}", re.ASCII)
_LATE: Final = timedelta(minutes=2)  # no transaction lives longer, so nothing older can still appear
_GENESIS: Final = bytes(32)
_FIRST: Final = UUID(int=0)
_BATCH: Final = 2000


@dataclass(slots=True)
class Visit:
    """One call as the log will tell of it; handlers add whom it concerned."""

    call: str
    address: str = "-"
    request_id: str = "-"
    actor: str = "-"
    purpose: str = ""
    masked: bool = True
    objects: int = 0
    customers: list[int] = field(default_factory=list)

    def concerns(self, customer_ids: Sequence[int | None]) -> None:
        """Whom this call shows or changes."""
        numbers = [number for number in customer_ids if number is not None]
        self.objects += len(numbers)
        if self.objects <= FEW:
            self.customers += numbers
        else:
            self.customers.clear()

    @property
    def reads(self) -> bool:
        """True when every scope that it needed only reads."""
        return all(scope.endswith(":read") for scope in self.purpose.split())

    def sql(self, shop_id: int, result: str = "ok") -> str:
        """The row, as text that can travel with COMMIT. Raises ValueError for text that is not plain."""
        action = "refused" if result != "ok" else "read" if self.reads else "change"
        actor, call, purpose = _quoted(self.actor), _quoted(self.call), _quoted(self.purpose)
        numbers = ",".join(str(int(number)) for number in self.customers)
        return (
            f"SELECT kehu_visit({int(shop_id)}, '{new_id()}', {actor}, {call}, {purpose}, '{action}', "
            f"{int(self.objects)}, '{{{numbers}}}', {self.masked is True}, {_quoted(result)}, "
            f"{_quoted(self.address)}, {_quoted(self.request_id)}); "
        )


def _quoted(value: str) -> str:
    if not _PLAIN.fullmatch(value):
        raise ValueError(f"not plain text for the access log: {value[:50]!r}")
    return f"'{value}'"


HEAD = statement(text("select seq, hash, sealed_through, since from access_heads where shop_id = :shop_id for update"))
BEGIN_CHAIN = statement(
    text(
        """
        insert into access_heads (shop_id, seq, hash, sealed_through, since)
        values (:shop_id, 0, :genesis, :epoch, cast(:first as uuid))
        on conflict do nothing
        """
    )
)
MOVE_HEAD = statement(
    text(
        "update access_heads set seq = :seq, hash = :hash, sealed_through = :through, since = :since "
        "where shop_id = :shop_id"
    )
)
UNSEALED = statement(
    text(
        """
        select l.* from access_log l
        where l.shop_id = :shop_id and l.id >= :since and not exists (
            select from access_chain c where c.shop_id = l.shop_id and c.entry_id = l.id
        )
        order by l.id limit :limit
        """
    )
)
HAS_UNSEALED = statement(
    text(
        """
        select exists (
            select from access_log l
            where l.shop_id = :shop_id
                and l.id >= coalesce(
                    (select since from access_heads where shop_id = :shop_id),
                    '00000000-0000-0000-0000-000000000000'::uuid
                )
                and not exists (select from access_chain c where c.shop_id = l.shop_id and c.entry_id = l.id)
        )
        """
    )
)
LINK = statement(
    text(
        """
        insert into access_chain (shop_id, seq, entry_id, hash)
        select :shop_id, seq, entry_id, hash
        from unnest(cast(:seqs as bigint[]), cast(:entry_ids as uuid[]), cast(:hashes as bytea[]))
            as t (seq, entry_id, hash)
        """
    )
)
CHAIN = statement(
    text(
        """
        select c.seq, c.entry_id, c.hash, l.* from access_chain c
        left join access_log l on l.shop_id = c.shop_id and l.id = c.entry_id
        where c.shop_id = :shop_id order by c.seq
        """
    )
)
STRAY = statement(
    text(
        """
        select l.id from access_log l
        where l.shop_id = :shop_id and l.at < :before and not exists (
            select from access_chain c where c.shop_id = l.shop_id and c.entry_id = l.id
        ) order by l.id limit 1
        """
    )
)


def link(before: bytes, row: Row) -> bytes:
    """The hash of an entry in its place: over the hash before it and every column."""
    content = [row[column.name] for column in access_log.columns]
    return sha256(before + orjson.dumps(content, default=_plain)).digest()


def _plain(value: Any) -> Any:
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(type(value).__name__)


async def seal(db: Connection, shop_id: int) -> int:
    """Append the newest entries to the shop's chain. Returns how many; the head's lock lets one writer in at a time."""
    epoch = datetime.fromtimestamp(0, UTC)
    await db.execute(BEGIN_CHAIN, shop_id=shop_id, genesis=_GENESIS, epoch=epoch, first=_FIRST)
    head = await db.fetch_one(HEAD, shop_id=shop_id)
    assert head is not None  # noqa: S101 made above
    rows = await db.fetch(UNSEALED, shop_id=shop_id, since=head["since"], limit=_BATCH)
    if not rows:
        return 0
    seq, last = head["seq"], head["hash"]
    hashes = []
    for row in rows:
        last = link(last, row)
        hashes.append(last)
    await db.execute(
        LINK,
        shop_id=shop_id,
        seqs=list(range(seq + 1, seq + len(rows) + 1)),
        entry_ids=[row["id"] for row in rows],
        hashes=hashes,
    )
    through = max(head["sealed_through"], max(row["at"] for row in rows))
    since = _first_id(through - _LATE)
    await db.execute(MOVE_HEAD, shop_id=shop_id, seq=seq + len(rows), hash=last, through=through, since=since)
    return len(rows)


async def head(db: Connection, shop_id: int) -> dict[str, Any]:
    """The chain's end: what to keep outside the database."""
    row = await db.fetch_one(HEAD, shop_id=shop_id)
    return {"shop_id": shop_id, "seq": row["seq"] if row else 0, "head": (row["hash"] if row else _GENESIS).hex()}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check of the chain found: how many entries are sound, and what is wrong with the first that is not."""

    entries: int
    head: str
    broken_seq: int | None = None
    broken_entry: str | None = None
    what: str | None = None


async def verify(db: Connection, shop_id: int, *, published: tuple[int, str] | None = None) -> Verdict:
    """Walk the chain from its beginning.

    Args:
        published: a head (seq, hash) kept outside the database; it shows a chain that was cut off or written anew.
    """
    last, count = _GENESIS, 0
    async for row in _chain(db, shop_id):
        entry = str(row["entry_id"])
        if row["seq"] != count + 1:
            return Verdict(count, last.hex(), count + 1, None, "a link of the chain was removed")
        if row["id"] is None:
            return Verdict(count, last.hex(), row["seq"], entry, "the entry was removed")
        last = link(last, row)
        if last != row["hash"]:
            return Verdict(count, row["hash"].hex(), row["seq"], entry, "the entry was edited or swapped")
        count += 1
        if published is not None and published[0] == count and published[1] != last.hex():
            return Verdict(count, last.hex(), count, entry, "the chain was written anew after its head was published")
    if published is not None and published[0] > count:
        return Verdict(count, last.hex(), count + 1, None, "the chain was cut off after its head was published")
    head = await db.fetch_one(HEAD, shop_id=shop_id)
    if head is not None and (head["seq"], head["hash"]) != (count, last):
        return Verdict(count, last.hex(), count + 1, None, "the end of the chain was removed")
    if head is not None and count:
        stray = await db.fetch_value(STRAY, shop_id=shop_id, before=head["sealed_through"] - _LATE)
        if stray is not None:
            return Verdict(count, last.hex(), None, str(stray), "an entry was added behind the chain")
    return Verdict(count, last.hex())


async def _chain(db: Connection, shop_id: int) -> AsyncIterator[Row]:
    async for row in db.stream(CHAIN, shop_id=shop_id, prefetch=1000):
        yield row


def _first_id(moment: datetime) -> UUID:
    """The smallest time-ordered id of an instant."""
    return UUID(int=max(0, int(moment.timestamp() * 1000)) << 80)

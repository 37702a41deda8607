"""Rotation of a shop's data key while everything runs.

The new version is announced first and used half a minute later, when every process has read it; then a job wraps each
person's key anew and seals the shop's own secrets anew, in chunks. Both versions can be read until nothing is left
under the old one, which is then destroyed. The fields of persons are not touched: their own keys stay the same.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import text

from app.access import repository as access
from app.access.entry import in_shop
from app.access.shops import FRESH_SECONDS, Shop
from app.changes import jobs
from app.core import clock
from app.core.crypto import RootKey
from app.core.db import Connection, Row, Statement, statement
from app.core.errors import Conflict

KIND: Final = "rekey"
CHUNK: Final = 2_000
_ANNOUNCED: Final = timedelta(seconds=3 * FRESH_SECONDS)
_SETTLED: Final = timedelta(seconds=1.5 * FRESH_SECONDS)

LOCK_KEYS = statement(
    text("select version from shop_keys where shop_id = :shop_id and version > 0 order by version for update")
)
DESTROY = statement(
    text("delete from shop_keys where shop_id = :shop_id and version > 0 and version < :current returning version")
)


@dataclass(frozen=True, slots=True)
class _Sealed:
    """A column sealed under the shop's key, and the rows' own key in it."""

    table: str
    key: str
    key_type: str
    column: str
    context: str | None  # None: a wrapped person key
    chunk: int = CHUNK

    def find(self) -> Statement:
        """Rows sealed under another version than the current one, in the order of their key."""
        version = f"get_byte({self.column}, 1) * 256 + get_byte({self.column}, 2)"
        return statement(
            text(
                f"select {self.key} as key, {self.column} as sealed from {self.table} "  # noqa: S608 names of our own
                f"where shop_id = :shop_id and {self.key} > cast(:after as {self.key_type}) "
                f"and {self.column} is not null and {version} <> :current order by {self.key} limit :limit"
            )
        )

    def replace(self) -> Statement:
        """Write where nobody has written since."""
        return statement(
            text(
                f"update {self.table} as r set {self.column} = t.fresh "  # noqa: S608 names of our own
                f"from unnest(cast(:keys as {self.key_type}[]), cast(:sealed as bytea[]), cast(:fresh as bytea[])) "
                f"as t (key, sealed, fresh) where r.shop_id = :shop_id and r.{self.key} = t.key "
                f"and r.{self.column} = t.sealed"
            )
        )

    def renew(self, shop: Shop, row: Row) -> bytes:
        """The row's value under the current version."""
        if self.context is None:
            return shop.keys.rewrap(row["key"], row["sealed"])
        return shop.keys.reseal(self.context, row["sealed"])


_ZERO_UUID: Final = "00000000-0000-0000-0000-000000000000"
_FIRST: Final[dict[str, Any]] = {"bigint": 0, "uuid": _ZERO_UUID, "bytea": b"", "text": ""}
SEALED: Final = (
    _Sealed("vault.person_keys", "customer_id", "bigint", "wrapped", None),
    _Sealed("api_clients", "id", "uuid", "secret", "api_clients.secret"),
    _Sealed("credentials", "lookup_hash", "bytea", "secret", "credentials.secret"),
    _Sealed("webhook_endpoints", "id", "uuid", "secret", "webhook_endpoints.secret"),
    _Sealed("webhook_endpoints", "id", "uuid", "previous_secret", "webhook_endpoints.secret"),
    _Sealed("push_sources", "client_id", "text", "secret", "push_sources.secret"),
    _Sealed("push_messages", "id", "uuid", "body", "push_messages.body"),
    _Sealed("invalid_events", "id", "uuid", "properties", "invalid_events.properties"),
    _Sealed("exports", "id", "uuid", "key", "exports.key"),
    _Sealed("idempotency_keys", "key", "text", "reply", "idempotency_keys.reply"),
    # Pieces of files, and large ones.
    _Sealed("import_chunks", "id", "uuid", "content", "import_chunks.content", chunk=20),
)
_STATEMENTS: Final = [(sealed, sealed.find(), sealed.replace()) for sealed in SEALED]


async def rotate(db: Connection, shop: Shop, root: RootKey) -> Row:
    """Announce a new version and queue the job that moves everything to it. Returns the job's row.

    Raises: Conflict while an earlier rotation has not ended.
    """
    versions = [row["version"] for row in await db.fetch(LOCK_KEYS, shop_id=shop.id)]
    if len(versions) > 1:
        raise Conflict("The rotation before has not ended; see: GET /v1/jobs/{job_id}")
    version, moment = versions[0] + 1, clock.now()
    await db.execute(
        access.ADD_SHOP_KEY,
        shop_id=shop.id,
        version=version,
        wrapped=root.wrap_data_key(shop.id, version, os.urandom(32)),
        created_at=moment,
        used_from=moment + _ANNOUNCED,
    )
    return await jobs.enqueue(
        db, shop.id, KIND, {"version": version}, key=str(version), due_at=moment + _ANNOUNCED + _SETTLED
    )


async def run(lease: jobs.Lease) -> dict[str, Any]:
    """The job. Safe to run again from the start: what is done is no longer found.

    Raises: LeaseLost.
    """
    lease.entry.shops.forget(lease.shop_id)
    moved = 0
    for sealed, find, replace in _STATEMENTS:
        after = _FIRST[sealed.key_type]
        while chunk := await _chunk(lease, sealed, find, replace, after):
            moved += len(chunk)
            after = chunk[-1]
            await lease.report(moved, None, {})

    async def destroy(db: Connection, shop: Shop) -> list[int]:
        for sealed, find, _ in _STATEMENTS:
            first = _FIRST[sealed.key_type]
            if await db.fetch(find, shop_id=shop.id, after=first, current=shop.keys.current, limit=1):
                raise RuntimeError(f"{sealed.table} has rows under the old key still")
        return [row["version"] for row in await db.fetch(DESTROY, shop_id=shop.id, current=shop.keys.current)]

    destroyed = await in_shop(lease.entry, lease.shop_id, destroy)
    return {"moved": moved, "destroyed": destroyed}


async def _chunk(lease: jobs.Lease, sealed: _Sealed, find: Statement, replace: Statement, after: Any) -> Sequence[Any]:
    """Move one chunk. Returns its keys, none at the end."""

    async def move(db: Connection, shop: Shop) -> list[Any]:
        if shop.keys.current != lease.arguments["version"]:
            raise RuntimeError("this process does not use the new key yet")
        rows = await db.fetch(find, shop_id=shop.id, after=after, current=shop.keys.current, limit=sealed.chunk)
        if rows:
            await db.execute(
                replace,
                shop_id=shop.id,
                keys=[row["key"] for row in rows],
                sealed=[row["sealed"] for row in rows],
                fresh=[sealed.renew(shop, row) for row in rows],
            )
        return [row["key"] for row in rows]

    return await in_shop(lease.entry, lease.shop_id, move)

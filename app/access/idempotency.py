"""`Idempotency-Key`: a POST is carried out once, and the same key gets the same answer for a day.

The key is a row in the transaction of the effect, so it exists exactly when the effect does: a request that failed or
whose process died leaves none, and may be sent again. A second request with the key waits a moment on the first one's
row, and is told that it is in progress when that does not end.
"""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final
from uuid import UUID

import asyncpg
import orjson
from fastapi import Response
from sqlalchemy import text

from app.access.shops import Shop
from app.core import clock
from app.core.crypto import fingerprint
from app.core.db import Connection, statement
from app.core.errors import Conflict, Unprocessable

LIFE: Final = timedelta(hours=24)
MAX_LENGTH: Final = 128
_COLUMN: Final = "idempotency_keys.reply"

WAIT_BRIEFLY = statement(text("set local lock_timeout = '250ms'"))
WAIT_AGAIN = statement(text("set local lock_timeout = 0"))
CLAIM = statement(
    text(
        """
        insert into idempotency_keys as k (shop_id, client, key, fingerprint, created_at)
        values (:shop_id, :client, :key, :fingerprint, :moment)
        on conflict (shop_id, client, key) do update set
            fingerprint = excluded.fingerprint, reply = null, created_at = excluded.created_at
        where k.created_at < :expired
        returning 1
        """
    )
)
FIND = statement(
    text("select fingerprint, reply from idempotency_keys where shop_id = :shop_id and client = :client and key = :key")
)
KEEP = statement(
    text("update idempotency_keys set reply = :reply where shop_id = :shop_id and client = :client and key = :key")
)
FORGET = statement(text("delete from idempotency_keys where shop_id = :shop_id and created_at < :expired"))


class KeyReused(Unprocessable):
    """The key belongs to another request."""

    code, title = "idempotency_key_reused", "This Idempotency-Key was used for another request; take a new one"


class KeyInProgress(Conflict):
    """The first request with the key has not ended."""

    code, title = "idempotency_in_progress", "A request with this Idempotency-Key is being carried out; ask again"


def check(key: str) -> str:
    """The key, when it can be one. Raises Unprocessable naming the header."""
    if not 1 <= len(key) <= MAX_LENGTH or not key.isascii() or not key.isprintable():
        raise Unprocessable(
            f"Idempotency-Key takes 1 to {MAX_LENGTH} printable ASCII characters", field="Idempotency-Key"
        )
    return key


async def forget_old(db: Connection, shop_id: int) -> int:
    """Drop the keys whose day is over. Returns how many."""
    return await db.execute(FORGET, shop_id=shop_id, expired=clock.now() - LIFE)


async def once(
    db: Connection,
    shop: Shop,
    client: UUID,
    key: str,
    request: bytes,
    carry_out: Callable[[], Awaitable[Response]],
) -> Response:
    """Carry out the request, or give the answer that it got before.

    Args:
        request: method, path and body; another one under the same key is refused.
    Raises: KeyReused, KeyInProgress.
    """
    moment, wanted = clock.now(), fingerprint(request)
    try:
        await db.execute(WAIT_BRIEFLY)
        claimed = await db.fetch_value(
            CLAIM,
            shop_id=shop.id,
            client=client,
            key=key,
            fingerprint=wanted,
            moment=moment,
            expired=moment - LIFE,
        )
        await db.execute(WAIT_AGAIN)
    except asyncpg.LockNotAvailableError:
        raise KeyInProgress from None
    if claimed:
        response = await carry_out()
        content = orjson.dumps([response.status_code, response.media_type, bytes(response.body).decode()])
        sealed = shop.keys.seal(_COLUMN, content.decode())
        await db.execute(KEEP, shop_id=shop.id, client=client, key=key, reply=sealed)
        return response
    found = await db.fetch_one(FIND, shop_id=shop.id, client=client, key=key)
    if found is None or found["reply"] is None:
        raise KeyInProgress
    if found["fingerprint"] != wanted:
        raise KeyReused(field="Idempotency-Key")
    status, media_type, body = orjson.loads(shop.keys.open(_COLUMN, found["reply"]))
    return Response(body, status, {"Idempotent-Replayed": "true", "Cache-Control": "no-store"}, media_type)

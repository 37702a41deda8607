"""Asking for a build."""

from typing import Any, Final

from app.changes import jobs
from app.core.db import Connection, Row
from app.segments.membership.moving import Cause

BUILD: Final = "build_segment"


async def request_build(
    db: Connection,
    shop_id: int,
    segment_id: int,
    version: int | None,
    cause: Cause,
    *,
    snapshot: dict[str, Any] | None = None,
    key: str | None = None,
) -> Row:
    """Queue the build of a version; None is the one that is live by then. Returns the job's row."""
    arguments = {"segment_id": segment_id, "version": version, "cause": cause, "snapshot": snapshot}
    return await jobs.enqueue(db, shop_id, BUILD, arguments, key=key)

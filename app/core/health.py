"""/healthz, /readyz and /metrics."""

from typing import Any

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy import text

from app.core.db import statement

router = APIRouter(tags=["operations"], include_in_schema=False)

SCHEMA_THERE = statement(text("select to_regclass('shops') is not null"))


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/readyz")
async def readyz(request: Request) -> Any:
    """The database answers and is migrated. Redis is not asked: without it work is only later."""
    async with request.app.state.entry.database.transaction() as db:
        ready = await db.fetch_value(SCHEMA_THERE)
    if not ready:
        return Response('{"status":"the database is not migrated; run: kehu migrate"}', 503)
    return {"status": "ready"}


@router.get("/metrics")
async def metrics() -> Response:
    """Prometheus text."""
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

"""Builds the HTTP service: lifespan, error handlers, routers; nothing else."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

import app.tables  # noqa: F401 a merge moves the rows of every room
from app import api
from app.access.entry import Entry
from app.access.limits import Limits
from app.access.shops import Shops
from app.core import problems
from app.core.bell import Bell
from app.core.config import Settings
from app.core.crypto import RootKey
from app.core.db import ROLE, Database
from app.core.front import Front
from app.core.health import router as health
from app.core.observe import RequestLog
from app.core.wire import BodyLimit
from app.imports import router as imports
from app.sandbox.router import router as sandbox

DESCRIPTION = """
Customer operations for retailers: customers and orders in, scores and tiers computed, touches out.
Authenticate with `Authorization: Bearer` and an access token (`POST /auth/token`) or a `kehu_live_…` API key.
"""


def open_database(settings: Settings, bell: Bell | None) -> Database:
    """The pool as the settings describe it."""
    return Database(
        settings.database_url.get_secret_value(),
        role=ROLE,
        pool_size=settings.database_pool_size,
        acquire_timeout_seconds=settings.database_acquire_timeout_seconds,
        statement_timeout_seconds=settings.database_statement_timeout_seconds,
        pgbouncer=settings.database_pgbouncer,
        on_commit=bell.ring if bell else None,
    )


def create_app(settings: Settings) -> FastAPI:
    """The whole service; everything it needs comes in through `settings`."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.bell.start()
        yield
        await app.state.bell.close()
        await limits.close()
        await app.state.entry.database.close()

    app = FastAPI(
        title="Kehu",
        version="1",
        description=DESCRIPTION,
        lifespan=lifespan,
        openapi_url="/openapi.json",
        docs_url="/docs",
        redoc_url=None,
        redirect_slashes=False,
        # Ours are in `observe` and `metrics`; asking in every call whether somebody wants others costs more than both.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.settings = settings
    app.state.bell = Bell(settings.redis_url.get_secret_value(), queue=settings.worker_queue)
    root = RootKey(settings.root_key_bytes)
    database = open_database(settings, app.state.bell)
    limits = Limits(settings.redis_url.get_secret_value())
    app.state.entry = Entry(database, root, Shops(database, root), limits)
    for router in (health, *api.V1):
        app.include_router(router)
    if settings.sandbox:
        app.include_router(sandbox)
    problems.install(app)
    app.add_middleware(Front, routes=api.FACADE)
    app.add_middleware(
        BodyLimit, limit_bytes=settings.body_limit_bytes, uploads={imports.PATH: settings.upload_limit_bytes}
    )
    app.add_middleware(RequestLog)
    return app

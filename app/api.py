"""The one list of routers."""

from fastapi import APIRouter

import app.access.router
import app.changes.router
import app.customers.router
import app.directory.router
import app.orders.router
import app.refresh.router
import app.scoring.router

V1: tuple[APIRouter, ...] = (
    app.access.router.router,
    app.directory.router.router,
    app.customers.router.router,
    app.orders.router.router,
    app.scoring.router.router,
    app.refresh.router.router,
    app.changes.router.router,
)

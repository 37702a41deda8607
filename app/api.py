"""The one list of routers."""

from fastapi import APIRouter

import app.access.router
import app.attributes.router
import app.changes.router
import app.consent.router
import app.customers.merging.router
import app.customers.router
import app.directory.router
import app.events.router
import app.exports.router
import app.imports.router
import app.orders.router
import app.overview.router
import app.push.receiver
import app.push.router
import app.refresh.router
import app.refresh.tiers
import app.scoring.reports.router
import app.scoring.router
import app.scoring.tiers.router
import app.segments.definitions.router
import app.segments.membership.router
import app.segments.router
import app.tags.router
import app.touches.router
import app.webhooks.router
import app.youzan.router

V1: tuple[APIRouter, ...] = (
    app.access.router.router,
    app.directory.router.router,
    app.customers.router.router,
    app.customers.merging.router.router,
    app.attributes.router.router,
    app.overview.router.router,
    app.consent.router.router,
    app.orders.router.router,
    app.events.router.router,
    app.imports.router.uploads,
    app.imports.router.router,
    app.scoring.router.router,
    app.scoring.tiers.router.router,
    app.refresh.tiers.router,
    app.scoring.reports.router.router,
    app.tags.router.router,
    app.segments.router.router,
    app.segments.definitions.router.router,
    app.segments.membership.router.router,
    app.refresh.router.router,
    app.touches.router.router,
    app.exports.router.router,
    app.webhooks.router.router,
    app.push.router.router,
    app.changes.router.router,
)

# Spoken in Youzan's envelopes and described by Youzan's documents, so it is no part of our contract.
FACADE = (*app.youzan.router.ROUTES, *app.push.receiver.ROUTES)

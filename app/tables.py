"""Every room's tables, imported once for Alembic and the tests."""

import app.access.models
import app.changes.models
import app.consent.models
import app.customers.models
import app.orders.models
import app.push.models
import app.sandbox.models
import app.scoring.models
import app.tags.models
import app.touches.models
import app.webhooks.models  # noqa: F401
from app.core.schema import metadata

__all__ = ["metadata"]

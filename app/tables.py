"""Every room's tables, imported once for Alembic and the tests, and which names are compared to them."""

import app.access.models
import app.attributes.models
import app.changes.models
import app.consent.models
import app.customers.models
import app.events.models
import app.exports.models
import app.imports.models
import app.orders.models
import app.push.models
import app.sandbox.models
import app.scoring.models
import app.segments.models
import app.tags.models
import app.touches.models
import app.uses.models
import app.webhooks.models  # noqa: F401
from app.core.schema import VAULT, metadata
from app.events.partitions import is_partition

__all__ = ["is_ours", "metadata"]

metadata.info["complete"] = True  # a merge moves the rows of every table, so it asks whether all are known


def is_ours(name: str | None, kind: str, _: object) -> bool:
    """Alembic's `include_name`: our schemas; of a partitioned table only the whole, as its months come with time."""
    if kind == "schema":
        return name in (None, "public", VAULT)
    return kind != "table" or name is None or not is_partition(name)

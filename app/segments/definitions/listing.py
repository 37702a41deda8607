"""Segments as callers read them."""

from datetime import timedelta
from typing import Any

from app.access.shops import Shop
from app.core.db import Connection
from app.segments.definitions import repository
from app.segments.definitions.schemas import SegmentDetail, SegmentRead, VersionRead
from app.segments.definitions.service import SEGMENT
from app.segments.errors import SegmentNotFound
from app.segments.membership.plan import LIST, standing
from app.segments.membership.sweeping import EVERY_SECONDS
from app.uses import service as uses
from app.uses.schemas import used_by


async def detail(db: Connection, shop: Shop, segment_id: int, *, unmasked: bool) -> SegmentDetail:
    """A segment with its rule and what surrounds it. Raises SegmentNotFound.

    Args:
        unmasked: whoever reads may see personal fields.
    """
    row = await db.fetch_one(repository.GET, shop_id=shop.id, id=segment_id)
    if row is None:
        raise SegmentNotFound(field="segment_id")
    stand = await standing(db, shop)
    kept = stand.plan.rules.get(segment_id) if stand else None
    swept = stand is not None and kept is not None and stand.plan.turnings[segment_id] is not None
    return SegmentDetail(
        **_fields(row, SegmentRead),
        **_shown(row, unmasked=unmasked),
        problem=row["problem"] or (stand.plan.unfit.get(segment_id) if stand else None),
        building=row["building"],
        next_sweep_at=stand.swept_to + timedelta(seconds=EVERY_SECONDS) if stand and swept else None,
        used_by=used_by(await uses.of(db, shop.id, SEGMENT, str(segment_id))),
    )


def version_read(row: Any, *, unmasked: bool) -> VersionRead:
    """A version's row as callers see it."""
    return VersionRead(**_fields(row, VersionRead) | _shown(row, unmasked=unmasked))


def _fields(row: Any, model: Any) -> dict[str, Any]:
    return {name: row[name] for name in model.model_fields}


def _shown(row: Any, *, unmasked: bool) -> dict[str, Any]:
    rule, masked = row["rule"], row["masked"] and not unmasked
    return {"rule": None if masked or rule is None or rule["kind"] == LIST else rule, "masked": masked}

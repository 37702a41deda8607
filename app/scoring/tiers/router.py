"""/v1/scores/tiers: the definition that counts, those before it, and what another one would do."""

from typing import Annotated

from fastapi import APIRouter

from app.access.door import DoorRoute, door
from app.access.entry import Call
from app.core.errors import Forbidden, Unauthorized
from app.core.pagination import Cursor, InvalidCursor, Limit, decode_cursor, encode_cursor
from app.core.problems import problems
from app.scoring.service import stands_at
from app.scoring.tiers import repository, service
from app.scoring.tiers.fields import FIELDS
from app.scoring.tiers.schemas import FieldRead, Preview, TierChoice, TiersRead, VersionPage, VersionRead
from app.scoring.tiers.schemes import SCHEMES

router = APIRouter(
    prefix="/v1/scores/tiers", tags=["scores"], route_class=DoorRoute, responses=problems(Unauthorized, Forbidden)
)

_NEWEST = 2**31 - 1
_FIELDS = [
    FieldRead(name=name, unit=field.unit, meaning=field.meaning, age=bool(field.dates))
    for name, field in FIELDS.items()
]


# What a definition does not say is left out: it is told as it was sent, and can be sent back.
@router.get("", response_model_exclude_unset=True)
async def get_tiers(call: Annotated[Call, door("scores:read")]) -> TiersRead:
    """The definition that counts, how it spread the customers last, the built-in ones, and the fields there are."""
    version, definition = await service.current(call.db, call.shop.id)
    return TiersRead(
        version=version,
        definition=definition,
        last_run=await service.last_run(call.db, call.shop.id),
        schemes=list(SCHEMES.values()),
        fields=_FIELDS,
    )


@router.get("/versions", response_model_exclude_unset=True, responses=problems(InvalidCursor))
async def list_versions(
    call: Annotated[Call, door("scores:read")], limit: Limit = 50, cursor: Cursor = None
) -> VersionPage:
    """Published definitions, newest first."""
    before = min(decode_cursor(cursor, int)[0], _NEWEST) if cursor else _NEWEST
    rows = await call.db.fetch(repository.VERSIONS, shop_id=call.shop.id, before=before, limit=limit)
    return VersionPage(
        items=[VersionRead(**row) for row in rows],
        next_cursor=encode_cursor(rows[-1]["version"]) if len(rows) == limit else None,
    )


@router.post("/preview")
async def preview_tiers(call: Annotated[Call, door("triggers", "scores:read")], body: TierChoice) -> Preview:
    """What a definition would do to the customers as they are now: who moves, and how large the tiers become."""
    as_of = await stands_at(call.db, call.shop)
    preview = await service.preview(call.db, call.shop.id, body.chosen(), as_of)
    call.visit.concerns([mover.customer_id for mover in preview.sample])
    return preview

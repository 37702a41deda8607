"""/v1/shop and /v1/stores."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request

from app.access import repository
from app.access.door import DoorRoute, door
from app.access.entry import Call, Entry
from app.access.schemas import ShopRead, StorePage, StoreRead, StoreWrite
from app.access.settings import ShopSettings
from app.core import clock
from app.core.errors import Forbidden, NotFound, Unauthorized
from app.core.pagination import Cursor, Limit, decode_cursor, encode_cursor
from app.core.problems import problems

router = APIRouter(
    prefix="/v1", tags=["shop"], route_class=DoorRoute, responses=problems(Unauthorized, Forbidden, NotFound)
)


@router.get("/shop")
async def get_shop(call: Annotated[Call, door()]) -> ShopRead:
    """The shop that the credential belongs to: its zone says whose midnight counts."""
    shop = call.shop
    return ShopRead(
        shop_id=shop.id,
        name=shop.name,
        timezone=shop.zone.key,
        pinned_as_of=shop.pinned_as_of,
        settings=shop.settings,
    )


@router.put("/shop/settings")
async def put_settings(request: Request, call: Annotated[Call, door("admin")], body: ShopSettings) -> ShopSettings:
    """Replace the shop's settings; thresholds apply from the next full run on."""
    await call.db.execute(repository.SET_SETTINGS, shop=call.shop.id, settings=body.model_dump(mode="json"))
    entry: Entry = request.app.state.entry
    entry.shops.forget(call.shop.id)
    return body


@router.put("/stores/{store_id}")
async def put_store(
    call: Annotated[Call, door("admin")], store_id: Annotated[int, Path(ge=1, lt=2**53)], body: StoreWrite
) -> StoreRead:
    """Register a branch, or rename it."""
    row = await call.db.fetch_one(
        repository.PUT_STORE,
        shop_id=call.shop.id,
        id=store_id,
        name=body.name,
        city=body.city,
        created_at=clock.now(),
    )
    return _store(row)


@router.get("/stores")
async def list_stores(
    call: Annotated[Call, door("customers:read")], limit: Limit = 50, cursor: Cursor = None
) -> StorePage:
    """Branches in the order of their numbers."""
    after = decode_cursor(cursor, int)[0] if cursor else 0
    rows = await call.db.fetch(repository.LIST_STORES, shop_id=call.shop.id, after=after, limit=limit)
    return StorePage(
        items=[_store(row) for row in rows],
        next_cursor=encode_cursor(rows[-1]["id"]) if len(rows) == limit else None,
    )


def _store(row: Any) -> StoreRead:
    return StoreRead(store_id=row["id"], name=row["name"], city=row["city"], created_at=row["created_at"])

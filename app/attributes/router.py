"""/v1/attributes: what the shop declares that it keeps of its customers."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query

from app.access.door import DoorRoute, door
from app.access.entry import Call
from app.attributes import repository, service
from app.attributes.errors import AttributeBeingRemoved, AttributeInUse, AttributeNotFound, SensitiveOff
from app.attributes.schemas import AttributePage, AttributeRead, AttributeWrite, Name
from app.core.db import Row
from app.core.errors import Forbidden, Unauthorized
from app.core.pagination import Cursor, Limit, decode_cursor, encode_cursor
from app.core.problems import problems
from app.uses import service as uses
from app.uses.errors import StillUsed
from app.uses.schemas import used_by

router = APIRouter(
    prefix="/v1/attributes", tags=["attributes"], route_class=DoorRoute, responses=problems(Unauthorized, Forbidden)
)

# Tills send values; what may be kept of people is for whoever runs the shop.
Reader = Annotated[Call, door("customers:read")]
Declarer = Annotated[Call, door("admin")]


@router.put("/{name}", responses=problems(SensitiveOff, StillUsed, AttributeInUse, AttributeBeingRemoved))
async def put_attribute(call: Declarer, name: Name, body: AttributeWrite) -> AttributeRead:
    """Declare an attribute, or declare it anew where the values that customers have keep their meaning."""
    (declared,) = await _read(call, [await service.declare(call.db, call.shop, name, body)])
    return declared


@router.get("")
async def list_attributes(call: Reader, limit: Limit = 50, cursor: Cursor = None) -> AttributePage:
    """Declared attributes in the order of their names."""
    after = decode_cursor(cursor, str)[0].replace("\0", "") if cursor else ""
    rows = await call.db.fetch(repository.LIST_TYPES, shop_id=call.shop.id, after=after, limit=limit)
    return AttributePage(
        items=await _read(call, rows),
        next_cursor=encode_cursor(rows[-1]["name"]) if len(rows) == limit else None,
    )


@router.get("/{name}", responses=problems(AttributeNotFound))
async def get_attribute(call: Reader, name: Name) -> AttributeRead:
    """One declared attribute."""
    row = await call.db.fetch_one(repository.GET_TYPE, shop_id=call.shop.id, name=name)
    if row is None:
        raise AttributeNotFound(field="name")
    (declared,) = await _read(call, [row])
    return declared


@router.delete("/{name}", status_code=204, responses=problems(AttributeNotFound, StillUsed, AttributeInUse))
async def remove_attribute(
    call: Declarer,
    name: Name,
    with_values: Annotated[bool, Query(description="Remove the values that customers have, too")] = False,
) -> None:
    """Declare an attribute no longer. Its values are out of sight at once, and soon removed."""
    await service.drop(call.db, call.shop, name, with_values=with_values)


async def _read(call: Call, rows: Sequence[Row]) -> list[AttributeRead]:
    users = await uses.of_many(call.db, call.shop.id, "attribute", [row["name"] for row in rows])
    return [AttributeRead(**row, used_by=used_by(users[row["name"]])) for row in rows]

"""/v1/webhooks: subscriptions, the delivery log, sending again; and one touch with its delivery."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Request

from app.access.door import DoorRoute, door
from app.access.entry import Call
from app.core.db import Row
from app.core.errors import Forbidden, Unauthorized, Unprocessable
from app.core.pagination import Cursor, Limit, decode_cursor, encode_cursor
from app.core.problems import problems
from app.core.targets import Network
from app.touches import repository as touches
from app.touches.errors import TouchNotFound
from app.webhooks import repository, service
from app.webhooks.errors import DeliveryNotFound, EndpointDisabled, EndpointNotFound, NotResendable, UrlRefused
from app.webhooks.schemas import (
    AttemptRead,
    DeliveryDetail,
    DeliveryPage,
    DeliveryRead,
    DeliveryState,
    EndpointCreate,
    EndpointCreated,
    EndpointPage,
    EndpointRead,
    EndpointUpdate,
    TouchDetail,
)

router = APIRouter(prefix="/v1", tags=["webhooks"], route_class=DoorRoute, responses=problems(Unauthorized, Forbidden))

Caller = Annotated[Call, door("webhooks")]
_FIRST: Final = UUID(int=0)
_NEWEST: Final = datetime(9999, 1, 1, tzinfo=UTC), UUID(int=2**128 - 1)


@router.post("/webhooks", status_code=201, responses=problems(UrlRefused))
async def create_endpoint(request: Request, call: Caller, body: EndpointCreate) -> EndpointCreated:
    """Subscribe a URL to kinds of facts. The signing secret is shown only here."""
    row, secret = await service.create(call.db, call.shop, call.caller, body, _allowed_networks(request))
    return EndpointCreated(**_endpoint(row), secret=secret)


@router.get("/webhooks")
async def list_endpoints(call: Caller, limit: Limit = 50, cursor: Cursor = None) -> EndpointPage:
    """Subscriptions, oldest first."""
    after = _id(decode_cursor(cursor, str)[0]) if cursor else _FIRST
    rows = await call.db.fetch(repository.LIST_ENDPOINTS, shop_id=call.shop.id, after=after, limit=limit)
    return EndpointPage(
        items=[EndpointRead(**_endpoint(row)) for row in rows],
        next_cursor=encode_cursor(str(rows[-1]["id"])) if len(rows) == limit else None,
    )


@router.get("/webhooks/deliveries/{delivery_id}", responses=problems(DeliveryNotFound))
async def get_delivery(call: Caller, delivery_id: UUID) -> DeliveryDetail:
    """One delivery with the log of its attempts."""
    delivery = await _delivery(call, delivery_id)
    if delivery is None:
        raise DeliveryNotFound(field="delivery_id")
    return delivery


@router.post(
    "/webhooks/deliveries/{delivery_id}/resends",
    status_code=202,
    responses=problems(DeliveryNotFound, NotResendable),
)
async def resend_delivery(call: Caller, delivery_id: UUID) -> DeliveryRead:
    """Send a message again, under the same message id and with a new set of attempts."""
    return DeliveryRead(**await service.resend(call.db, call.shop, delivery_id))


@router.get("/webhooks/{endpoint_id}", responses=problems(EndpointNotFound))
async def get_endpoint(call: Caller, endpoint_id: UUID) -> EndpointRead:
    """One subscription."""
    return EndpointRead(**_endpoint(await _existing(call, endpoint_id)))


@router.patch("/webhooks/{endpoint_id}", responses=problems(EndpointNotFound, UrlRefused))
async def change_endpoint(request: Request, call: Caller, endpoint_id: UUID, body: EndpointUpdate) -> EndpointRead:
    """Change what was sent. Enabling takes up what is still owed."""
    return EndpointRead(
        **_endpoint(
            await service.change(call.db, call.shop, call.caller, endpoint_id, body, _allowed_networks(request))
        )
    )


@router.delete("/webhooks/{endpoint_id}", status_code=204, responses=problems(EndpointNotFound))
async def remove_endpoint(call: Caller, endpoint_id: UUID) -> None:
    """Unsubscribe. What was still owed is cancelled; its log stays readable by delivery id."""
    await service.remove(call.db, call.shop, endpoint_id)


@router.post("/webhooks/{endpoint_id}/secret-rotations", status_code=201, responses=problems(EndpointNotFound))
async def rotate_secret(call: Caller, endpoint_id: UUID) -> EndpointCreated:
    """A new signing secret, shown only here. For 24 hours messages carry a signature of the one before as well."""
    row, secret = await service.rotate_secret(call.db, call.shop, endpoint_id)
    return EndpointCreated(**_endpoint(row), secret=secret)


@router.post(
    "/webhooks/{endpoint_id}/heartbeats", status_code=202, responses=problems(EndpointNotFound, EndpointDisabled)
)
async def send_heartbeat(call: Caller, endpoint_id: UUID) -> DeliveryRead:
    """Send a message that means nothing, once; in Youzan's form one with `test: true`. Its delivery says what came."""
    return DeliveryRead(**await service.heartbeat(call.db, call.shop, endpoint_id))


@router.get("/webhooks/{endpoint_id}/deliveries", responses=problems(EndpointNotFound))
async def list_deliveries(
    call: Caller,
    endpoint_id: UUID,
    state: DeliveryState | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> DeliveryPage:
    """What an endpoint was sent and is still owed, newest first."""
    await _existing(call, endpoint_id)
    before = _position(cursor) if cursor else _NEWEST
    rows = await repository.list_deliveries(call.db, call.shop.id, endpoint_id, state=state, before=before, limit=limit)
    more = encode_cursor(rows[-1]["created_at"].isoformat(), str(rows[-1]["id"])) if len(rows) == limit else None
    return DeliveryPage(items=[DeliveryRead(**row) for row in rows], next_cursor=more)


# Here and not among the touches, because only this room knows the delivery.
@router.get("/touches/{touch_id}", tags=["touches"], responses=problems(TouchNotFound))
async def get_touch(call: Annotated[Call, door("triggers")], touch_id: UUID) -> TouchDetail:
    """Why a customer got a message, or did not: the touch with its reason, and each attempt to deliver it."""
    row = await touches.get(call.db, call.shop.id, touch_id)
    if row is None:
        raise TouchNotFound(field="touch_id")
    return TouchDetail(**row, delivery=await _delivery(call, touch_id))


async def _existing(call: Call, endpoint_id: UUID) -> Row:
    row = await repository.get_endpoint(call.db, call.shop.id, endpoint_id)
    if row is None:
        raise EndpointNotFound(field="endpoint_id")
    return row


async def _delivery(call: Call, delivery_id: UUID) -> DeliveryDetail | None:
    found = await repository.get_delivery(call.db, call.shop.id, delivery_id)
    if found is None:
        return None
    row, attempts = found
    return DeliveryDetail(**row, attempts=[AttemptRead(**attempt) for attempt in attempts])


def _endpoint(row: Row) -> dict[str, Any]:
    return {
        "id": row["id"],
        "url": row["url"],
        "kinds": row["kinds"],
        "format": row["format"],
        "client_id": row["client_id"],
        "enabled": row["state"] == "enabled",
        "reason": row["reason"],
        "failing_since": row["failing_since"],
        "held_back": row["probe_id"] is not None and row["state"] == "enabled",
        "previous_secret_until": row["previous_until"],
        "created_at": row["created_at"],
    }


def _allowed_networks(request: Request) -> Sequence[Network]:
    networks: Sequence[Network] = request.app.state.settings.outbound_allow_networks
    return networks


def _position(cursor: str) -> tuple[datetime, UUID]:
    moment, text = decode_cursor(cursor, str, str)
    try:
        return datetime.fromisoformat(moment).astimezone(UTC), _id(text)
    except (ValueError, OverflowError):
        raise _bad_cursor() from None


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise _bad_cursor() from None


def _bad_cursor() -> Unprocessable:
    return Unprocessable("Send back `next_cursor` exactly as it was given, with the same filters", field="cursor")

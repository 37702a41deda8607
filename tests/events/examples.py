"""Events as shops send them, and how they are read back."""

from typing import Any

from app.access.shops import Shop
from tests.conftest import Rows

DEVICE = {"kind": "device", "value": "d-1"}
MOBILE = {"kind": "mobile", "value": "13800000001"}


def event(**more: Any) -> dict[str, Any]:
    """A view by a visitor whom nobody knows."""
    return {
        "event_id": "E1",
        "type": "view",
        "identities": [DEVICE],
        "occurred_at": "2026-03-01T12:00:00Z",
        **more,
    }


async def events_of(rows: Rows, shop: Shop) -> list[dict[str, Any]]:
    """The shop's events in the order they came in."""
    return await rows("select * from events where shop_id = $1 order by received_at, id", shop.id)

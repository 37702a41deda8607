"""What falls due with time, shop by shop: one shop that fails keeps nobody else waiting."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from app.access.shops import Shop
from app.core.errors import DatabaseUnavailable
from tests.conftest import Api
from workers.house import House

NOBODY = 1  # no shop has this number, so whatever is done for it fails


@pytest.fixture
def before_it(house: House, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The workers know of the test's shop, and before it of one that fails."""

    async def ids() -> list[int]:
        return [NOBODY, shop.id]

    monkeypatch.setattr(house.entry.shops, "ids", ids)


async def test_a_tick_passes_over_a_shop_that_fails(house: House, shop: Shop, before_it: None) -> None:
    with capture_logs() as logs:
        await house.tick()
    told = [
        (entry["event"], entry["shop_id"]) for entry in logs if entry["event"] in ("tick_failed", "access_log_head")
    ]
    assert told == [("tick_failed", NOBODY), ("access_log_head", shop.id)]


async def test_a_poll_passes_over_a_shop_that_fails(
    house: House, api: Api, shop: Shop, before_it: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.post("/v1/customers", {"identities": [{"kind": "mobile", "value": "13800000001"}]})
    due, woken = house.rounds._due, []

    async def due_of(shop_id: int) -> list[str]:
        if shop_id == NOBODY:
            raise ValueError("its rows cannot be read")
        return await due(shop_id)

    monkeypatch.setattr(house.rounds, "_due", due_of)
    monkeypatch.setattr(house.rounds, "spawn", lambda kind, shop_id: woken.append((kind, shop_id)))
    with capture_logs() as logs:
        await house.rounds.poll()
    assert ("changes", shop.id) in woken
    assert [entry["shop_id"] for entry in logs if entry["event"] == "poll_failed"] == [NOBODY]


async def test_a_database_that_is_away_is_told_once(
    house: House, before_it: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    async def away(shop_id: int) -> Any:
        asked.append(shop_id)
        raise DatabaseUnavailable

    monkeypatch.setattr(house.rounds, "_due", away)
    with pytest.raises(DatabaseUnavailable):
        await house.rounds.poll()
    assert asked == [NOBODY]

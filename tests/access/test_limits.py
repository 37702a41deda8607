"""Limits: requests a second by GCRA, rows a day; shared through Redis, kept without it."""

import asyncio
import contextlib
import os
import time
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest

from app.access import repository
from app.access.entry import Entry
from app.access.limits import Limits, RateLimited, RowBudgetSpent
from app.access.settings import LimitSettings, ShopSettings
from app.access.shops import Shop
from tests.conftest import Api, MakeApi

ZONE = ZoneInfo("Asia/Shanghai")


@pytest.fixture(params=["redis", "no redis"])
def url(request: pytest.FixtureRequest) -> str:
    """With the server, and with a port where nobody listens."""
    return os.environ["KEHU_TEST_REDIS_URL"] if request.param == "redis" else "redis://127.0.0.1:9"


async def _granted(limits: Limits, client: UUID, settings: LimitSettings, tries: int) -> int:
    granted = 0
    for _ in range(tries):
        with contextlib.suppress(RateLimited):
            await limits.take(client, "write", settings)
            granted += 1
    return granted


def _most(limits: Limits, started: float, *, rate: int, processes: int = 1) -> float:
    """Two seconds' worth, and what came since; twice that if a slow Redis was given up for a while."""
    share = 2 * rate + rate * (time.monotonic() - started) + rate / 5
    return share * (1 + processes) if limits._away_until else share


async def test_a_burst_is_granted_and_no_more(url: str) -> None:
    limits, started = Limits(url), time.monotonic()
    settings = LimitSettings(writes_per_second=50)
    granted = await _granted(limits, uuid4(), settings, 400)
    assert 90 <= granted <= _most(limits, started, rate=50)
    assert granted < 400
    await limits.close()


async def test_a_crowd_within_the_burst_is_let_in(url: str) -> None:
    limits, client = Limits(url), uuid4()
    settings = LimitSettings(writes_per_second=2000)
    await asyncio.gather(*(limits.take(client, "write", settings) for _ in range(1000)))
    await limits.close()


async def test_quota_comes_back_with_time(url: str) -> None:
    limits, client = Limits(url), uuid4()
    settings = LimitSettings(writes_per_second=20)
    await _granted(limits, client, settings, 100)
    await asyncio.sleep(0.6)
    assert 8 <= await _granted(limits, client, settings, 100) < 60
    await limits.close()


async def test_clients_and_classes_do_not_share(url: str) -> None:
    limits, client = Limits(url), uuid4()
    settings = LimitSettings(writes_per_second=1, reads_per_second=5)
    assert await _granted(limits, client, settings, 50) <= 4
    await limits.take(client, "read", settings)
    await limits.take(uuid4(), "write", settings)
    await limits.close()


async def test_two_processes_share_one_limit() -> None:
    here, there = Limits(os.environ["KEHU_TEST_REDIS_URL"]), Limits(os.environ["KEHU_TEST_REDIS_URL"])
    client, settings, started = uuid4(), LimitSettings(writes_per_second=50), time.monotonic()
    granted = await _granted(here, client, settings, 200) + await _granted(there, client, settings, 200)
    assert 90 <= granted <= max(_most(each, started, rate=50, processes=2) for each in (here, there))
    await here.close()
    await there.close()


async def test_rows_of_a_day_are_budgeted(url: str) -> None:
    limits, client = Limits(url), uuid4()
    settings = LimitSettings(rows_per_day=100)
    for _ in range(10):
        await limits.spend_rows(client, 10, settings, ZONE)
    with pytest.raises(RowBudgetSpent) as refusal:
        await limits.spend_rows(client, 1, settings, ZONE)
    assert 0 < refusal.value.retry_after <= 86_400
    await limits.spend_rows(uuid4(), 100, settings, ZONE)
    await limits.close()


async def _limit(entry: Entry, shop: Shop, **limits: int) -> None:
    settings = ShopSettings(limits=LimitSettings(**limits)).model_dump(mode="json")
    async with entry.shop(shop.id) as (db, _):
        await db.execute(repository.SET_SETTINGS, shop=shop.id, settings=settings)
    entry.shops.forget(shop.id)


async def test_over_the_limit_each_side_hears_its_own_language(entry: Entry, api: Api, shop: Shop) -> None:
    await _limit(entry, shop, reads_per_second=1)
    answers = [await api.get("/v1/customers") for _ in range(10)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused
    assert refused[0].json()["code"] == "rate_limited"
    assert int(refused[0].headers["retry-after"]) >= 1
    facade = await api.http.post(f"/api/youzan.scrm.customer.list/1.0.0?access_token={api.client.api_key}", json={})
    assert (facade.status_code, facade.json()["gw_err_resp"]["err_code"]) == (200, 4101)


async def test_rows_over_the_budget_are_not_shown(entry: Entry, api: Api, shop: Shop, make_api: MakeApi) -> None:
    for number in range(6):
        await api.post("/v1/customers", {"identities": [{"kind": "mobile", "value": f"1380000000{number}"}]})
    await _limit(entry, shop, rows_per_day=10)
    reader = await make_api(shop)
    assert (await reader.get("/v1/customers")).status_code == 200
    answer = await reader.get("/v1/customers")
    assert (answer.status_code, answer.json()["code"]) == (429, "row_budget_spent")
    assert "items" not in answer.json()

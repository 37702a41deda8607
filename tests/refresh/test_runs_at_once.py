"""Runs that meet: two at once, an older one that ends later, settings and definitions that change meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from app.access.entry import Entry
from app.access.shops import Shop
from app.changes import jobs
from app.core import clock
from app.core.errors import DatabaseUnavailable
from app.refresh import requests, rescore
from app.refresh.jobs import refresh_changed, sweep_day
from app.scoring import fitting, measuring
from app.scoring import repository as scores
from tests.conftest import Api, MakeApi, Rows
from tests.refresh.test_sweep import _order
from workers.house import House

Work = Callable[[], Awaitable[None]]


async def _run_due(house: House, shop: Shop) -> None:
    await jobs.run_due(house.entry, shop.id, {requests.RESCORE: rescore.run}, lease_seconds=30)


async def _buyers(api: Api, work: Work, count: int = 8) -> list[int]:
    people = [await _order(api, f"P{n}", f"O{n}", ago=10 * n) for n in range(count)]
    await work()
    await api.post("/v1/triggers/rescore", {})
    await work()
    return people


def _once(monkeypatch: pytest.MonkeyPatch, first: Callable[[], Awaitable[object]]) -> None:
    """Do something when a full run has measured everybody's stats, and nothing else yet."""
    real, done = rescore._measure_everybody, False

    async def between(*arguments: Any, **named: Any) -> None:
        nonlocal done
        if not done:
            done = True
            await first()
        await real(*arguments, **named)

    monkeypatch.setattr(rescore, "_measure_everybody", between)


async def test_two_runs_that_publish_at_once_both_end_well(
    api: Api, entry: Entry, house: House, shop: Shop, rows: Rows, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _buyers(api, work)
    real, barrier = rescore._measure_everybody, asyncio.Barrier(2)

    async def together(*arguments: Any, **named: Any) -> None:
        await barrier.wait()
        await real(*arguments, **named)

    monkeypatch.setattr(rescore, "_measure_everybody", together)
    async with entry.shop(shop.id) as (db, of):
        await requests.rescore(db, of)
        await requests.rescore(db, of)
    await asyncio.wait_for(asyncio.gather(_run_due(house, shop), _run_due(house, shop)), 60)
    assert {row["state"] for row in await rows("select state from queued_jobs where shop_id = $1", shop.id)} == {"done"}
    states = [row["state"] for row in await rows("select state from score_runs where shop_id = $1", shop.id)]
    assert sorted(states) == ["published", "superseded", "superseded"]


async def test_an_older_run_does_not_publish_over_a_newer_definition(
    api: Api, house: House, shop: Shop, rows: Rows, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _buyers(api, work)

    async def newer() -> None:
        assert (await api.http.put("/v1/scores/tiers", json={"scheme": "growth"})).status_code == 202
        await _run_due(house, shop)

    _once(monkeypatch, newer)
    await api.post("/v1/triggers/rescore", {})
    await work()
    published = await rows("select tiers_version from score_runs where shop_id = $1 and state = 'published'", shop.id)
    assert published == [{"tiers_version": 1}]
    tiers = {row["tier"] for row in await rows("select tier from customer_scores where shop_id = $1", shop.id)}
    assert tiers <= {"high_value", "growth", "potential", "other"}


async def test_a_refresh_during_a_run_with_new_settings_leaves_nothing_old(
    api: Api, entry: Entry, house: House, shop: Shop, rows: Rows, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = await _buyers(api, work)
    event: dict[str, Any] = {
        "event_id": "V1",
        "type": "visit",
        "identities": [{"kind": "external_id", "value": "P1"}],
        "occurred_at": "2026-01-01T10:00:00Z",
    }
    recent = (clock.now() - timedelta(days=2)).isoformat()
    assert (await api.post("/v1/events", event | {"occurred_at": recent})).status_code == 200
    await work()
    settings = (await api.get("/v1/shop")).json()["settings"]
    kinds = settings["scoring"]["interactions"] | {"consult": ["visit"], "visit": []}
    changed = settings | {"scoring": settings["scoring"] | {"interactions": kinds}}
    assert (await api.http.put("/v1/shop/settings", json=changed)).status_code == 200

    async def refreshed() -> None:
        await api.post("/v1/events", event | {"event_id": "V2", "occurred_at": recent})
        await refresh_changed(house.entry, 100, shop.id)

    _once(monkeypatch, refreshed)
    await api.post("/v1/triggers/rescore", {})
    await work()
    (stats,) = await rows(
        "select visit_180d, consult_180d from customer_stats where shop_id = $1 and customer_id = $2",
        shop.id,
        people[1],
    )
    assert stats == {"visit_180d": 0, "consult_180d": 2}


async def test_a_run_that_fails_says_so(
    api: Api, shop: Shop, rows: Rows, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _buyers(api, work)

    def broken(_: Any) -> Any:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(fitting, "answer", broken)
    job = (await api.post("/v1/triggers/rescore", {})).json()
    await work()
    assert (await api.get(f"/v1/jobs/{job['job_id']}")).json()["state"] == "failed"
    states = {run["run_id"]: run["state"] for run in (await api.get("/v1/scores/runs")).json()}
    assert states[job["run_id"]] == "failed"
    assert sorted(states.values()) == ["failed", "published"]


async def test_stats_that_were_lost_come_back_without_news(api: Api, shop: Shop, rows: Rows, work: Work) -> None:
    """As after an upgrade that makes them anew: nobody's tier has changed."""
    await _buyers(api, work)
    before = await rows("select customer_id, tier, stage from customer_scores where shop_id = $1 order by 1", shop.id)
    news = "select (select count(*) from tier_changes where shop_id = $1) as tiers, "
    news += "(select count(*) from stage_changes where shop_id = $1) as stages"
    told = await rows(news, shop.id)
    for table in ("customer_stats", "customer_scores", "customer_totals", "score_runs", "score_models"):
        await rows(f"delete from {table} where shop_id = $1 returning 1", shop.id)  # noqa: S608 tables of ours
    await api.post("/v1/triggers/rescore", {})
    await work()
    after = await rows("select customer_id, tier, stage from customer_scores where shop_id = $1 order by 1", shop.id)
    assert after == before
    assert await rows(news, shop.id) == told


async def test_between_a_definition_and_its_run_both_names_find_people(
    api: Api, house: House, shop: Shop, work: Work
) -> None:
    await _buyers(api, work)
    assert (await api.http.put("/v1/scores/tiers", json={"scheme": "growth"})).status_code == 202
    for name in ("regular", "high_value"):
        assert (await api.get("/v1/customers", params={"tier": name})).status_code == 200
    answer = await api.get("/v1/customers", params={"tier": "gold"})
    assert (answer.status_code, answer.json()["field"]) == (422, "tier")
    assert "high_value" in answer.json()["detail"]
    await work()
    assert (await api.get("/v1/customers", params={"tier": "regular"})).status_code == 422


async def test_whoever_shares_the_clock_does_not_keep_out_who_wants_it_alone(
    api: Api, entry: Entry, house: House, shop: Shop, rows: Rows, work: Work
) -> None:
    """Four that hold it in turns, so that there is always one; the sweep gets it all the same."""
    await _buyers(api, work)
    await rows("update score_clocks set swept_to = swept_to - 1 where shop_id = $1 returning 1", shop.id)
    stop = asyncio.Event()

    async def hold(delay: float) -> None:
        await asyncio.sleep(delay)
        while not stop.is_set():
            async with entry.shop(shop.id) as (db, of):
                await measuring.hold_published(db, of)
                await asyncio.sleep(0.2)

    holders = [asyncio.create_task(hold(0.05 * n)) for n in range(4)]
    try:
        await asyncio.sleep(0.5)
        assert await asyncio.wait_for(sweep_day(entry, shop.id), 10) >= 1
    finally:
        stop.set()
        await asyncio.gather(*holders)


async def test_a_failing_statement_of_one_shop_does_not_end_the_round(
    house: House, api: Api, shop: Shop, make_api: MakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    async def ids() -> list[int]:
        return [1, shop.id]

    async def tick_of(shop_id: int) -> None:
        seen.append(shop_id)
        if shop_id == 1:
            raise DatabaseUnavailable

    monkeypatch.setattr(house.entry.shops, "ids", ids)
    monkeypatch.setattr(house, "_tick_of", tick_of)
    await house.tick()
    assert seen == [1, shop.id]


async def test_a_pin_that_moves_back_measures_everybody_anew(
    api: Api, entry: Entry, house: House, shop: Shop, rows: Rows, work: Work
) -> None:
    people = await _buyers(api, work)
    now = (await rows("select swept_to from score_clocks where shop_id = $1", shop.id))[0]["swept_to"]
    for day in (now - timedelta(days=60), now - timedelta(days=30)):
        await rows("update shops set pinned_as_of = $2 where id = $1 returning 1", shop.id, day)
        for each in (entry, house.entry):
            each.shops.forget(shop.id)
        await sweep_day(entry, shop.id)
        await work()
        stored = await rows("select * from customer_stats where shop_id = $1 order by customer_id", shop.id)
        async with entry.shop(shop.id) as (db, of):
            await scores.lock(db, shop.id, people, wait=True)
            yardstick = await measuring.hold_published(db, of)
            assert yardstick.as_of == day
            await measuring.measure(db, of, sorted(people), yardstick)
        assert await rows("select * from customer_stats where shop_id = $1 order by customer_id", shop.id) == stored
        shown = (await api.get(f"/v1/customers/{people[0]}/scores")).json()
        assert shown["as_of"] == day.isoformat()

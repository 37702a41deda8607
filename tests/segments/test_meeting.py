"""Builds, refreshes, sweeps and edits that meet: membership ends as the rule says, and the log tells of each once."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from random import Random
from typing import Any

import pytest

from app.access.entry import Entry
from app.access.shops import Shop
from app.changes import jobs
from app.core import clock
from app.refresh import segments
from app.refresh.jobs import refresh_changed
from app.segments.membership import building, sweeping
from app.segments.membership.requests import BUILD
from tests.conftest import Api, Rows
from tests.segments.test_membership import BOUGHT, VIEWED, _define, _members, _order, _view
from workers.house import House

Work = Callable[[], Awaitable[None]]
LARGE = {"kind": "order", "measure": "sum", "at_least": 5_000}


async def _build_due(house: House, shop: Shop) -> int:
    return await jobs.run_due(house.entry, shop.id, {BUILD: segments.build}, lease_seconds=30)


def _once_staged(monkeypatch: pytest.MonkeyPatch, first: Callable[[], Awaitable[object]]) -> None:
    """Do something when a build has asked everybody, and has published nothing yet."""
    real, done = building._stage, False

    async def between(*arguments: Any) -> None:
        nonlocal done
        await real(*arguments)
        if not done:
            done = True
            await first()

    monkeypatch.setattr(building, "_stage", between)


async def _told(rows: Rows, shop: Shop, segment: int) -> set[int]:
    """Who is in by the log, where nobody comes who is in, or goes who is not."""
    inside: set[int] = set()
    for row in await rows(
        "select customer_id, entered from segment_changes where shop_id = $1 and segment_id = $2 order by id",
        shop.id,
        segment,
    ):
        assert (row["customer_id"] in inside) != row["entered"], row
        (inside.add if row["entered"] else inside.discard)(row["customer_id"])
    return inside


async def _close(api: Api, person: str, number: str) -> None:
    body = {
        "order_no": number,
        "identities": [{"kind": "external_id", "value": person}],
        "paid_at": (clock.now() - timedelta(days=1)).isoformat(),
        "amount_fen": 1000,
        "status": "closed",
        "updated_at": (clock.now() + timedelta(seconds=1)).isoformat(),
    }
    answer = await api.post("/v1/orders", body)
    assert answer.status_code == 200, answer.text


async def test_whoever_changes_during_a_build_is_asked_again(
    api: Api, house: House, shop: Shop, rows: Rows, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    staying, leaving = await _order(api, "A", "A1"), await _order(api, "B", "B1")
    coming, merged = await _view(api, "C"), await _order(api, "D", "D1")
    await work()

    async def meanwhile() -> None:
        await _close(api, "B", "B1")
        await _order(api, "C", "C1")
        assert (await api.post(f"/v1/customers/{staying}/merges", {"other_id": merged})).status_code in (200, 201)
        await refresh_changed(house.entry, 100, shop.id)

    segment = await _define(api, "bought", BOUGHT)
    _once_staged(monkeypatch, meanwhile)
    assert await _build_due(house, shop) == 1
    found = await _members(api, segment)
    assert set(found) == {coming, staying} or set(found) == {coming, merged}
    assert leaving not in found
    assert await _told(rows, shop, segment) == set(found)
    await work()
    assert await _members(api, segment) == found
    assert await rows("select * from segment_touched where shop_id = $1", shop.id) == []


async def test_facts_that_no_refresh_has_seen_are_seen_after_the_build(
    api: Api, house: House, shop: Shop, rows: Rows, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaving = await _order(api, "B", "B1")
    await work()
    segment = await _define(api, "bought", BOUGHT)
    _once_staged(monkeypatch, lambda: _close(api, "B", "B1"))
    assert await _build_due(house, shop) == 1
    assert await _members(api, segment) == [leaving]
    await work()
    assert await _members(api, segment) == []
    assert await _told(rows, shop, segment) == set()


async def test_a_newer_version_is_not_published_over(
    api: Api, house: House, shop: Shop, rows: Rows, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    small, large = await _order(api, "A", "A1", fen=10), await _order(api, "B", "B1", fen=9_000)
    segment = await _define(api, "bought", LARGE)
    await work()
    assert (await api.patch(f"/v1/segments/{segment}", {"rule": BOUGHT})).status_code == 200
    newest = {"kind": "not", "of": LARGE}

    async def meanwhile() -> None:
        assert (await api.patch(f"/v1/segments/{segment}", {"rule": newest})).status_code == 200
        assert await _build_due(house, shop) == 1

    _once_staged(monkeypatch, meanwhile)
    await work()
    assert await _members(api, segment) == [small]
    assert await _told(rows, shop, segment) == {small}
    versions = (await api.get(f"/v1/segments/{segment}/versions")).json()["items"]
    assert [(one["version"], one["state"]) for one in versions] == [(3, "live"), (2, "superseded"), (1, "superseded")]
    assert large not in await _members(api, segment)


async def test_readers_see_the_former_members_until_all_are_there(
    api: Api, house: House, shop: Shop, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    small, large = await _order(api, "A", "A1", fen=10), await _order(api, "B", "B1", fen=9_000)
    segment = await _define(api, "bought", LARGE)
    await work()
    assert (await api.patch(f"/v1/segments/{segment}", {"rule": {"kind": "not", "of": LARGE}})).status_code == 200
    seen: list[list[int]] = []

    async def read() -> None:
        seen.append(await _members(api, segment))

    _once_staged(monkeypatch, read)
    await work()
    assert seen == [[large]]
    assert await _members(api, segment) == [small]


async def test_a_sweep_that_meets_a_refresh_and_an_edit(
    api: Api, entry: Entry, house: House, shop: Shop, rows: Rows, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    turning = await _view(api, "A", timedelta(days=7) - timedelta(minutes=1))
    other = await _view(api, "B", timedelta(days=1))
    recent = await _define(api, "recent", VIEWED)
    edited = await _define(api, "edited", VIEWED)
    await work()
    await rows(
        "update events set occurred_at = occurred_at - interval '5 minutes' where shop_id = $1 returning 1", shop.id
    )
    await rows(
        "update segment_clocks set swept_to = swept_to - interval '5 minutes' where shop_id = $1 returning 1", shop.id
    )
    real = sweeping.look

    async def look(*arguments: Any, **named: Any) -> Any:
        found = await real(*arguments, **named)
        assert found is not None
        assert found.everybody() == [turning]
        monkeypatch.setattr(sweeping, "look", real)
        # Between the look and the asking: one is looked at because of a fact, the other gets a rule of its own.
        await _view(api, "A", timedelta(hours=1))
        await refresh_changed(house.entry, 100, shop.id)
        assert (await api.patch(f"/v1/segments/{edited}", {"rule": BOUGHT})).status_code == 200
        await _build_due(house, shop)
        return found

    monkeypatch.setattr(sweeping, "look", look)
    await segments.sweep_to(entry, shop.id, None)
    assert await _members(api, recent) == sorted([turning, other])
    assert await _members(api, edited) == []
    for segment in (recent, edited):
        assert await _told(rows, shop, segment) == set(await _members(api, segment))


async def test_everything_at_once(api: Api, house: House, shop: Shop, rows: Rows, work: Work) -> None:
    """Two workers, callers who order and close, an operator who edits, and the clock."""
    chance = Random(7)
    rules = [BOUGHT, LARGE, VIEWED, {"kind": "not", "of": BOUGHT}]
    numbers = [await _define(api, f"S{n}", rule) for n, rule in enumerate(rules)]
    inner: dict[str, Any] = {"kind": "segment", "any_of": numbers[:2]}
    numbers.append(await _define(api, "inner", {"kind": "all", "of": [inner, VIEWED]}))
    people = [f"P{n}" for n in range(12)]
    ending = asyncio.Event()

    async def act() -> None:
        for n in range(60):
            who = chance.choice(people)
            await _order(api, who, f"O{n}", fen=chance.choice([10, 6_000]))
            if chance.random() < 0.3:
                await _close(api, who, f"O{n}")
            if chance.random() < 0.5:
                await _view(api, who, timedelta(minutes=n))
        ending.set()

    async def edit() -> None:
        while not ending.is_set():
            number = chance.choice(numbers[:4])
            answer = await api.patch(f"/v1/segments/{number}", {"rule": chance.choice(rules)})
            assert answer.status_code == 200, answer.text
            await asyncio.sleep(0.05)

    async def toil() -> None:
        while not ending.is_set():
            await refresh_changed(house.entry, 5, shop.id)
            await _build_due(house, shop)
            await segments.sweep_to(house.entry, shop.id, None)

    await asyncio.gather(act(), edit(), toil(), toil(), toil())
    await work()
    for number in numbers:
        kept = await _members(api, number)
        assert await _told(rows, shop, number) == set(kept)
        detail = (await api.get(f"/v1/segments/{number}")).json()
        preview = (await api.post("/v1/segments/preview", {"rule": detail["rule"], "sample": 0})).json()
        assert (detail["size"], len(kept)) == (preview["customers"], preview["customers"]), detail
        # To ask everybody again changes nobody.
        before = await rows("select count(*) as n from segment_changes where shop_id = $1", shop.id)
        assert (await api.post(f"/v1/segments/{number}/build")).status_code == 202
        await work()
        assert await rows("select count(*) as n from segment_changes where shop_id = $1", shop.id) == before

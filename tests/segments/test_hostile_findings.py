"""What a hostile user and an unlucky night do to segments: races, failing builds, clocks that disagree."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from app.access.entry import Entry, in_shop
from app.access.shops import Shop
from app.core import clock
from app.core.config import Settings
from app.core.db import Connection, statement
from app.refresh import rescore, segments
from app.refresh.jobs import refresh_changed
from app.scoring.tiers.schemes import VALUE
from app.scoring.tiers.service import publish
from app.segments.membership import building, keeping, sweeping
from app.segments.rules import compiling
from app.segments.rules.checking import check
from app.segments.rules.making import Asking, Making
from app.segments.rules.tree import RULE
from app.segments.rules.turning import turning
from app.segments.rules.windows import Moment
from app.uses.errors import StillUsed
from tests.conftest import Api, MakeApi, Rows
from tests.segments.test_meeting import _build_due, _once_staged
from tests.segments.test_membership import BOUGHT, VIEWED, _define, _members, _order, _view
from workers.house import House

Work = Callable[[], Awaitable[None]]
NOBODY: dict[str, Any] = {"kind": "order", "measure": "count", "at_least": 99}


async def test_who_asks_for_a_tag_follows_when_a_new_segment_gives_it(api: Api, work: Work) -> None:
    buyer = await _order(api, "A", "A1")
    await api.post("/v1/tags", {"name": "已购"})
    asking = await _define(api, "asking", {"kind": "tag", "any_of": ["已购"]})
    await work()
    assert await _members(api, asking) == []
    await _define(api, "giving", BOUGHT, tag="已购")
    await work()
    assert await _members(api, asking) == [buyer]


async def test_a_build_hears_whom_another_build_moves(
    api: Api, house: House, shop: Shop, rows: Rows, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    buyer = await _order(api, "A", "A1")
    below = await _define(api, "below", BOUGHT)
    await work()
    assert await _members(api, below) == [buyer]
    above = await _define(api, "above", {"kind": "segment", "any_of": [below]})

    async def meanwhile() -> None:
        assert (await api.patch(f"/v1/segments/{below}", {"rule": NOBODY})).status_code == 200
        assert await _build_due(house, shop) == 1

    _once_staged(monkeypatch, meanwhile)
    await work()
    assert await _members(api, below) == []
    assert await _members(api, above) == []
    assert await rows("select * from segment_touched where shop_id = $1", shop.id) == []


async def test_a_moment_at_midnight_is_a_moment(api: Api, shop: Shop, rows: Rows, work: Work) -> None:
    buyer = await _order(api, "A", "A1")
    segment = await _define(api, "bought", BOUGHT)
    await work()
    today = clock.now().astimezone(shop.zone).date()
    midnight = f"{today.isoformat()}T00:00:00+08:00"
    assert await _members(api, segment, as_of=today.isoformat()) == [buyer]
    assert await _members(api, segment, as_of=midnight) == []
    assert await _members(api, segment, as_of=midnight.replace("+08:00", "")) == []


@pytest.mark.parametrize("as_of", ["9999-12-31", "0001-01-01", "2026-02-30", "1", "-1", "2026-01-01T00:00", "soon"])
async def test_any_moment_is_answered_or_refused(api: Api, work: Work, as_of: str) -> None:
    segment = await _define(api, "bought", BOUGHT)
    for path in ("members", "count"):
        answer = await api.get(f"/v1/segments/{segment}/{path}", params={"as_of": as_of})
        assert answer.status_code in (200, 422), answer.text


async def test_a_build_and_the_end_of_a_sweep_do_not_wait_for_each_other(
    api: Api, house: House, shop: Shop, rows: Rows, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _order(api, "A", "A1")
    segment = await _define(api, "bought", BOUGHT)
    await work()
    await _order(api, "B", "B1")
    await refresh_changed(house.entry, 100, shop.id)
    assert await rows("select moved from segment_moves where shop_id = $1", shop.id)
    turned = sweeping.Turned({}, clock.now(), clock.now())
    begun: list[str] = []
    others: list[asyncio.Task[Any]] = []

    async def finish(db: Connection, of: Shop) -> None:
        begun.append("sweep")
        await sweeping.finish(db, of, turned)

    real = building._ask_again

    async def meanwhile(*arguments: Any) -> None:
        begun.append("build")
        if not others:
            others.append(asyncio.create_task(in_shop(house.entry, shop.id, finish)))
            await asyncio.sleep(0.3)
        await real(*arguments)

    monkeypatch.setattr(building, "_ask_again", meanwhile)
    assert (await api.patch(f"/v1/segments/{segment}", {"rule": {"kind": "not", "of": NOBODY}})).status_code == 200
    assert await _build_due(house, shop) == 1
    await asyncio.gather(*others)
    assert sorted(begun) == ["build", "sweep"], "one of them was given up for the other, and had to begin anew"
    assert (await api.get(f"/v1/segments/{segment}")).json()["size"] == 2


async def test_a_large_segment_is_published_however_long_that_takes(
    api: Api, settings: Settings, shop: Shop, rows: Rows, work: Work
) -> None:
    """Everybody of a large shop is written in one statement, which takes longer than a caller would wait."""
    buyer = await _order(api, "A", "A1")
    segment = await _define(api, "bought", BOUGHT)
    hasty = House(settings.model_copy(update={"database_statement_timeout_seconds": 1.0}))
    hasty.bell.start()
    try:

        async def hold(db: Connection, of: Shop) -> None:
            await db.execute(statement(text("lock table segment_members in share mode")))
            await asyncio.sleep(2)

        holding = asyncio.create_task(in_shop(hasty.entry, shop.id, hold))
        await asyncio.sleep(0.2)
        await _build_due(hasty, shop)
        await holding
    finally:
        await hasty.close()
    assert await _members(api, segment) == [buyer]


async def test_who_was_taken_out_of_a_merge_meanwhile_stays(
    api: Api, entry: Entry, shop: Shop, rows: Rows, work: Work
) -> None:
    one, other = await _order(api, "A", "A1"), await _order(api, "B", "B1")
    segment = await _define(api, "bought", BOUGHT)
    await work()
    merged = (await api.post(f"/v1/customers/{one}/merges", {"other_id": other})).json()
    # A refresh has read that one is merged; before it goes on, that is reversed, and another refresh is through.
    owner = merged["winner_id"]
    gone = other if owner == one else one
    assert (await api.post(f"/v1/merges/{merged['id']}/reversal")).status_code == 200
    await work()

    async def late(db: Connection, of: Shop) -> None:
        await keeping.keep(db, of, [], {}, {gone: owner})

    await in_shop(entry, shop.id, late)
    assert await _members(api, segment) == sorted([one, other])


async def test_a_snapshot_of_who_is_merged_meanwhile_is_of_the_winner(
    api: Api, house: House, shop: Shop, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = await _view(api, "B")
    buyer = await _order(api, "A", "A1")
    await work()
    taken = await _define(api, "bought then", kind="static", snapshot={"rule": BOUGHT})
    winners: list[int] = []

    async def meanwhile() -> None:
        # Whichever of both answers for the other: the snapshot was of whoever had bought.
        answer = await api.post(f"/v1/customers/{other}/merges", {"other_id": buyer})
        assert answer.status_code in (200, 201), answer.text
        winners.append(answer.json()["winner_id"])

    _once_staged(monkeypatch, meanwhile)
    assert await _build_due(house, shop) == 1
    await work()
    assert await _members(api, taken) == winners


async def test_the_first_segment_is_kept_by_a_run_that_is_under_way(
    api: Api, house: House, shop: Shop, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    customer = await _order(api, "A", "A1", timedelta(days=3))
    await work()
    found: list[int] = []
    real = rescore._measure_everybody

    async def meanwhile(*arguments: Any, **more: Any) -> None:
        await real(*arguments, **more)
        found.append(await _define(api, "scored", {"kind": "score", "field": "r", "known": True}))
        assert await _build_due(house, shop) == 1
        assert await _members(api, found[0]) == []

    monkeypatch.setattr(rescore, "_measure_everybody", meanwhile)
    assert (await api.post("/v1/triggers/rescore", {})).status_code == 202
    await work()
    assert await _members(api, found[0]) == [customer]


async def test_an_archiving_that_was_given_up_can_be_asked_for_again(
    api: Api, shop: Shop, rows: Rows, work: Work
) -> None:
    await _order(api, "A", "A1")
    segment = await _define(api, "bought", BOUGHT)
    await work()
    assert (await api.post(f"/v1/segments/{segment}/archive")).status_code == 200
    await rows("update queued_jobs set state = 'quarantined' where shop_id = $1 and state = 'queued'", shop.id)
    assert (await api.post(f"/v1/segments/{segment}/archive")).status_code == 200
    await work()
    detail = (await api.get(f"/v1/segments/{segment}")).json()
    assert (detail["state"], detail["size"]) == ("archived", 0)
    assert (await api.post(f"/v1/segments/{segment}/archive")).status_code == 409


async def test_a_first_build_that_was_given_up_can_be_asked_for_again(
    api: Api, shop: Shop, rows: Rows, work: Work
) -> None:
    buyer = await _order(api, "A", "A1")
    segment = await _define(api, "listed", kind="static", snapshot={"rule": BOUGHT})
    plain = await _define(api, "bought", BOUGHT)
    await rows("update queued_jobs set state = 'quarantined' where shop_id = $1 and kind = 'build_segment'", shop.id)
    for number in (segment, plain):
        assert (await api.post(f"/v1/segments/{number}/build")).status_code == 202
    await work()
    assert await _members(api, plain) == [buyer]
    assert await _members(api, segment) == [buyer]


async def test_a_tier_that_a_segment_asks_for_is_not_dropped(api: Api, entry: Entry, shop: Shop, work: Work) -> None:
    (first, *others) = VALUE.tiers
    segment = await _define(api, "first", {"kind": "score", "field": "tier", "equals": first.name})
    await work()
    without = VALUE.model_copy(update={"tiers": (*others,)})
    async with entry.shop(shop.id) as (db, _):
        with pytest.raises(StillUsed, match="first"):
            await publish(db, shop.id, without, None)
    assert (await api.get(f"/v1/segments/{segment}")).json()["problem"] is None
    assert (await api.post(f"/v1/segments/{segment}/archive")).status_code == 200
    await work()
    async with entry.shop(shop.id) as (db, _):
        assert (await publish(db, shop.id, without, None)).added


async def test_a_rule_that_fits_again_is_asked_again(api: Api, entry: Entry, shop: Shop, work: Work) -> None:
    async def declare(*allowed: str) -> None:
        body = {"type": "choice", "class": "public", "allowed_values": list(allowed)}
        answer = await api.http.put("/v1/attributes/skin", json=body)
        assert answer.status_code == 200, answer.text

    customer = await _view(api, "A")
    await declare("dry", "oily")
    segment = await _define(api, "skin", {"kind": "attribute", "name": "skin", "any_of": ["dry", "oily"]})
    await work()
    await declare("dry")
    person = {"identities": [{"kind": "external_id", "value": "A"}], "attributes": {"skin": "dry"}}
    assert (await api.post("/v1/customers/batch", {"customers": [person]})).status_code == 200
    await work()
    await declare("dry", "oily")
    await segments.sweep_to(entry, shop.id, None)
    await work()
    assert await _members(api, segment) == [customer]


async def test_what_the_live_version_names_is_not_dropped(
    api: Api, house: House, shop: Shop, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.http.put("/v1/attributes/skin", json={"type": "text", "class": "public"})
    segment = await _define(api, "skin", {"kind": "attribute", "name": "skin", "known": True})
    await work()
    assert (await api.patch(f"/v1/segments/{segment}", {"rule": BOUGHT})).status_code == 200
    # Until version 2 is built, and for ever where it cannot be, version 1 says who is in it.
    assert (await api.http.delete("/v1/attributes/skin")).status_code == 409
    assert (await api.get(f"/v1/segments/{segment}")).json()["problem"] is None


async def test_clocks_that_disagree_lose_nobody(
    api: Api, entry: Entry, house: House, shop: Shop, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service's clock is ahead of the database's by a second, and the refresh is quicker than that."""
    segment = await _define(api, "viewed", VIEWED)
    await api.post("/v1/customers", {"identities": [{"kind": "external_id", "value": "A"}]})
    await work()
    real = clock.now
    with monkeypatch.context() as ahead:
        ahead.setattr(clock, "now", lambda: real() + timedelta(seconds=1.5))
        customer = await _view(api, "A")
    await refresh_changed(house.entry, 100, shop.id)
    await asyncio.sleep(1.6)
    await segments.sweep_to(entry, shop.id, None)
    assert await _members(api, segment) == [customer]


async def test_a_tag_is_called_as_the_tags_api_calls_it(api: Api) -> None:
    answer = await api.post("/v1/segments", {"name": "bought", "rule": BOUGHT, "tag": " 已购 "})
    assert answer.json()["tag"] == "已购"
    blank = await api.post("/v1/segments", {"name": "blank", "rule": BOUGHT, "tag": "  "})
    assert blank.status_code == 422


async def test_a_sweep_counts_customers_and_not_what_they_did(api: Api, entry: Entry, shop: Shop, work: Work) -> None:
    customer = await _view(api, "A", timedelta(minutes=5))
    for minutes in range(6, 10):
        await _view(api, "A", timedelta(minutes=minutes))
    rule = {"kind": "event", "event": "view", "at_least": 1, "window": {"last": {"hours": 1}}}
    async with entry.shop(shop.id) as (db, of):
        checked = await check(db, of, RULE.validate_python(rule), unmasked=True)
        turned = turning(checked)
        assert turned is not None
        now = clock.now()
        since, moment = Moment(now, of.zone), Moment(now + timedelta(hours=2), of.zone)
        asking = Asking(moment, checked, {}, since)
        rows = await db.fetch(turned.compiled.statement, shop_id=of.id, **turned.compiled.values(asking))
    assert [row["customer_id"] for row in rows] == [customer]


async def test_a_rule_shows_no_value_that_its_reader_sees_masked(
    api: Api, make_api: MakeApi, shop: Shop, work: Work
) -> None:
    declared = await api.http.put("/v1/attributes/second_mobile", json={"type": "text", "class": "contact"})
    assert declared.status_code == 200, declared.text
    segment = await _define(api, "one", {"kind": "attribute", "name": "second_mobile", "equals": "13800138000"})
    await work()
    reader = await make_api(shop, "segments:read")
    for path in (f"/v1/segments/{segment}", f"/v1/segments/{segment}/versions"):
        assert "13800138000" not in (await reader.get(path)).text


async def test_a_long_rule_is_made_once(
    api: Api, house: House, shop: Shop, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = [{"kind": "event", "event": "view", "at_least": 1, "window": {"last": {"days": n}}} for n in range(1, 191)]
    halves = [{"kind": "any", "of": seen[:95]}, {"kind": "any", "of": seen[95:]}]
    segment = await _define(api, "long", {"kind": "any", "of": halves})
    await work()
    await _view(api, "A")
    await refresh_changed(house.entry, 100, shop.id)
    made: list[object] = []
    real = compiling.finished

    def finished(making: Making, query: Any) -> compiling.Compiled:
        made.append(query)
        return real(making, query)

    monkeypatch.setattr(compiling, "finished", finished)
    monkeypatch.setattr("app.segments.rules.turning.finished", finished)
    await _view(api, "B")
    await refresh_changed(house.entry, 100, shop.id)
    assert (await api.get(f"/v1/segments/{segment}")).status_code == 200
    assert not made

"""GET /v1/scores/migration: an example by hand, and random histories against a plain evaluator."""

import asyncio
from collections import Counter
from datetime import date, timedelta
from typing import Any

from fastapi import FastAPI
from hypothesis import given, settings
from hypothesis import strategies as st

from app.access.entry import Entry
from app.access.shops import Shop, create_shop
from tests.conftest import Api, MakeApi, Rows
from tests.scoring.reports.people import TIERS, Json, write_run

PATH = "/v1/scores/migration"
FIRST = date(2025, 1, 1)
NAMES = [tier["name"] for tier in TIERS]

_change = st.fixed_dictionaries(
    {
        "customer_id": st.integers(1, 4),
        "origin": st.sampled_from(["own", "own", "own", "other"]),
        "to": st.sampled_from([*NAMES, "diamond", None]),
        "as_of": st.integers(0, 20).map(lambda n: FIRST + timedelta(days=n)),
    }
)


async def _write(rows: Rows, shop: Shop, changes: list[Json], table: str = "tier_changes", of: str = "tier") -> None:
    for change in changes:
        await rows(
            f"insert into {table} (shop_id, customer_id, origin_customer_id, to_{of}, as_of, changed_at) "  # noqa: S608
            "values ($1, $2, $3, $4, $5, now())",
            shop.id,
            change["customer_id"],
            change["customer_id"] + (100 if change.get("origin") == "other" else 0),
            change["to"],
            change["as_of"],
        )


def _at(changes: list[Json], customer_id: int, day: date) -> str | None:
    """The last that was said of a customer before a day; what other records brought along only for want of that."""
    theirs = [one for one in changes if one["customer_id"] == customer_id and one["as_of"] <= day]
    own = [one for one in theirs if one.get("origin") != "other"]
    to: str | None = (own or theirs or [{"to": None}])[-1]["to"]
    return to


def _pairs(changes: list[Json], before: date, after: date) -> Counter[tuple[str | None, str | None]]:
    ids = {one["customer_id"] for one in changes}
    pairs = Counter((_at(changes, one, before), _at(changes, one, after)) for one in ids)
    del pairs[None, None]
    return pairs


def _check(told: Json, pairs: Counter[tuple[str | None, str | None]]) -> None:
    moves = {(one["from_name"], one["to_name"]): one["customers"] for one in told["moves"]}
    assert moves == pairs
    both = {pair: count for pair, count in pairs.items() if None not in pair}
    assert told["stayed"] == sum(count for (a, b), count in both.items() if a == b)
    assert told["moved"] == sum(count for (a, b), count in both.items() if a != b)
    known = {pair: count for pair, count in both.items() if "diamond" not in pair}
    assert told["moved_up"] == sum(n for (a, b), n in known.items() if NAMES.index(str(a)) > NAMES.index(str(b)))
    assert told["moved_down"] == sum(n for (a, b), n in known.items() if NAMES.index(str(a)) < NAMES.index(str(b)))
    assert told["entered"] == sum(count for (a, _), count in pairs.items() if a is None)
    assert told["left"] == sum(count for (_, b), count in pairs.items() if b is None)
    for one in told["moves"]:
        were = sum(count for (a, _), count in pairs.items() if a == one["from_name"])
        assert one["share"] == (None if one["from_name"] is None else one["customers"] / were)


def _change_of(customer_id: int, to: str | None, day: int, **more: Any) -> Json:
    return {"customer_id": customer_id, "to": to, "as_of": FIRST + timedelta(days=day), **more}


async def test_by_hand(api: Api, shop: Shop, rows: Rows) -> None:
    await write_run(rows, shop, FIRST)
    await _write(
        rows,
        shop,
        [
            _change_of(1, "regular", 0),
            _change_of(2, "vip", 0),
            _change_of(3, "regular", 3),
            _change_of(1, "vip", 5),  # up
            _change_of(2, "at_risk", 5),  # down
            _change_of(4, "regular", 5),  # comes
            _change_of(3, "vip", 6),  # after the second day
            _change_of(5, "vip", 6),  # comes after it
        ],
    )
    answer = await api.get(PATH, params={"from": "2025-01-04", "to": "2025-01-06"})
    assert answer.status_code == 200, answer.text
    assert answer.json() == {
        "of": "tier",
        "from_as_of": "2025-01-04",
        "to_as_of": "2025-01-06",
        "first_as_of": "2025-01-01",
        "names": NAMES,
        "stayed": 1,
        "moved": 2,
        "moved_up": 1,
        "moved_down": 1,
        "entered": 1,
        "left": 0,
        "moves": [
            {"from_name": None, "to_name": "regular", "customers": 1, "share": None},
            {"from_name": "vip", "to_name": "at_risk", "customers": 1, "share": 1.0},
            {"from_name": "regular", "to_name": "vip", "customers": 1, "share": 0.5},
            {"from_name": "regular", "to_name": "regular", "customers": 1, "share": 0.5},
        ],
    }


async def test_stages_have_no_up_and_down(api: Api, shop: Shop, other_shop: Shop, rows: Rows) -> None:
    await write_run(rows, shop, FIRST)
    changes = [_change_of(1, "new", 0), _change_of(2, "new", 0), _change_of(1, "mature", 5)]
    await _write(rows, shop, changes, "stage_changes", "stage")
    await _write(rows, other_shop, [_change_of(7, "lost", 0)], "stage_changes", "stage")
    told = (await api.get(PATH, params={"from": "2025-01-02", "to": "2025-02-01", "of": "stage"})).json()
    assert told["names"] == ["mature", "new"]
    assert (told["stayed"], told["moved"], told["moved_up"], told["moved_down"]) == (1, 1, None, None)


async def test_a_merged_person_is_one_and_the_answering_record_speaks(api: Api, shop: Shop, rows: Rows) -> None:
    await write_run(rows, shop, FIRST)
    await _write(
        rows,
        shop,
        [
            _change_of(1, "regular", 0, origin="other"),
            _change_of(1, "vip", 3),
            _change_of(1, "at_risk", 5, origin="other"),
        ],
    )
    told = (await api.get(PATH, params={"from": "2025-01-02", "to": "2025-01-08"})).json()
    assert [(one["from_name"], one["to_name"]) for one in told["moves"]] == [("regular", "vip")]


async def test_days_that_cannot_be_asked_for(api: Api, shop: Shop, rows: Rows) -> None:
    await _write(rows, shop, [_change_of(1, "vip", 4)])
    late = shop.live_as_of() + timedelta(days=1)
    for params, field, told in (
        ({"from": "2025-01-04", "to": "2025-02-01"}, "from", "the first day of which a tier is known is 2025-01-05"),
        ({"from": "2024-01-04", "to": "2024-02-01"}, "from", "the first day of which a tier is known is 2025-01-05"),
        ({"from": "0001-01-01", "to": "0001-01-02"}, "from", "the first day of which a tier is known is 2025-01-05"),
        ({"from": "2025-02-01", "to": "2025-02-01"}, "from", "write a day before `to`"),
        ({"from": "2025-02-01", "to": late.isoformat()}, "to", f"the last day there is, is {shop.live_as_of()}"),
        ({"from": "2025-02-30", "to": "2025-03-01"}, "from", "valid date"),
        ({"to": "2025-03-01"}, "from", "required"),
        ({"from": "2025-02-01", "to": "2025-03-01", "of": "colour"}, "of", "'tier' or 'stage'"),
    ):
        answer = await api.get(PATH, params=params)
        assert answer.status_code == 422, params
        assert answer.json()["field"] == field
        assert told in answer.json()["detail"]
    first = await api.get(PATH, params={"from": "2025-01-05", "to": "2025-02-01"})
    assert first.json()["stayed"] == 1


async def test_a_shop_of_which_nothing_is_recorded(api: Api, make_api: MakeApi, shop: Shop) -> None:
    told = (await api.get(PATH, params={"from": "2025-01-04", "to": "2025-02-01"})).json()
    assert (told["first_as_of"], told["moves"], told["stayed"], told["moved_up"]) == (None, [], 0, None)
    reader = await make_api(shop, "customers:read")
    assert (await reader.get(PATH, params={"from": "2025-01-04", "to": "2025-02-01"})).status_code == 403


async def test_any_history(app: FastAPI, entry: Entry, make_api: MakeApi, rows: Rows) -> None:
    loop = asyncio.get_running_loop()
    shop = await entry.shops.get(await create_shop(entry.database, entry.root, name="history"))
    await write_run(rows, shop, FIRST)
    api = await make_api(shop)

    async def story(changes: list[Json], before: int, days: int) -> None:
        await rows("delete from tier_changes where shop_id = $1", shop.id)
        await _write(rows, shop, changes)
        first = min(one["as_of"] for one in changes)
        since, to = first + timedelta(days=before), first + timedelta(days=before + days)
        answer = await api.get(PATH, params={"from": since.isoformat(), "to": to.isoformat()})
        assert answer.status_code == 200, answer.text
        assert answer.json()["first_as_of"] == first.isoformat()
        _check(answer.json(), _pairs(changes, since, to))

    @settings(max_examples=60)
    @given(changes=st.lists(_change, min_size=1, max_size=25), before=st.integers(0, 20), days=st.integers(1, 10))
    def check(changes: list[Json], before: int, days: int) -> None:
        asyncio.run_coroutine_threadsafe(story(changes, before, days), loop).result(60)

    await asyncio.to_thread(check)

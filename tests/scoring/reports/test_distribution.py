"""GET /v1/scores/distribution against a count in plain Python."""

import math
import statistics
from collections import Counter
from datetime import date, timedelta
from typing import Any
from uuid import uuid4

import pytest

from app.access.shops import Shop
from app.scoring.grid import grid_name
from tests.conftest import Api, MakeApi, Rows
from tests.scoring.reports.people import FLAGS, TIERS, Json, people, write_live, write_run, write_snapshot

AS_OF = date(2026, 3, 1)
PATH = "/v1/scores/distribution"


async def _told(api: Api, **params: Any) -> Json:
    answer = await api.get(PATH, params=params)
    assert answer.status_code == 200, answer.text
    told: Json = answer.json()
    return told


def _parts(persons: list[Json], field: str) -> dict[str, tuple[int, float]]:
    counts = Counter(one[field] for one in persons if one[field] is not None)
    return {name: (count, count / len(persons)) for name, count in counts.items()}


def _read(parts: list[Json]) -> dict[str, tuple[int, float]]:
    return {one["name"]: (one["customers"], one["share"]) for one in parts if one["customers"]}


def _check(told: Json, persons: list[Json]) -> None:
    assert told["customers"] == len(persons)
    for part, field in (
        ("tiers", "tier"),
        ("stages", "stage"),
        ("cycle_states", "cycle_state"),
        ("churn_bands", "churn_band"),
        ("nurture_stages", "nurture_stage"),
        ("rfm_types", "rfm_type"),
    ):
        assert _read(told[part]) == _parts(persons, field), part
    assert told["without_tier"] == sum(one["tier"] is None for one in persons) > 0
    for one in told["flags"]:
        count = sum(bool(person[one["name"]]) for person in persons)
        assert (one["customers"], one["share"]) == (count, count / len(persons))
    assert [one["name"] for one in told["flags"]] == list(FLAGS)
    for one in told["rfm_types"]:
        assert one["net_fen"] == sum(p["net_fen"] for p in persons if p["rfm_type"] == one["name"])
    _check_grid(told, persons)
    _check_value(told["clv"], [p["clv_predicted_fen"] for p in persons if p["clv_predicted_fen"] is not None])
    _check_cycle(told["repurchase_cycle"], [p["gap_median_days"] for p in persons if p["gap_median_days"]])


def _check_grid(told: Json, persons: list[Json]) -> None:
    assert [(cell["r"], cell["f"]) for cell in told["rfm_grid"]] == [(r, f) for r in range(1, 6) for f in range(1, 6)]
    for cell in told["rfm_grid"]:
        there = [p for p in persons if (p["r"], p["f"]) == (cell["r"], cell["f"])]
        assert cell["customers"] == len(there)
        assert cell["net_fen"] == sum(p["net_fen"] for p in there)
        assert cell["name"] == grid_name(cell["r"], cell["f"])
    assert len(told["grid_names"]) == 10
    for one in told["grid_names"]:
        there = [p for p in persons if grid_name(p["r"], p["f"]) == one["name"]]
        assert (one["customers"], one["net_fen"]) == (len(there), sum(p["net_fen"] for p in there))


def _check_value(clv: Json, values: list[int]) -> None:
    values = sorted(values, reverse=True)
    assert (clv["customers"], clv["sum_fen"]) == (len(values), sum(values))
    assert clv["mean_fen"] == pytest.approx(statistics.mean(values))
    rest = iter(values)
    for number, decile in enumerate(clv["deciles"], start=1):
        size = len(values) // 10 + (number <= len(values) % 10)
        group = [next(rest) for _ in range(size)]
        assert decile == {
            "decile": number,
            "customers": size,
            "from_fen": min(group),
            "to_fen": max(group),
            "sum_fen": sum(group),
        }
    assert list(rest) == []


def _check_cycle(cycle: Json, gaps: list[float]) -> None:
    assert cycle["customers"] == len(gaps)
    assert cycle["mean_days"] == pytest.approx(statistics.mean(gaps))
    assert cycle["median_days"] == statistics.median(gaps)
    tenths = statistics.quantiles(gaps, n=20, method="inclusive")
    quartiles = {"q10_days": tenths[1], "q25_days": tenths[4], "q75_days": tenths[14], "q90_days": tenths[17]}
    assert {name: cycle[name] for name in quartiles} == pytest.approx(quartiles)
    lower = 0.0
    for one in cycle["bins"]:
        upper = one["to_days"] or math.inf
        assert one["customers"] == sum(lower < gap <= upper for gap in gaps), one
        lower = upper
    assert [(one["from_days"], one["to_days"]) for one in cycle["bins"]] == [
        *((0, 7), (8, 14), (15, 30), (31, 60), (61, 90), (91, 180), (181, 365)),
        (366, None),
    ]


async def test_live(api: Api, shop: Shop, other_shop: Shop, rows: Rows) -> None:
    today = shop.live_as_of()
    persons = people(400, today)
    await write_live(rows, shop, persons)
    # Who comes tomorrow is no customer yet, and another shop's are never seen.
    [late] = people(1, today, seed=8)
    await write_live(
        rows,
        shop,
        [late | {"customer_id": 999, "since_on": today, "tier": None, "p_alive": None, "clv_predicted_fen": None}],
    )
    await write_live(rows, other_shop, people(50, today, seed=9))
    run = await write_run(rows, shop, AS_OF)
    told = await _told(api)
    assert (told["run_id"], told["kind"], told["as_of"]) == (str(run), "live", today.isoformat())
    _check(told, persons)
    assert await _told(api, run=run) == told


async def test_of_an_as_of_run(api: Api, shop: Shop, rows: Rows) -> None:
    await write_run(rows, shop, AS_OF)
    await write_live(rows, shop, people(20, AS_OF, seed=3))
    run = await write_run(rows, shop, date(2025, 6, 1), kind="as_of", state="done")
    persons = people(300, date(2025, 6, 1), seed=4)
    await write_snapshot(rows, shop, run, persons)
    await write_snapshot(rows, shop, uuid4(), people(30, AS_OF, seed=5))
    told = await _told(api, run=run)
    assert (told["run_id"], told["kind"], told["as_of"]) == (str(run), "as_of", "2025-06-01")
    _check(told, persons)


async def test_tiers_stand_in_the_order_of_the_definition_and_are_held_against_it(
    api: Api, shop: Shop, rows: Rows
) -> None:
    persons = people(300, shop.live_as_of())
    await write_live(rows, shop, persons)
    await write_run(rows, shop, AS_OF)
    tiers = (await _told(api))["tiers"]
    assert [one["name"] for one in tiers] == [*(tier["name"] for tier in TIERS), "diamond"]
    assert [one["label"] for one in tiers] == [*(tier["label"] for tier in TIERS), None]
    vip, potential, at_risk, *_ = tiers
    assert vip["expected_share"] == [0.05, 0.08]
    assert vip["warning"] == (
        f"高价值客户 (vip) has {vip['share']:.1%} of the customers, expected are 5.0% to 8.0%: "
        "tighten orders at_least 9, or change its expected_share"
    )
    assert at_risk["warning"] is None
    assert (potential["expected_share"], potential["warning"]) == (None, None)


async def test_too_few_are_told_to_loosen(api: Api, shop: Shop, rows: Rows) -> None:
    await write_live(rows, shop, people(30, shop.live_as_of()))
    when = [{"field": "orders", "at_least": 9}]
    gold_tier = {"name": "gold", "label": "Gold", "expected_share": [0.1, 0.2], "when": when}
    await write_run(rows, shop, AS_OF, tiers=[gold_tier, TIERS[-1]])
    gold = (await _told(api))["tiers"][0]
    assert gold["customers"] == 0
    assert "0.0% of the customers, expected are 10.0% to 20.0%: loosen" in gold["warning"]


async def test_a_shop_without_customers(api: Api, shop: Shop, rows: Rows) -> None:
    await write_run(rows, shop, AS_OF)
    told = await _told(api)
    assert told["customers"] == told["without_tier"] == 0
    assert [(one["customers"], one["share"], one["warning"]) for one in told["tiers"]] == [(0, None, None)] * 4
    assert sum(cell["customers"] for cell in told["rfm_grid"]) == 0
    assert told["clv"] == {"customers": 0, "sum_fen": 0, "mean_fen": None, "deciles": []}
    assert told["repurchase_cycle"]["median_days"] is None
    assert {one["customers"] for one in told["repurchase_cycle"]["bins"]} == {0}


async def test_fewer_than_ten_predictions(api: Api, shop: Shop, rows: Rows) -> None:
    persons = [one for one in people(40, shop.live_as_of()) if one["clv_predicted_fen"] is not None][:3]
    await write_live(rows, shop, persons)
    await write_run(rows, shop, AS_OF)
    _check_value((await _told(api))["clv"], [one["clv_predicted_fen"] for one in persons])


async def test_what_cannot_be_read(api: Api, make_api: MakeApi, shop: Shop, other_shop: Shop, rows: Rows) -> None:
    answer = await api.get(PATH)
    assert answer.status_code == 404
    assert "POST /v1/triggers/rescore" in answer.json()["detail"]
    computing = await write_run(rows, shop, AS_OF, kind="as_of", state="computing")
    superseded = await write_run(rows, shop, AS_OF - timedelta(days=1), state="superseded")
    theirs = await write_run(rows, other_shop, AS_OF)
    for run in (computing, superseded, theirs, uuid4()):
        answer = await api.get(PATH, params={"run": str(run)})
        assert answer.status_code == 404
        assert answer.json()["field"] == "run"
        assert "GET /v1/scores/runs" in answer.json()["detail"]
    assert (await api.get(PATH, params={"run": "x"})).status_code == 422
    reader = await make_api(shop, "customers:read")
    assert (await reader.get(PATH)).status_code == 403

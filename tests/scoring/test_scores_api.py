"""Scores through HTTP: one customer's, explained, with what comes next and how they came there."""

from collections.abc import Awaitable, Callable
from datetime import date, timedelta
from typing import Any

import orjson

from app.access.entry import Entry
from app.access.shops import Shop
from app.core import clock
from tests.conftest import Api, Rows

Json = dict[str, Any]
Work = Callable[[], Awaitable[None]]


def _day(ago: int) -> str:
    return (clock.now() - timedelta(days=ago)).isoformat()


async def _order(api: Api, person: str, number: str, ago: int, fen: int = 1000, **more: Any) -> int:
    body = {
        "order_no": number,
        "identities": [{"kind": "external_id", "value": person}],
        "paid_at": _day(ago),
        "amount_fen": fen,
        **more,
    }
    answer = await api.post("/v1/orders", body)
    assert answer.status_code == 200, answer.text
    return int(answer.json()["customer_id"])


async def _event(api: Api, person: str, number: str, ago: int, kind: str = "view") -> None:
    body = {
        "event_id": number,
        "type": kind,
        "identities": [{"kind": "external_id", "value": person}],
        "occurred_at": _day(ago),
    }
    assert (await api.post("/v1/events", body)).status_code == 200


async def _scores(api: Api, customer: int, **query: Any) -> Json:
    answer = await api.get(f"/v1/customers/{customer}/scores", params=query)
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    return found


async def _shop_of_buyers(api: Api, work: Work) -> int:
    """Ten people who buy every ten days, so that the shop has a cycle; one of them is returned."""
    for person in range(10):
        for n in range(6):
            await _order(api, f"P{person}", f"O{person}-{n}", ago=5 + 10 * n, fen=1000 * (person + 1))
    customer = await _order(api, "P0", "O0-0", ago=5)
    await work()
    assert (await api.post("/v1/triggers/rescore", {})).status_code == 202
    await work()
    return customer


async def test_every_score_says_what_it_was_made_of(api: Api, work: Work) -> None:
    customer = await _shop_of_buyers(api, work)
    plain = await _scores(api, customer)
    assert plain["explained"] is None
    scores = await _scores(api, customer, explain=True)
    told = {one["score"]: one for one in scores["explained"]["scores"]}
    assert set(told) == {
        *("tier", "r", "f", "m", "rfm_type", "stage", "cycle_state", "churn_band", "clv_simple_fen"),
        *("clv_predicted_fen", "price_sensitive", "quality_oriented", "socially_active", "vip_drop"),
        "second_purchase",
    }
    for name, one in told.items():
        assert one["value"] == scores[name], name
        assert one["rule"].endswith("."), name
    (run,) = (await api.get("/v1/scores/runs")).json()
    assert scores["explained"]["run_id"] == run["run_id"]
    assert scores["explained"]["tiers_version"] == 0
    assert told["r"]["inputs"] == {"recency_days": 6}
    assert told["r"]["thresholds"] == {"cut_points": run["recency_cuts"]}
    assert told["stage"]["value"] == "mature"
    assert told["cycle_state"]["inputs"] == {"recency_days": 6, "cycle_days": 10.0, "cycle_of": "own"}
    met = {(one["tier"], one["field"]): one["met"] for one in told["tier"]["thresholds"]["conditions"]}
    assert met["vip", "net_365d_fen"] is False
    assert scores["tier"] == next(
        tier
        for tier in ("vip", "high_potential", "at_risk", "regular")
        if all(m for (t, _), m in met.items() if t == tier)
    )


async def test_what_comes_next_and_what_is_arithmetic(api: Api, work: Work) -> None:
    customer = await _shop_of_buyers(api, work)
    scores = await _scores(api, customer)
    last_on = date.fromisoformat(scores["last_on"])
    assert scores["next_order"] == dict.fromkeys(
        ("early_on", "expected_on", "late_on"), (last_on + timedelta(days=10)).isoformat()
    )
    assert (scores["orders"], scores["average_order_fen"], scores["gap_mean_days"]) == (6, 1000, 10.0)
    # 6,000 fen within a tenure of 56 days, which counts as a year, kept for three.
    assert scores["clv_simple_fen"] == 18_000
    assert scores["rfm_segment"] in (
        "champions",
        "loyal_customers",
        "potential_loyalists",
        "new_customers",
        "promising",
    )
    assert scores["clv_predicted_fen"] is None


async def test_moves_between_stages_and_tiers_say_why(api: Api, shop: Shop, rows: Rows, work: Work) -> None:
    customer = await _order(api, "P1", "A1", ago=400)
    await work()
    assert (await _scores(api, customer))["stage"] == "lost"
    await _order(api, "P1", "A2", ago=0)
    await work()
    scores = await _scores(api, customer)
    assert [(move["from_stage"], move["to_stage"], move["cause"]) for move in scores["stage_changes"]] == [
        ("lost", "growing", "fact"),
        (None, "lost", "fact"),
    ]
    await api.post("/v1/triggers/rescore", {})
    await work()
    first = (await _scores(api, customer))["tier_changes"][0]
    assert first["cause"] in ("fact", "run")
    stored = await rows("select cause from stage_changes where shop_id = $1 order by id", shop.id)
    assert [row["cause"] for row in stored] == ["fact", "fact"]


async def test_a_lead_is_scored_until_it_buys(api: Api, work: Work) -> None:
    body = {"identities": [{"kind": "mobile", "value": "13900000001"}, {"kind": "external_id", "value": "L1"}]}
    customer = (await api.post("/v1/customers", body)).json()["id"]
    await work()
    scores = await _scores(api, customer, explain=True)
    assert (scores["lead_score"], scores["nurture_stage"], scores["stage"]) == (50, "warm", "new")
    await _event(api, "L1", "E1", 1, "consult")
    await _event(api, "L1", "E2", 1, "view")
    await work()
    scores = await _scores(api, customer, explain=True)
    assert (scores["lead_score"], scores["nurture_stage"]) == (64, "hot")
    (told,) = [one for one in scores["explained"]["scores"] if one["score"] == "lead_score"]
    assert told["inputs"]["consultations_and_carts"] == 1
    await _order(api, "L1", "O1", ago=0)
    await work()
    scores = await _scores(api, customer)
    assert (scores["lead_score"], scores["nurture_stage"], scores["churn_band"]) == (None, None, "low")


async def test_who_bought_once_and_comes_back_to_look_is_a_candidate(api: Api, work: Work) -> None:
    await _shop_of_buyers(api, work)
    quiet = await _order(api, "Q", "Q1", ago=20)
    keen = await _order(api, "K", "K1", ago=20)
    await _event(api, "K", "KE1", 3, "cart")
    await work()
    assert (await _scores(api, quiet))["second_purchase"] is False
    assert (await _scores(api, keen))["second_purchase"] is True
    await _order(api, "K", "K2", ago=1)
    await work()
    assert (await _scores(api, keen))["second_purchase"] is False


async def test_what_they_look_for(api: Api, work: Work) -> None:
    def line(price: int) -> list[Json]:
        return [{"sku": "S", "quantity": 1, "price_fen": price}]

    for n in range(8):
        await _order(api, f"N{n}", f"N{n}-1", ago=9, fen=1000, items=line(1000))
    dear = await _order(api, "D", "D1", ago=9, fen=90_000, items=line(90_000))
    for n in range(2):
        cheap = await _order(api, "C", f"C{n}", ago=9, fen=600, discount_fen=400, items=line(1000))
    for n in range(3):
        await _event(api, "D", f"S{n}", n, "campaign_response")
    await work()
    await api.post("/v1/triggers/rescore", {})
    await work()
    scores = await _scores(api, dear)
    assert (scores["price_sensitive"], scores["quality_oriented"], scores["socially_active"]) == (False, True, True)
    scores = await _scores(api, cheap)
    assert (scores["price_sensitive"], scores["quality_oriented"], scores["socially_active"]) == (True, False, False)
    assert (scores["discount_fen"], scores["discounted_orders"]) == (800, 2)


async def test_nobody_seen_yet_has_nothing(api: Api) -> None:
    customer = (await api.post("/v1/customers", {"identities": [{"kind": "external_id", "value": "X"}]})).json()["id"]
    scores = await _scores(api, customer, explain=True)
    assert (scores["since_on"], scores["orders"], scores["interactions_by_month"]) == (None, 0, [0] * 6)
    assert (scores["tier"], scores["r"], scores["explained"]) == (None, None, None)


async def test_export_lines_carry_what_is_promised(api: Api, work: Work) -> None:
    customer = await _shop_of_buyers(api, work)
    lines = [orjson.loads(line) for line in (await api.get("/v1/scores/export")).text.splitlines()]
    (line,) = [line for line in lines if line["customer_id"] == customer]
    scores = await _scores(api, customer)
    promised = (
        *("customer_id", "first_on", "last_on", "orders", "purchase_days", "gross_fen", "refund_fen", "net_fen"),
        *("recency_days", "tenure_days", "gap_median_days", "r", "f", "m", "rfm_type", "tier", "stage", "churn_band"),
        *("clv_simple_fen", "p_alive", "expected_purchases_90d", "expected_purchases_365d", "expected_spend_fen"),
        "clv_predicted_fen",
    )
    assert {name: line[name] for name in promised} == {name: scores[name] for name in promised}
    assert line["run_id"] == (await api.get("/v1/scores/runs")).json()[0]["run_id"]
    assert "external_id" in line


async def test_the_rows_of_an_as_of_run_are_kept_for_a_month(api: Api, shop: Shop, rows: Rows, work: Work) -> None:
    await _shop_of_buyers(api, work)
    run = (await api.post("/v1/triggers/rescore", {"as_of": _day(3)[:10]})).json()["run_id"]
    await work()
    assert (await api.get("/v1/scores/export", params={"run": run})).text.count("\n") == 10
    aged = "update score_runs set published_at = now() - interval '31 days' where shop_id = $1 and id = $2 returning 1"
    await rows(aged, shop.id, run)
    await work()
    answer = await api.get("/v1/scores/export", params={"run": run})
    assert (answer.status_code, answer.json()["field"]) == (404, "run")
    assert await rows("select 1 from score_snapshots where shop_id = $1", shop.id) == []
    states = {found["run_id"]: found["state"] for found in (await api.get("/v1/scores/runs")).json()}
    assert sorted(states.values()) == ["forgotten", "published"]
    assert states[run] == "forgotten"


async def test_settings_that_contradict_themselves_are_refused_with_the_field(api: Api) -> None:
    settings = (await api.get("/v1/shop")).json()["settings"]
    for part, bad, field in (
        ("stages", {"dormant_days": 400}, "scoring.stages"),
        ("cycle", {"due": 2.0}, "scoring.cycle"),
        ("leads", {"hot_from": 10}, "scoring.leads"),
        ("rfm", {"method": "ntile"}, "scoring.rfm.method"),
        ("clv", {"years_kept": 0}, "scoring.clv.years_kept"),
    ):
        scoring = settings["scoring"] | {part: settings["scoring"][part] | bad}
        answer = await api.http.put("/v1/shop/settings", json=settings | {"scoring": scoring})
        assert (answer.status_code, answer.json()["field"]) == (422, field), answer.text


async def test_a_shop_decides_what_counts_as_what(api: Api, entry: Entry, shop: Shop, work: Work) -> None:
    settings = (await api.get("/v1/shop")).json()["settings"]
    kinds = settings["scoring"]["interactions"] | {"consult": ["fitting"], "view": []}
    changed = settings | {"scoring": settings["scoring"] | {"interactions": kinds}}
    assert (await api.http.put("/v1/shop/settings", json=changed)).status_code == 200
    assert (await api.http.put("/v1/event-types/fitting", json={"properties": {}})).status_code == 200
    entry.shops.forget(shop.id)
    customer = await _order(api, "P1", "A1", ago=30)
    await _event(api, "P1", "E1", 2, "fitting")
    await _event(api, "P1", "E2", 2, "view")
    await work()
    scores = await _scores(api, customer)
    assert (scores["consult_180d"], scores["view_180d"], scores["signals_since_order"]) == (1, 0, 1)
    assert scores["last_event_on"] == scores["last_consult_on"]

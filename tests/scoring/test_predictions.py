"""Predicted values in rows: as the models say, kept by the refresh, steady from run to run, declined with a reason."""

import random
from datetime import UTC, date, datetime, timedelta
from typing import Any

import orjson

from app.access.entry import Entry
from app.access.shops import Shop, create_shop
from app.core.ids import CustomerIds
from app.customers.schemas import IdentityWrite
from app.orders import service as orders
from app.orders.schemas import OrderWrite
from app.refresh import requests
from app.scoring.prediction.fitted import Fit
from app.scoring.prediction.predict import predict
from tests.conftest import Rows
from workers.house import House

AS_OF = date(2026, 3, 1)
NOON = datetime(2026, 2, 28, 4, tzinfo=UTC)  # of the day before, in Shanghai
PEOPLE = 700


def _purchases(seed: int) -> dict[int, list[tuple[int, int]]]:
    """Person to (days ago, fen): each buys at a rate of their own until they leave, as the model has it."""
    chance = random.Random(seed)
    found: dict[int, list[tuple[int, int]]] = {}
    for person in range(PEOPLE):
        first, rate, spend = chance.randint(60, 700), chance.gammavariate(0.8, 1 / 25), chance.randint(500, 9000)
        leaving, ago = chance.betavariate(0.8, 2.5), float(first)
        days = [first]
        while chance.random() >= leaving:
            ago -= chance.expovariate(rate) if rate > 1e-6 else 1e9
            if ago < 0:
                break
            days.append(int(ago))
        found[person] = [(day, max(1, round(spend * chance.gammavariate(6, 1 / 6)))) for day in days]
    return found


async def _tell(entry: Entry, shop: Shop, prefix: str, told: dict[int, list[tuple[int, int]]]) -> None:
    writes = [
        OrderWrite(
            order_no=f"{prefix}{person}-{number}",
            identities=[IdentityWrite(kind="external_id", value=f"P{person}")],
            paid_at=NOON - timedelta(days=ago),
            amount_fen=fen,
        )
        for person, days in told.items()
        for number, (ago, fen) in enumerate(days)
    ]
    for start in range(0, len(writes), 500):
        async with entry.shop(shop.id) as (db, of):
            await orders.put_orders(db, of, CustomerIds(), writes[start : start + 500])


async def _run(entry: Entry, house: House, shop: Shop) -> None:
    async with entry.shop(shop.id) as (db, of):
        await requests.rescore(db, of)
    await house.rounds.until_idle(shop.id)


async def _fit(rows: Rows, shop: Shop) -> tuple[dict[str, Any], Fit]:
    (model,) = await rows(
        "select m.* from score_models m join score_runs r on r.shop_id = m.shop_id and r.id = m.run_id "
        "where m.shop_id = $1 and r.state = 'published'",
        shop.id,
    )
    told = dict(model) | {name: orjson.loads(model[name] or "null") for name in ("fit", "optimum", "backtest")}
    return told, Fit.from_dict(told["fit"])


async def _predicted(rows: Rows, shop: Shop) -> dict[int, dict[str, Any]]:
    found = await rows("select * from customer_predictions where shop_id = $1 order by customer_id", shop.id)
    return {row["customer_id"]: dict(row) for row in found}


async def _expected(rows: Rows, shop: Shop, fit: Fit) -> dict[int, tuple[float, float, float, int, int]]:
    """From the orders themselves, by the model's own functions, one customer at a time."""
    found = await rows(
        "select customer_id, (paid_at at time zone 'Asia/Shanghai')::date as day, sum(amount_fen)::bigint as fen "
        "from orders where shop_id = $1 group by 1, 2 order by 1, 2",
        shop.id,
    )
    days: dict[int, list[tuple[date, int]]] = {}
    for row in found:
        days.setdefault(row["customer_id"], []).append((row["day"], row["fen"]))
    expected = {}
    for customer, bought in days.items():
        first, last, x = bought[0][0], bought[-1][0], len(bought) - 1
        clock = max(AS_OF - timedelta(days=1), last)
        spend = sum(fen for _, fen in bought[1:]) / x if x else 0.0
        told = predict(fit, [x], [(last - first).days], [(clock - first).days], [spend])
        expected[customer] = (
            float(told.p_alive[0]),
            float(told.expected_purchases_90d[0]),
            float(told.expected_purchases_365d[0]),
            int(told.expected_spend_fen[0]),
            int(told.clv_predicted_fen[0]),
        )
    return expected


def _values(row: dict[str, Any]) -> tuple[Any, ...]:
    names = ("p_alive", "expected_purchases_90d", "expected_purchases_365d", "expected_spend_fen", "clv_predicted_fen")
    return tuple(row[name] for name in names)


async def test_predictions_follow_the_facts_and_stand_still_with_them(entry: Entry, house: House, rows: Rows) -> None:
    number = await create_shop(entry.database, entry.root, name="history", pinned_as_of=AS_OF)
    shop = await entry.shops.get(number)
    told = _purchases(seed=7)
    await _tell(entry, shop, "A", told)
    await _run(entry, house, shop)
    model, fit = await _fit(rows, shop)
    assert (model["fitted_to"], model["declined"], fit.usable) == (AS_OF - timedelta(days=1), None, True)
    assert model["backtest"]["customers"] > 300
    before = await _predicted(rows, shop)
    assert {number: _values(row) for number, row in before.items()} == await _expected(rows, shop, fit)
    assert len(before) == PEOPLE

    # One order each of ten people: they alone are predicted anew, by the fit that is published.
    again = {person: [(0, 5000)] for person in range(10)}
    await _tell(entry, shop, "B", again)
    await house.rounds.until_idle(shop.id)
    after = await _predicted(rows, shop)
    assert {number: _values(row) for number, row in after.items()} == await _expected(rows, shop, fit)
    assert 1 <= sum(_values(after[customer]) != _values(before[customer]) for customer in before) <= 10

    # Ten orders more do not contradict the parameters: they stay in use, and so do everybody's rows.
    await _run(entry, house, shop)
    model, kept = await _fit(rows, shop)
    assert (kept.purchases.parameters, kept.spend.parameters) == (fit.purchases.parameters, fit.spend.parameters)
    assert Fit.from_dict(model["optimum"]).purchases.parameters != fit.purchases.parameters
    assert await _predicted(rows, shop) == after


async def test_too_little_data_is_declined_with_the_reason(entry: Entry, house: House, rows: Rows) -> None:
    number = await create_shop(entry.database, entry.root, name="small", pinned_as_of=AS_OF)
    shop = await entry.shops.get(number)
    await _tell(entry, shop, "A", {person: days for person, days in _purchases(seed=3).items() if person < 40})
    await _run(entry, house, shop)
    (model,) = await rows("select * from score_models where shop_id = $1", shop.id)
    assert model["fit"] is None
    declined = orjson.loads(model["declined"])
    assert declined["code"] == "too_few_customers"
    assert "40" in declined["detail"]
    assert "500" in declined["detail"]
    assert await _predicted(rows, shop) == {}
    (scored,) = await rows(
        "select count(*) as n from customer_scores where shop_id = $1 and churn_band is not null", number
    )
    assert scored["n"] == 40


async def test_who_has_no_order_any_more_has_no_prediction(entry: Entry, house: House, rows: Rows) -> None:
    number = await create_shop(entry.database, entry.root, name="history", pinned_as_of=AS_OF)
    shop = await entry.shops.get(number)
    told = _purchases(seed=7)
    await _tell(entry, shop, "A", told)
    await _run(entry, house, shop)
    once = next(person for person, days in told.items() if len(days) == 1)
    closing = OrderWrite(
        order_no=f"A{once}-0",
        identities=[IdentityWrite(kind="external_id", value=f"P{once}")],
        paid_at=NOON - timedelta(days=told[once][0][0]),
        amount_fen=told[once][0][1],
        status="closed",
        version=2**40,
    )
    async with entry.shop(shop.id) as (db, of):
        await orders.put_orders(db, of, CustomerIds(), [closing])
    await house.rounds.until_idle(shop.id)
    assert len(await _predicted(rows, shop)) == PEOPLE - 1


async def test_a_discount_lowers_the_value(entry: Entry, house: House, rows: Rows) -> None:
    values = {}
    for rate in (0.0, 0.01):
        number = await create_shop(entry.database, entry.root, name="history", pinned_as_of=AS_OF)
        await rows(
            "update shops set settings = $2::jsonb where id = $1 returning 1",
            number,
            orjson.dumps({"scoring": {"clv": {"monthly_discount": rate}}}).decode(),
        )
        shop = await entry.shops.get(number)
        await _tell(entry, shop, "A", _purchases(seed=7))
        await _run(entry, house, shop)
        values[rate] = [row["clv_predicted_fen"] for row in (await _predicted(rows, shop)).values()]
    assert 0.93 < sum(values[0.01]) / sum(values[0.0]) < 0.95

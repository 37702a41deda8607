"""GET /v1/scores/models: the stored fit as it was written, in any of the states that a run can leave."""

from datetime import date
from typing import Any
from uuid import UUID

import orjson

from app.access.shops import Shop
from tests.conftest import Api, MakeApi, Rows
from tests.scoring.reports.people import Json, write_run

PATH = "/v1/scores/models"
AS_OF = date(2026, 3, 1)

# The published parameters of the CDNOW sample.
PURCHASES = {"r": 0.2426, "alpha": 4.414, "a": 0.793, "b": 2.426}
SPEND = {"p": 6.25, "q": 3.74, "v": 15.44}
IN_USE = {"log_likelihood": -9582.4, "converged": True, "fitted_to": "2026-02-01"}
OPTIMUM = {"log_likelihood": -9582.1, "customers": 2357, "iterations": 31, "converged": True, "messages": ["near"]}
FIT: Json = {
    "fitted_to": "2026-02-28",
    "customers": 2357,
    "repeaters": 946,
    "unit": "week",
    "purchases": {"parameters": PURCHASES} | IN_USE,
    "spend": {"parameters": SPEND} | IN_USE,
    "purchases_optimum": {"parameters": PURCHASES} | OPTIMUM,
    "spend_optimum": {"parameters": SPEND} | OPTIMUM,
}
BACKTEST = {"correlation": 0.626, "mean_absolute_error": 0.785, "deciles": [{"number": 1, "customers": 235}]}


async def write_model(rows: Rows, shop: Shop, run_id: UUID, **stored: Any) -> None:
    """What a run keeps of its model."""
    parts = [
        None if stored.get(name) is None else orjson.dumps(stored[name]).decode()
        for name in ("fit", "optimum", "declined", "backtest")
    ]
    await rows(
        "insert into score_models (shop_id, run_id, fitted_to, fit, optimum, declined, backtest, created_at) "
        "values ($1, $2, $3, $4, $5, $6, $7, now())",
        shop.id,
        run_id,
        date(2026, 2, 28),
        *parts,
    )


async def _told(api: Api, **params: Any) -> Json:
    answer = await api.get(PATH, params=params)
    assert answer.status_code == 200, answer.text
    told: Json = answer.json()
    return told


async def test_a_fit(api: Api, shop: Shop, rows: Rows) -> None:
    run = await write_run(rows, shop, AS_OF)
    await write_model(rows, shop, run, fit=FIT, backtest=BACKTEST)
    told = await _told(api)
    assert told == FIT | {"run_id": str(run), "as_of": "2026-03-01", "declined": None, "backtest": BACKTEST}
    assert await _told(api, run=run) == told


async def test_parameters_in_use_and_optimum_apart(api: Api, shop: Shop, rows: Rows) -> None:
    run = await write_run(rows, shop, AS_OF, kind="as_of", state="done")
    former = {"parameters": PURCHASES | {"r": 0.25}} | IN_USE
    fit = {name: FIT[name] for name in ("unit", "customers", "repeaters", "spend")} | {"purchases": former}
    await write_model(rows, shop, run, fit=fit, optimum=FIT)
    told = await _told(api, run=run)
    assert told["purchases"] == former
    assert told["purchases_optimum"] == FIT["purchases_optimum"]


async def test_declined(api: Api, shop: Shop, rows: Rows) -> None:
    run = await write_run(rows, shop, AS_OF)
    await write_model(rows, shop, run, declined={"code": "too_few_customers", "detail": "Found 7; 500 are needed."})
    told = await _told(api)
    assert told["declined"] == {"code": "too_few_customers", "detail": "Found 7; 500 are needed."}
    assert (told["purchases"], told["spend"], told["purchases_optimum"], told["backtest"]) == (None, None, None, None)
    assert told["unit"] == "week"


async def test_what_cannot_be_read(api: Api, make_api: MakeApi, shop: Shop, rows: Rows) -> None:
    assert "POST /v1/triggers/rescore" in (await api.get(PATH)).json()["detail"]
    await write_run(rows, shop, AS_OF)
    answer = await api.get(PATH)
    assert (answer.status_code, answer.json()["field"]) == (404, "run")
    assert "made no predictions" in answer.json()["detail"]
    reader = await make_api(shop, "customers:read")
    assert (await reader.get(PATH)).status_code == 403

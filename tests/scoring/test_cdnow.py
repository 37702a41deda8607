"""Published answers for the CDNOW sample, by the public import and export; skipped where the data is not."""

import csv
import gzip
from collections.abc import Awaitable, Callable
from datetime import date
from pathlib import Path
from typing import Any

import orjson
import pytest

from app.access.shops import Shop
from tests.conftest import Api
from tests.imports.files import put_in

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "cdnow_sample"

pytestmark = pytest.mark.skipif(
    not DATA.is_dir(), reason="the CDNOW sample is not beside the project (licence: private)"
)


def _table(name: str) -> list[dict[str, str]]:
    with gzip.open(DATA / name, "rt", encoding="utf-8") as file:
        return list(csv.DictReader(file))


async def _put_in(api: Api, base_url: str, work: Callable[[], Awaitable[None]], tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["order_no", "external_id", "paid_at", "amount"])
        for row in _table("orders.csv.gz"):
            writer.writerow([row["order_no"], row["customer_id"], row["order_date"], row["amount"]])
    result = await put_in("orders", path, api, base_url, work)
    assert (result.created, result.refused) == (6919, 0)
    again = await put_in("orders", path, api, base_url, work)
    assert (again.created, again.updated, again.unchanged) == (0, 0, 6919)


async def _scored(api: Api, work: Callable[[], Awaitable[None]], as_of: str) -> tuple[str, dict[str, dict[str, Any]]]:
    accepted = (await api.post("/v1/triggers/rescore", {"as_of": as_of})).json()
    await work()
    exported = (await api.get("/v1/scores/export", params={"run": accepted["run_id"]})).text
    return accepted["run_id"], {line["external_id"]: line for line in map(orjson.loads, exported.splitlines())}


async def test_scores_equal_the_published_answers(
    api: Api, shop: Shop, base_url: str, work: Callable[[], Awaitable[None]], tmp_path: Path
) -> None:
    await _put_in(api, base_url, work, tmp_path)
    reference = _table("ref_rfm.csv.gz")
    for as_of in ("1997-10-01", "1998-07-01"):
        run_id, scores = await _scored(api, work, as_of)
        wanted = [row for row in reference if row["as_of"] == as_of]
        assert len(scores) == len(wanted) == 2357
        for row in wanted:
            line = scores[row["customer_id"]]
            assert _ours(line) == _theirs(row), (as_of, row["customer_id"])
            # The reference is rounded to four decimals before it is rounded to a fen here.
            assert abs(line["clv_simple_fen"] - 100 * float(row["clv_simple_3y_floor365"])) <= 0.51, row
        model = (await api.get("/v1/scores/models", params={"run": run_id})).json()
        if as_of == "1997-10-01":
            _check_fit(model)
            _check_predictions(scores)
        else:
            _check_backtest(model["backtest"])


def _check_fit(model: dict[str, Any]) -> None:
    """Fader, Hardie and Lee (2005); Fader and Hardie (2013)."""
    assert (model["unit"], model["fitted_to"]) == ("week", "1997-09-30")
    published = {"r": 0.2426, "alpha": 4.414, "a": 0.793, "b": 2.426}
    assert model["purchases"]["parameters"] == pytest.approx(published, rel=0.005)
    assert model["purchases"]["log_likelihood"] == pytest.approx(-9582.4, abs=0.1)
    assert model["spend"]["parameters"] == pytest.approx({"p": 6.25, "q": 3.74, "v": 15.44}, rel=0.005)


def _check_predictions(scores: dict[str, dict[str, Any]]) -> None:
    for row in _table("ref_clv.csv.gz"):
        line = scores[row["customer_id"]]
        assert line["p_alive"] == pytest.approx(float(row["p_alive"]), abs=0.002), row
        assert line["expected_spend_fen"] / 100 == pytest.approx(float(row["exp_spend"]), rel=0.005, abs=0.01), row
        year = float(row["exp_purchases_52w"]) * 365 / 364  # the reference's year has 52 weeks
        assert line["expected_purchases_365d"] == pytest.approx(year, rel=0.005, abs=0.001), row
        assert line["clv_predicted_fen"] / 100 == pytest.approx(year * float(row["exp_spend"]), rel=0.01, abs=0.05), row


def _check_backtest(backtest: dict[str, Any]) -> None:
    """Of the run at the end of the data: fitted to its first half, tried on the second."""
    assert (backtest["known_to"], backtest["holdout_days"], backtest["customers"]) == ("1997-09-30", 273, 2357)
    assert backtest["actual_purchases"] == 1882
    assert backtest["correlation"] == pytest.approx(0.626, abs=0.001)
    assert backtest["final_relative_error"] == pytest.approx(-0.040, abs=0.001)
    assert len(backtest["weeks"]) == 78
    assert backtest["weeks"][-1]["actual_cumulative"] == 4339


def _ours(line: dict[str, Any]) -> tuple[Any, ...]:
    names = ("first_on", "last_on", "orders", "purchase_days", "gross_fen", "recency_days", "tenure_days")
    gaps = (line["gap_median_days"], line["gap_max_days"])
    mean = None if line["gap_mean_days"] is None else round(line["gap_mean_days"], 6)
    scores = (line["r"], line["f"], line["m"], line["rfm_type"])
    return (*(line[name] for name in names), *scores, *gaps, mean)


def _theirs(row: dict[str, str]) -> tuple[Any, ...]:
    return (
        date.fromisoformat(row["first_day"]).isoformat(),
        row["last_day"],
        int(row["orders"]),
        int(row["purchase_days"]),
        round(float(row["amount"]) * 100),
        int(row["recency_days"]),
        int(row["tenure_days"]),
        int(row["r_cut"]),
        int(row["f_cut"]),
        int(row["m_cut"]),
        row["type8_mean"],
        float(row["gap_median"]) if row["gap_median"] else None,
        int(float(row["gap_max"])) if row["gap_max"] else None,
        round(float(row["gap_mean"]), 6) if row["gap_mean"] else None,
    )

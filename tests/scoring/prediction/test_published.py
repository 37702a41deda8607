"""Published answers for the CDNOW sample: parameters, expectations, spends, values, backtest; skipped without it."""

import csv
import gzip
import json
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.scoring.prediction.backtest import Backtest, backtest
from app.scoring.prediction.bgnbd import expected_purchases, expected_purchases_new, probability_alive
from app.scoring.prediction.fit import fit
from app.scoring.prediction.fitted import Fit
from app.scoring.prediction.histories import FloatArray, Histories
from app.scoring.prediction.predict import predict

DATA = Path(__file__).resolve().parents[4] / "shared" / "data" / "cdnow_sample"

pytestmark = pytest.mark.skipif(
    not DATA.is_dir(), reason="the CDNOW sample is not beside the project (licence: private)"
)


@cache
def _customers() -> list[dict[str, str]]:
    with gzip.open(DATA / "ref_clv.csv.gz", "rt", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@cache
def _weeks() -> list[dict[str, str]]:
    with (DATA / "ref_tracking_weekly.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@cache
def _json(name: str) -> Any:
    return json.loads((DATA / name).read_text(encoding="utf-8"))


def _column(name: str) -> FloatArray:
    return np.array([float(row[name]) for row in _customers()])


def _whole(name: str) -> list[int]:
    return [int(row[name]) for row in _customers()]


@cache
def _histories() -> Histories:
    return Histories.of(_whole("x"), _whole("t_x_days"), _whole("T_days"), 100 * _column("zbar"))


@cache
def _fit() -> Fit:
    found = fit(_histories(), date(1997, 9, 30))
    assert isinstance(found, Fit)
    return found


def _expected(x: int, t_x: float, age: float, weeks: float) -> float:
    """Of weeks, as published tables give them; days are whole there too, but printed rounded."""
    one = Histories.of([x], [round(7 * t_x)], [round(7 * age)], [0.0])
    arrays = (one.x, one.t_x_days, one.age_days)
    return float(expected_purchases(_fit().purchases.parameters, *arrays, [7 * weeks])[0, 0])


def test_parameters() -> None:
    found, reference = _fit(), _json("ref_summary.json")["clv"]
    purchases, spend = found.purchases_optimum, found.spend_optimum
    assert found.usable
    for name, value in {"r": 0.243, "alpha": 4.414, "a": 0.793, "b": 2.426}.items():
        assert getattr(purchases.parameters, name) == pytest.approx(value, rel=5e-3)
        assert getattr(purchases.parameters, name) == pytest.approx(reference["bgnbd"][name], rel=1e-4)
    for name, value in {"p": 6.25, "q": 3.74, "v": 15.44}.items():
        assert getattr(spend.parameters, name) == pytest.approx(value, rel=5e-3)
        assert getattr(spend.parameters, name) == pytest.approx(reference["gamma_gamma"][name], rel=1e-4)
    assert purchases.log_likelihood == pytest.approx(-9582.429, abs=0.01)
    assert spend.log_likelihood == pytest.approx(-4055.9177, abs=0.01)
    assert (found.customers, found.repeaters, spend.customers) == (2357, 946, 946)


def test_worked_examples() -> None:
    compared = 0
    for example in _json("published.json")["bgnbd_worked_examples"]:
        if "expected_purchases_by_x" in example:
            for x, published in example["expected_purchases_by_x"].items():
                ours = _expected(int(x), example["t_x"], example["T"], example["t"])
                assert ours == pytest.approx(published, rel=5e-3, abs=1e-3)
                compared += 1
        elif "x" in example:
            ours = _expected(example["x"], example["t_x"], example["T"], example["t"])
            assert ours == pytest.approx(example["expected_purchases"], rel=5e-3)
            compared += 1
        for weeks, published in example.get("expected_purchases_new_customer", []):
            ours = expected_purchases_new(_fit().purchases.parameters, np.array([7.0 * weeks]))[0]
            assert ours == pytest.approx(published, rel=5e-3, abs=1e-3)
            compared += 1
    assert compared == 12


def test_answers_of_other_software() -> None:
    answers = _json("published.json")["lifetimes_answers_on_rounded_summary"]
    for x, t_x, age, in_39_weeks, in_52_weeks, alive, *_ in answers["rows"]:
        assert _expected(x, t_x, age, 39) == pytest.approx(in_39_weeks, rel=5e-3, abs=1e-3)
        assert _expected(x, t_x, age, 52) == pytest.approx(in_52_weeks, rel=5e-3, abs=1e-3)
        arrays = (np.array([value], dtype=np.int32) for value in (x, round(7 * t_x), round(7 * age)))
        assert probability_alive(_fit().purchases.parameters, *arrays)[0] == pytest.approx(alive, abs=2e-3)


def test_every_customers_predictions() -> None:
    histories, found = _histories(), _fit()
    arrays = (histories.x, histories.t_x_days, histories.age_days)
    predictions = predict(found, *arrays, histories.mean_spend_fen, monthly_discount_rate=0.01)
    assert predictions.p_alive == pytest.approx(_column("p_alive"), abs=1e-5)
    assert predictions.expected_spend_fen / 100 == pytest.approx(_column("exp_spend"), abs=0.011)
    expected = expected_purchases(found.purchases.parameters, *arrays, [273, 364])
    assert expected[0] == pytest.approx(_column("exp_purchases_holdout"), rel=1e-4, abs=1e-5)
    assert expected[1] == pytest.approx(_column("exp_purchases_52w"), rel=1e-4, abs=1e-5)
    # The reference's month is 4.345 weeks, a 12th of 364.98 days; whole fen weigh on the smallest values.
    assert predictions.clv_predicted_fen / 100 == pytest.approx(_column("clv_12m_disc1pct"), rel=1e-3, abs=0.01)
    totals = _json("ref_summary.json")["clv"]["totals"]
    assert predictions.clv_predicted_fen.sum() / 100 == pytest.approx(totals["clv_12m_disc1pct"], rel=2e-4)
    undiscounted = predict(found, *arrays, histories.mean_spend_fen)
    assert undiscounted.clv_predicted_fen.sum() / 100 == pytest.approx(totals["clv_52w"], rel=3e-3)


@cache
def _backtest() -> Backtest:
    weekly = [int(row["actual_repeat"]) for row in _weeks()]
    return backtest(_fit().purchases.parameters, _histories(), _whole("actual_holdout_purchases"), 273, weekly)


def test_holdout() -> None:
    found, reference = _backtest(), _json("ref_summary.json")["clv"]
    assert found.correlation == pytest.approx(0.625647, abs=1e-5)
    assert found.mean_absolute_error == pytest.approx(0.785454, abs=1e-5)
    assert found.actual_purchases == reference["holdout"]["actual_purchases"]
    assert found.expected_purchases == pytest.approx(reference["holdout"]["expected_purchases"], abs=0.05)
    groups = reference["by_calibration_frequency_7_is_7plus"]
    assert len(found.frequencies) == len(groups) == 8
    for ours, theirs in zip(found.frequencies, groups, strict=True):
        assert (ours.number, ours.customers) == (theirs["frequency"], theirs["customers"])
        assert ours.actual_mean == pytest.approx(theirs["actual_mean"], abs=1e-6)
        assert ours.expected_mean == pytest.approx(theirs["expected_mean"], abs=1e-4)
    assert [group.customers for group in found.deciles] == [236] * 7 + [235] * 3


def test_weeks() -> None:
    found = _backtest()
    assert found.final_relative_error == pytest.approx(-0.039948, abs=1e-5)
    assert len(found.weeks) == 78
    for ours, theirs in zip(found.weeks, _weeks(), strict=True):
        assert (ours.number, ours.actual_cumulative) == (int(theirs["week"]), int(theirs["actual_cumulative"]))
        assert ours.expected_cumulative == pytest.approx(float(theirs["expected_cumulative"]), rel=1e-4)

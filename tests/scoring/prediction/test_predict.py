"""Predictions are the models' figures, rounded, and the same in whatever company they are computed."""

import subprocess
import sys
from dataclasses import fields, replace
from datetime import date
from functools import cache

import numpy as np
import pytest

from app.scoring.prediction import bgnbd, gamma_gamma
from app.scoring.prediction.fit import fit
from app.scoring.prediction.fitted import Fit
from app.scoring.prediction.histories import Histories
from app.scoring.prediction.predict import Predictions, predict
from tests.scoring.prediction.simulation import simulate


@cache
def _shop() -> tuple[Histories, Fit]:
    histories = simulate(4_000, 500, seed=3).histories
    found = fit(histories, date(2026, 3, 31))
    assert isinstance(found, Fit)
    return histories, found


def _predict(found: Fit, histories: Histories, members: object = slice(None), rate: float = 0.0) -> Predictions:
    arrays = (getattr(histories, field.name)[members] for field in fields(Histories))
    return predict(found, *arrays, monthly_discount_rate=rate)


def _table(predictions: Predictions) -> list[tuple[float, ...]]:
    return list(zip(*(getattr(predictions, field.name).tolist() for field in fields(Predictions)), strict=True))


def test_the_value_is_the_years_purchases_at_what_they_cost() -> None:
    histories, found = _shop()
    who = (found.purchases.parameters, histories.x, histories.t_x_days, histories.age_days)
    short, year = bgnbd.expected_purchases(*who, [90, 365])
    spend = gamma_gamma.expected_spend_fen(found.spend.parameters, histories.x, histories.mean_spend_fen)
    predictions = _predict(found, histories)
    assert predictions.p_alive == pytest.approx(bgnbd.probability_alive(*who), abs=5e-7)
    assert predictions.expected_purchases_90d == pytest.approx(short, abs=5e-7)
    assert predictions.expected_purchases_365d == pytest.approx(year, abs=5e-7)
    assert predictions.expected_spend_fen == pytest.approx(spend, abs=0.5)
    assert predictions.clv_predicted_fen == pytest.approx(year * spend, abs=0.5)
    assert predictions.clv_predicted_fen.dtype == np.int64


def test_figures_are_rounded() -> None:
    histories, found = _shop()
    predictions = _predict(found, histories)
    for values in (predictions.p_alive, predictions.expected_purchases_90d, predictions.expected_purchases_365d):
        assert all(value == round(value, 6) for value in values.tolist())


@pytest.mark.parametrize("rate", [0.0, 0.01])
def test_a_row_is_the_same_alone_and_in_any_batch(rate: float) -> None:
    histories, found = _shop()
    together = _table(_predict(found, histories, rate=rate))
    order = np.random.default_rng(7).permutation(len(histories))
    shuffled = _table(_predict(found, histories, order, rate))
    assert shuffled == [together[index] for index in order]
    for index in order[:60].tolist():
        assert _table(_predict(found, histories, [index], rate)) == [together[index]]


def test_later_purchases_are_worth_less() -> None:
    histories, found = _shop()
    plain, discounted = _predict(found, histories), _predict(found, histories, rate=0.01)
    assert (discounted.expected_purchases_365d == plain.expected_purchases_365d).all()
    share = discounted.clv_predicted_fen.sum() / plain.clv_predicted_fen.sum()
    # Purchases thin out, so most come in the earlier half of the year: between the first month's and the middle's.
    assert 1.01**-6.5 < share < 1.01**-1
    with pytest.raises(ValueError, match=r"monthly_discount_rate must be 0 or more, not -0\.01"):
        _predict(found, histories, rate=-0.01)


def test_nobody_is_predicted_too() -> None:
    _, found = _shop()
    assert _table(predict(found, [], [], [], [])) == []


def test_what_is_no_optimum_is_not_used() -> None:
    histories, found = _shop()
    lost = replace(found, spend=replace(found.spend, converged=False))
    with pytest.raises(ValueError, match="fit must be usable"):
        _predict(lost, histories)


def test_histories_are_checked() -> None:
    _, found = _shop()
    with pytest.raises(ValueError, match="t_x_days must not exceed age_days"):
        predict(found, [1], [9], [8], [100.0])


def test_predicting_loads_nothing_of_scipy() -> None:
    code = "import sys, app.scoring.prediction.predict; print([name for name in sys.modules if 'scipy' in name])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert shown.stdout.strip() == "[]"

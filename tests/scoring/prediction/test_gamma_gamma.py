"""Gamma-Gamma against published figures, a plain form of its likelihood, and simulation."""

import math

import numpy as np
import pytest

from app.scoring.prediction.gamma_gamma import Parameters, expected_spend_fen
from app.scoring.prediction.gamma_gamma_likelihood import Likelihood, fit, log_likelihood
from app.scoring.prediction.histories import Histories
from tests.scoring.prediction.simulation import SPEND, simulate


def test_published_expectations() -> None:
    # The first customers of the CDNOW sample: Fader and Hardie (2013), with the parameters printed there.
    x = np.array([2, 1, 0, 7, 1, 2], dtype=np.int32)
    spent = 100 * np.array([22.35, 11.77, 0, 73.74, 11.77, 25.55])
    published = [24.65, 18.91, 35.17, 71.46, 18.91, 27.28]
    assert expected_spend_fen(Parameters(6.25, 3.74, 15.44), x, spent) / 100 == pytest.approx(published, rel=2e-3)


def test_the_likelihood_is_the_sum_over_customers() -> None:
    histories = simulate(2_000, 400).histories
    p, q, v = SPEND.p, SPEND.q, SPEND.v
    total = 0.0
    for x, mean in zip(histories.x.tolist(), (histories.mean_spend_fen / 100).tolist(), strict=True):
        if x and mean:
            total += math.lgamma(p * x + q) - math.lgamma(p * x) - math.lgamma(q) + q * math.log(v)
            total += (p * x - 1) * math.log(mean) + p * x * math.log(x) - (p * x + q) * math.log(v + x * mean)
    assert log_likelihood(histories, SPEND) == pytest.approx(total, rel=1e-11)


@pytest.mark.parametrize("parameters", [SPEND, Parameters(0.7, 1.2, 400.0)])
def test_the_gradient_is_the_slope(parameters: Parameters) -> None:
    likelihood = Likelihood(simulate(2_000, 400).histories)
    logs = np.log([parameters.p, parameters.q, parameters.v])
    slopes = [(likelihood(logs + step)[0] - likelihood(logs - step)[0]) / 2e-5 for step in np.eye(3) * 1e-5]
    assert likelihood(logs)[1] == pytest.approx(slopes, rel=1e-6, abs=1e-4)


def test_parameters_are_found_again() -> None:
    parameters, found = fit(simulate(60_000, 730).histories)
    assert found.converged
    assert parameters.p == pytest.approx(SPEND.p, rel=0.1)
    assert parameters.q == pytest.approx(SPEND.q, rel=0.05)
    assert parameters.v == pytest.approx(SPEND.v, rel=0.1)


def test_the_unit_of_money_changes_v_alone() -> None:
    histories = simulate(5_000, 400).histories
    dearer = Histories.of(histories.x, histories.t_x_days, histories.age_days, histories.mean_spend_fen * 1_000)
    parameters, _ = fit(histories)
    scaled, _ = fit(dearer)
    assert scaled.v == pytest.approx(1_000 * parameters.v, rel=1e-6)
    assert (scaled.p, scaled.q) == pytest.approx((parameters.p, parameters.q), rel=1e-6)


def test_more_purchases_weigh_more_than_the_population() -> None:
    x = np.array([0, 1, 5, 50, 2_000], dtype=np.int32)
    spend = expected_spend_fen(SPEND, x, np.where(x > 0, 9_000.0, 0.0))
    assert spend[0] == pytest.approx(100 * SPEND.p * SPEND.v / (SPEND.q - 1))
    assert (np.diff(spend) > 0).all()
    assert spend[-1] == pytest.approx(9_000, rel=1e-3)


def test_without_a_mean_there_is_no_expectation() -> None:
    with pytest.raises(ValueError, match=r"q must be above 1 for a mean spend to exist, not 0\.9"):
        expected_spend_fen(Parameters(6.0, 0.9, 15.0), np.array([1], dtype=np.int32), np.array([100.0]))


def test_spends_without_a_mean_are_found_out() -> None:
    histories = simulate(20_000, 500, spend=Parameters(6.0, 0.7, 15.0)).histories
    parameters, found = fit(histories)
    assert parameters.q < 1
    assert not found.converged
    assert "at 1 or below the mean spend of the population is infinite" in found.messages[0]


def test_nobody_who_spent_is_refused() -> None:
    with pytest.raises(ValueError, match="mean_spend_fen must be above 0 for at least one customer"):
        fit(Histories.of([0, 1], [0, 3], [5, 9], [0.0, 0.0]))

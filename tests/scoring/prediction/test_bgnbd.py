"""BG/NBD against published examples, plain other forms of the same formulas, simulation, and extremes."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.scoring.prediction.bgnbd import Parameters, expected_purchases, expected_purchases_new, probability_alive
from app.scoring.prediction.bgnbd_likelihood import Likelihood, fit, log_likelihood
from app.scoring.prediction.histories import Histories, IntArray
from tests.scoring.prediction.simulation import QUIET, simulate

# Published for the CDNOW sample: Fader, Hardie and Lee (2005), and with more digits by the authors' R package BTYD.
CDNOW = Parameters(r=0.2425965, alpha=4.413685, a=0.7929888, b=2.426166)

_YEARS_30 = 10_957


def _expected(parameters: Parameters, x: int, t_x_days: int, age_days: int, days_ahead: float) -> float:
    one = Histories.of([x], [t_x_days], [age_days], [0.0])
    return float(expected_purchases(parameters, one.x, one.t_x_days, one.age_days, [days_ahead])[0, 0])


@pytest.mark.parametrize(
    ("x", "t_x_days", "age_days", "days_ahead", "published"),
    [
        (2, 213, 272, 39 * 7, 1.226),
        (26, 216, 217, 52 * 7, 25.75659),
        (10, 140, 273, 52 * 7, 0.3474606),
        (15, 140, 273, 52 * 7, 0.04283391),
        (20, 140, 273, 52 * 7, 0.004158973),
        (25, 140, 273, 52 * 7, 0.0003585685),
    ],
)
def test_published_expectations(x: int, t_x_days: int, age_days: int, days_ahead: int, published: float) -> None:
    assert _expected(CDNOW, x, t_x_days, age_days, days_ahead) == pytest.approx(published, rel=1e-3)


def test_published_probability_alive() -> None:
    one = Histories.of([26], [216], [217], [0.0])
    assert probability_alive(CDNOW, one.x, one.t_x_days, one.age_days) == pytest.approx([0.9688523], abs=1e-6)


def test_published_expectations_of_a_new_customer() -> None:
    days = np.array([1.0, 7, 21, 223, 224, 364, 546])
    published = [0.0078, 0.0532, 0.1506, 1.0405, 1.0437, 1.444004, 1.8576]
    assert expected_purchases_new(CDNOW, days) == pytest.approx(published, rel=5e-4, abs=5e-5)
    assert expected_purchases_new(CDNOW, np.zeros(1)) == [0.0]


def _counted(parameters: Parameters, x: int, age_days: int, days_ahead: float) -> float:
    """Purchases expected of a customer who is alive, counted one by one.

    Who never left would make N more, negative binomial; the k-th of them is made if N >= k and the customer did not
    leave at the k - 1 before it.
    """
    shape = parameters.r + x
    share = days_ahead / (7 * parameters.alpha + age_days + days_ahead)
    probability = math.exp(shape * math.log1p(-share))
    more, still, expected, k = 1.0 - probability, 1.0, 0.0, 0
    # Beyond the mean the probabilities of N fall faster and faster, to nothing.
    while k < shape * share / (1 - share) or probability > 1e-18:
        expected += more * still
        still *= (parameters.b + x + k) / (parameters.a + parameters.b + x + k)
        k += 1
        probability *= (shape + k - 1) / k * share
        more -= probability
    return expected


@pytest.mark.parametrize(
    "parameters",
    [
        CDNOW,
        Parameters(1.5, 2.0, 1.0, 0.5),  # the published form is 0 / 0 at a = 1
        Parameters(0.3, 3.0, 0.4, 0.6),  # and has a pole where a + b = 1 and x = 0
        Parameters(0.3, 3.0, 0.02, 0.1),
        Parameters(30.0, 60.0, 40.0, 90.0),
        Parameters(0.5, 0.3, 1e-3, 500.0),
    ],
)
@pytest.mark.parametrize(("x", "age_days"), [(0, 0), (0, 400), (1, 3), (5, 700), (90, 200), (600, 5_000)])
def test_expectations_are_what_counting_gives(parameters: Parameters, x: int, age_days: int) -> None:
    for days_ahead in (1, 90, 365):
        ours = _expected(parameters, x, age_days if x else 0, age_days, days_ahead)
        alive = probability_alive(parameters, *(np.array([value]) for value in (x, age_days if x else 0, age_days)))
        assert ours / alive[0] == pytest.approx(_counted(parameters, x, age_days, days_ahead), rel=1e-9, abs=1e-12)


def _plain_log_likelihood(histories: Histories, r: float, alpha: float, a: float, b: float) -> float:
    """Fader, Hardie and Lee (2005), equation 6, one customer after the other, time in weeks."""
    total = 0.0
    for x, t_x, age in zip(histories.x, histories.t_x_days / 7, histories.age_days / 7, strict=True):
        beta = math.lgamma(a + b) - math.lgamma(b) + math.lgamma(b + x) - math.lgamma(a + b + x)
        rate = math.lgamma(r + x) - math.lgamma(r) + r * math.log(alpha)
        terms = (alpha + age) ** -(r + x)
        if x > 0:
            terms += a / (b + x - 1) * (alpha + t_x) ** -(r + x)
        total += beta + rate + math.log(terms)
    return total


@pytest.mark.parametrize("parameters", [CDNOW, QUIET, Parameters(2.0, 0.5, 0.05, 0.4)])
def test_the_grouped_likelihood_is_the_sum_over_customers(parameters: Parameters) -> None:
    histories = simulate(2_000, 300).histories
    plain = _plain_log_likelihood(histories, parameters.r, parameters.alpha, parameters.a, parameters.b)
    assert log_likelihood(histories, parameters) == pytest.approx(plain, rel=1e-11)


@pytest.mark.parametrize("parameters", [CDNOW, QUIET, Parameters(2.0, 0.5, 0.05, 0.4)])
def test_the_gradient_is_the_slope(parameters: Parameters) -> None:
    likelihood = Likelihood(simulate(2_000, 300).histories)
    logs = np.log([parameters.r, parameters.alpha, parameters.a, parameters.b])
    slopes = [(likelihood(logs + step)[0] - likelihood(logs - step)[0]) / 2e-5 for step in np.eye(4) * 1e-5]
    assert likelihood(logs)[1] == pytest.approx(slopes, rel=1e-6, abs=1e-4)


def test_parameters_are_found_again() -> None:
    parameters, found = fit(simulate(100_000, 730).histories)
    assert found.converged
    assert found.messages == ()
    # Four standard errors of a fit to so many, and what whole days take away.
    assert parameters.r == pytest.approx(QUIET.r, rel=0.06)
    assert parameters.alpha == pytest.approx(QUIET.alpha, rel=0.08)
    assert parameters.a / (parameters.a + parameters.b) == pytest.approx(QUIET.a / (QUIET.a + QUIET.b), rel=0.06)


def test_expectations_are_what_the_holdout_shows() -> None:
    histories, holdout = simulate(60_000, 500, holdout_days=365, seed=5)
    parameters, _ = fit(histories)
    expected = expected_purchases(parameters, histories.x, histories.t_x_days, histories.age_days, [365])[0]
    assert expected.sum() == pytest.approx(holdout.sum(), rel=0.03)
    for repeats in range(4):
        alike = histories.x == repeats
        assert expected[alike].mean() == pytest.approx(holdout[alike].mean(), rel=0.08)


def test_the_unit_of_time_changes_alpha_alone() -> None:
    histories = simulate(8_000, 400).histories
    slower = Histories.of(histories.x, histories.t_x_days * 7, histories.age_days * 7, histories.mean_spend_fen)
    parameters, found = fit(histories)
    stretched, found_stretched = fit(slower)
    assert stretched.alpha == pytest.approx(7 * parameters.alpha, rel=1e-6)
    for name in ("r", "a", "b"):
        assert getattr(stretched, name) == pytest.approx(getattr(parameters, name), rel=1e-6)
    purchases = int(histories.x.sum())
    assert found_stretched.log_likelihood == pytest.approx(found.log_likelihood - purchases * math.log(7), abs=1e-4)
    expected = expected_purchases(parameters, histories.x, histories.t_x_days, histories.age_days, [90, 365])
    again = expected_purchases(stretched, slower.x, slower.t_x_days, slower.age_days, [630, 2555])
    assert again == pytest.approx(expected, rel=1e-5)


def _spread(lowest: float, highest: float) -> st.SearchStrategy[float]:
    return st.floats(math.log(lowest), math.log(highest)).map(math.exp)


@st.composite
def _parameters(draw: st.DrawFn) -> Parameters:
    return Parameters(
        draw(_spread(1e-3, 1e3)), draw(_spread(1e-3, 1e4)), draw(_spread(1e-3, 1e2)), draw(_spread(1e-3, 1e4))
    )


@given(parameters=_parameters(), x=st.integers(1, 2_000), data=st.data())
def test_extremes_stay_within_bounds(parameters: Parameters, x: int, data: st.DataObject) -> None:
    age = data.draw(st.integers(x, _YEARS_30))
    last: IntArray = np.unique(np.linspace(x, age, 200).astype(np.int32))
    xs, ages = np.full_like(last, x), np.full_like(last, age)
    alive = probability_alive(parameters, xs, last, ages)
    assert np.isfinite(alive).all()
    assert ((alive >= 0) & (alive <= 1)).all()
    assert (np.diff(alive) >= 0).all()
    horizons = [0, 1, 90, 365, _YEARS_30]
    expected = expected_purchases(parameters, xs, last, ages, horizons)
    assert np.isfinite(expected).all()
    assert (expected >= 0).all()
    assert (expected[0] == 0).all()
    assert (np.diff(expected, axis=0) >= 0).all()
    assert (np.diff(expected, axis=1) >= 0).all()
    # Nobody is expected to buy more than somebody who cannot leave.
    most = np.array(horizons) * (parameters.r + x) / (7 * parameters.alpha + age)
    assert (expected <= most[:, None] * (1 + 1e-9)).all()


@given(parameters=_parameters(), age=st.integers(0, _YEARS_30))
def test_who_never_bought_again_is_alive(parameters: Parameters, age: int) -> None:
    never, ages = np.zeros(1, dtype=np.int32), np.array([age], dtype=np.int32)
    assert probability_alive(parameters, never, never, ages) == [1.0]
    expected = expected_purchases(parameters, never, never, ages, [90, 365])[:, 0]
    assert np.isfinite(expected).all()
    assert 0 < expected[0] <= expected[1]


def test_parameters_must_be_above_zero() -> None:
    with pytest.raises(ValueError, match="alpha must be a finite number above 0, not -1"):
        Parameters(1, -1, 1, 1)


def test_no_time_says_nothing() -> None:
    with pytest.raises(ValueError, match="at least one customer whose age_days is above 0"):
        fit(Histories.of([0], [0], [0], [0.0]))

"""A backtest's tables, on histories small enough to count by hand and on simulated ones."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from app.scoring.prediction.backtest import backtest
from app.scoring.prediction.bgnbd import Parameters, expected_purchases, expected_purchases_new
from app.scoring.prediction.histories import Histories
from tests.scoring.prediction.simulation import QUIET, simulate

_THREE = Histories.of([0, 1, 9], [0, 10, 20], [13, 20, 20], [0.0, 500.0, 700.0])


def test_tables_of_three_customers() -> None:
    found = backtest(QUIET, _THREE, [0, 2, 4], 14, [1, 3, 2, 0, 4])
    expected = expected_purchases(QUIET, _THREE.x, _THREE.t_x_days, _THREE.age_days, [14])[0]
    assert found.actual_purchases == 6
    assert found.expected_purchases == pytest.approx(expected.sum())
    assert found.mean_absolute_error == pytest.approx(np.abs(expected - [0, 2, 4]).mean())
    assert found.correlation == pytest.approx(np.corrcoef(expected, [0, 2, 4])[0, 1])
    best_first = np.argsort(-expected)
    assert [group.actual_mean for group in found.deciles] == [[0.0, 2.0, 4.0][index] for index in best_first]
    assert [(group.number, group.customers, group.actual_mean) for group in found.frequencies] == [
        (0, 1, 0.0),
        (1, 1, 2.0),
        (7, 1, 4.0),
    ]
    assert [week.actual_cumulative for week in found.weeks] == [1, 4, 6, 6, 10]
    # Two customers first bought on day 0 and one on day 7, so the second week's end is 14 days on for them, and 7.
    lived = expected_purchases_new(QUIET, np.array([14.0, 7.0]))
    assert found.weeks[1].expected_cumulative == pytest.approx(2 * lived[0] + lived[1])
    assert found.final_relative_error == pytest.approx(found.weeks[-1].expected_cumulative / 10 - 1)
    json.dumps(asdict(found))


def test_without_purchases_nothing_is_divided() -> None:
    found = backtest(QUIET, _THREE, [0, 0, 0], 14, [0])
    assert found.correlation is None
    assert found.final_relative_error is None


def test_the_truth_foretells_the_holdout() -> None:
    histories, holdout = simulate(30_000, 364, holdout_days=182, seed=9)
    found = backtest(QUIET, histories, holdout, 182, [1])
    assert found.expected_purchases == pytest.approx(found.actual_purchases, rel=0.04)
    # Of a true expectation, the covariance with what happens is the expectation's own variance.
    who = (histories.x, histories.t_x_days, histories.age_days)
    assert found.correlation == pytest.approx(expected_purchases(QUIET, *who, [182]).std() / holdout.std(), rel=0.1)
    assert sum(group.customers for group in found.deciles) == 30_000
    means = [group.expected_mean for group in found.deciles]
    assert means == sorted(means, reverse=True)
    for group in found.deciles[:5]:
        assert group.actual_mean == pytest.approx(group.expected_mean, rel=0.15)


@pytest.mark.parametrize(
    ("holdout", "days", "weeks", "message"),
    [
        ([1, 2], 14, [1], "holdout_purchases must be 3 whole numbers"),
        ([1, 2, -1], 14, [1], "holdout_purchases must be 3 whole numbers, 0 or more"),
        ([0.5, 1, 2], 14, [1], "holdout_purchases must be 3 whole numbers"),
        ([1, 2, 0], 0, [1], "holdout_days must be above 0, not 0"),
        ([1, 2, 0], 14, [], "weekly_repeats must be a list of whole numbers"),
    ],
)
def test_what_does_not_fit_is_named(holdout: list[int], days: int, weeks: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        backtest(QUIET, _THREE, holdout, days, weeks)


def test_nobody_cannot_be_looked_back_at() -> None:
    with pytest.raises(ValueError, match="histories must hold at least one customer"):
        backtest(Parameters(1, 1, 1, 1), Histories.of([], [], [], []), [], 14, [1])

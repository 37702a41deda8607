"""What a fit declines, what it says of data without an optimum, and when the parameters in use stay."""

import json
from dataclasses import replace
from datetime import date
from functools import cache

import numpy as np
import pytest

from app.scoring.prediction import bgnbd
from app.scoring.prediction.fit import Floors, fit, settle
from app.scoring.prediction.fitted import Declined, Fit
from app.scoring.prediction.histories import Histories
from tests.scoring.prediction.simulation import QUIET, simulate

TODAY = date(2026, 3, 31)
YESTERDAY = date(2026, 3, 30)


def _fitted(histories: Histories, day: date = TODAY) -> Fit:
    found = fit(histories, day)
    assert isinstance(found, Fit)
    return found


@cache
def _usual() -> tuple[Histories, Fit]:
    histories = simulate(6_000, 400, seed=11).histories
    return histories, _fitted(histories, YESTERDAY)


@pytest.mark.parametrize(
    ("customers", "days", "code", "needed", "words"),
    [
        (499, 400, "too_few_customers", 500, "Found 499 customers with a purchase; at least 500 are needed."),
        (6_000, 180, "too_short_a_time", 180, "Found 179 days from the first purchase to the last day;"),
        (600, 181, "too_few_frequent", 50, "customers with three or more purchase days; at least 50 are needed."),
    ],
)
def test_too_little_is_declined_with_both_figures(
    customers: int, days: int, code: str, needed: int, words: str
) -> None:
    declined = fit(simulate(customers, days).histories, TODAY)
    assert isinstance(declined, Declined)
    assert (declined.code, declined.needed) == (code, needed)
    assert words in declined.message
    assert f"Found {declined.found} " in declined.message
    assert declined.found < needed


def test_purchases_that_cost_nothing_are_declined() -> None:
    histories, _ = _usual()
    free = replace(histories, mean_spend_fen=np.zeros(len(histories)))
    declined = fit(free, TODAY)
    assert isinstance(declined, Declined)
    assert (declined.code, declined.found, declined.needed) == ("too_few_spenders", 0, 100)


def test_floors_are_settings() -> None:
    histories = simulate(3_000, 150).histories
    assert isinstance(fit(histories, TODAY), Declined)
    assert isinstance(fit(histories, TODAY, Floors(days=100)), Fit)


def test_a_fit_says_what_it_was_made_of() -> None:
    histories, found = _usual()
    assert found.usable
    assert (found.unit, found.fitted_to, found.customers) == ("week", YESTERDAY, 6_000)
    assert found.repeaters == np.count_nonzero(histories.x)
    assert found.purchases.parameters == found.purchases_optimum.parameters
    assert found.spend_optimum.customers <= found.repeaters
    assert found.purchases_optimum.iterations > 0


def test_a_fit_survives_json() -> None:
    _, found = _usual()
    values = json.loads(json.dumps(found.as_dict()))
    assert Fit.from_dict(values) == found
    with pytest.raises(ValueError, match="the stored fit has no spend: fit again"):
        Fit.from_dict({name: value for name, value in values.items() if name != "spend"})
    with pytest.raises(ValueError, match="unit must be week, not day"):
        Fit.from_dict(values | {"unit": "day"})
    values["purchases"]["parameters"]["beta"] = 1.0
    with pytest.raises(ValueError, match="the stored fit cannot be read"):
        Fit.from_dict(values)


def test_equal_data_give_an_equal_fit() -> None:
    histories, found = _usual()
    assert fit(histories, YESTERDAY) == found


def test_everybody_bought_once() -> None:
    never = np.zeros(2_000, dtype=np.int32)
    declined = fit(Histories.of(never, never, np.arange(2_000) % 400, never), TODAY)
    assert isinstance(declined, Declined)
    assert (declined.code, declined.found) == ("too_few_frequent", 0)


def test_everybody_buys_every_day() -> None:
    age = np.arange(2_000) % 400
    found = _fitted(Histories.of(age, age, age, np.where(age > 0, 1_000.0 + age % 7, 0.0)))
    assert not found.usable
    assert "r runs to infinity: all customers buy at one rate" in found.purchases_optimum.messages
    assert "a runs to 0: nobody is seen to leave" in found.purchases_optimum.messages


def test_nobody_leaves() -> None:
    loyal = bgnbd.Parameters(r=QUIET.r, alpha=10.0, a=1e-6, b=3.0)
    found = _fitted(simulate(3_000, 400, loyal).histories)
    assert not found.purchases.converged
    assert "a runs to 0: nobody is seen to leave" in found.purchases_optimum.messages
    assert found.spend.converged
    assert not found.usable


def test_all_leave_with_one_probability() -> None:
    alike = bgnbd.Parameters(r=QUIET.r, alpha=6.0, a=500.0, b=1_500.0)
    found = _fitted(simulate(5_000, 500, alike).histories)
    assert found.purchases_optimum.messages == ("a runs to infinity: all customers leave with one probability",)


def test_equal_spends() -> None:
    histories, _ = _usual()
    found = _fitted(replace(histories, mean_spend_fen=np.where(histories.x > 0, 1_990.0, 0.0)))
    assert found.purchases.converged
    assert "p runs to infinity: each customer always spends the same" in found.spend_optimum.messages
    assert not found.usable


def test_the_first_fit_is_in_use() -> None:
    histories, found = _usual()
    assert settle(None, found, histories) is found


def test_a_nights_noise_changes_nothing_in_use() -> None:
    histories, former = _usual()
    tonight = Histories.of(
        np.append(histories.x[3:], [0, 0, 1]),
        np.append(histories.t_x_days[3:], [0, 0, 9]),
        np.append(histories.age_days[3:], [1, 0, 9]),
        np.append(histories.mean_spend_fen[3:], [0, 0, 4_500.0]),
    )
    fresh = _fitted(tonight)
    assert fresh.purchases.parameters != former.purchases.parameters
    settled = settle(former, fresh, tonight)
    assert settled.purchases.parameters == former.purchases.parameters
    assert settled.spend.parameters == former.spend.parameters
    assert settled.purchases.fitted_to == YESTERDAY
    assert (settled.fitted_to, settled.purchases_optimum) == (TODAY, fresh.purchases_optimum)
    # Measured on tonight's data, where they are a little less likely than tonight's optimum.
    assert 0 < fresh.purchases_optimum.log_likelihood - settled.purchases.log_likelihood < 4.75
    # And so again the night after, from what was stored.
    assert settle(Fit.from_dict(settled.as_dict()), fresh, tonight) == settled


def test_a_change_is_adopted_by_the_model_that_sees_it() -> None:
    histories, former = _usual()
    dearer = replace(histories, mean_spend_fen=histories.mean_spend_fen * 1.3)
    fresh = _fitted(dearer)
    settled = settle(former, fresh, dearer)
    assert settled.purchases.parameters == former.purchases.parameters
    assert settled.spend == fresh.spend
    brisker = simulate(6_000, 400, replace(QUIET, alpha=20.0), seed=11).histories
    fresh = _fitted(brisker)
    assert settle(former, fresh, brisker).purchases == fresh.purchases


def test_without_an_optimum_the_parameters_stay() -> None:
    histories, former = _usual()
    equal = replace(histories, mean_spend_fen=np.where(histories.x > 0, 1_990.0, 0.0))
    fresh = _fitted(equal)
    settled = settle(former, fresh, equal)
    assert settled.spend.parameters == former.spend.parameters
    assert settled.usable
    assert not settled.spend_optimum.converged
    # The other way round, what never was an optimum does not stay.
    assert settle(fresh, former, histories).spend == former.spend


def test_many_customers_may_each_lose_a_little() -> None:
    histories, found = _usual()
    large = Histories.of(*(np.tile(getattr(histories, name), 40) for name in Histories.__slots__))
    fresh = _fitted(large)
    nearby = bgnbd.Parameters(*(value * 1.02 for value in _values(found)))
    former = replace(found, purchases=replace(found.purchases, parameters=nearby))
    settled = settle(former, fresh, large)
    loss = fresh.purchases_optimum.log_likelihood - settled.purchases.log_likelihood
    assert settled.purchases.parameters == nearby
    assert 4.75 < loss <= 1e-4 * len(large)


def _values(found: Fit) -> tuple[float, ...]:
    parameters = found.purchases.parameters
    return parameters.r, parameters.alpha * 1.02, parameters.a, parameters.b

"""The nightly question: do the data suffice, what do they say now, and do the parameters in use still describe them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from typing import Final

from scipy.special import chdtri

from app.scoring.prediction import bgnbd_likelihood, gamma_gamma_likelihood
from app.scoring.prediction.fitted import Declined, Fit, InUse, Optimum, Shortage
from app.scoring.prediction.histories import Histories

# The likelihood-ratio test's limit at 95 %, in log-likelihood: twice the gain is chi-square with a degree for each
# parameter. Below it the day's optimum and the parameters in use cannot be told apart.
_NOISE: Final = {4: float(chdtri(4, 0.05)) / 2, 3: float(chdtri(3, 0.05)) / 2}
# Of many customers the test sees differences that no one would act on; so much may each lose on average.
_LOSS_PER_CUSTOMER: Final = 1e-4


@dataclass(frozen=True, slots=True)
class Floors:
    """The least that is fitted to.

    Attributes:
        customers: histories in all.
        days: from the first customer's first purchase day to the last day of the calibration.
        frequent: customers with three or more purchase days. They carry what is known of leaving: a silence is long
            only beside a gap of the same customer.
        spenders: customers with a repeat purchase that cost something.
    """

    customers: int = 500
    days: int = 180
    frequent: int = 50
    spenders: int = 100


def fit(histories: Histories, fitted_to: date, floors: Floors = Floors()) -> Fit | Declined:
    """Both models fitted to the histories, whose calibration ends with the day `fitted_to`; their optima are in use.

    An optimum that was not found is said, not refused: see `Optimum.converged` and `Fit.usable`.
    """
    for declined in _shortages(histories, floors):
        return declined
    purchases, found = bgnbd_likelihood.fit(histories)
    purchases_optimum = Optimum(
        purchases, found.log_likelihood, len(histories), found.iterations, found.converged, found.messages
    )
    spend, found = gamma_gamma_likelihood.fit(histories)
    spenders = int(gamma_gamma_likelihood.spenders(histories).sum())
    spend_optimum = Optimum(spend, found.log_likelihood, spenders, found.iterations, found.converged, found.messages)
    return Fit(
        fitted_to=fitted_to,
        customers=len(histories),
        repeaters=int((histories.x > 0).sum()),
        purchases=InUse(purchases, purchases_optimum.log_likelihood, purchases_optimum.converged, fitted_to),
        spend=InUse(spend, spend_optimum.log_likelihood, spend_optimum.converged, fitted_to),
        purchases_optimum=purchases_optimum,
        spend_optimum=spend_optimum,
    )


def settle(former: Fit | None, fresh: Fit, histories: Histories) -> Fit:
    """The fresh fit, with the former's parameters in use where these still describe the histories it was fitted to.

    A night's noise would otherwise change every customer's row. Each model is asked apart. Parameters are kept while
    the fresh optimum's log-likelihood exceeds theirs by no more than noise, and while there is no fresh optimum; those
    that never were an optimum are not kept. They are measured on the day's data against the day's optimum, so that
    small changes cannot add up unseen.
    """
    if former is None:
        return fresh
    # Of a fresh fit the parameters in use are the optimum.
    purchases, spend = fresh.purchases, fresh.spend
    if former.purchases.converged:
        today = bgnbd_likelihood.log_likelihood(histories, former.purchases.parameters)
        if _keeps(today, fresh.purchases_optimum.log_likelihood, fresh.purchases_optimum.converged, len(histories), 4):
            purchases = replace(former.purchases, log_likelihood=today)
    if former.spend.converged:
        today = gamma_gamma_likelihood.log_likelihood(histories, former.spend.parameters)
        optimum = fresh.spend_optimum
        if _keeps(today, optimum.log_likelihood, optimum.converged, optimum.customers, 3):
            spend = replace(former.spend, log_likelihood=today)
    return replace(fresh, purchases=purchases, spend=spend)


def _keeps(former: float, optimum: float, converged: bool, customers: int, parameters: int) -> bool:
    return not converged or optimum - former <= max(_NOISE[parameters], _LOSS_PER_CUSTOMER * customers)


def _shortages(histories: Histories, floors: Floors) -> Iterator[Declined]:
    days = int(histories.age_days.max(initial=0))
    frequent = int((histories.x >= 2).sum())
    spenders = int(gamma_gamma_likelihood.spenders(histories).sum())
    asked: tuple[tuple[Shortage, int, int, str], ...] = (
        ("too_few_customers", len(histories), floors.customers, "customers with a purchase"),
        ("too_short_a_time", days, floors.days, "days from the first purchase to the last day"),
        ("too_few_frequent", frequent, floors.frequent, "customers with three or more purchase days"),
        ("too_few_spenders", spenders, floors.spenders, "customers with a repeat purchase that cost something"),
    )
    for code, found, needed, what in asked:
        if found < needed:
            yield Declined(code, f"Found {found} {what}; at least {needed} are needed.", found, needed)

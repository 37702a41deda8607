"""Customers made by the models themselves, so that what a fit should find is known."""

from typing import NamedTuple

import numpy as np

from app.scoring.prediction import bgnbd, gamma_gamma
from app.scoring.prediction.histories import FloatArray, Histories, IntArray

# A shop whose customers seldom buy twice in a day, so that whole days take little away from the models' moments.
QUIET = bgnbd.Parameters(r=0.6, alpha=30.0, a=0.8, b=2.5)
SPEND = gamma_gamma.Parameters(p=6.25, q=3.74, v=15.44)


class Simulated(NamedTuple):
    """Histories, and the purchase days (n,) in the days after them."""

    histories: Histories
    holdout: IntArray


def simulate(
    customers: int,
    days: int,
    purchases: bgnbd.Parameters = QUIET,
    spend: gamma_gamma.Parameters = SPEND,
    *,
    holdout_days: int = 0,
    seed: int = 1,
) -> Simulated:
    """Customers who first buy on a day of `days` and are watched to its end, then through the holdout."""
    chance = np.random.default_rng(seed)
    age = chance.integers(0, days, customers)
    rate = chance.gamma(purchases.r, 1 / (7 * purchases.alpha), customers)
    leaving = chance.beta(purchases.a, purchases.b, customers)
    scale = chance.gamma(spend.q, 1 / spend.v, customers)
    x, t_x, holdout = (np.zeros(customers, dtype=np.int32) for _ in range(3))
    moment, last, spent = np.zeros(customers), np.zeros(customers, dtype=np.int32), np.zeros(customers)
    alive, end = np.arange(customers), age + holdout_days + 1
    while len(alive):
        moment[alive] += chance.exponential(1 / np.maximum(rate[alive], 1e-300))
        alive = alive[moment[alive] < end[alive]]
        day = np.floor(moment[alive]).astype(np.int32)
        another = day > last[alive]
        last[alive] = day
        within = alive[another & (day <= age[alive])]
        x[within] += 1
        t_x[within] = last[within]
        spent[within] += chance.gamma(spend.p, 1 / scale[within])
        holdout[alive[another & (day > age[alive])]] += 1
        alive = alive[chance.random(len(alive)) >= leaving[alive]]
    mean: FloatArray = np.where(x > 0, np.round(100 * spent) / np.maximum(x, 1), 0.0)
    return Simulated(Histories.of(x, t_x, age, mean), holdout)

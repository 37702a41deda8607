"""The likelihood of BG/NBD with its gradient, and the parameters that make it largest."""

from typing import Final

import numpy as np
from scipy.special import digamma, gammaln

from app.scoring.prediction.bgnbd import UNIT_DAYS, Parameters
from app.scoring.prediction.histories import FloatArray, Histories, grouped
from app.scoring.prediction.maximum import Bound, Maximum, maximise

# Found on so many customers first, then on all.
_SAMPLE: Final = 20_000

BOUNDS: Final = {
    "r": Bound(1e-4, 1e3, "almost nobody buys again", "all customers buy at one rate"),
    "alpha": Bound(1e-5, 1e4, "who buys again does so on almost every day", "all customers buy at one rate"),
    "a": Bound(1e-4, 1e3, "nobody is seen to leave", "all customers leave with one probability"),
    "b": Bound(1e-4, 1e4, "everybody leaves after the first repeat purchase", "nobody is seen to leave"),
}

# In units of the mean age, which makes them fit shops of any pace.
_STARTS: Final = (
    {"r": 0.25, "alpha": 0.2, "a": 0.8, "b": 2.5},
    {"r": 1.0, "alpha": 1.0, "a": 0.3, "b": 3.0},
    {"r": 2.0, "alpha": 0.1, "a": 2.0, "b": 2.0},
)


class Likelihood:
    """Log-likelihood of histories in a unit of time, as a function of the logarithms of r, alpha, a, b.

    Source: Fader, Hardie and Lee (2005), equation 6, in the form of their note on the spreadsheet's #NUM! error,
    brucehardie.com/notes/027: L = A1 A2 (A3 + A4), of which only A4 / A3 depends on t_x.
    """

    def __init__(self, histories: Histories, unit_days: float = UNIT_DAYS) -> None:
        groups = grouped(histories)
        weights = groups.customers.astype(np.float64)
        self.customers = len(histories)
        self._counts = np.flatnonzero(np.bincount(groups.x))
        self._by_count = np.bincount(groups.x, weights)[self._counts]
        self._times = np.arange(int(groups.age_days.max(initial=0)) + 1) / unit_days
        length = len(self._times)
        self._by_age = np.bincount(groups.age_days, weights, length)
        self._purchases_by_age = np.bincount(groups.age_days, weights * groups.x, length)
        # Who never bought again cannot have left: only repeaters have the second term.
        repeated = groups.x > 0
        self._x = groups.x[repeated]
        self._t_x = groups.t_x_days[repeated]
        self._age = groups.age_days[repeated]
        self._weights = weights[repeated]

    def __call__(self, logs: FloatArray) -> tuple[float, FloatArray]:
        """The log-likelihood of all, and its gradient (4,) by the logarithms of the parameters."""
        r, alpha, a, b = np.exp(logs)
        counts, by_count = self._counts, self._by_count
        # A day's logarithm is looked up: there are some thousand days and a million customers.
        log_time, per_time = np.log(alpha + self._times), 1.0 / (alpha + self._times)
        silence = log_time[self._age] - log_time[self._t_x]
        span = np.arange(int(counts.max(initial=0)) + 1)
        log_odds = np.log(a) - np.log(np.maximum(b + span - 1.0, 1e-300))
        log_odds_gone = log_odds[self._x] + (r + self._x) * silence
        small = np.exp(-np.abs(log_odds_gone))
        gone = self._weights * np.where(log_odds_gone >= 0, 1.0, small) / (1.0 + small)

        value = (
            by_count @ (gammaln(r + counts) - gammaln(r) + gammaln(b + counts) - gammaln(b))
            + by_count @ (gammaln(a + b) - gammaln(a + b + counts))
            + self.customers * r * np.log(alpha)
            - (r * self._by_age + self._purchases_by_age) @ log_time
            + self._weights @ (np.maximum(log_odds_gone, 0.0) + np.log1p(small))
        )
        gone_by_count = np.bincount(self._x, gone, len(span))[1:]
        by_r = (
            by_count @ (digamma(r + counts) - digamma(r))
            + self.customers * np.log(alpha)
            - self._by_age @ log_time
            + gone @ silence
        )
        by_alpha = (
            self.customers * r / alpha
            - (r * self._by_age + self._purchases_by_age) @ per_time
            + gone @ ((r + self._x) * (per_time[self._age] - per_time[self._t_x]))
        )
        by_a = by_count @ (digamma(a + b) - digamma(a + b + counts)) + gone_by_count.sum() / a
        by_b = by_count @ (
            digamma(a + b) - digamma(a + b + counts) + digamma(b + counts) - digamma(b)
        ) - gone_by_count @ (1.0 / (b + span[1:] - 1.0))
        return float(value), np.array([by_r, by_alpha, by_a, by_b]) * (r, alpha, a, b)


def log_likelihood(histories: Histories, parameters: Parameters) -> float:
    """Log-likelihood of the histories with time in weeks."""
    logs = np.log([parameters.r, parameters.alpha, parameters.a, parameters.b])
    return Likelihood(histories)(logs)[0]


def fit(histories: Histories) -> tuple[Parameters, Maximum]:
    """The most likely parameters, and how the search for them ended; its log-likelihood has time in weeks.

    Raises: ValueError if there are no customers, or none has been known for a day.
    """
    if not len(histories) or not histories.age_days.any():
        raise ValueError("histories must hold at least one customer whose age_days is above 0")
    # Time in units of the mean age: the search takes the same way whatever unit the ages were in.
    unit_days = float(histories.age_days.mean())
    step = len(histories) // _SAMPLE
    sample = Likelihood(histories.every(step), unit_days) if step > 1 else None
    found = maximise(
        Likelihood(histories, unit_days),
        len(histories),
        BOUNDS,
        _STARTS,
        (sample, sample.customers) if sample else None,
    )
    values = found.values | {"alpha": found.values["alpha"] * unit_days / UNIT_DAYS}
    # A density of purchase times changes with the unit: by a factor for each of the purchases.
    weeks = found.log_likelihood - float(histories.x.sum(dtype=np.int64)) * np.log(unit_days / UNIT_DAYS)
    return Parameters(**values), Maximum(values, float(weeks), found.iterations, found.converged, found.messages)

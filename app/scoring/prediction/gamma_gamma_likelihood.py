"""The likelihood of Gamma-Gamma with its gradient, and the parameters that make it largest."""

from typing import Final

import numpy as np
from scipy.special import digamma, gammaln

from app.scoring.prediction.gamma_gamma import UNIT_FEN, Parameters
from app.scoring.prediction.histories import FloatArray, Histories
from app.scoring.prediction.maximum import Bound, Maximum, maximise

_SAMPLE: Final = 20_000

BOUNDS: Final = {
    "p": Bound(1e-3, 1e4, "purchases of one customer are all but zero or huge", "each customer always spends the same"),
    "q": Bound(1e-3, 1e4, "no mean spend exists", "all customers spend alike"),
    "v": Bound(1e-5, 1e5, "each customer always spends the same", "all customers spend alike"),
}

# v in units of the mean spend.
_STARTS: Final = (
    {"p": 6.0, "q": 4.0, "v": 0.5},
    {"p": 1.0, "q": 2.0, "v": 1.0},
    {"p": 30.0, "q": 10.0, "v": 0.3},
)


class Likelihood:
    """Log-likelihood of the mean spends of repeaters in a unit of money, as a function of the logarithms of p, q, v.

    Customers without a repeat purchase, or whose repeat purchases cost nothing, say nothing here.

    Source: Fader and Hardie (2013), equation 1a, of the mean of x spends.
    """

    def __init__(self, histories: Histories, unit_fen: float = UNIT_FEN) -> None:
        spent = spenders(histories)
        x = histories.x[spent].astype(np.float64)
        mean = histories.mean_spend_fen[spent] / unit_fen
        self.customers = len(x)
        self._x = x
        self._total = x * mean
        self._log_means = float(np.log(mean).sum())
        self._log_totals = float(x @ np.log(self._total))
        # What depends on x alone is computed once for each count.
        self._counts = np.flatnonzero(np.bincount(histories.x[spent])).astype(np.float64)
        self._by_count = np.bincount(histories.x[spent])[self._counts.astype(np.int64)].astype(np.float64)

    def __call__(self, logs: FloatArray) -> tuple[float, FloatArray]:
        """The log-likelihood of all, and its gradient (3,) by the logarithms of the parameters."""
        p, q, v = np.exp(logs)
        counts, by_count = self._counts, self._by_count
        rate = self._total + v
        log_rate = np.log(rate)
        by_rate = self._x @ log_rate
        log_rates = log_rate.sum()
        value = (
            by_count @ (gammaln(p * counts + q) - gammaln(p * counts) - gammaln(q))
            + self.customers * q * np.log(v)
            + p * self._log_totals
            - self._log_means
            - p * by_rate
            - q * log_rates
        )
        by_p = by_count @ (counts * (digamma(p * counts + q) - digamma(p * counts))) + self._log_totals - by_rate
        by_q = by_count @ (digamma(p * counts + q) - digamma(q)) + self.customers * np.log(v) - log_rates
        by_v = self.customers * q / v - ((p * self._x + q) / rate).sum()
        return float(value), np.array([by_p, by_q, by_v]) * (p, q, v)


def spenders(histories: Histories) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which customers say how much purchases cost: those with a repeat purchase that cost something, (n,)."""
    return (histories.x > 0) & (histories.mean_spend_fen > 0)


def log_likelihood(histories: Histories, parameters: Parameters) -> float:
    """Log-likelihood of the mean spends in yuan."""
    return Likelihood(histories)(np.log([parameters.p, parameters.q, parameters.v]))[0]


def fit(histories: Histories) -> tuple[Parameters, Maximum]:
    """The most likely parameters, and how the search for them ended; its log-likelihood has money in yuan.

    Raises: ValueError if nobody has a repeat purchase that cost something.
    """
    spent = spenders(histories)
    if not spent.any():
        raise ValueError("mean_spend_fen must be above 0 for at least one customer whose x is above 0")
    # Money in units of the mean spend: the search takes the same way whatever a purchase costs.
    unit_fen = float(histories.mean_spend_fen[spent].mean())
    step = int(spent.sum()) // _SAMPLE
    sample = Likelihood(histories.every(step), unit_fen) if step > 1 else None
    likelihood = Likelihood(histories, unit_fen)
    found = maximise(likelihood, likelihood.customers, BOUNDS, _STARTS, (sample, sample.customers) if sample else None)
    values = found.values | {"v": found.values["v"] * unit_fen / UNIT_FEN}
    messages = found.messages
    if not messages and values["q"] <= 1:
        messages = (f"q is {values['q']:.3g}: at 1 or below the mean spend of the population is infinite",)
    yuan = found.log_likelihood - likelihood.customers * np.log(unit_fen / UNIT_FEN)
    return Parameters(**values), Maximum(values, float(yuan), found.iterations, not messages, messages)

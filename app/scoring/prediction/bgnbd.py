"""BG/NBD: what a customer's purchase days say about whether they still buy, and how often they will.

While alive a customer buys at a rate of their own, gamma distributed (shape r, rate alpha); after each repeat purchase
they leave for good with a probability of their own, beta distributed (a, b). Days become weeks inside.

Source: Fader, Hardie and Lee (2005), "Counting Your Customers" the Easy Way, Marketing Science 24(2), 275-284.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from app.scoring.prediction.histories import FloatArray, IntArray

UNIT_DAYS: Final = 7.0

# The integral over the leaving probability p runs over its logit, where the integrand is smooth and dies away
# exponentially: an equidistant sum then converges geometrically (Trefethen and Weideman 2014, The Exponentially
# Convergent Trapezoidal Rule, SIAM Review 56(3)). Every term is positive, so nothing cancels, unlike in the published
# closed form, which is 0/0 at a = 1, has a pole at x = 0, a + b = 1, and needs 2F1 where it is hard to compute.
_STEP: Final = 0.25
_FROM: Final = -34.0
_TO: Final = 36.0
_NEGLIGIBLE: Final = 1e-19


@dataclass(frozen=True, slots=True)
class Parameters:
    """Of a population; alpha in weeks, the others without a unit. All above zero."""

    r: float
    alpha: float
    a: float
    b: float

    def __post_init__(self) -> None:
        for name in ("r", "alpha", "a", "b"):
            value = getattr(self, name)
            if not 0 < value < np.inf:
                raise ValueError(f"{name} must be a finite number above 0, not {value}")


def probability_alive(parameters: Parameters, x: IntArray, t_x_days: IntArray, age_days: IntArray) -> FloatArray:
    """Probability that each of n customers has not left by the end of their history, shape (n,).

    Who never bought again cannot have left: the model lets people leave only after a repeat purchase.

    Source: Fader and Hardie (2008), Computing P(alive) Using the BG/NBD Model, brucehardie.com/notes/021.
    """
    repeats = np.maximum(x, 1)
    silence = np.log1p((age_days - t_x_days) / (UNIT_DAYS * parameters.alpha + t_x_days))
    log_odds_gone = np.log(parameters.a / (parameters.b + repeats - 1.0)) + (parameters.r + repeats) * silence
    # Beyond 700 the exponential would overflow; the probability is 0 to 300 digits there.
    alive = 1.0 / (1.0 + np.exp(np.minimum(log_odds_gone, 700.0)))
    return np.where(x > 0, alive, 1.0)


def expected_purchases(
    parameters: Parameters, x: IntArray, t_x_days: IntArray, age_days: IntArray, days_ahead: Sequence[float]
) -> FloatArray:
    """Purchases expected of n customers in the days after their histories, for each of h horizons.

    Args:
        days_ahead: lengths of the windows, each 0 or more.
    Returns: (h, n) expected counts, not rounded.
    Source: Fader, Hardie and Lee (2005), equation 10; the form computed here is in `_while_alive`.
    """
    # Of those still alive, what is to come depends on x and age alone, and a million customers have few such pairs.
    width = int(age_days.max(initial=0)) + 1
    pairs, place = np.unique(x.astype(np.int64) * width + age_days, return_inverse=True)
    pair_x, pair_age = np.divmod(pairs, width)
    exposures = np.asarray(days_ahead)[:, None] / (UNIT_DAYS * parameters.alpha + pair_age)
    coming = _while_alive(parameters, pair_x, exposures)
    expected: FloatArray = np.take(coming, place, axis=1)
    expected *= probability_alive(parameters, x, t_x_days, age_days)
    return expected


def expected_purchases_new(parameters: Parameters, days: FloatArray) -> FloatArray:
    """Repeat purchases expected of a customer in the `days` (n,) after their first purchase day, shape (n,).

    Source: Fader, Hardie and Lee (2005), equation 9.
    """
    exposures = days[None, :] / (UNIT_DAYS * parameters.alpha)
    first_only = np.zeros(len(days), dtype=np.int64)
    expected: FloatArray = _while_alive(parameters, first_only, exposures)[0]
    return expected


def _while_alive(parameters: Parameters, x: npt.NDArray[np.int64], exposures: FloatArray) -> FloatArray:
    """Purchases expected of n customers who are alive, for each of h horizons.

    Of a customer alive after x repeat purchases in the time T, the leaving probability p is Beta(a, b + x) and the rate
    Gamma(r + x, alpha + T), independently. At a rate L they make (1 - exp(-L p t)) / p purchases in the time t, and the
    mean over the rates is (1 - (1 + p u)^-(r + x)) / p with u = t / (alpha + T); what is left is the mean over p.

    Args:
        x: (n,), ascending.
        exposures: (h, n), u.
    Returns: (h, n).
    """
    counts, starts = np.unique(x, return_index=True)
    ends = np.append(starts[1:], len(x))
    shape = parameters.r + x
    total = np.zeros(exposures.shape)
    weight_sum = np.zeros(len(counts))
    for p, weights in _leaving(parameters, counts):
        weight_sum += weights
        noted = np.flatnonzero(weights > _NEGLIGIBLE)
        if not len(noted):
            continue
        rows = slice(starts[noted[0]], ends[noted[-1]])
        spread = np.repeat(weights, ends - starts)[rows] / p
        for sums, exposure in zip(total, exposures, strict=True):
            sums[rows] -= spread * np.expm1(-shape[rows] * np.log1p(p * exposure[rows]))
    return total / np.repeat(weight_sum, ends - starts)


def _leaving(parameters: Parameters, counts: npt.NDArray[np.int64]) -> Iterator[tuple[float, FloatArray]]:
    """Leaving probabilities p, each with its weights (m,) under Beta(a, b + x) for m counts x, up to a factor.

    The factor makes the largest weight about 1, so that no weight that matters is too small to be told from 0.
    """
    a, b = parameters.a, parameters.b + counts
    # A large a makes the density narrow, about 1 / sqrt(a) wide in the logit.
    step = min(_STEP, 0.7 / np.sqrt(a))
    log_top, log_top_rest = np.log(a / (a + b)), np.log(b / (a + b))
    logits = np.arange(_FROM, _TO + step, step)
    for number, logit in enumerate(logits):
        log_p, log_rest = -np.logaddexp(0.0, -logit), -np.logaddexp(0.0, logit)
        weights = np.exp(np.minimum(a * (log_p - log_top) + b * (log_rest - log_top_rest), 0.0))
        # At either end the terms beyond are a geometric series; it is added to the last term.
        if number == 0:
            weights /= -np.expm1(-a * step)
        if number == len(logits) - 1:
            weights /= -np.expm1(-b * step)
        yield float(np.exp(log_p)), weights

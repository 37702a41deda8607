"""Maximum likelihood over positive parameters: several starts, bounds that tell of no optimum, a check at the end."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.optimize import minimize

from app.scoring.prediction.histories import FloatArray

# The logarithms of the parameters in, the log-likelihood and its gradient by them out.
LogLikelihood = Callable[[FloatArray], tuple[float, FloatArray]]

# How far below the maximum the likelihood may still be, in units of log-likelihood: chi-square limits begin at 3.8 / 2.
_REMAINING: Final = 1e-6
_NEWTON_STEPS: Final = 8
_DIFFERENCE: Final = 1e-4
# A parameter that stopped this close to its bound (in its logarithm) ran there.
_AT_BOUND: Final = 0.01


@dataclass(frozen=True, slots=True)
class Bound:
    """Where a parameter is looked for, and what it means that the likelihood still rises there."""

    lower: float
    upper: float
    at_lower: str
    at_upper: str


@dataclass(frozen=True, slots=True, eq=False)
class Maximum:
    """Where the search ended: parameters by name, whether an interior maximum is there, and if not, why not."""

    values: dict[str, float]
    log_likelihood: float
    iterations: int
    converged: bool
    messages: tuple[str, ...]


def maximise(
    likelihood: LogLikelihood,
    customers: int,
    bounds: Mapping[str, Bound],
    starts: Sequence[Mapping[str, float]],
    sample: tuple[LogLikelihood, int] | None = None,
) -> Maximum:
    """The maximum of a log-likelihood of so many customers.

    Args:
        starts: values by name; the best end of all is kept.
        sample: the likelihood of fewer customers, and their number. The starts are tried on it, and only the best end
            is followed on all: the search from afar costs little then.
    """
    limits = [(np.log(bound.lower), np.log(bound.upper)) for bound in bounds.values()]
    tried, tried_customers = sample or (likelihood, customers)
    ends = [_climb(tried, tried_customers, np.log([start[name] for name in bounds]), limits) for start in starts]
    best, iterations = max(ends, key=lambda end: end[0])[1], sum(end[2] for end in ends)
    if sample:
        _, best, more = _climb(likelihood, customers, best, limits)
        iterations += more
    best, steps, remaining = _settle(likelihood, best, limits)
    messages = tuple(_told(best, bounds)) or tuple(_unsettled(remaining))
    value, _ = likelihood(best)
    return Maximum(
        dict(zip(bounds, map(float, np.exp(best)), strict=True)), value, iterations + steps, not messages, messages
    )


def _climb(
    likelihood: LogLikelihood, customers: int, start: FloatArray, limits: list[tuple[float, float]]
) -> tuple[float, FloatArray, int]:
    def per_customer(logs: FloatArray) -> tuple[float, FloatArray]:
        value, gradient = likelihood(logs)
        return -value / customers, -gradient / customers

    found = minimize(
        per_customer,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=limits,
        options={"maxiter": 500, "ftol": 1e-13, "gtol": 1e-7, "maxls": 40},
    )
    return -float(found.fun), found.x, int(found.nit)


def _settle(
    likelihood: LogLikelihood, logs: FloatArray, limits: list[tuple[float, float]]
) -> tuple[FloatArray, int, float]:
    """Newton's steps to the top. Returns where, how many, and how far the likelihood may still rise (inf: no top)."""
    remaining = np.inf
    lower, upper = np.array(limits).T
    for steps in range(_NEWTON_STEPS):
        value, gradient = likelihood(logs)
        free = (logs > lower + _AT_BOUND) & (logs < upper - _AT_BOUND)
        curvature = -_hessian(likelihood, logs)[np.ix_(free, free)]
        try:
            np.linalg.cholesky(curvature)
        except np.linalg.LinAlgError:
            return logs, steps, np.inf
        step = np.zeros_like(logs)
        step[free] = np.linalg.solve(curvature, gradient[free])
        remaining = float(step @ gradient) / 2
        if remaining < _REMAINING:
            return logs, steps, remaining
        ahead = np.clip(logs + step, lower, upper)
        if likelihood(ahead)[0] <= value:
            return logs, steps, remaining
        logs = ahead
    return logs, _NEWTON_STEPS, remaining


def _hessian(likelihood: LogLikelihood, logs: FloatArray) -> FloatArray:
    rows = []
    for shift in np.eye(len(logs)) * _DIFFERENCE:
        rows.append((likelihood(logs + shift)[1] - likelihood(logs - shift)[1]) / (2 * _DIFFERENCE))
    hessian = np.array(rows)
    return (hessian + hessian.T) / 2


def _told(logs: FloatArray, bounds: Mapping[str, Bound]) -> list[str]:
    messages = []
    for value, (name, bound) in zip(logs, bounds.items(), strict=True):
        if value <= np.log(bound.lower) + _AT_BOUND:
            messages.append(f"{name} runs to 0: {bound.at_lower}")
        if value >= np.log(bound.upper) - _AT_BOUND:
            messages.append(f"{name} runs to infinity: {bound.at_upper}")
    return messages


def _unsettled(remaining: float) -> list[str]:
    if remaining < _REMAINING:
        return []
    if np.isinf(remaining):
        return ["the likelihood has no top where the search ended: the data do not tell the parameters apart"]
    return [f"the search ended {remaining:.2g} below the top of the log-likelihood"]

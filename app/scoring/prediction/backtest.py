"""How a fit to one stretch of time foretold the next: customers in groups, errors, and the purchases of each week."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from app.scoring.prediction.bgnbd import Parameters, expected_purchases, expected_purchases_new
from app.scoring.prediction.histories import FloatArray, Histories

_GROUPS: Final = 10
# Customers with this many repeat purchases or more are looked at together.
_FREQUENCY_TO: Final = 7
_WEEK_DAYS: Final = 7


@dataclass(frozen=True, slots=True)
class Group:
    """Customers and their mean purchase days in the holdout. `number` is their decile, or their calibration's x."""

    number: int
    customers: int
    actual_mean: float
    expected_mean: float


@dataclass(frozen=True, slots=True)
class Week:
    """Repeat purchases of the cohort from its first day to the end of a week; `number` counts from 1."""

    number: int
    actual: int
    actual_cumulative: int
    expected_cumulative: float


@dataclass(frozen=True, slots=True)
class Backtest:
    """What was expected of n customers in the holdout, beside what they did.

    Attributes:
        correlation: of expected and actual purchases by customer; None if either is the same for all.
        mean_absolute_error: of purchases by customer.
        deciles: ten groups of equal size, 1 those of whom most was expected; fewer if there are fewer customers.
        frequencies: by purchase days after the first in the calibration; 7 stands for 7 or more.
        weeks: of calibration and holdout.
        final_relative_error: of the expected purchases at the last week's end; None if nobody bought again.
    """

    actual_purchases: int
    expected_purchases: float
    correlation: float | None
    mean_absolute_error: float
    deciles: tuple[Group, ...]
    frequencies: tuple[Group, ...]
    weeks: tuple[Week, ...]
    final_relative_error: float | None


def backtest(
    parameters: Parameters,
    histories: Histories,
    holdout_purchases: npt.ArrayLike,
    holdout_days: int,
    weekly_repeats: npt.ArrayLike,
) -> Backtest:
    """Compares the purchases that a fit to n calibration histories expects with those of the holdout after them.

    Args:
        holdout_purchases: (n,) purchase days in the holdout.
        holdout_days: length of the holdout, above 0.
        weekly_repeats: (w,) repeat purchase days of these customers in each week, counted from the first day on which
            one of them first bought.
    Raises: ValueError naming the argument that does not fit the others.
    """
    actual = np.asarray(holdout_purchases)
    repeats = np.asarray(weekly_repeats)
    _check(histories, actual, holdout_days, repeats)
    who = (histories.x, histories.t_x_days, histories.age_days)
    expected = expected_purchases(parameters, *who, [holdout_days])[0]
    weeks = tuple(_weeks(parameters, histories, repeats))
    told = weeks[-1].actual_cumulative
    return Backtest(
        actual_purchases=int(actual.sum()),
        expected_purchases=float(expected.sum()),
        correlation=_correlation(expected, actual.astype(np.float64)),
        mean_absolute_error=float(np.abs(expected - actual).mean()),
        deciles=tuple(_deciles(expected, actual)),
        frequencies=tuple(_frequencies(histories.x, expected, actual)),
        weeks=weeks,
        final_relative_error=weeks[-1].expected_cumulative / told - 1.0 if told else None,
    )


def _check(
    histories: Histories, actual: npt.NDArray[np.int_], holdout_days: int, repeats: npt.NDArray[np.int_]
) -> None:
    if not len(histories):
        raise ValueError("histories must hold at least one customer")
    if actual.shape != histories.x.shape or actual.dtype.kind not in "iu" or actual.min() < 0:
        raise ValueError(f"holdout_purchases must be {len(histories)} whole numbers, 0 or more: one for each customer")
    if holdout_days <= 0:
        raise ValueError(f"holdout_days must be above 0, not {holdout_days}")
    if repeats.ndim != 1 or not len(repeats) or repeats.dtype.kind not in "iu" or repeats.min() < 0:
        raise ValueError("weekly_repeats must be a list of whole numbers, 0 or more: one for each week")


def _correlation(expected: FloatArray, actual: FloatArray) -> float | None:
    if np.ptp(expected) == 0 or np.ptp(actual) == 0:
        return None
    return float(np.corrcoef(expected, actual)[0, 1])


def _deciles(expected: FloatArray, actual: npt.NDArray[np.int_]) -> Iterator[Group]:
    best_first = np.argsort(-expected, kind="stable")
    for number, members in enumerate(np.array_split(best_first, _GROUPS), start=1):
        if len(members):
            yield _group(number, expected[members], actual[members])


def _frequencies(x: npt.NDArray[np.int32], expected: FloatArray, actual: npt.NDArray[np.int_]) -> Iterator[Group]:
    frequency = np.minimum(x, _FREQUENCY_TO)
    for number in range(_FREQUENCY_TO + 1):
        members = frequency == number
        if members.any():
            yield _group(number, expected[members], actual[members])


def _group(number: int, expected: FloatArray, actual: npt.NDArray[np.int_]) -> Group:
    return Group(number, len(expected), float(actual.mean()), float(expected.mean()))


def _weeks(parameters: Parameters, histories: Histories, repeats: npt.NDArray[np.int_]) -> Iterator[Week]:
    """Each customer is expected to buy from their own first day on; those who share it are counted together."""
    # The day of the whole on which a customer first bought, from their age: the oldest began on day 0.
    starts, customers = np.unique(histories.age_days.max() - histories.age_days, return_counts=True)
    # A week ends after its last day, on a whole day of every customer's: each length of time is asked once.
    lengths = np.arange(len(repeats) * _WEEK_DAYS + 1, dtype=np.float64)
    expected = expected_purchases_new(parameters, lengths)
    for number, (week, total) in enumerate(zip(repeats, np.cumsum(repeats), strict=True), start=1):
        lived = np.maximum(number * _WEEK_DAYS - starts, 0)
        yield Week(number, int(week), int(total), float(customers @ expected[lived]))

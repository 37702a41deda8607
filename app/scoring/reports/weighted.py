"""Mean and quantiles of values that are counted instead of repeated."""

from bisect import bisect_right
from collections.abc import Mapping
from itertools import accumulate


def mean(counts: Mapping[float, int]) -> float | None:
    """The mean of the values, each as often as it is counted; None of nothing."""
    total = sum(counts.values())
    return sum(value * count for value, count in counts.items()) / total if total else None


def quantile(counts: Mapping[float, int], share: float) -> float | None:
    """The quantile at `share` (0 to 1) by linear interpolation ("type 7", as `percentile_cont`); None of nothing."""
    values = sorted(value for value, count in counts.items() if count)
    if not values:
        return None
    ends = list(accumulate(counts[value] for value in values))  # one past the place of each value's last
    place = (ends[-1] - 1) * share
    below = values[bisect_right(ends, int(place))]
    above = values[bisect_right(ends, min(int(place) + 1, ends[-1] - 1))]
    return below + (above - below) * (place - int(place))

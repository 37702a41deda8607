"""Counted values have the mean and the quantiles that the same values have when they are repeated."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.scoring.reports.weighted import mean, quantile

_counts = st.dictionaries(st.integers(0, 1000).map(lambda half: half / 2), st.integers(1, 20), min_size=1, max_size=30)


def _interpolated(values: list[float], share: float) -> float:
    place = (len(values) - 1) * share
    low = int(place)
    high = min(low + 1, len(values) - 1)
    return values[low] * (1 - place + low) + values[high] * (place - low)


@given(counts=_counts, share=st.floats(0, 1))
def test_as_if_repeated(counts: dict[float, int], share: float) -> None:
    values = sorted(value for value, count in counts.items() for _ in range(count))
    assert quantile(counts, share) == pytest.approx(_interpolated(values, share))
    assert mean(counts) == pytest.approx(sum(values) / len(values))


@pytest.mark.parametrize("counts", [{}, {3.0: 0}])
def test_of_nothing(counts: dict[float, int]) -> None:
    assert quantile(counts, 0.5) is None
    assert mean(counts) is None

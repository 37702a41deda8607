"""Histories refuse what cannot be, and are grouped without loss."""

from collections import Counter
from typing import Any

import numpy as np
import pytest

from app.scoring.prediction.histories import Histories, grouped
from tests.scoring.prediction.simulation import simulate

_RIGHT: dict[str, Any] = {
    "x": [0, 1, 2],
    "t_x_days": [0, 4, 30],
    "age_days": [10, 4, 99],
    "mean_spend_fen": [0.0, 0.0, 1250.5],
}


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("x", [0, 1, -2], "x must be 0 or more; not so for 1 of 3 customers, the first at index 2"),
        ("x", [0.0, 1.0, 2.0], "x must hold whole numbers, not float64"),
        ("x", [0, 1, 31], "x must not exceed t_x_days: count the orders of one day once"),
        ("x", [[0, 1, 2]], "one value for each customer"),
        ("x", [0, 1], "t_x_days must have one value for each customer"),
        ("x", [0, 1, 2**40], "x must fit in 32 bits"),
        ("t_x_days", [0, -4, 30], "t_x_days must be 0 or more"),
        (
            "t_x_days",
            [0, 5, 30],
            "t_x_days must not exceed age_days; not so for 1 of 3 customers, the first at index 1",
        ),
        ("t_x_days", [1, 4, 30], "t_x_days must be 0 exactly where x is 0"),
        ("t_x_days", [0, 4, 0], "t_x_days must be 0 exactly where x is 0"),
        ("mean_spend_fen", [0.0, -1.0, 2.0], "mean_spend_fen must be 0 or more"),
        ("mean_spend_fen", [0.0, float("nan"), 2.0], "mean_spend_fen must be a finite number"),
        ("mean_spend_fen", [1.0, 0.0, 2.0], "mean_spend_fen must be 0 where x is 0"),
    ],
)
def test_what_cannot_be_is_named(name: str, values: list[Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Histories.of(**(_RIGHT | {name: values}))


def test_arrays_of_another_type_are_refused_with_the_remedy() -> None:
    right = Histories.of(**_RIGHT)
    with pytest.raises(ValueError, match=r"age_days must be an array of int32, not int64; Histories\.of converts"):
        Histories(right.x, right.t_x_days, right.age_days.astype(np.int64), right.mean_spend_fen)


def test_nobody_is_a_history_too() -> None:
    nobody = Histories.of([], [], [], [])
    assert len(nobody) == 0
    assert len(grouped(nobody).customers) == 0


def test_groups_hold_everybody_once() -> None:
    histories = simulate(5_000, 60).histories
    groups = grouped(histories)
    counted = Counter(zip(histories.x.tolist(), histories.t_x_days.tolist(), histories.age_days.tolist(), strict=True))
    keys = zip(groups.x.tolist(), groups.t_x_days.tolist(), groups.age_days.tolist(), strict=True)
    assert dict(zip(keys, groups.customers.tolist(), strict=True)) == counted
    assert len(groups.customers) < len(histories)

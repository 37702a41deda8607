"""What the models read of each customer: how many purchase days after the first, and when the first and last were."""

from dataclasses import dataclass, fields
from typing import Self

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class Histories:
    """n customers up to the end of a calibration, in arrays of shape (n,) that belong together.

    Attributes:
        x: purchase days after the first; orders of one day are one purchase.
        t_x_days: days from the first purchase day to the last; 0 exactly where x is 0.
        age_days: days from the first purchase day to the last day of the calibration.
        mean_spend_fen: mean spend of the x repeat purchase days; 0 where x is 0.

    Raises: ValueError naming the field, the first customer whose values cannot be, and what they must be.
    """

    x: IntArray
    t_x_days: IntArray
    age_days: IntArray
    mean_spend_fen: FloatArray

    def __post_init__(self) -> None:
        for field in fields(self):
            _check_array(field.name, getattr(self, field.name), self.x.shape)
        _refuse("x", self.x < 0, "must be 0 or more")
        _refuse("t_x_days", self.t_x_days < 0, "must be 0 or more")
        _refuse("t_x_days", self.t_x_days > self.age_days, "must not exceed age_days")
        _refuse("t_x_days", (self.x == 0) != (self.t_x_days == 0), "must be 0 exactly where x is 0")
        _refuse("x", self.x > self.t_x_days, "must not exceed t_x_days: count the orders of one day once")
        _refuse("mean_spend_fen", ~np.isfinite(self.mean_spend_fen), "must be a finite number")
        _refuse("mean_spend_fen", self.mean_spend_fen < 0, "must be 0 or more")
        _refuse("mean_spend_fen", (self.x == 0) & (self.mean_spend_fen > 0), "must be 0 where x is 0")

    @classmethod
    def of(
        cls, x: npt.ArrayLike, t_x_days: npt.ArrayLike, age_days: npt.ArrayLike, mean_spend_fen: npt.ArrayLike
    ) -> Self:
        """From anything that numpy reads as whole numbers and spends. Raises ValueError as the class does."""
        return cls(
            _whole("x", x),
            _whole("t_x_days", t_x_days),
            _whole("age_days", age_days),
            np.asarray(mean_spend_fen, dtype=np.float64),
        )

    def __len__(self) -> int:
        return len(self.x)

    def every(self, step: int) -> "Histories":
        """Each `step`-th customer: a sample that is the same every time."""
        return Histories(self.x[::step], self.t_x_days[::step], self.age_days[::step], self.mean_spend_fen[::step])


@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """Histories that occur, each once, with the number of customers who share it; sorted by x, t_x_days, age_days."""

    x: IntArray
    t_x_days: IntArray
    age_days: IntArray
    customers: npt.NDArray[np.int64]


def grouped(histories: Histories) -> Groups:
    """Customers with equal x, t_x_days and age_days put together: the purchase model knows nothing else of them."""
    # One number per customer, because np.unique(axis=0) compares rows as bytes and takes several times as long.
    width = int(histories.age_days.max(initial=0)) + 1
    packed = (histories.x.astype(np.int64) * width + histories.t_x_days) * width + histories.age_days
    keys, customers = np.unique(packed, return_counts=True)
    rest, age_days = np.divmod(keys, width)
    x, t_x_days = np.divmod(rest, width)
    return Groups(x.astype(np.int32), t_x_days.astype(np.int32), age_days.astype(np.int32), customers)


def _whole(name: str, values: npt.ArrayLike) -> IntArray:
    given = np.asarray(values)
    if given.size == 0:
        return np.zeros(given.shape, dtype=np.int32)
    if given.dtype.kind not in "iu":
        raise ValueError(f"{name} must hold whole numbers, not {given.dtype}")
    if given.max() > np.iinfo(np.int32).max or given.min() < np.iinfo(np.int32).min:
        raise ValueError(f"{name} must fit in 32 bits")
    return given.astype(np.int32, copy=False)


def _check_array(name: str, values: FloatArray | IntArray, shape: tuple[int, ...]) -> None:
    wanted = np.float64 if name == "mean_spend_fen" else np.int32
    if values.dtype != wanted:
        raise ValueError(f"{name} must be an array of {np.dtype(wanted)}, not {values.dtype}; Histories.of converts")
    if values.ndim != 1 or values.shape != shape:
        raise ValueError(f"{name} must have one value for each customer: shape {shape} of one axis, not {values.shape}")


def _refuse(name: str, wrong: npt.NDArray[np.bool_], rule: str) -> None:
    if wrong.any():
        first, count = int(wrong.argmax()), int(wrong.sum())
        raise ValueError(f"{name} {rule}; not so for {count} of {len(wrong)} customers, the first at index {first}")

"""Gamma-Gamma: what a customer will spend on a purchase, between what they spent so far and what everybody spends.

A purchase's spend is gamma distributed (shape p) at a scale of the customer's own, whose inverse is gamma distributed
(shape q, rate v). Fen become yuan inside.

Source: Fader and Hardie (2013), The Gamma-Gamma Model of Monetary Value, brucehardie.com/notes/025.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from app.scoring.prediction.histories import FloatArray, IntArray

UNIT_FEN: Final = 100.0


@dataclass(frozen=True, slots=True)
class Parameters:
    """Of a population; v in yuan, the others without a unit. All above zero; with q at 1 or below no mean exists."""

    p: float
    q: float
    v: float

    def __post_init__(self) -> None:
        for name in ("p", "q", "v"):
            value = getattr(self, name)
            if not 0 < value < np.inf:
                raise ValueError(f"{name} must be a finite number above 0, not {value}")


def expected_spend_fen(parameters: Parameters, x: IntArray, mean_spend_fen: FloatArray) -> FloatArray:
    """Spend expected per purchase of n customers, in fen, shape (n,), not rounded.

    Args:
        x: (n,) repeat purchase days; a customer without any gets the population's mean.
        mean_spend_fen: (n,) mean spend of these days, 0 or more.
    Raises: ValueError if q is 1 or below, because the population's mean is infinite then.
    Source: Fader and Hardie (2013), equation 5.
    """
    if parameters.q <= 1:
        raise ValueError(f"q must be above 1 for a mean spend to exist, not {parameters.q}; such a fit is not usable")
    total = UNIT_FEN * parameters.v + x * mean_spend_fen
    return parameters.p * total / (parameters.p * x + parameters.q - 1.0)

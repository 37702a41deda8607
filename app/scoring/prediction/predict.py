"""What a fit says of each customer: alive or not, purchases to come, what one will cost, and the year's value."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from app.scoring.prediction.bgnbd import expected_purchases, probability_alive
from app.scoring.prediction.fitted import Fit
from app.scoring.prediction.gamma_gamma import expected_spend_fen
from app.scoring.prediction.histories import FloatArray, Histories

SHORT_DAYS: Final = 90
YEAR_DAYS: Final = 365
_MONTHS: Final = 12
# Rounded, so that equal histories give equal rows in whatever company they are computed.
_DECIMALS: Final = 6


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """Of n customers, in arrays of shape (n,).

    Attributes:
        p_alive: probability that the customer has not left, 6 decimals.
        expected_purchases_90d, expected_purchases_365d: purchase days expected from the end of the history, 6 decimals.
        expected_spend_fen: per purchase day.
        clv_predicted_fen: what the next 365 days' purchases are worth.
    """

    p_alive: FloatArray
    expected_purchases_90d: FloatArray
    expected_purchases_365d: FloatArray
    expected_spend_fen: npt.NDArray[np.int64]
    clv_predicted_fen: npt.NDArray[np.int64]


def predict(
    fit: Fit,
    x: npt.ArrayLike,
    t_x_days: npt.ArrayLike,
    age_days: npt.ArrayLike,
    mean_spend_fen: npt.ArrayLike,
    *,
    monthly_discount_rate: float = 0.0,
) -> Predictions:
    """Scores n customers with the parameters in use.

    Args:
        x, t_x_days, age_days, mean_spend_fen: (n,), see `Histories`; the day that age_days ends on is today.
        monthly_discount_rate: by how much a month later a purchase is worth less, 0.01 for one per cent; each of twelve
            months of 365 / 12 days is discounted to today from its end.
    Raises: ValueError if the fit is not usable, the rate is below 0, or a history cannot be.
    """
    if not fit.usable:
        reasons = (*fit.purchases_optimum.messages, *fit.spend_optimum.messages)
        raise ValueError(f"fit must be usable; the parameters in use are no optimum: {'; '.join(reasons)}")
    if not monthly_discount_rate >= 0:
        raise ValueError(f"monthly_discount_rate must be 0 or more, not {monthly_discount_rate}")
    known = Histories.of(x, t_x_days, age_days, mean_spend_fen)
    who = (fit.purchases.parameters, known.x, known.t_x_days, known.age_days)
    spend = expected_spend_fen(fit.spend.parameters, known.x, known.mean_spend_fen)
    # Undiscounted, the year's end says it all.
    months = range(1, _MONTHS + 1) if monthly_discount_rate else (_MONTHS,)
    short, *until = expected_purchases(*who, [SHORT_DAYS, *(month * YEAR_DAYS / _MONTHS for month in months)])
    worth, before = np.zeros(len(known)), np.zeros(len(known))
    for month, bought in zip(months, until, strict=True):
        worth += (bought - before) / (1.0 + monthly_discount_rate) ** month
        before = bought
    return Predictions(
        p_alive=np.round(probability_alive(*who), _DECIMALS),
        expected_purchases_90d=np.round(short, _DECIMALS),
        expected_purchases_365d=np.round(until[-1], _DECIMALS),
        expected_spend_fen=np.rint(spend).astype(np.int64),
        clv_predicted_fen=np.rint(worth * spend).astype(np.int64),
    )

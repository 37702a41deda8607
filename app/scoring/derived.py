"""What is not stored, because it changes with every day or is plain arithmetic on stats: computed where it is read."""

import math
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final

from app.access.settings import ClvSettings, ScoringSettings
from app.core.db import Row

_YEAR_DAYS: Final = 365
_FAR_DAYS: Final = 36_500
_MOST_FEN: Final = 2**63 - 1  # what a column of money holds


def figures(stats: Row, as_of: date, settings: ClvSettings) -> dict[str, Any]:
    """Ages, averages and the simple lifetime value of a row of stats, whose orders may be None.

    Whole days from the last and the first order to `as_of`: an order the day before gives 1.
    """
    orders, first_on, last_on = stats["orders"] or 0, stats["first_on"], stats["last_on"]
    gaps = max((stats["purchase_days"] or 0) - 1, 0)
    return {
        "recency_days": (as_of - last_on).days if last_on else None,
        "tenure_days": (as_of - first_on).days if first_on else None,
        "average_order_fen": round(stats["gross_fen"] / orders) if orders else None,
        "gap_mean_days": (last_on - first_on).days / gaps if gaps else None,
        "clv_simple_fen": clv_simple_fen(stats, as_of, settings),
    }


def clv_simple_fen(stats: Row, as_of: date, settings: ClvSettings) -> int | None:
    """Average order × orders a year × years kept, in fen; None without orders.

    Average times frequency is what a year of the tenure brought. A tenure of few days would explode, so it has a floor.
    """
    if not stats["orders"]:
        return None
    tenure = max((as_of - stats["first_on"]).days, settings.tenure_floor_days)
    value = Decimal(max(stats["net_fen"], 0)) * _YEAR_DAYS * Decimal(str(settings.years_kept)) / tenure
    return min(int(value.quantize(Decimal(1), rounding=ROUND_HALF_UP)), _MOST_FEN)


def cycle_days(stats: Row, run: Row | None, settings: ScoringSettings) -> tuple[float, str]:
    """The customer's cycle, and where it comes from: their own gaps, a category, the shop, or the settings."""
    cycle, found = settings.cycle, (settings.stages.dormant_days / settings.cycle.dormant, "settings")
    top = (stats["top_categories"] or [None])[0]
    if stats["purchase_days"] >= cycle.own_purchase_days and stats["gap_median_days"] is not None:
        found = stats["gap_median_days"], "own"
    elif run is not None and top is not None and (run["category_cycles"] or {}).get(top) is not None:
        found = run["category_cycles"][top], "category"
    elif run is not None and run["cycle_days"] is not None:
        found = run["cycle_days"], "shop"
    return max(found[0], float(cycle.least_days)), found[1]


def next_order(stats: Row, run: Row | None, settings: ScoringSettings) -> dict[str, date] | None:
    """When the next order is expected: the middle of the shop's gaps over their customers' cycles, and 20 and 80 %."""
    if stats["last_on"] is None or run is None or not run["cycle_ratios"]:
        return None
    days, _ = cycle_days(stats, run, settings)
    early, middle, late = (min(math.ceil(days * ratio), _FAR_DAYS) for ratio in run["cycle_ratios"])
    after = [stats["last_on"] + timedelta(days=ahead) for ahead in (early, middle, late)]
    return dict(zip(("early_on", "expected_on", "late_on"), after, strict=True))

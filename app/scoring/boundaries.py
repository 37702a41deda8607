"""Which days turn a score without any fact: what the time sweep looks for.

A boundary (column, days) is passed when `as_of` less the column goes from at most `days` to more. From one day to the
next those are the customers of one day of that column: a range of an index, as long as the number of flips.
"""

import math
from collections.abc import Iterator
from typing import Final

from app.access.settings import ScoringSettings
from app.core.db import Row
from app.scoring import facts
from app.scoring.judging import SOON_DAYS
from app.scoring.tiers import compiling
from app.scoring.tiers.definition import Definition

# What facts count as of a day: 0, they have happened; a window's length, they are still within it.
_MONTHS: Final = frozenset(facts.MONTH_DAYS * n for n in range(1, facts.MONTHS + 1))
ORDER_DAYS: Final = frozenset({0, *facts.WINDOWS}) | _MONTHS
EVENT_DAYS: Final = frozenset({0, facts.COUNTED_DAYS, facts.EVENT_DAYS}) | _MONTHS

Boundary = tuple[str, int]


def of(settings: ScoringSettings, definition: Definition, values: list[float | None], run: Row | None) -> set[Boundary]:
    """The boundaries of stats' date columns under a run; a cycle's turns stand in the scores themselves."""
    return {
        ("since_on", 0),  # before that day they are nobody
        *_of_stages(settings),
        *(("active_on", days) for days in SOON_DAYS),
        *compiling.boundaries(definition, values),
        *(_of_run(run) if run is not None else ()),
    }


def _of_stages(settings: ScoringSettings) -> Iterator[Boundary]:
    yield "since_on", settings.stages.new_days
    yield "active_on", settings.stages.dormant_days - 1
    yield "active_on", settings.stages.lost_days - 1


def _of_run(run: Row) -> Iterator[Boundary]:
    for cut in (*(run["recency_cuts"] or ()), run["recency_split"]):
        if cut is not None and math.isfinite(cut):
            yield "last_on", math.floor(cut)
    if run["second_within_days"] is not None:
        yield "last_on", run["second_within_days"]

"""The Chinese retail year: the days that pull purchases, the days that push them away, and the seasons between."""

from bisect import bisect_left
from datetime import date, timedelta
from random import Random

SPRING, SUMMER, WINTER = 0, 1, 2

# Where on the calendar of any year a festival lies, and the chance that a purchase nearly due is made in it.
_FESTIVALS = (
    ((3, 5), (3, 8), 0.2),
    ((6, 1), (6, 3), 0.2),
    ((6, 15), (6, 20), 0.45),
    ((11, 1), (11, 3), 0.3),
    ((11, 9), (11, 11), 0.6),
    ((12, 10), (12, 12), 0.25),
)
_NEAR = timedelta(days=28)
# New Year's Day of the lunar year. Any other year is given 5 February, which is about a fortnight off at most.
_LUNAR = {2020: (1, 25), 2021: (2, 12), 2022: (2, 1), 2023: (1, 22), 2024: (2, 10), 2025: (1, 29), 2026: (2, 17)}
_LUNAR |= {2027: (2, 6), 2028: (1, 26), 2029: (2, 13), 2030: (2, 3), 2031: (1, 23), 2032: (2, 11)}


class Calendar:
    """The festivals of the years it is built for."""

    def __init__(self, first: date, last: date) -> None:
        self._festivals = sorted(
            (date(year, *start), date(year, *end), pull)
            for year in range(first.year, last.year + 2)
            for start, end, pull in _FESTIVALS
        )
        self._ends = [end for _, end, _ in self._festivals]
        # One look-up per day instead of a search per purchase.
        self._sales = {
            start + timedelta(days=n) for start, end, _ in self._festivals for n in range((end - start).days + 1)
        }

    def is_festival(self, day: date) -> bool:
        return day in self._sales

    def settle(self, random: Random, due: date, earliest: date) -> date:
        """When a purchase due on a day is really made: moved into a festival nearby, or past Spring Festival."""
        index = bisect_left(self._ends, max(due - _NEAR, earliest))
        while index < len(self._festivals) and self._festivals[index][0] <= due + _NEAR:
            start, end, pull = self._festivals[index]
            if random.random() < pull:
                start = max(start, earliest)
                # The last day, when the better offers come, counts double.
                return min(end, start + timedelta(days=random.randrange((end - start).days + 2)))
            index += 1
        lunar = date(due.year, *_LUNAR.get(due.year, (2, 5)))
        if -3 <= (due - lunar).days <= 6 and random.random() < 0.6:
            return due + timedelta(days=random.randrange(8, 15))
        return due


def season(day: date) -> int:
    """SUMMER from May to August, WINTER from November to February, SPRING (and autumn) otherwise."""
    if 5 <= day.month <= 8:
        return SUMMER
    return WINTER if day.month in (11, 12, 1, 2) else SPRING

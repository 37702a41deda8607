"""Who belongs together by the edges there are, and who answers for them."""

from collections.abc import Iterable, Mapping
from datetime import datetime


class Clusters:
    """Records joined by edges: a union-find over a few of them."""

    def __init__(self, records: Iterable[int], edges: Iterable[tuple[int, int]] = ()) -> None:
        self._parent = {record: record for record in records}
        for one, other in edges:
            self.join(one, other)

    def of(self, record: int) -> int:
        """A name for the record's cluster: the same for all of it."""
        while self._parent[record] != record:
            self._parent[record] = self._parent[self._parent[record]]
            record = self._parent[record]
        return record

    def join(self, one: int, other: int) -> bool:
        """Whether that made two clusters one."""
        one, other = self.of(one), self.of(other)
        self._parent[max(one, other)] = min(one, other)
        return one != other

    def members(self, record: int) -> list[int]:
        """The records of its cluster, ascending."""
        name = self.of(record)
        return sorted(other for other in self._parent if self.of(other) == name)

    def groups(self) -> list[list[int]]:
        """Every cluster, each ascending."""
        found: dict[int, list[int]] = {}
        for record in sorted(self._parent):
            found.setdefault(self.of(record), []).append(record)
        return list(found.values())


def winner(group: Iterable[int], strengths: Mapping[int, int], created: Mapping[int, datetime]) -> int:
    """Who answers for a cluster: the strongest record, of equals the oldest. Never the order of calls.

    Args:
        strengths: of each record's strongest identity; who has none counts 0.
    """
    return min(group, key=lambda record: (-strengths.get(record, 0), created[record], record))

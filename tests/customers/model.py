"""Merging as a child would keep it: records, what each was told, and the pairs that are one."""

from collections.abc import Iterable
from dataclasses import dataclass, field

WEIGHTS = {"card_no": 120, "external_id": 140}
Label = tuple[str, int]  # kind and number


@dataclass
class Told:
    """One record and what came in for it; `names` by when they were told."""

    born: int
    names: dict[int, str] = field(default_factory=dict)
    tags: set[str] = field(default_factory=set)


@dataclass
class Model:
    """Everything that was told, and nothing that follows from it."""

    records: dict[int, Told] = field(default_factory=dict)
    holders: dict[Label, int] = field(default_factory=dict)
    orders: dict[str, int] = field(default_factory=dict)
    edges: dict[str, tuple[int, int]] = field(default_factory=dict)
    reversed: set[tuple[int, int]] = field(default_factory=set)
    clock: int = 0

    def cluster(self, record: int) -> frozenset[int]:
        """All records that are one with this."""
        found, grew = {record}, True
        while grew:
            more = {one for edge in self.edges.values() if set(edge) & found for one in edge}
            grew = not more <= found
            found |= more
        return frozenset(found)

    def clusters(self) -> set[frozenset[int]]:
        """Everybody."""
        return {self.cluster(record) for record in self.records}

    def strength(self, record: int) -> int:
        """Of its strongest identity."""
        return max((WEIGHTS[kind] for (kind, _), holder in self.holders.items() if holder == record), default=0)

    def owner(self, record: int) -> int:
        """Who answers for it."""
        return min(self.cluster(record), key=lambda one: (-self.strength(one), self.records[one].born))

    def name(self, record: int) -> str | None:
        """What its person is called: the newest name."""
        told = {at: name for one in self.cluster(record) for at, name in self.records[one].names.items()}
        return told[max(told)] if told else None

    def tags(self, record: int) -> set[str]:
        """What its person carries."""
        return {tag for one in self.cluster(record) for tag in self.records[one].tags}

    def kept_apart(self, one: int, other: int) -> bool:
        """Whether a merge between their people was taken back."""
        mine, theirs = self.cluster(one), self.cluster(other)
        return any((a in mine and b in theirs) or (b in mine and a in theirs) for a, b in self.reversed)

    def write(self, labels: list[Label], name: str | None) -> tuple[int | None, list[tuple[int, int]]]:
        """A write that names identities.

        Returns: the record that it is for, None for a new one, and the pairs that it makes one, in order.
        """
        held = [label for label in labels if label in self.holders]
        if not held:
            return None, []
        best = max(held, key=lambda label: (WEIGHTS[label[0]], -held.index(label)))
        person = self.holders[best]
        joined: list[tuple[int, int]] = []
        known = dict(self.edges)
        # The first identity named of each person is an edge's end.
        ends = {self.owner(self.holders[label]): self.holders[label] for label in reversed(held)}
        for end in [ends[owner] for owner in dict.fromkeys(self.owner(self.holders[label]) for label in held)]:
            if self.cluster(end) != self.cluster(person) and not self.kept_apart(person, end):
                joined.append((person, end))
                self.edges[f"joined {end}"] = person, end  # who comes next meets both
        self.edges = known
        return person, joined

    def told(self, labels: Iterable[Label], person: int, name: str | None) -> None:
        """What a write tells of a record: the identities that nobody held, and a name that it has no word of yet."""
        self.clock += 1
        for label in labels:
            self.holders.setdefault(label, person)
        known = {self.name(person)} & set(self.records[person].names.values())
        if name is not None and name not in known:
            self.records[person].names = {self.clock: name}

    def mine(self, labels: Iterable[Label], person: int) -> int:
        """Whose the facts of a write are: the first identity's that is the person's."""
        return next(self.holders[one] for one in labels if self.cluster(self.holders[one]) == self.cluster(person))

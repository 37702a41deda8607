"""One profile out of several records: which telling of each field survives, and why."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, NamedTuple

from app.customers.records import COLUMNS, EMPTY, Profile

# How a person first came does not change because a younger record says otherwise.
OLDEST: Final = ("source_channel", "source_way", "member_since")
Word = tuple[str, str, int]  # told at (ISO 8601), told by, in which record: as `told` keeps it


class Survivor(NamedTuple):
    """Whose word on a field counts, and by which rule: verified, newest, oldest or only."""

    customer_id: int
    told_at: datetime
    told_by: str
    rule: str

    def word(self) -> Word:
        """As `told` keeps it."""
        return self.told_at.isoformat(), self.told_by, self.customer_id


@dataclass(slots=True)
class Record:
    """What one record was told: its profile, opened, and when and by whom where `told` has no other word."""

    id: int
    profile: Profile
    told_at: datetime
    told_by: str
    told: dict[str, Sequence[Any]] = field(default_factory=dict)

    def when(self, name: str) -> datetime:
        """When a field was told."""
        word = self.told.get(name)
        return datetime.fromisoformat(word[0]) if word else self.told_at

    def by(self, name: str) -> str:
        """By whom a field was told."""
        word = self.told.get(name)
        return str(word[1]) if word else self.told_by


def survive(records: Sequence[Record]) -> tuple[Profile, dict[str, Survivor]]:
    """One profile, and whose word each field of it is. Records in any order give the same.

    A verified mobile before an unverified one, else the newest that is not empty; how they first came, the oldest.
    """
    profile: Profile = dict(EMPTY)
    survivors: dict[str, Survivor] = {}
    for name in COLUMNS:
        if name == "mobile_verified":
            continue  # goes with its mobile
        candidates = [record for record in records if record.profile[name] not in (None, EMPTY[name])]
        if not candidates:
            continue
        best = candidates[0]
        for other in candidates[1:]:
            if _beats(name, other, best):
                best = other
        profile[name] = best.profile[name]
        survivors[name] = Survivor(best.id, best.when(name), best.by(name), _rule(name, best, candidates))
        if name == "mobile":
            profile["mobile_verified"] = best.profile["mobile_verified"]
    return profile, survivors


def _beats(name: str, other: Record, best: Record) -> bool:
    mine, theirs = other.profile, best.profile
    if name == "mobile" and mine["mobile_verified"] != theirs["mobile_verified"]:
        return bool(mine["mobile_verified"])
    if name == "member_since" and mine[name] != theirs[name]:
        return bool(mine[name] < theirs[name])
    if other.when(name) == best.when(name):
        return other.id < best.id
    return (other.when(name) < best.when(name)) == (name in OLDEST)


def _rule(name: str, best: Record, candidates: Sequence[Record]) -> str:
    if len(candidates) == 1:
        return "only"
    if name == "mobile" and len({bool(record.profile["mobile_verified"]) for record in candidates}) > 1:
        return "verified"
    return "oldest" if name in OLDEST else "newest"

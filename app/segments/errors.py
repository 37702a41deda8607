"""Refusals about rules."""

from collections.abc import Sequence
from typing import Any

from app.core.errors import Conflict, NotFound, Unprocessable


class RuleUnfit(Unprocessable):
    """A rule that names what the shop does not have, or compares what cannot be compared; each place is told."""

    code, title = "rule_unfit", "The rule does not fit the shop"

    def __init__(self, errors: list[dict[str, Any]]) -> None:
        first = errors[0]
        super().__init__(f"{first['field']}: {first['message']}", field=first["field"], errors=errors)


class RuleTooCostly(Unprocessable):
    """The database was asked to stop: too much would have to be read."""

    code, title = "rule_too_costly", "The rule takes too long to count"

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"Counting took more than {seconds:g} s and was stopped: ask for shorter windows of events and orders, or "
            "for fewer conditions at a time",
            field="rule",
        )


class SegmentNotFound(NotFound):
    """A number that is none of the shop's segments."""

    code, title = "segment_not_found", "There is no such segment in this shop"


class SegmentExists(Conflict):
    """Another active segment has the name."""

    code, title = "segment_exists", "Another segment has this name"


class SegmentChanged(Conflict):
    """Somebody else has changed the rule meanwhile."""

    code, title = "segment_changed", "There is a newer version than the one that the change is based on"


class SegmentArchived(Conflict):
    """It is kept no more."""

    code, title = "segment_archived", "The segment is archived: define another one"


class SegmentCircle(Unprocessable):
    """A rule that asks, by way of others, for its own members."""

    code, title = "segment_circle", "The rule asks for the segment's own members"


class SegmentKind(Unprocessable):
    """Of a static segment what is for dynamic ones, or the other way round."""

    code, title = "segment_kind", "That is not for a segment of this kind"


class TooManySegments(Conflict):
    """As many as a shop may have."""

    code, title = "too_many_segments", "The shop has as many segments as it may have: archive one"


class RuleUnreadable(Unprocessable):
    """A rule's text that cannot be read, or says what no rule can say; line and column count characters from 1."""

    code, title = "rule_unreadable", "The text of the rule cannot be read"

    def __init__(
        self, line: int, column: int, problem: str, *, expected: Sequence[str] = (), nearest: str | None = None
    ) -> None:
        near = f"; did you mean {nearest}?" if nearest else ""
        super().__init__(
            f"line {line}, column {column}: {problem}{near}",
            field="text",
            line=line,
            column=column,
            expected=[*expected],
            nearest=nearest,
        )
        self.line, self.column, self.expected, self.nearest = line, column, tuple(expected), nearest

"""What can be written as a rule, and where a refusal says that something is wrong."""

from typing import Any

import pytest
from pydantic import ValidationError

from app.segments.rules.tree import MOST_LEVELS, MOST_NODES, RULE, leaves

TAG = {"kind": "tag", "any_of": ["vip"]}
BUY = {"kind": "order"}
VIEW = {"kind": "event", "event": "view"}


def problems(rule: Any) -> list[tuple[str, str]]:
    """Where and what, of a rule that is refused."""
    with pytest.raises(ValidationError) as refusal:
        RULE.validate_python(rule)
    return [(".".join(map(str, one["loc"])), one["msg"]) for one in refusal.value.errors()]


def test_a_rule_is_told_as_it_was_sent() -> None:
    rule = {
        "kind": "all",
        "of": [
            {"kind": "not", "of": TAG},
            {"kind": "order", "measure": "sum", "of": "gross", "window": {"from": "2026-01-01"}, "at_least": 100.5},
            {"kind": "attribute", "name": "letter", "equals": True},
            {"kind": "attribute", "name": "rank", "any_of": [1, 1.0]},
        ],
    }
    read = RULE.validate_python(rule)
    assert read.model_dump(mode="json", by_alias=True, exclude_unset=True) == {
        **rule,
        "of": [*rule["of"][:3], {"kind": "attribute", "name": "rank", "any_of": [1, 1.0]}],
    }
    again = RULE.validate_json(read.model_dump_json(by_alias=True, exclude_none=True))
    assert again.model_dump_json() == read.model_dump_json()
    assert [place for place, _ in leaves(read)] == [("all", 0, "not"), ("all", 1), ("all", 2), ("all", 3)]


@pytest.mark.parametrize(
    ("rule", "place", "word"),
    [
        ({"kind": "profile", "field": "gendr", "equals": 1}, "field", "did you mean gender?"),
        ({"kind": "profile", "field": "gender"}, "", "exactly one of"),
        ({"kind": "profile", "field": "gender", "equals": 1, "known": True}, "", "exactly one of"),
        ({"kind": "profile", "field": "gender", "equals": 3}, "", "one of 1, 2"),
        ({"kind": "profile", "field": "gender", "equals": "1"}, "", "a whole number"),
        ({"kind": "profile", "field": "gender", "equals": True}, "", "a whole number"),
        ({"kind": "profile", "field": "member", "known": True}, "", "takes equals"),
        ({"kind": "profile", "field": "area_code", "at_least": "3"}, "", "for other types"),
        ({"kind": "score", "field": "p_alive", "at_least": float("nan")}, "at_least", "write a number"),
        ({"kind": "score", "field": "p_alive", "at_least": 2**53}, "at_least", "write a number"),
        ({"kind": "score", "field": "stage", "equals": "nwe"}, "", "one of prospect"),
        ({"kind": "stat", "field": "orders_30d", "at_least": 1}, "field", "did you mean orders?"),
        ({"kind": "attribute", "name": "a", "equals": "\0"}, "equals", "a character that is none"),
        ({"kind": "attribute", "name": "a", "equals": "x" * 501}, "equals", "1 to 500 characters"),
        ({"kind": "attribute", "name": "a", "equals": None}, "", "exactly one of"),
        ({"kind": "attribute", "name": "a", "any_of": []}, "any_of", "at least 1"),
        ({"kind": "attribute", "name": "a", "any_of": ["x"] * 1001}, "any_of", "at most 1000"),
        ({"kind": "attribute", "name": "a", "any_of": ["x", [1]]}, "any_of.1", "write a text"),
        ({"kind": "attribute", "name": "A", "equals": 1}, "name", "begins with a-z"),
        ({"kind": "tag", "any_of": ["x" * 33]}, "any_of.0", "at most 32"),
        ({"kind": "share", "field": "net_fen", "top": 1, "among": "buyers"}, "top", "less than 1"),
        ({"kind": "share", "field": "net_fen", "among": "buyers"}, "", "exactly one of top, bottom"),
        ({"kind": "share", "field": "tier", "top": 0.1, "among": "buyers"}, "field", "did you mean"),
        (VIEW | {"at_least": 0}, "at_least", "greater than or equal to 1"),
        (VIEW | {"never": False}, "never", "True"),
        (VIEW, "", "exactly one of"),
        (VIEW | {"never": True, "window": {"last": {"hours": 1, "days": 1}}}, "window.last", "exactly one of"),
        (
            VIEW | {"never": True, "window": {"last": {"calendar_days": 1}}},
            "window.last.calendar_days",
            "not permitted",
        ),
        (VIEW | {"never": True, "window": {"from": "2026-02-30"}}, "window.from", "day is out of range"),
        (VIEW | {"never": True, "window": {"from": 5}}, "window.from", "write a day"),
        (VIEW | {"never": True, "window": {"from": "2026-02-02", "to": "2026-02-01"}}, "window", "lies after"),
        (VIEW | {"never": True, "where": [{"property": "p", "equal": 1}]}, "where.0.equal", "not permitted"),
        ({"kind": "order", "measure": "count", "of": "net", "at_least": 1}, "", "leave it out of count"),
        (
            {"kind": "sequence", "first": {"kind": "tag"}, "then": {"kind": "order"}, "within": {"days": 1}},
            "first",
            "expected tags",
        ),
        (
            {"kind": "sequence", "first": BUY, "at_least": 2, "then": BUY, "within": {"days": 1}},
            "",
            "go together",
        ),
        ({"kind": "date", "field": "birthday", "older_than": {"days": 1}}, "", "no time of day"),
        ({"kind": "date", "field": "birthday", "within": {"last": {"days": 1}}}, "", "no time of day"),
        ({"kind": "date", "field": "last_order", "in_next": {"days": 1}}, "", "takes older_than"),
        ({"kind": "date", "field": "last_order", "attribute": "a", "known": True}, "", "exactly one of field"),
        ({"kind": "date", "field": "birthday", "anniversary_in_next": 366}, "anniversary_in_next", "365"),
        ({"kind": "sql", "text": "true"}, "", "expected tags"),
        ({"kind": "all", "of": []}, "of", "at least 1"),
        ([TAG], "", "valid dictionary"),
        ("tag", "", "valid dictionary"),
    ],
)
def test_what_is_refused_and_where(rule: Any, place: str, word: str) -> None:
    found = problems(rule)
    assert [one for one, message in found if word in message] == ["all" if place == "of" else place], found
    inside = problems({"kind": "any", "of": [TAG, {"kind": "not", "of": rule}]})
    path = ["any", "1", "not", *filter(None, ["all" if place == "of" else place])]
    assert [one for one, message in inside if word in message] == [".".join(path)], inside


def nested(levels: int) -> dict[str, Any]:
    """A rule of so many levels."""
    rule: dict[str, Any] = TAG
    for _ in range(levels - 1):
        rule = {"kind": "not", "of": rule}
    return rule


def test_how_deep_and_how_large() -> None:
    RULE.validate_python(nested(MOST_LEVELS))
    assert "levels deep" in problems(nested(MOST_LEVELS + 1))[0][1]
    assert "levels deep" in problems(nested(200_000))[0][1]
    RULE.validate_python({"kind": "all", "of": [TAG] * (MOST_NODES - 1)})
    assert f"up to {MOST_NODES}" in problems({"kind": "all", "of": [TAG] * MOST_NODES})[0][1]
    wide = {"kind": "any", "of": [{"kind": "all", "of": [TAG] * 50}] * 50}
    assert f"up to {MOST_NODES}" in problems(wide)[0][1]

"""Whatever is sent as a text is read or refused, soon; and what stands in quotes is a value, whatever it says."""

import time
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.segments.errors import RuleUnreadable
from app.segments.rules.text.lexing import MOST_LETTERS
from app.segments.rules.text.reading import read
from app.segments.rules.text.words import LANGUAGES, MEANINGS
from app.segments.rules.text.writing import write
from app.segments.rules.tree import RULE
from tests.segments.rules.shops import HOSTILE
from tests.segments.text.test_reading import READ
from tests.segments.text.test_round_trip import EXAMPLES
from tests.segments.text.trees import TREES

PATIENCE_SECONDS = 3.0
INJECTIONS = [
    *HOSTILE,
    "' or tag 'vip",
    "'' or 1=1 --",
    "') or not (tag 'a",
    "” 或 标签 “x",
    "’ or tag ‘x",
    "and or not ( ) , 且 或 非",
    "元 60天前",
    "\\'",
    "'",
    "''''",
    "\r\n\t",
    "\u2028\u3000\u200b",
    "${jndi:ldap://x}",
    "{{7*7}}",
    "%s%n",
]
# In each place that takes a value from whoever writes.
PLACES: list[Any] = [
    {"kind": "profile", "field": "area_code", "equals": None},
    {"kind": "profile", "field": "area_code", "starts_with": None},
    {"kind": "identity", "identity": "external_id", "scope": None},
    {"kind": "consent", "channel": "sms", "purpose": None, "state": "granted"},
    {"kind": "attribute", "name": "skin", "none_of": [None, None]},
    {"kind": "attribute", "name": "skin", "at_least": None},
    {"kind": "tag", "any_of": [None]},
    {"kind": "tag", "any_of": ["a", None]},
    {"kind": "score", "field": "tier", "any_of": [None]},
    {"kind": "stat", "field": "main_channel", "contains": None},
    {"kind": "event", "event": "view", "where": [{"property": "sku", "equals": None}], "never": True},
    {"kind": "order", "measure": "count", "skus": [None], "channels": [None], "categories": [None], "at_least": 1},
]


def readable(text: str) -> bool:
    """Whether it is a rule. A refusal names a place in the text, or the one behind it."""
    place = None
    try:
        read(text)
    except RuleUnreadable as refusal:
        place = refusal.line, refusal.column
    if place is None:
        return True
    lines = text.split("\n")
    assert 1 <= place[0] <= len(lines)
    assert 1 <= place[1] <= len(lines[place[0] - 1]) + 1
    return False


@settings(max_examples=4 * EXAMPLES)
@given(text=st.one_of(st.text(), st.lists(st.sampled_from([*MEANINGS, "'x'", "1", "x"])).map(" ".join)))
def test_any_text_is_read_or_refused(text: str) -> None:
    readable(text)


@settings(max_examples=2 * EXAMPLES)
@given(told=TREES, language=st.sampled_from(LANGUAGES), random=st.randoms(use_true_random=False))
def test_a_text_with_slips_is_read_or_refused(told: Any, language: Any, random: Random) -> None:
    text = write(RULE.validate_python(told), language)
    for _ in range(random.randint(1, 4)):
        at, to = sorted(random.randint(0, len(text)) for _ in range(2))
        text = (
            text[:at]
            + random.choice(["", "'", "(", ")", text[at:to], *MEANINGS, "0", "\n"])
            + text[random.choice([at, at + 1, to]) :]
        )
    readable(text[:MOST_LETTERS])


@pytest.mark.parametrize(("english", "chinese", "_told"), READ)
def test_a_text_that_breaks_off_is_read_or_refused(english: str, chinese: str, _told: Any) -> None:
    found = [readable(text[:end]) for text in (english, chinese) for end in range(len(text))]
    assert not all(found)


def filled(place: Any, text: str) -> Any:
    """The condition with the text in place of each None."""
    if isinstance(place, dict):
        return {name: filled(value, text) for name, value in place.items()}
    if isinstance(place, list):
        return [filled(value, text) for value in place]
    return text if place is None else place


@pytest.mark.parametrize("place", PLACES)
def test_a_value_says_nothing_to_the_reader(place: Any) -> None:
    for injection in INJECTIONS:
        tree = RULE.validate_python({"kind": "not", "of": filled(place, injection)})
        for language in LANGUAGES:
            assert read(write(tree, language)) == tree, injection
            joined = write(RULE.validate_python({"kind": "all", "of": [tree, filled(place, "x")]}), language)
            assert [one.kind for one in read(joined).of] == ["not", place["kind"]]


@pytest.mark.parametrize(
    "text",
    [
        "(" * MOST_LETTERS,
        "not " * (MOST_LETTERS // 4),
        "非" * MOST_LETTERS,
        "all of (" * (MOST_LETTERS // 8),
        ")" * MOST_LETTERS,
        "'" * MOST_LETTERS,
        "'" * (MOST_LETTERS - 1),
        "tag " + "'" * (MOST_LETTERS - 4),
        " " * MOST_LETTERS,
        ("last" + " " * 60) * 300,
        "a-" * (MOST_LETTERS // 2),
        "最" * MOST_LETTERS,
        "最近" * (MOST_LETTERS // 2),
        "r=1 and " * (MOST_LETTERS // 8),
        "r = " + "9" * (MOST_LETTERS - 4),
        "tag in (" + "'a'," * (MOST_LETTERS // 4 - 4) + "'a')",
        "tag in (" + "1," * (MOST_LETTERS // 2 - 8) + "1)",
        "\n" * (MOST_LETTERS - 1) + "x",
        "\0" * MOST_LETTERS,
        "x" * 10_000_000,
        "(" * 10_000_000,
    ],
    ids=lambda text: f"{text[:12]!r}-{len(text)}",
)
def test_nothing_takes_long(text: str) -> None:
    began = time.perf_counter()
    assert not readable(text)
    assert time.perf_counter() - began < PATIENCE_SECONDS

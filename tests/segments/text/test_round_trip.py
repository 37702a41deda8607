"""Every tree has a text in both languages, from which the very same tree is read."""

import os
from random import Random
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.segments.rules.catalogue import DATES, LABELS, PROFILE, SCORES, STATS
from app.segments.rules.text.lexing import MOST_LETTERS
from app.segments.rules.text.reading import read
from app.segments.rules.text.words import DATE_FIELDS, FIELDS, LANGUAGES, Language
from app.segments.rules.text.writing import write
from app.segments.rules.tree import MOST_LEVELS, MOST_NODES, RULE, Leaf
from tests.segments.rules.shops import Chance
from tests.segments.text.trees import LEAVES, TREES

# More by hand: KEHU_RULE_EXAMPLES=1000 ./kehu test tests/segments/text
EXAMPLES = int(os.environ.get("KEHU_RULE_EXAMPLES", "150"))
_settings = settings(max_examples=EXAMPLES)


def same(told: Any) -> None:
    """What is read from its texts is the tree, to the type of each number."""
    tree = RULE.validate_python(told)
    for language in LANGUAGES:
        text = write(tree, language)
        again = read(text, most=10**7)
        assert again == tree, text
        assert again.model_dump_json(by_alias=True) == tree.model_dump_json(by_alias=True), text


@_settings
@given(told=TREES)
def test_any_tree_comes_back(told: Any) -> None:
    same(told)


@pytest.mark.parametrize("kind", [*LEAVES])
def test_any_condition_comes_back(kind: str) -> None:
    @settings(_settings, max_examples=EXAMPLES // 2)
    @given(told=LEAVES[kind])
    def comes_back(told: Any) -> None:
        same(told)

    comes_back()


@settings(max_examples=100)
@given(random=st.randoms(use_true_random=False))
def test_the_rules_that_the_oracle_asks_come_back(random: Random) -> None:
    same(Chance(random).rule())


def test_every_kind_is_made_up() -> None:
    kinds = {get_args(one.model_fields["kind"].annotation)[0] for one in get_args(Leaf)}
    assert kinds == {*LEAVES}
    assert kinds | {"all", "any", "not"} == {*LABELS}


def test_every_field_has_a_word_in_both_languages() -> None:
    assert {*FIELDS} == {*PROFILE, *SCORES, *STATS}
    assert {*DATE_FIELDS} == {*DATES}
    for key in FIELDS:
        told = {**{one: "profile" for one in PROFILE}, **{one: "score" for one in SCORES}}.get(key, "stat")
        field = {**PROFILE, **SCORES, **STATS}[key]
        value = field.choices[0] if field.choices else {"boolean": True, "text": "x", "choice": "x"}.get(field.type, 1)
        same({"kind": told, "field": key, "equals": value})


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_largest_rules_come_back(language: Language) -> None:
    leaf = {"kind": "tag", "any_of": ["x"]}
    deep: dict[str, Any] = leaf
    for level in range(MOST_LEVELS - 1):
        deep = {"kind": ("all", "any", "not")[level % 3], "of": deep if level % 3 == 2 else [deep]}
    wide = {"kind": "any", "of": [leaf] * (MOST_NODES - 1)}
    long = {"kind": "attribute", "name": "skin", "none_of": ["'" * 500] * 1_000}
    for told in (deep, wide, long):
        tree = RULE.validate_python(told)
        text = write(tree, language)
        assert read(text, most=len(text)) == tree
    assert len(write(RULE.validate_python(wide), language)) < MOST_LETTERS


def test_brackets_stand_only_where_they_say_something() -> None:
    tag = {"kind": "tag", "any_of": ["a"]}
    both = {"kind": "all", "of": [tag, tag]}
    told = {
        "kind": "any",
        "of": [both, {"kind": "not", "of": both}, {"kind": "not", "of": tag}, {"kind": "all", "of": [tag]}],
    }
    text = "(tag 'a' and tag 'a') or not (tag 'a' and tag 'a') or not tag 'a' or all of (tag 'a')"
    assert write(RULE.validate_python(told), "en") == text
    assert read("tag 'a' and tag 'a' or not (tag 'a' and tag 'a') or not tag 'a' or all of (tag 'a')") == read(text)

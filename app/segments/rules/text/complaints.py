"""What is told about a text that cannot be read: the place, what is expected there, and the nearest word."""

import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import SequenceMatcher
from typing import Final

from lark import Token
from pydantic import ValidationError

from app.segments.errors import RuleUnreadable
from app.segments.rules.text.grammar import SOFT
from app.segments.rules.text.lexing import canonical, position
from app.segments.rules.text.words import MEANINGS, WORDS

_CONDITION: Final = "a condition such as tier = 'vip'"
_WINDOW: Final = "a window such as in last 30 days"
_COMPARISON: Final = "a comparison such as =, >= or in"
_MEASURE: Final = "a measure: count, sum, average, max, products, categories or stores"
_DESCRIBED: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        ("FIELD", "DATE", "ATTRIBUTE", "DATE_ATTRIBUTE", "TAG", "SEGMENT", "IDENTITY", "CONSENT"), _CONDITION
    ),
    **dict.fromkeys(("EVENT", "ORDER", "_ALL", "_ANY"), _CONDITION),
    **dict.fromkeys(("_LAST", "_WITHIN", "CALENDAR", "_FROM"), _WINDOW),
    **dict.fromkeys(("EQ", "NE", "GT", "GE", "LT", "LE", "_IN", "_NOT_IN"), _COMPARISON),
    **dict.fromkeys(("CONTAINS", "STARTS", "KNOWN", "UNKNOWN"), _COMPARISON),
    **dict.fromkeys(("COUNT", "SUM", "AVERAGE", "MAX"), _MEASURE),
    **dict.fromkeys(("TRUE", "FALSE"), "true or false"),
    **dict.fromkeys(("HOURS", "DAYS", "CALENDAR_DAYS"), "a unit: days, hours or calendar days"),
    "STRING": "a text in quotes",
    "NUMBER": "a number",
    "DAY": "a day such as 2026-01-31",
    "NAME": "a name",
    "$END": "the end",
}
_NEAR_ENOUGH: Final = 0.6
_LONGEST: Final = 64  # what is compared: a longer word is like none of ours
_MOST_TOLD: Final = 3

# What the tree calls by the names of JSON, as it is written here.
_WRITTEN: Final[Mapping[str, str]] = {
    **{"equals": "=", "any_of": "in (…)", "none_of": "not in (…)", "at_least": ">=", "more_than": ">", "at_most": "<="},
    **{"less_than": "<", "starts_with": "starts with", "known": "is known", "older_than": "older than"},
    **{"in_next": "in next", "anniversary_in_next": "anniversary in next", "calendar_days": "calendar days"},
}
_JSON: Final = re.compile(rf"\b({'|'.join(_WRITTEN)})\b")


def unexpected(text: str, token: Token | None, accepted: set[str]) -> RuleUnreadable:
    """The refusal of a token, or of a text that ends too soon, where one of these terminals was expected."""
    at = len(text.rstrip()) if token is None else token.start_pos or 0
    expected = [*_described(accepted)]
    listed = expected[0] if len(expected) == 1 else f"one of these: {'; '.join(expected)}"
    problem = f"the text ends here, and expected is {listed}" if token is None else f"expected here is {listed}"
    nearest = None if token is None else _nearest(text, token, accepted)
    if nearest is None and token is not None and token.type == "NAME" and "STRING" in accepted:
        problem += "; a text stands in quotes"
    return RuleUnreadable(*position(text, at), problem, expected=expected, nearest=nearest)


def unfit(error: ValidationError) -> str:
    """What the tree itself has against a condition."""
    messages = dict.fromkeys(one["msg"].removeprefix("Value error, ") for one in error.errors()[:_MOST_TOLD])
    return "; ".join(_JSON.sub(lambda name: _WRITTEN[name[0]], message) for message in messages)


def _described(accepted: set[str]) -> Iterator[str]:
    """Each thing once; what opens or is part of something told already is left out."""
    terms = [term for term in (*_DESCRIBED, *WORDS) if term in accepted and term != "YES"]
    told = {_DESCRIBED.get(term) for term in terms}
    hidden = {term for whole, parts in _PARTS.items() if whole in told for term in parts}
    return iter(dict.fromkeys(_DESCRIBED.get(term) or _word(term) for term in terms if term not in hidden))


_PARTS: Final[Mapping[str, tuple[str, ...]]] = {
    _CONDITION: ("_LPAR", "_NOT", "STORES", "PRODUCTS", "CATEGORIES"),
    _MEASURE: ("STORES", "PRODUCTS", "CATEGORIES"),
    "a name": SOFT,
}


def _word(terminal: str) -> str:
    en, zh = WORDS[terminal].en[0], WORDS[terminal].zh[0]
    return f'"{en}"' if en == zh else f'"{en}" ({zh})'


def _nearest(text: str, token: Token, accepted: Iterable[str]) -> str | None:
    """The accepted word that is most like what stands there: the token, or as many letters from it on."""
    if token.type == "STRING":
        return None
    at, word, terminals = token.start_pos or 0, canonical(token[:_LONGEST]), {*accepted}
    near = [
        (max(_alike(word, form), _alike(canonical(text[at : at + len(form)]), form)), form)
        for form, meaning in MEANINGS.items()
        if meaning.terminal in terminals and form[0].isalpha()
    ]
    best, form = max(near, default=(0.0, ""))
    # Of a word of two signs one is wrong as soon as it is not the word.
    return form if best >= (_NEAR_ENOUGH if len(form) > 2 else 0.5) else None


def _alike(one: str, other: str) -> float:
    return SequenceMatcher(None, one, other, autojunk=False).ratio()

"""What an answer has to look like: types, values and keys, compared in full."""

import re
from typing import Any, NamedTuple


class Maybe(NamedTuple):
    """A key that may be left out; if it is there, it fits."""

    pattern: Any


class Each(NamedTuple):
    """A list of any length, each item of one form."""

    pattern: Any


class Text(NamedTuple):
    """A text that a regular expression matches in full."""

    pattern: str


class Has(NamedTuple):
    """An object with at least these keys."""

    pattern: dict[str, Any]


class AnyOf(NamedTuple):
    """One of several."""

    patterns: tuple[Any, ...]


MOMENT = Text(r"\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}")  # yyyy-MM-dd HH:mm:ss
SECONDS = Text(r"")  # told apart in `fits`: a whole number of ten digits, or 0
MILLISECONDS = Text(r" ")  # thirteen digits, or 0


def fits(pattern: Any, value: Any, place: str = "data") -> None:
    """Raises AssertionError naming the place where the value differs from the pattern."""
    if pattern is SECONDS or pattern is MILLISECONDS:
        digits = 10 if pattern is SECONDS else 13
        fits(int, value, place)
        assert value == 0 or len(str(value)) == digits, f"{place}: {value!r} has not {digits} digits"
    elif isinstance(pattern, type):
        exact = isinstance(value, pattern) and not (pattern is int and isinstance(value, bool))
        assert exact, f"{place}: {value!r} is no {pattern.__name__}"
    elif isinstance(pattern, Text):
        assert isinstance(value, str), f"{place}: {value!r} is no text"
        assert re.fullmatch(pattern.pattern, value), f"{place}: {value!r} is not like {pattern.pattern}"
    elif isinstance(pattern, Each):
        assert isinstance(value, list), f"{place}: {value!r} is no list"
        for number, item in enumerate(value):
            fits(pattern.pattern, item, f"{place}[{number}]")
    elif isinstance(pattern, AnyOf):
        assert any(_fits(one, value, place) for one in pattern.patterns), f"{place}: {value!r} fits none"
    elif isinstance(pattern, Has):
        assert isinstance(value, dict), f"{place}: {value!r} is no object"
        fits(pattern.pattern, {key: item for key, item in value.items() if key in pattern.pattern}, place)
    elif isinstance(pattern, dict):
        assert isinstance(value, dict), f"{place}: {value!r} is no object"
        needed = {key for key, item in pattern.items() if not isinstance(item, Maybe)}
        assert needed <= value.keys(), f"{place} lacks {sorted(needed - value.keys())}"
        assert value.keys() <= pattern.keys(), f"{place} has {sorted(value.keys() - pattern.keys())} besides"
        for key, item in value.items():
            wanted = pattern[key]
            fits(wanted.pattern if isinstance(wanted, Maybe) else wanted, item, f"{place}.{key}")
    elif isinstance(pattern, list):
        assert isinstance(value, list), f"{place}: {value!r} is no list"
        assert len(value) == len(pattern), f"{place} has {len(value)} items"
        for number, (wanted, item) in enumerate(zip(pattern, value, strict=True)):
            fits(wanted, item, f"{place}[{number}]")
    else:
        assert value == pattern, f"{place}: {value!r} is not {pattern!r}"
        assert type(value) is type(pattern), f"{place}: {value!r} is of another type than {pattern!r}"


def _fits(pattern: Any, value: Any, place: str) -> bool:
    try:
        fits(pattern, value, place)
    except AssertionError:
        return False
    return True

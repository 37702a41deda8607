"""Template bodies."""

import pytest

from app.touches.messages import fill, names


@pytest.mark.parametrize(
    ("body", "found", "message"),
    [
        ("plain", set(), "plain"),
        ("{name}", {"name"}, "小花"),
        ("{name} and {name}, {_b2}", {"name", "_b2"}, "小花 and 小花, {name}"),
        ("{{name}} {{{name}}}", {"name"}, "{name} {小花}"),
        ("}}{{", set(), "}{"),
    ],
)
def test_variables_are_found_and_filled_once(body: str, found: set[str], message: str) -> None:
    assert names(body) == found
    assert fill(body, {"name": "小花", "_b2": "{name}"}) == message


@pytest.mark.parametrize("body", ["{", "}", "{}", "{2x}", "{a b}", "{name", "name}", "{{}", "{名}"])
def test_a_stray_brace_is_refused(body: str) -> None:
    with pytest.raises(ValueError, match="belongs to no variable"):
        names(body)

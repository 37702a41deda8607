"""Template bodies: `{name}` stands for a variable, `{{` and `}}` for a brace."""

import re
from collections.abc import Mapping
from typing import Final

NAME: Final = r"[A-Za-z_][A-Za-z0-9_]{0,31}"
_TOKEN: Final = re.compile(r"\{\{|\}\}|\{(" + NAME + r")\}|[{}]")


def names(body: str) -> set[str]:
    """The variables that a body asks for.

    Raises: ValueError for a brace that belongs to no variable.
    """
    found = set()
    for token in _TOKEN.finditer(body):
        if token[1]:
            found.add(token[1])
        elif token[0] in "{}":
            raise ValueError(
                f"the brace at character {token.start() + 1} belongs to no variable: "
                "write {name} for a variable, {{ or }} for a brace"
            )
    return found


def fill(body: str, values: Mapping[str, str]) -> str:
    """The message. Each variable is read once: braces inside a value stay as they are. Raises KeyError."""
    return _TOKEN.sub(lambda token: values[token[1]] if token[1] else token[0][0], body)

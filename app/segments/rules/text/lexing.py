"""A text cut into words, numbers, days and quoted texts; where each stands is told by line and column."""

import re
from typing import Final, NamedTuple

from lark import Token

from app.segments.errors import RuleUnreadable
from app.segments.rules.text.words import MEANINGS

MOST_LETTERS: Final = 20_000
MOST_DIGITS: Final = 40
MOST_BRACKETS: Final = 50  # of brackets within brackets

# A quote as it opens, and all that closes it: an input method types either of its two.
_CLOSES: Final = {"'": "'", '"': '"', "“": "”", "”": "”", "‘": "’", "’": "’", "＇": "＇", "＂": "＂"}
# Full-width signs and letters, each in place of the plain one, so that columns stay; quotes stay what they are.
_PLAIN: Final = {
    **{code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F) if chr(code) not in _CLOSES},
    **dict.fromkeys((0x3000, 0x00A0, 0x2028, 0x2029, 0x0085), 0x20),
}


def _form(text: str) -> str:
    """The pattern of a word. A plain one ends where letters and digits do, and may be broken by any spaces."""
    pattern = r"\s+".join(map(re.escape, text.split(" ")))
    return pattern + (_ENDS if re.search(r"[a-z0-9_]$", text) else "")


_ENDS: Final = "(?![a-z0-9_]|[.-][a-z0-9_])"
_WORD: Final = "|".join(_form(text) for text in sorted(MEANINGS, key=len, reverse=True))
_TOKEN: Final = re.compile(
    rf"""
    (?P<SPACE>\s+)
    | (?P<DAY>[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}(?![0-9]))
    | (?P<WORD>{_WORD})
    | (?P<NUMBER>-?[0-9]+(?:\.[0-9]+)?(?:e[-+]?[0-9]+)?)
    | (?P<NAME>[a-z_](?:[a-z0-9_.-]*[a-z0-9_])?|[^\W\d_][\w.-]*)
    """,
    re.VERBOSE,
)
_SPACES: Final = re.compile(r"\s+")
# Only these: whoever lowers all that has a case changes lengths, and finds words in letters of other alphabets.
_LOWER: Final = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")


class Position(NamedTuple):
    """A place in a text, both from 1, in characters."""

    line: int
    column: int


def position(text: str, at: int) -> Position:
    """Where the character stands; behind the last one is a place, too."""
    begins = text.rfind("\n", 0, at) + 1
    return Position(text.count("\n", 0, at) + 1, at - begins + 1)


def canonical(word: str) -> str:
    """A word as `MEANINGS` has it."""
    return _SPACES.sub(" ", word).translate(_LOWER)


def tokens(text: str, most: int = MOST_LETTERS) -> list[Token]:
    """The text's words in order. A sign that is none is a token of type STRANGE.

    Raises: RuleUnreadable for a text that is too long, brackets that are too deep, a quote that is not closed.
    """
    if len(text) > most:
        raise RuleUnreadable(*position(text, most), f"a rule has up to {most} letters as a text: write a shorter one")
    plain = text.translate(_PLAIN)
    lowered = plain.translate(_LOWER)
    found: list[Token] = []
    at = depth = 0
    while at < len(text):
        token = _quoted(text, at) if text[at] in _CLOSES else _plain(plain, lowered, at)
        at = token.end_pos or len(text)
        depth += {"_LPAR": 1, "_RPAR": -1}.get(token.type, 0)
        if depth > MOST_BRACKETS:
            raise RuleUnreadable(*position(text, token.start_pos or 0), "there are too many brackets within brackets")
        if token.type not in ("SPACE", "FILLER"):
            found.append(token)
    return found


def _plain(plain: str, lowered: str, at: int) -> Token:
    match = _TOKEN.match(lowered, at)
    if match is None:
        return Token("STRANGE", plain[at], at, end_pos=at + 1)
    kind, word = match.lastgroup or "", plain[at : match.end()]
    if kind == "WORD":
        kind = MEANINGS[canonical(word)].terminal
    return Token(kind, word, at, end_pos=match.end())


def _quoted(text: str, at: int) -> Token:
    """A quote written twice stands for itself."""
    closes, end = _CLOSES[text[at]], at + 1
    pieces: list[str] = []
    while True:
        close = text.find(closes, end)
        if close < 0:
            problem = f"the quote that opens here is not closed: write {closes} behind the text"
            raise RuleUnreadable(*position(text, at), problem)
        if text[close + 1 : close + 2] != closes:
            return Token("STRING", "".join((*pieces, text[end:close])), at, end_pos=close + 1)
        pieces.append(text[end : close + 1])
        end = close + 2

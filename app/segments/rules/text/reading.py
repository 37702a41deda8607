"""A rule's text read into its tree: the same as the JSON that it stands for, or a refusal that names the place."""

from collections.abc import Mapping
from contextlib import suppress
from decimal import Decimal, InvalidOperation
from typing import Any, Final, NamedTuple

from lark import Lark, Token, Transformer, v_args
from lark.exceptions import UnexpectedToken
from pydantic import ValidationError

from app.segments.errors import RuleUnreadable
from app.segments.rules.text.complaints import unexpected, unfit
from app.segments.rules.text.grammar import GRAMMAR, TERMINALS
from app.segments.rules.text.lexing import MOST_DIGITS, MOST_LETTERS, canonical, position, tokens
from app.segments.rules.text.words import MEANINGS, WORDS, catalogued
from app.segments.rules.tree import RULE

_FAR: Final = 400  # no float has so many digits before or behind the point


def read(text: str, *, most: int = MOST_LETTERS) -> Any:
    """The tree that a text stands for.

    Args:
        most: letters; time goes with them, some 10 ms for a thousand.
    Raises: RuleUnreadable, with line, column, what was expected there and the nearest word that there is.
    """
    found = tokens(text, most)
    cursor = _PARSER.parse_interactive()
    for number, token in enumerate(found):
        try:
            cursor.feed_token(token)
        except UnexpectedToken:
            raise unexpected(text, token, _accepted(found[:number])) from None
        except _Misfit as misfit:
            raise misfit.told(text) from None
    try:
        rule = cursor.feed_eof()  # type: ignore[no-untyped-call]
    except UnexpectedToken:
        raise unexpected(text, None, _accepted(found)) from None
    except _Misfit as misfit:
        raise misfit.told(text) from None
    try:
        return RULE.validate_python(rule)
    except ValidationError as error:
        raise RuleUnreadable(1, 1, unfit(error)) from None


def _accepted(before: list[Token]) -> set[str]:
    """The terminals that may follow. A parser that has met another has given up some of them, so a new one is asked."""
    cursor = _PARSER.parse_interactive()
    for token in before:
        cursor.feed_token(token)
    return set(cursor.accepts())  # type: ignore[no-untyped-call]


class _Misfit(Exception):
    """What reads well and is no rule, and the token where it begins."""

    def __init__(self, token: Token, problem: str) -> None:
        super().__init__(problem)
        self.token, self.problem = token, problem

    def told(self, text: str) -> RuleUnreadable:
        return RuleUnreadable(*position(text, self.token.start_pos or 0), self.problem)


class _Yuan(NamedTuple):
    """An amount that was written in yuan."""

    token: Token


class _Leaf(NamedTuple):
    """A condition, and where it begins."""

    token: Token
    rule: Mapping[str, Any]


_COMPARED: Final = {
    **{"EQ": "equals", "YES": "equals", "NE": "none_of", "GE": "at_least", "GT": "more_than"},
    **{"LE": "at_most", "LT": "less_than"},
}
_LISTS: Final = {
    **{"SKU": "skus", "CHANNEL": "channels", "STORE": "stores", "STORES": "stores"},
    **{"CATEGORY": "categories", "CATEGORIES": "categories"},
}


def _named(token: Token) -> str:
    """What a word of the catalogue, a calendar period or a built-in act stands for."""
    meaning = MEANINGS[canonical(token)]
    return meaning.names or meaning.terminal.lower()


@v_args(inline=True)
class _Tree(Transformer[Token, Any]):
    """What each piece of the grammar becomes. Pieces of conditions are dicts, or pairs of an operator and a value."""

    # ---- The tree

    def any_of(self, *parts: Any) -> Any:
        return {"kind": "any", "of": list(parts)}

    def all_of(self, *parts: Any) -> Any:
        return {"kind": "all", "of": list(parts)}

    def negated(self, part: Any) -> Any:
        return {"kind": "not", "of": part}

    def condition(self, leaf: _Leaf) -> Any:
        """Looked at alone, while it is known where it stands."""
        try:
            RULE.validate_python(leaf.rule)
        except ValidationError as error:
            raise _Misfit(leaf.token, unfit(error)) from None
        return leaf.rule

    # ---- Conditions on what is known

    def field(self, token: Token, comparison: tuple[str, Any]) -> _Leaf:
        kind, field = catalogued(key := _named(token))
        operator, operand = _in_fen(comparison) if field.unit == "fen" else _as_it_is(comparison)
        return _Leaf(token, {"kind": kind, "field": key, operator: operand})

    def share(self, token: Token, end: Token, part: float, among: Token) -> _Leaf:
        told = {"field": _named(token), end.type.lower(): part, "among": among.type.lower()}
        return _Leaf(token, {"kind": "share", **told})

    def part(self, number: Token, percent: Token | None) -> float:
        return float(_decimal(number) / (100 if percent else 1))

    def attribute(self, token: Token, name: str, comparison: tuple[str, Any]) -> _Leaf:
        operator, operand = _as_it_is(comparison)
        return _Leaf(token, {"kind": "attribute", "name": name, operator: operand})

    def date_attribute(self, token: Token, name: str, asked: tuple[str, Any]) -> _Leaf:
        return _Leaf(token, {"kind": "date", "attribute": name, asked[0]: asked[1]})

    def date(self, token: Token, asked: tuple[str, Any]) -> _Leaf:
        return _Leaf(token, {"kind": "date", "field": _named(token), asked[0]: asked[1]})

    def tag(self, token: Token, *rest: Any) -> _Leaf:
        return _Leaf(token, {"kind": "tag", "any_of": [rest[-1]]})

    def tags(self, token: Token, names: list[Any]) -> _Leaf:
        return _Leaf(token, {"kind": "tag", "any_of": names})

    def segment(self, token: Token, *rest: Any) -> _Leaf:
        return _Leaf(token, {"kind": "segment", "any_of": [_whole(rest[-1])]})

    def segments(self, token: Token, numbers: list[Any]) -> _Leaf:
        return _Leaf(token, {"kind": "segment", "any_of": numbers})

    def identity(self, token: Token, kind: str, scope: str | None) -> _Leaf:
        return _Leaf(token, {"kind": "identity", "identity": kind} | _said(scope=scope))

    def consent(self, token: Token, channel: str, purpose: str | None, state: Token) -> _Leaf:
        told = {"channel": channel, "state": state.type.lower()}
        return _Leaf(token, {"kind": "consent", **told, **_said(purpose=purpose)})

    # ---- Comparisons and values

    def compared(self, operator: Token, value: Any) -> tuple[str, Any]:
        return _COMPARED[operator.type], [value] if operator.type == "NE" else value

    def any_listed(self, values: list[Any]) -> tuple[str, Any]:
        return "any_of", values

    def none_listed(self, values: list[Any]) -> tuple[str, Any]:
        return "none_of", values

    def lettered(self, how: Token, value: Any) -> tuple[str, Any]:
        return {"CONTAINS": "contains", "STARTS": "starts_with"}[how.type], value

    def known(self, how: Token) -> tuple[str, Any]:
        return "known", how.type == "KNOWN"

    def values(self, *values: Any) -> list[Any]:
        return list(values)

    def text(self, token: Token) -> str:
        return str(token)

    day = text
    name = text

    def number(self, token: Token) -> int | float:
        digits = _digits(token)
        return int(digits) if digits.lstrip("-").isdecimal() else float(digits)

    def yuan(self, token: Token) -> _Yuan:
        return _Yuan(token)

    def truth(self, token: Token) -> bool:
        return token.type != "FALSE"

    # ---- Time

    def length(self, number: Token, unit: Token) -> dict[str, int]:
        return {unit.type.lower(): _whole(number)}

    def older(self, *parts: Any) -> tuple[str, Any]:
        return "older_than", parts[-1]

    def newer(self, _: Token, length: dict[str, int]) -> tuple[str, Any]:
        """What is not so long ago lies in the window of that length."""
        return "within", self.last(length)

    def within(self, window: Any) -> tuple[str, Any]:
        return "within", window

    def ahead(self, length: dict[str, int]) -> tuple[str, Any]:
        return "in_next", length

    def anniversary(self, length: dict[str, int]) -> tuple[str, Any]:
        return "anniversary_in_next", length.get("calendar_days", length.get("days"))

    def last(self, length: dict[str, int]) -> dict[str, Any]:
        return length if "calendar_days" in length else {"last": length}

    def calendar(self, period: Token) -> dict[str, Any]:
        return {"calendar": _named(period)}

    def since(self, first: str, last: str | None) -> dict[str, Any]:
        return {"from": first} | _said(to=last)

    def until(self, last: str) -> dict[str, Any]:
        return {"to": last}

    # ---- Conditions on facts

    def event(self, step: _Leaf, window: Any, times: dict[str, Any]) -> _Leaf:
        return _Leaf(step.token, {**step.rule, **_said(window=window), **times})

    def event_counted(self, step: _Leaf, times: dict[str, Any], window: Any) -> _Leaf:
        return self.event(step, window, times)

    def order(self, step: _Leaf, window: Any, measure: Token, of: Token | None, figure: tuple[str, Any]) -> _Leaf:
        money = measure.type in ("SUM", "AVERAGE", "MAX")
        operator, operand = _in_fen(figure) if money else _as_it_is(figure)
        told = {"measure": measure.type.lower(), operator: operand, **_said(of=of and of.type.lower())}
        return _Leaf(step.token, {**step.rule, **_said(window=window), **told})

    def sequence(self, step: _Leaf, window: Any, repeated: Any, outcome: dict[str, Any]) -> _Leaf:
        told = {"kind": "sequence", "first": step.rule, **(repeated or {}), **outcome}
        return _Leaf(step.token, {**told, **_said(window=window)})

    def repeated(self, times: dict[str, Any], during: Any) -> dict[str, Any]:
        return {**times, "during": during}

    def then(self, step: _Leaf, within: Any) -> dict[str, Any]:
        return {"then": step.rule, "within": within}

    def without(self, step: _Leaf, within: Any) -> dict[str, Any]:
        return {"without": step.rule, "within": within}

    def often(self, how: Token, number: Token, *_: Any) -> dict[str, Any]:
        """Of whole numbers, more than two are at least three."""
        times = _whole(number)
        match how.type:
            case "GE":
                return {"at_least": times}
            case "GT":
                return {"at_least": times + 1}
            case "LE":
                return {"at_most": times}
            case "LT":
                return {"at_most": times - 1}
        return {"exactly": times}

    def never(self, _: Token) -> dict[str, Any]:
        return {"never": True}

    def event_step(self, token: Token, type_: str, where: list[Any] | None) -> _Leaf:
        return _Leaf(token, {"kind": "event", "event": type_, **_said(where=where)})

    def act(self, token: Token) -> str:
        return _named(token)

    def where(self, *conditions: Any) -> list[Any]:
        return list(conditions)

    def property(self, name: str, comparison: tuple[str, Any]) -> dict[str, Any]:
        operator, operand = _as_it_is(comparison)
        return {"property": name, operator: operand}

    def order_step(self, token: Token, lists: dict[str, Any] | None) -> _Leaf:
        return _Leaf(token, {"kind": "order", **(lists or {})})

    def lists(self, *lists: tuple[Token, str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for token, name, values in lists:
            if name in found:
                raise _Misfit(token, f"{token} is listed twice: write one list with all of its values")
            found[name] = values
        return found

    def list(self, token: Token, *asked: Any) -> tuple[Token, str, Any]:
        values = asked[-1] if isinstance(asked[-1], list) else [asked[-1]]
        return token, _LISTS[token.type], _as_it_is(("any_of", values))[1]


def _said(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _digits(token: Token) -> str:
    if len(token) > MOST_DIGITS:
        raise _Misfit(token, f"a number has up to {MOST_DIGITS} digits here: write fewer")
    return str(token)


def _decimal(token: Token) -> Decimal:
    with suppress(InvalidOperation):
        found = Decimal(_digits(token))
        if abs(found.adjusted()) < _FAR:
            return found
    raise _Misfit(token, "the number is too large or too small to be kept")


def _whole(token: Token) -> int:
    if not token.isdecimal() or len(token) > MOST_DIGITS:
        raise _Misfit(token, "a whole number is expected")
    return int(token)


def _in_fen(comparison: tuple[str, Any]) -> tuple[str, Any]:
    return comparison[0], _each(comparison[1], _fen)


def _fen(value: Any) -> Any:
    if not isinstance(value, _Yuan):
        return value
    fen = _decimal(value.token) * 100
    return int(fen) if fen == fen.to_integral_value() else float(fen)


def _as_it_is(comparison: tuple[str, Any]) -> tuple[str, Any]:
    return comparison[0], _each(comparison[1], _no_money)


def _no_money(value: Any) -> Any:
    if isinstance(value, _Yuan):
        raise _Misfit(value.token, "only what is counted in fen is compared with yuan: write the number alone")
    return value


def _each(operand: Any, one: Any) -> Any:
    return [one(value) for value in operand] if isinstance(operand, list) else one(operand)


_PARSER: Final = Lark(
    GRAMMAR + "\n".join(f"%declare {terminal}" for terminal in (*WORDS, *TERMINALS)),
    parser="lalr",
    lexer="basic",
    maybe_placeholders=True,
    transformer=_Tree(),
)

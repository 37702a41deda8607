"""Trees of every kind with every value that the tree allows, as strategies: any text, any number, any name."""

from contextlib import suppress
from datetime import date
from typing import Any

from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from app.customers.normalise import KINDS as IDENTITY_KINDS
from app.segments.rules.catalogue import ANY_DATE, DATES, PROFILE, SCORES, SHARED, STATS
from app.segments.rules.comparing import LIMIT, TAKES
from app.segments.rules.tree import EventType

LETTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
QUOTES = st.sampled_from(["'", "''", '"', "“”", "‘’", "\\", "\n", "＇", "且", " or ", ")", "（", ",", "、", "元", "%"])
TEXTS = st.one_of(st.text(LETTERS, min_size=1, max_size=30), st.lists(QUOTES, min_size=1, max_size=8).map("".join))
SHORT_TEXTS = TEXTS.map(lambda text: text[:32])
WHOLE = st.one_of(st.integers(-10, 100), st.integers(-LIMIT, LIMIT))
NUMBERS = st.one_of(WHOLE, st.floats(-LIMIT, LIMIT, allow_nan=False))
VALUES = st.one_of(TEXTS, NUMBERS, st.booleans())
_NAME = TypeAdapter(EventType)


def _is_name(name: str) -> bool:
    """Python knows a few letters more than the tree does."""
    with suppress(ValidationError):
        return bool(_NAME.validate_python(name))
    return False


# Words of the grammar are names too, and so are letters of any alphabet.
NAMES = st.one_of(
    st.sampled_from(
        ["view", "cart", "order", "and", "sku", "count", "days", "the", "view.x", "in-last", "是", "浏览", "到店"]
    ),
    st.from_regex(r"\A[^\W\d_][\w.-]{0,20}\Z").filter(_is_name),
)
ATTRIBUTES = st.one_of(st.sampled_from(["skin", "or", "order", "top"]), st.from_regex(r"\A[a-z][a-z0-9_]{0,20}\Z"))
TIMES = st.integers(0, 10_000)
DAYS = st.integers(1, 36_500)
SLIDING = st.one_of(
    st.fixed_dictionaries({"hours": st.integers(1, 24 * 36_500)}), st.fixed_dictionaries({"days": DAYS})
)
CALENDAR_DAYS = st.fixed_dictionaries({"calendar_days": DAYS})
LENGTHS = st.one_of(SLIDING, CALENDAR_DAYS)
DATED = st.dates(date(1901, 1, 1), date(2199, 12, 30))
UNITS = ("week", "month", "year")
PERIODS = ["today", "yesterday", *(f"{which}_{unit}" for which in ("this", "last") for unit in UNITS)]


def _one(**told: Any) -> st.SearchStrategy[dict[str, Any]]:
    """Exactly one of these."""
    return st.one_of(*(st.fixed_dictionaries({name: value}) for name, value in told.items()))


def _of(kind: str, **told: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"kind": st.just(kind), **told})


def _joined(*parts: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.tuples(*parts).map(lambda told: {name: value for part in told for name, value in part.items()})


def _maybe(**told: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=told)


FROM_TO = st.tuples(DATED, DATED).map(lambda days: dict(zip(("from", "to"), map(str, sorted(days)), strict=True)))
WINDOWS = st.one_of(
    _one(last=SLIDING, calendar=st.sampled_from(PERIODS)),
    CALENDAR_DAYS,
    FROM_TO,
    FROM_TO.map(lambda window: {"from": window["from"]}),
    FROM_TO.map(lambda window: {"to": window["to"]}),
)
DAY_WINDOWS = WINDOWS.filter(lambda window: "last" not in window)


def _lists(values: Any) -> Any:
    return st.lists(values, min_size=1, max_size=4)


def _comparison(operators: Any, value: Any) -> st.SearchStrategy[dict[str, Any]]:
    ordered = value.filter(lambda one: not isinstance(one, bool))
    told = {
        "equals": value,
        **dict.fromkeys(("any_of", "none_of"), _lists(value)),
        **dict.fromkeys(("at_least", "more_than", "at_most", "less_than"), ordered),
        **dict.fromkeys(("contains", "starts_with"), TEXTS),
        "known": st.booleans(),
    }
    return _one(**{name: told[name] for name in operators})


COMPARISONS = _comparison([name for name in TAKES["text"]] + [name for name in TAKES["number"]], VALUES)
_KINDS: dict[str, Any] = {"text": TEXTS, "choice": TEXTS, "whole": WHOLE, "number": NUMBERS, "boolean": st.booleans()}


def _field(kind: str, catalogue: Any) -> st.SearchStrategy[dict[str, Any]]:
    def compared(key: str) -> st.SearchStrategy[dict[str, Any]]:
        field = catalogue[key]
        value = st.sampled_from(field.choices) if field.choices else _KINDS[field.type]
        return _joined(_of(kind, field=st.just(key)), _comparison(field.operators, value))

    return st.sampled_from([*catalogue]).flatmap(compared)


_WHERE = st.lists(_joined(st.fixed_dictionaries({"property": NAMES}), COMPARISONS), max_size=3)
EVENTS = _joined(_of("event", event=NAMES), _maybe(where=_WHERE))
ORDERS = _joined(
    _of("order"),
    _maybe(channels=_lists(TEXTS), skus=_lists(TEXTS), categories=_lists(TEXTS), stores=_lists(st.integers(1, LIMIT))),
)
STEPS = st.one_of(EVENTS, ORDERS)
_FIGURES = _comparison(("equals", "at_least", "more_than", "at_most", "less_than"), NUMBERS)
_MONEY = st.sampled_from(["sum", "average", "max"])


def _date(day: bool, told: Any, operators: Any) -> Any:
    asked = {
        "older_than": CALENDAR_DAYS if day else LENGTHS,
        "within": DAY_WINDOWS if day else WINDOWS,
        "in_next": st.one_of(LENGTHS, st.just({"calendar_days": 0})),
        "anniversary_in_next": st.integers(0, 365),
        "known": st.booleans(),
    }
    return _joined(_of("date", **told), _one(**{name: asked[name] for name in operators}))


PARTS = st.floats(0, 1, exclude_min=True, exclude_max=True)
LEAVES: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "profile": _field("profile", PROFILE),
    "score": _field("score", SCORES),
    "stat": _field("stat", STATS),
    "identity": _joined(
        _of("identity", identity=st.sampled_from(IDENTITY_KINDS)), _maybe(scope=st.one_of(st.just(""), TEXTS))
    ),
    "consent": _joined(
        _of(
            "consent",
            channel=st.one_of(st.just("*"), st.sampled_from(["sms", "for", "none"])),
            state=st.sampled_from(["granted", "withdrawn", "none"]),
        ),
        _maybe(purpose=TEXTS),
    ),
    "attribute": _joined(_of("attribute", name=ATTRIBUTES), COMPARISONS),
    "tag": _of("tag", any_of=_lists(SHORT_TEXTS)),
    "segment": _of("segment", any_of=_lists(st.integers(1, 2**53 - 1))),
    "share": _joined(
        _of("share", field=st.sampled_from([*SHARED]), among=st.sampled_from(["buyers", "everybody"])),
        _one(top=st.one_of(st.just(0.1), PARTS), bottom=PARTS),
    ),
    "event": _joined(
        EVENTS,
        _maybe(window=WINDOWS),
        _one(at_least=st.integers(1, 10_000), at_most=TIMES, exactly=TIMES, never=st.just(True)),
    ),
    "order": _joined(
        ORDERS,
        _maybe(window=WINDOWS),
        _FIGURES,
        st.one_of(
            st.fixed_dictionaries({"measure": st.sampled_from(["count", "products", "categories", "stores"])}),
            _joined(st.fixed_dictionaries({"measure": _MONEY}), _maybe(of=st.sampled_from(["net", "gross"]))),
        ),
    ),
    "sequence": _joined(
        _of("sequence", first=STEPS, within=SLIDING),
        _maybe(window=WINDOWS),
        _one(then=STEPS, without=STEPS),
        st.one_of(st.just({}), st.fixed_dictionaries({"at_least": st.integers(2, 10_000), "during": SLIDING})),
    ),
    "date": st.one_of(
        *(_date(field.day, {"field": st.just(key)}, field.operators) for key, field in DATES.items()),
        _date(False, {"attribute": ATTRIBUTES}, ANY_DATE),
    ),
}


def _level(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    of = st.lists(inner, min_size=1, max_size=4)
    return st.one_of(_of("all", of=of), _of("any", of=of), _of("not", of=inner))


LEAF = st.one_of(*LEAVES.values())
# Up to three levels of branches, so that no tree is larger than a rule may be.
TREES = st.one_of(LEAF, _level(LEAF), _level(_level(LEAF)), _level(_level(_level(LEAF))))

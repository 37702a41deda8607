"""Random definitions, and random stats that come close to their thresholds."""

from datetime import date, timedelta
from typing import Any

from hypothesis import strategies as st

from app.scoring.tiers.definition import Condition, Definition, Tier
from app.scoring.tiers.fields import FIELDS
from tests.scoring.tiers import people

AS_OF = date(2026, 3, 1)
_BOUNDS = ("at_least", "more_than", "at_most", "less_than")

_few = st.integers(0, 4)
_money = _few | st.sampled_from([10**9, 2**53 - 1, 10**15, 10**15 + 1])
_day = st.integers(-3, 6).map(lambda days: AS_OF - timedelta(days=days))
_maybe_day = st.none() | _day


@st.composite
def conditions(draw: st.DrawFn) -> Condition:
    """Any condition that can be written."""
    name = draw(st.sampled_from(sorted(FIELDS)))
    field = FIELDS[name]
    if not field.dates and field.unit != "0 or 1" and draw(st.booleans()):
        share = draw(st.sampled_from([0.1, 0.25, 0.5, 0.9]) | st.floats(0.001, 0.999))
        return Condition(field=name, top_share=share, among=draw(st.sampled_from(["spenders", "everybody"])))
    number: st.SearchStrategy[float] = {
        "days": st.integers(0, 6).map(float),
        "share": st.sampled_from([0, 1 / 3, 0.5, 2 / 3, 0.75, 1]),
        "0 or 1": st.sampled_from([0.0, 1.0]),
        "count": st.integers(-1, 5).map(float) | st.sampled_from([0.5, 1.5]),
        "fen": _money.filter(lambda fen: fen <= 10**15).map(float) | st.sampled_from([-1, 0.5, 1.5]),
    }[field.unit]
    return Condition.model_validate({"field": name, draw(st.sampled_from(_BOUNDS)): draw(number)})


@st.composite
def definitions(draw: st.DrawFn) -> Definition:
    """Any definition of two to five tiers."""
    whens = draw(st.lists(st.lists(conditions(), min_size=1, max_size=3), min_size=1, max_size=4))
    tiers = [Tier(name=f"tier_{n}", label=f"层{n}", when=tuple(when)) for n, when in enumerate(whens)]
    return Definition(name="任意", tiers=(*tiers, Tier(name="rest", label="其余")))


@st.composite
def persons(draw: st.DrawFn) -> dict[str, Any]:
    """Stats of anybody, mostly small numbers so that they meet thresholds and each other."""
    counts = ("orders", "purchase_days", "orders_30d", "orders_90d", "orders_180d", "orders_365d", "stores", "items")
    money = ("gross_fen", "discount_fen", "net_fen", "net_30d_fen", "net_90d_fen", "net_180d_fen", "net_365d_fen")
    dates = ("last_on", "last_view_on", "last_consult_on", "last_cart_on", "last_favourite_on")
    known: dict[str, Any] = {name: draw(_few) for name in counts} | {name: draw(_money) for name in money}
    known |= {name: draw(_maybe_day) for name in dates} | {"since_on": draw(_day), "active_on": draw(_day)}
    if draw(st.booleans()):
        known["net_365d_fen"] = -known["net_365d_fen"]
    known["interactions_by_month"] = draw(st.lists(st.integers(0, 2), min_size=6, max_size=6))
    return people.stats(AS_OF, **known) | {"mobile": draw(st.booleans())}

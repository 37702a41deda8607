"""What a definition may say, and what is answered when it says something else."""

from typing import Any

import pytest
from pydantic import ValidationError

from app.scoring.tiers.compiling import asked, conditions
from app.scoring.tiers.definition import Condition, Definition
from app.scoring.tiers.schemes import SCHEMES
from app.scoring.tiers.shares import Move, move_matrix, share_warnings, tier_shares

Json = dict[str, Any]

SOME = {"field": "orders", "at_least": 2}


def definition(*tiers: Json) -> Json:
    """A definition of these tiers, named and labelled where they are not, and the rest."""
    named = [{"name": f"tier_{n}", "label": "客户"} | tier for n, tier in enumerate(tiers)]
    return {"name": "任意", "tiers": [*named, {"name": "rest", "label": "其余"}]}


def refused(body: Json) -> tuple[str, str]:
    """Where and why."""
    with pytest.raises(ValidationError) as caught:
        Definition.model_validate(body)
    error = caught.value.errors()[0]
    return ".".join(map(str, error["loc"])), error["msg"].removeprefix("Value error, ")


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES.keys())
def test_built_in_definitions_can_be_sent_back(scheme: Definition) -> None:
    assert Definition.model_validate(scheme.stored()) == scheme
    assert all(tier.expected_share is None or len(tier.expected_share) == 2 for tier in scheme.tiers)


@pytest.mark.parametrize(
    ("condition", "where", "why"),
    [
        ({"field": "net_365_fen", "at_least": 1}, ".field", "did you mean net_365d_fen?"),
        ({"field": "silent", "at_most": 1}, ".field", "did you mean silent_days?"),
        ({"field": "orders"}, "", "exactly one of at_least"),
        ({"field": "orders", "at_least": 1, "at_most": 2}, "", "exactly one of at_least"),
        ({"field": "orders", "at_least": "2"}, ".at_least", "valid number"),
        ({"field": "orders", "at_least": True}, ".at_least", "valid number"),
        ({"field": "orders", "at_least": float("nan")}, ".at_least", "from -10^15 to 10^15"),
        ({"field": "orders", "at_least": float("inf")}, ".at_least", "from -10^15 to 10^15"),
        ({"field": "orders", "at_least": 10**30}, ".at_least", "from -10^15 to 10^15"),
        ({"field": "orders", "at_least": 10**400}, ".at_least", "valid number"),
        ({"field": "orders", "top_share": 0, "among": "everybody"}, ".top_share", "write 0.1 for the top 10 %"),
        ({"field": "orders", "top_share": 1, "among": "everybody"}, ".top_share", "write 0.1 for the top 10 %"),
        ({"field": "orders", "top_share": float("nan"), "among": "everybody"}, ".top_share", "write 0.1"),
        ({"field": "orders", "top_share": 0.1}, "", "top_share and among go together"),
        ({"field": "orders", "at_least": 1, "among": "spenders"}, "", "top_share and among go together"),
        ({"field": "orders", "top_share": 0.1, "among": "friends"}, ".among", "'spenders' or 'everybody'"),
        ({"field": "silent_days", "at_most": 1.5}, "", "silent_days is an age: write whole days"),
        ({"field": "silent_days", "at_most": -1}, "", "silent_days is an age: write whole days"),
        ({"field": "recency_days", "top_share": 0.1, "among": "everybody"}, "", "recency_days has no top share"),
        ({"field": "contactable", "top_share": 0.1, "among": "everybody"}, "", "contactable has no top share"),
        ({"field": "contactable", "at_least": 2}, "", "contactable is 0 or 1"),
        ({"field": "repeat_share", "more_than": 60}, "", "such as 0.6 for 60 %"),
        ({"field": "orders", "at_least": 1, "or": []}, ".or", "Extra inputs are not permitted"),
    ],
)
def test_a_condition_that_cannot_be_meant_is_refused(condition: Json, where: str, why: str) -> None:
    place, message = refused(definition({"when": [SOME, condition]}))
    assert place == f"tiers.0.when.1{where}"
    assert why in message


@pytest.mark.parametrize(
    ("body", "where", "why"),
    [
        ({"name": "x", "tiers": []}, "tiers", "at least 2 items"),
        ({"name": "x", "tiers": [{"name": "rest", "label": "x"}]}, "tiers", "at least 2 items"),
        (definition(*[{"when": [SOME]}] * 20), "tiers", "at most 20 items"),
        (definition({"when": [SOME] * 11}), "tiers.0.when", "at most 10 items"),
        (definition({"name": "rest", "when": [SOME]}), "", "two tiers are named rest"),
        (definition({"when": []}), "", "tier_0 has no conditions, so no tier after it would get anybody"),
        (definition({"when": [SOME]}, {}), "", "tier_1 has no conditions"),
        ({"name": "x", "tiers": definition({"when": [SOME]})["tiers"][::-1]}, "", "rest has no conditions"),
        (
            {"name": "x", "tiers": definition({"when": [SOME]}, {"when": [SOME]})["tiers"][:2]},
            "",
            "tier_1 is the last tier and takes everybody else",
        ),
        (definition({"name": "VIP", "when": [SOME]}), "tiers.0.name", "begins with a-z"),
        (definition({"name": "v" * 33, "when": [SOME]}), "tiers.0.name", "begins with a-z"),
        (definition({"name": "vip\n", "when": [SOME]}), "tiers.0.name", "begins with a-z"),
        (definition({"label": "", "when": [SOME]}), "tiers.0.label", "1 to 64 printable characters"),
        (definition({"label": "客" * 65, "when": [SOME]}), "tiers.0.label", "1 to 64 printable characters"),
        (definition({"label": "\x1b[2J", "when": [SOME]}), "tiers.0.label", "1 to 64 printable characters"),
        (definition({"when": [SOME], "expected_share": [0.2, 0.1]}), "tiers.0", "the lower share first"),
        (definition({"when": [SOME], "expected_share": [0.2, 1.1]}), "tiers.0.expected_share.1", "0.05 for 5 %"),
        (definition({"when": [SOME], "expected_share": [0.2]}), "tiers.0.expected_share.1", "Field required"),
        (
            definition({"when": [SOME], "expected_share": [0.6, 0.7]}, {"when": [SOME], "expected_share": [0.5, 1]}),
            "",
            "add up to more than 1",
        ),
    ],
)
def test_a_definition_that_cannot_be_meant_is_refused(body: Json, where: str, why: str) -> None:
    place, message = refused(body)
    assert place == where
    assert why in message


def test_the_largest_definition_fits() -> None:
    largest = Definition.model_validate(definition(*[{"when": [SOME] * 10}] * 19))
    assert len(asked(largest)) == len(list(conditions(largest))) == 190


def test_a_condition_reads_as_it_is_written() -> None:
    assert str(Condition(field="net_365d_fen", more_than=10_000_000)) == "net_365d_fen more_than 10000000"
    top = Condition(field="net_365d_fen", top_share=0.1, among="spenders")
    assert str(top) == "net_365d_fen top_share 0.1 among spenders"


def test_warnings_name_tier_share_band_and_remedy() -> None:
    value = SCHEMES["value"]
    fits = {"vip": 5, "high_potential": 20, "at_risk": 10, "regular": 65}
    assert share_warnings(value, fits) == []
    few, _, many = share_warnings(value, fits | {"vip": 3, "regular": 90})
    assert (few.tier, few.expected_share, round(few.share, 4)) == ("vip", (0.05, 0.08), 0.0244)
    assert few.text == (
        "高价值客户 (VIP) (vip) has 2.4% of the customers, expected are 5.0% to 8.0%: loosen net_365d_fen top_share "
        "0.1 among spenders, interactions_180d at_least 2, or change its expected_share"
    )
    assert many.tier == "regular"
    assert "loosen the conditions of the tiers before it" in many.text
    assert share_warnings(value, {}) == []
    assert {share.share for share in tier_shares(value, {})} == {None}


def test_moves_as_a_matrix() -> None:
    moves = [Move(from_tier=before, to_tier=after, customers=n) for before, after, n in (("a", "b", 2), (None, "b", 1))]
    assert move_matrix([*moves, moves[0]]) == {"a": {"b": 4}, None: {"b": 1}}

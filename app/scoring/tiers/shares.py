"""How customers spread over tiers, and where that is not what a definition expects."""

from collections.abc import Iterable, Mapping
from typing import Final

from pydantic import BaseModel, Field

from app.scoring.tiers.definition import Definition, Tier

_ROUNDING: Final = 1e-9


class TierShare(BaseModel):
    """How many are in a tier. Shares are of everybody who has a tier; null where there is nobody."""

    tier: str
    label: str
    customers: int
    share: float | None
    expected_share: tuple[float, float] | None


class ShareWarning(BaseModel):
    """A tier whose share is outside the band that the definition expects."""

    tier: str
    share: float
    expected_share: tuple[float, float]
    text: str = Field(description="What is off, and what to change")


class Move(BaseModel):
    """How many customers go from one tier to another, or stay; null is no tier yet."""

    from_tier: str | None
    to_tier: str | None
    customers: int


def tier_shares(definition: Definition, counts: Mapping[str, int], everybody: int | None = None) -> list[TierShare]:
    """Each tier of the definition with its share, in order.

    Args:
        counts: customers by tier; other names are left out.
        everybody: of whom the shares are; without it, of those who are in one of the tiers.
    """
    if everybody is None:
        everybody = sum(counts.get(tier.name, 0) for tier in definition.tiers)
    return [
        TierShare(
            tier=tier.name,
            label=tier.label,
            customers=counts.get(tier.name, 0),
            share=counts.get(tier.name, 0) / everybody if everybody else None,
            expected_share=tier.expected_share,
        )
        for tier in definition.tiers
    ]


def share_warnings(
    definition: Definition, counts: Mapping[str, int], everybody: int | None = None
) -> list[ShareWarning]:
    """The tiers whose share, as `tier_shares` says it, is outside their band; of nobody there are none."""
    return [
        ShareWarning(
            tier=tier.name,
            share=found.share,
            expected_share=tier.expected_share,
            text=_told(tier, found.share, *tier.expected_share),
        )
        for tier, found in zip(definition.tiers, tier_shares(definition, counts, everybody), strict=True)
        if tier.expected_share and found.share is not None and not _within(found.share, *tier.expected_share)
    ]


def move_matrix(moves: Iterable[Move]) -> dict[str | None, dict[str | None, int]]:
    """Customers by the tier that they come from, then by the one that they go to."""
    matrix: dict[str | None, dict[str | None, int]] = {}
    for move in moves:
        row = matrix.setdefault(move.from_tier, {})
        row[move.to_tier] = row.get(move.to_tier, 0) + move.customers
    return matrix


def _within(share: float, low: float, high: float) -> bool:
    return low - _ROUNDING <= share <= high + _ROUNDING


def _told(tier: Tier, share: float, low: float, high: float) -> str:
    loosen = share < low
    if tier.when:
        what = f"{'loosen' if loosen else 'tighten'} {', '.join(map(str, tier.when))}"
    else:
        what = f"{'tighten' if loosen else 'loosen'} the conditions of the tiers before it"
    return (
        f"{tier.label} ({tier.name}) has {share:.1%} of the customers, expected are {low:.1%} to {high:.1%}: "
        f"{what}, or change its expected_share"
    )

"""Definitions that come with the house: the one that counts until a shop publishes its own, and further ones."""

from collections.abc import Mapping
from typing import Final

from app.scoring.tiers.definition import Condition, Definition, Tier


def _top(share: float) -> Condition:
    return Condition(field="net_365d_fen", top_share=share, among="spenders")


VALUE: Final = Definition(
    name="value",
    tiers=(
        Tier(
            name="vip",
            label="高价值客户 (VIP)",
            when=(_top(0.10), Condition(field="interactions_180d", at_least=2)),
            expected_share=(0.05, 0.08),
        ),
        Tier(
            name="high_potential",
            label="高潜客户",
            when=(_top(0.50), Condition(field="silent_days", at_most=30)),
            expected_share=(0.15, 0.20),
        ),
        Tier(
            name="at_risk",
            label="流失风险客户",
            when=(Condition(field="silent_days", more_than=90),),
            expected_share=(0.10, 0.15),
        ),
        Tier(name="regular", label="普通客户", when=(), expected_share=(0.60, 0.70)),
    ),
)

GROWTH: Final = Definition(
    name="growth",
    tiers=(
        Tier(name="high_value", label="高价值客户", when=(_top(0.20),)),
        Tier(
            name="growth",
            label="成长客户",
            when=(Condition(field="signal_days", at_most=30), Condition(field="orders", at_most=2)),
        ),
        Tier(
            name="potential",
            label="潜在客户",
            when=(Condition(field="contactable", at_least=1), Condition(field="orders", at_most=0)),
        ),
        Tier(name="other", label="其他客户", when=()),
    ),
)

# Money is in fen: ten million are 100,000 yuan.
ABSOLUTE: Final = Definition(
    name="absolute",
    tiers=(
        Tier(
            name="diamond",
            label="钻石客户",
            when=(
                Condition(field="net_365d_fen", more_than=10_000_000),
                Condition(field="repeat_share", more_than=0.6),
            ),
        ),
        Tier(name="platinum", label="铂金客户", when=(Condition(field="net_365d_fen", at_least=5_000_000),)),
        Tier(name="gold", label="金卡客户", when=(Condition(field="net_365d_fen", at_least=1_000_000),)),
        Tier(name="silver", label="银卡客户", when=(Condition(field="net_365d_fen", at_least=100_000),)),
        Tier(name="others", label="普通客户", when=()),
    ),
)

SCHEMES: Final[Mapping[str, Definition]] = {scheme.name: scheme for scheme in (VALUE, GROWTH, ABSOLUTE)}

"""Rules that shops begin with: each with its names, what it is for, and what the shop has to declare for it first."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from app.segments.rules.catalogue import DATES
from app.segments.rules.text.reading import read
from app.segments.rules.tree import DateRule, leaves


@dataclass(frozen=True, slots=True)
class ReadyMade:
    """A rule to take as it is, or to change.

    Args:
        text: the rule as people write it.
        needs: event types that are not built in, each with its declaration: the body of PUT /v1/event-types/<type>.
    """

    slug: str
    title_en: str
    title_zh: str
    description_en: str
    description_zh: str
    text: str
    needs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def rule(self) -> Any:
        """The tree."""
        return read(self.text)

    @property
    def masked(self) -> bool:
        """Whether it asks for what is shown masked."""
        dates = [leaf.field for _, leaf in leaves(self.rule) if isinstance(leaf, DateRule) and leaf.field is not None]
        return any(DATES[name].personal for name in dates)


_ACTIVE: Final = "(last_order in last 30 days or last_event in last 30 days)"

READY_MADE: Final = (
    ReadyMade(
        "high-value",
        "High-value customers",
        "高价值客户",
        "The tenth of all buyers with the highest net spend, who bought within a year.",
        "累计净消费排在购买者前 10%，且一年内有下单。",
        "net_fen top 10% of buyers and last_order in last 365 days",
    ),
    ReadyMade(
        "potential",
        "Customers with potential",
        "潜力客户",
        "In the upper half of buyers by net spend without being in the highest tenth, and seen within 30 days.",
        "累计净消费排在购买者前 50% 但未进前 10%，且近 30 天有下单或行为。",
        f"net_fen top 50% of buyers and not net_fen top 10% of buyers and {_ACTIVE}",
    ),
    ReadyMade(
        "dormant",
        "Dormant customers",
        "沉睡客户",
        "The life cycle stage is dormant: no order, event or registration for as long as the shop's settings say.",
        "生命周期阶段为沉睡：超过店铺设置的天数没有下单、行为或注册。",
        "stage = 'dormant'",
    ),
    ReadyMade(
        "first-order-nurture",
        "First order to nurture",
        "首单培育",
        "Never ordered, and a lead that is warm or hot: reachable, interested, lately seen.",
        "从未下单，且线索处于温或热阶段：可触达、有兴趣、近期活跃。",
        "last_order is unknown and nurture_stage in ('warm', 'hot')",
    ),
    ReadyMade(
        "new-without-order-3-days",
        "New without an order for 3 days",
        "新客 3 天未下单",
        "Registered within 30 days, 3 days ago or earlier, and never ordered.",
        "近 30 天内注册、注册已满 3 天，且从未下单。",
        "registered > 3 days ago and registered in last 30 days and last_order is unknown",
    ),
    ReadyMade(
        "dormant-30-days",
        "Not seen for 30 days",
        "近 30 天未活跃",
        "Registered or first bought 30 days ago or earlier, and no order and no event within 30 days.",
        "注册或首次下单已满 30 天，且近 30 天没有下单也没有任何行为。",
        f"(registered > 30 days ago or first_order > 30 days ago) and not {_ACTIVE}",
    ),
    ReadyMade(
        "churn-risk-60-days",
        "Churn risk: 60 days without an order",
        "流失预警 60 天",
        "The last order is 60 days old or older, and not yet 90.",
        "最近下单已满 60 天、未满 90 天。",
        "last_order > 60 days ago and last_order in last 90 days",
    ),
    ReadyMade(
        "churn-risk-90-days",
        "Churn risk: 90 days without an order",
        "流失预警 90 天",
        "The last order is 90 days old or older, and not yet a year.",
        "最近下单已满 90 天、未满一年。",
        "last_order > 90 days ago and last_order in last 365 days",
    ),
    ReadyMade(
        "second-purchase",
        "Candidates for a second purchase",
        "二次购买机会",
        "One order so far, and the last run found the signs of those who came back: lately bought, and looking again.",
        "目前只有一笔订单，且最近一次评分判断为二次购买机会：首购不久，之后又有浏览、加购等意向。",
        "second_purchase = true and order count = 1",
    ),
    ReadyMade(
        "birthday-in-7-days",
        "Birthday within 7 days",
        "7 天内生日",
        "The birthday comes within 7 days, today included.",
        "从今天起 7 天内过生日。",
        "birthday anniversary in next 7 calendar days",
    ),
    ReadyMade(
        "viewed-without-buying-24-hours",
        "Viewed more than 3 times without buying, 24 hours",
        "24 小时内浏览超过 3 次未购买",
        "More than 3 views within 24 hours, and no order in them.",
        "近 24 小时浏览超过 3 次，且期间没有下单。",
        "event view in last 24 hours more than 3 times and order in last 24 hours count = 0",
    ),
    ReadyMade(
        "cart-without-payment",
        "Cart without payment",
        "加购未支付",
        "Something put into the cart within 7 days and no order for 24 hours after it, nor later in the week.",
        "近 7 天有加购，加购后 24 小时内没有支付，之后一周内也没有补单。",
        "event cart in last 7 days without order within 24 hours "
        "and not event cart in last 7 days then order within 7 days",
    ),
    ReadyMade(
        "frequent-active-30-days",
        "Frequent buyers, active within 30 days",
        "近 30 天活跃的高频购买客户",
        "3 orders or more within a year, and an order or event within 30 days.",
        "近一年至少 3 单，且近 30 天有下单或行为。",
        f"order in last 365 days count >= 3 and {_ACTIVE}",
    ),
    ReadyMade(
        "community-without-order",
        "Joined the community, never ordered",
        "已入群未下单",
        "Joined a community of the shop, such as a group chat, and never ordered.",
        "已加入店铺社群，但从未下单。",
        "event community_join at least 1 time and last_order is unknown",
        needs={"community_join": {"properties": {"community": {"kind": "text", "required": False}}}},
    ),
    ReadyMade(
        "activity-absent",
        "Signed up for an activity, absent",
        "活动报名未到场",
        "Signed up for an activity within 60 days, and attended none within 14 days after. For one activity add "
        "where (activity = …) to both events.",
        "近 60 天报名活动，报名后 14 天内没有到场记录。只看某一场活动时，在两个行为后都加上 其中 (activity = …)。",
        "event activity_signup in last 60 days without event activity_attend within 14 days",
        needs={
            "activity_signup": {"properties": {"activity": {"kind": "text", "required": False}}},
            "activity_attend": {"properties": {"activity": {"kind": "text", "required": False}}},
        },
    ),
)

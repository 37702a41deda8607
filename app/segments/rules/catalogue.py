"""What a rule can ask for: each field once, with its Chinese name, its type and where it stands."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from sqlalchemy import ColumnElement, FromClause, Table, func

from app.customers.models import customers
from app.scoring.models import customer_predictions, customer_scores, customer_stats
from app.segments.rules.comparing import TAKES, Operator, Type

Unit = Literal["fen", "days", "hour of the day", "1 to 5", "0 to 1", "0 to 100", "count"]
DateOperator = Literal["older_than", "within", "in_next", "anniversary_in_next", "known"]


@dataclass(frozen=True, slots=True)
class Field:
    """Something known of a customer, in a row of `table`.

    Args:
        of: its value, from an alias of the table; null where it is not known.
        choices: the closed list of what it can be; empty where there is none.
    """

    key: str
    label: str
    type: Type
    table: Table
    of: Callable[[FromClause], ColumnElement[Any]]
    unit: Unit | None = None
    choices: tuple[str | int, ...] = ()
    always: bool = False  # it is known of everybody

    @property
    def operators(self) -> tuple[Operator, ...]:
        """The comparisons that it takes."""
        return tuple(one for one in TAKES[self.type] if not (self.always and one == "known"))


@dataclass(frozen=True, slots=True)
class DateField:
    """A day or an instant in a customer's life.

    Args:
        day: it has no time of day, so it is told in days of the calendar.
        personal: it is shown masked, so only who may see it may ask for it.
    """

    key: str
    label: str
    operators: tuple[DateOperator, ...]
    day: bool = False
    personal: bool = False


def _column(table: Table, name: str) -> Callable[[FromClause], ColumnElement[Any]]:
    if name not in table.c:
        raise ValueError(f"{table.name} has no column {name}")
    return lambda row: row.c[name]


def _plain(
    table: Table, key: str, label: str, type_: Type, unit: Unit | None = None, choices: tuple[str | int, ...] = ()
) -> Field:
    return Field(key, label, type_, table, _column(table, key), unit, choices)


def _by_key(*fields: Field) -> Mapping[str, Field]:
    return {field.key: field for field in fields}


PROFILE: Final = _by_key(
    Field("gender", "性别", "whole", customers, lambda c: func.nullif(c.c.gender, 0), choices=(1, 2)),
    _plain(customers, "area_code", "地区", "text"),
    _plain(customers, "store_id", "归属门店", "whole"),
    _plain(customers, "source_channel", "来源渠道", "whole"),
    _plain(customers, "source_way", "来源方式", "whole"),
    Field("member", "是否会员", "boolean", customers, lambda c: c.c.member_since.is_not(None), always=True),
    Field("has_mobile", "有手机号", "boolean", customers, lambda c: c.c.mobile.is_not(None), always=True),
    Field("mobile_verified", "手机号已验证", "boolean", customers, lambda c: c.c.mobile_verified, always=True),
)

_STATES: Final = ("on_track", "due", "overdue", "dormant", "lost")
_STAGES: Final = ("prospect", "new", "growing", "mature", "declining", "dormant", "lost")
RFM_TYPES: Final = tuple(
    f"{value}{habit}客户" for value in ("重要", "一般") for habit in ("价值", "发展", "保持", "挽留")
)

SCORES: Final = _by_key(
    _plain(customer_scores, "r", "RFM：R 分", "whole", "1 to 5"),
    _plain(customer_scores, "f", "RFM：F 分", "whole", "1 to 5"),
    _plain(customer_scores, "m", "RFM：M 分", "whole", "1 to 5"),
    _plain(customer_scores, "rfm_type", "RFM 类型", "choice", None, RFM_TYPES),
    _plain(customer_scores, "tier", "客户分层", "choice"),
    _plain(customer_scores, "stage", "生命周期阶段", "choice", None, _STAGES),
    _plain(customer_scores, "cycle_state", "复购周期状态", "choice", None, _STATES),
    _plain(customer_scores, "churn_band", "流失风险", "choice", None, ("low", "medium", "high", "lost")),
    _plain(customer_scores, "vip_drop", "高价值客户活跃下降", "boolean"),
    _plain(customer_scores, "price_sensitive", "价格敏感", "boolean"),
    _plain(customer_scores, "quality_oriented", "品质偏好", "boolean"),
    _plain(customer_scores, "socially_active", "社交活跃", "boolean"),
    _plain(customer_scores, "second_purchase", "二次购买机会", "boolean"),
    _plain(customer_scores, "lead_score", "线索评分", "whole", "0 to 100"),
    _plain(customer_scores, "nurture_stage", "培育阶段", "choice", None, ("cold", "warm", "hot")),
    _plain(customer_predictions, "p_alive", "存活概率", "number", "0 to 1"),
    _plain(customer_predictions, "expected_purchases_90d", "未来 90 天预计购买次数", "number", "count"),
    _plain(customer_predictions, "expected_purchases_365d", "未来 365 天预计购买次数", "number", "count"),
    _plain(customer_predictions, "expected_spend_fen", "预计每次消费", "whole", "fen"),
    _plain(customer_predictions, "clv_predicted_fen", "预测客户终身价值", "whole", "fen"),
)

# Stored windows are left out: they are as of the last refresh. What happened in a window is asked of the facts.
STATS: Final = _by_key(
    _plain(customer_stats, "orders", "累计订单数", "whole", "count"),
    _plain(customer_stats, "purchase_days", "累计购买天数", "whole", "count"),
    _plain(customer_stats, "gross_fen", "累计消费（未减退款）", "whole", "fen"),
    _plain(customer_stats, "refund_fen", "累计退款", "whole", "fen"),
    _plain(customer_stats, "net_fen", "累计净消费", "whole", "fen"),
    _plain(customer_stats, "first_day_net_fen", "首购日净消费", "whole", "fen"),
    _plain(customer_stats, "discount_fen", "累计优惠", "whole", "fen"),
    _plain(customer_stats, "discounted_orders", "优惠订单数", "whole", "count"),
    _plain(customer_stats, "items", "累计商品件数", "whole", "count"),
    _plain(customer_stats, "products", "购买商品种数", "whole", "count"),
    _plain(customer_stats, "categories", "购买类目数", "whole", "count"),
    _plain(customer_stats, "stores", "购买门店数", "whole", "count"),
    _plain(customer_stats, "gap_median_days", "购买间隔中位数", "number", "days"),
    _plain(customer_stats, "gap_max_days", "最长购买间隔", "whole", "days"),
    _plain(customer_stats, "first_channel", "首购渠道", "text"),
    _plain(customer_stats, "main_channel", "主要购买渠道", "text"),
    _plain(customer_stats, "main_hour", "主要购买时段", "whole", "hour of the day"),
)

# What a share can be taken of.
SHARED: Final[Mapping[str, Field]] = {
    key: field for key, field in {**SCORES, **STATS}.items() if field.type in ("whole", "number") and key != "main_hour"
}

_PAST: Final[tuple[DateOperator, ...]] = ("older_than", "within", "known")
_BIRTH: Final[tuple[DateOperator, ...]] = ("older_than", "within", "anniversary_in_next", "known")
ANY_DATE: Final[tuple[DateOperator, ...]] = ("older_than", "within", "in_next", "anniversary_in_next", "known")

DATES: Final[Mapping[str, DateField]] = {
    field.key: field
    for field in (
        DateField("last_order", "最近下单", _PAST),
        DateField("first_order", "首次下单", _PAST),
        DateField("last_event", "最近行为", _PAST),
        DateField("registered", "注册时间", ("older_than", "within", "anniversary_in_next")),
        DateField("member_since", "入会时间", ANY_DATE),
        DateField("birthday", "生日", _BIRTH, day=True, personal=True),
    )
}

LABELS: Final[Mapping[str, str]] = {
    "all": "且",
    "any": "或",
    "not": "非",
    "profile": "客户资料",
    "identity": "客户身份",
    "consent": "营销授权",
    "attribute": "自定义属性",
    "tag": "标签",
    "segment": "人群",
    "score": "评分",
    "stat": "累计指标",
    "share": "排名占比",
    "event": "行为",
    "order": "订单",
    "sequence": "行为序列",
    "date": "日期",
}

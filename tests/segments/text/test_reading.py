"""What people write and what it means, in English and Chinese; and how they are told what is wrong."""

from typing import Any

import pytest

from app.segments.errors import RuleUnreadable
from app.segments.rules.text.reading import read
from app.segments.rules.tree import RULE

TAG = {"kind": "tag", "any_of": ["员工"]}
VIP = {"kind": "score", "field": "tier", "equals": "VIP"}
OLD = {"kind": "date", "field": "last_order", "older_than": {"days": 60}}
MONTH = {"last": {"days": 30}}
MEMBER = {"kind": "profile", "field": "member", "equals": True}


def score(field: str, **asked: Any) -> dict[str, Any]:
    return {"kind": "score", "field": field, **asked}


def stat(field: str, **asked: Any) -> dict[str, Any]:
    return {"kind": "stat", "field": field, **asked}


def dated(field: str, **asked: Any) -> dict[str, Any]:
    return {"kind": "date", "field": field, **asked}


def done(event: str, **asked: Any) -> dict[str, Any]:
    return {"kind": "event", "event": event, **asked}


def bought(**asked: Any) -> dict[str, Any]:
    return {"kind": "order", **asked}


def followed(**told: Any) -> dict[str, Any]:
    return {"kind": "sequence", **told}


def every(*of: Any) -> dict[str, Any]:
    return {"kind": "all", "of": [*of]}


def either(*of: Any) -> dict[str, Any]:
    return {"kind": "any", "of": [*of]}


def no(of: Any) -> dict[str, Any]:
    return {"kind": "not", "of": of}


ABANDONED = followed(first=done("cart"), window={"last": {"days": 7}}, without={"kind": "order"}, within={"hours": 24})
READ: list[tuple[str, str, dict[str, Any]]] = [
    (
        "last_order > 60 days ago and tier = 'VIP' and not tag '员工'",
        "最近下单 早于 60天前 且 等级 = 'VIP' 且 非 标签 '员工'",
        every(OLD, VIP, no(TAG)),
    ),
    (
        "Last Order older than 60 days OR (Tier='VIP' AND NOT Tag='员工')",
        "最近下单早于60天前或者（等级＝“VIP”并且不标签：‘员工’）",
        either(OLD, every(VIP, no(TAG))),
    ),
    ("last_order is known", "最近下单 已知", dated("last_order", known=True)),
    ("birthday is not known", "生日未知", dated("birthday", known=False)),
    ("last_order < 30 days ago", "最近下单 在 最近30天内", dated("last_order", within=MONTH)),
    (
        "registered in last 7 calendar days",
        "注册时间 在最近7个自然日内",
        dated("registered", within={"calendar_days": 7}),
    ),
    ("first_order in this month", "首次下单 在本月", dated("first_order", within={"calendar": "this_month"})),
    ("last_event yesterday", "最近行为 在昨天", dated("last_event", within={"calendar": "yesterday"})),
    (
        "registered from 2026-01-01 to 2026-03-31",
        "注册时间 从2026-01-01到2026-03-31",
        dated("registered", within={"from": "2026-01-01", "to": "2026-03-31"}),
    ),
    ("member_since in the next 2 hours", "入会时间 在未来2小时内", dated("member_since", in_next={"hours": 2})),
    ("birthday anniversary in next 7 days", "生日 周年 在未来7天", dated("birthday", anniversary_in_next=7)),
    (
        "attribute wedding anniversary in next 0 calendar days",
        "属性 wedding 周年 在未来0自然日",
        {"kind": "date", "attribute": "wedding", "anniversary_in_next": 0},
    ),
    (
        "attribute fitted > 3 calendar days ago",
        "日期属性 fitted 早于3自然日之前",
        {"kind": "date", "attribute": "fitted", "older_than": {"calendar_days": 3}},
    ),
    (
        "attribute fitted is known",
        "属性 fitted 已知",
        {"kind": "attribute", "name": "fitted", "known": True},
    ),
    (
        "attribute wedding >= 2026-01-01",
        "属性 wedding >= '2026-01-01'",
        {"kind": "attribute", "name": "wedding", "at_least": "2026-01-01"},
    ),
    ("net_fen >= 500 yuan", "累计净消费 至少 500元", stat("net_fen", at_least=50_000)),
    ("net_fen >= 99.99yuan", "累计净消费≥９９.９９元", stat("net_fen", at_least=9_999)),
    ("net_fen in (1 yuan, 250 fen, 7)", "累计净消费 属于（1元、250分，7）", stat("net_fen", any_of=[100, 250, 7])),
    ("p_alive < 0.3", "存活概率 低于 0.3", score("p_alive", less_than=0.3)),
    ("stage != 'lost'", "生命周期阶段 不等于 'lost'", score("stage", none_of=["lost"])),
    (
        "stage not in ('lost', 'dormant')",
        "生命周期阶段不属于('lost'，'dormant')",
        score("stage", none_of=["lost", "dormant"]),
    ),
    ("r <= 2 and f>3", "R分 至多 2 且 F分 > 3", every(score("r", at_most=2), score("f", more_than=3))),
    ("member = true", "是否会员 是 是", MEMBER),
    ("member is no", "是否会员 = 否", MEMBER | {"equals": False}),
    (
        "area_code starts with '31'",
        "地区 开头是 “31”",
        {"kind": "profile", "field": "area_code", "starts_with": "31"},
    ),
    ("main_channel contains 'it''s'", "主要购买渠道 包含 “it's”", stat("main_channel", contains="it's")),
    ("tag in ('新客', '老客')", "标签 属于 ('新客'、'老客')", {"kind": "tag", "any_of": ["新客", "老客"]}),
    (
        "identity wechat_openid scope 'wx1'",
        "身份 wechat_openid 范围 wx1",
        {"kind": "identity", "identity": "wechat_openid", "scope": "wx1"},
    ),
    ("consent sms granted", "授权 sms 已同意", {"kind": "consent", "channel": "sms", "state": "granted"}),
    (
        "consent '*' for 'service' none",
        "授权 '*' 用途 'service' 未表态",
        {"kind": "consent", "channel": "*", "purpose": "service", "state": "none"},
    ),
    (
        "net_fen top 10% of buyers",
        "累计净消费 排前10% 购买者中",
        {"kind": "share", "field": "net_fen", "top": 0.1, "among": "buyers"},
    ),
    (
        "orders bottom 0.25 of everybody",
        "累计订单数 排后25% 全体客户中",
        {"kind": "share", "field": "orders", "bottom": 0.25, "among": "everybody"},
    ),
    (
        "event view in last 24 hours more than 3 times",
        "行为 浏览 在最近24小时内 超过3次",
        done("view", window={"last": {"hours": 24}}, at_least=4),
    ),
    (
        "event view at least 3 times in the last 30 days",
        "行为 view 至少 3 次 最近30天",
        done("view", window=MONTH, at_least=3),
    ),
    ("event visit never", "行为 到访 从未", done("visit", never=True)),
    ("event '浏览' exactly 1 time", "行为 '浏览' 恰好1次", done("浏览", exactly=1)),
    (
        "event 试穿 where (size in ('M', 'L') and price >= 100) fewer than 2 times",
        "行为 试穿 其中（size 属于（'M'，'L'）且 price ≥ 100） 少于2次",
        done(
            "试穿",
            where=[{"property": "size", "any_of": ["M", "L"]}, {"property": "price", "at_least": 100}],
            at_most=1,
        ),
    ),
    ("order count >= 2", "订单 单数 至少 2", bought(measure="count", at_least=2)),
    (
        "order in last month sum gross > 1000 yuan",
        "订单 在上月 金额合计 毛额 大于 1000元",
        bought(measure="sum", of="gross", window={"calendar": "last_month"}, more_than=100_000),
    ),
    (
        "order where (sku in ('S1') and store = 3) in last 30 days average < 5000",
        "订单 其中（商品 = 'S1' 且 门店 属于 (3)） 最近30天 平均金额 低于 50元",
        bought(skus=["S1"], stores=[3], window=MONTH, measure="average", less_than=5_000),
    ),
    (
        "order products >= 3 and products >= 3",
        "订单 商品种数 >= 3 且 购买商品种数 >= 3",
        every(bought(measure="products", at_least=3), stat("products", at_least=3)),
    ),
    (
        "event cart in last 7 days without order within 24 hours",
        "行为 加购 在最近7天内 之后没有 订单 在24小时内",
        ABANDONED,
    ),
    (
        "event view at least 3 times during 7 days then order where (category = '茶') within 2 days",
        "行为 浏览 至少3次 历时7天 之后有 订单 其中 (类目 = '茶') 在2天内",
        followed(
            first=done("view"),
            at_least=3,
            during={"days": 7},
            then={"kind": "order", "categories": ["茶"]},
            within={"days": 2},
        ),
    ),
    (
        "any of (member = yes, not not member = yes)",
        "任一满足（是否会员是真，非非是否会员＝真）",
        either(MEMBER, no(no(MEMBER))),
    ),
    ("all of (any of (member = true))", "全部满足（任一满足（是否会员＝是））", every(either(MEMBER))),
    (
        "member = true or tier = 'VIP' and tag '员工'",
        "是否会员 = 是 或 等级 = 'VIP' 且 标签 '员工'",
        either(MEMBER, every(VIP, TAG)),
    ),
]


@pytest.mark.parametrize(("english", "chinese", "told"), READ)
def test_what_a_text_means(english: str, chinese: str, told: dict[str, Any]) -> None:
    tree = RULE.validate_python(told)
    assert read(english) == tree
    assert read(chinese) == tree
    assert read(f"\n {english.replace(' ', chr(10) + ' ', 1)} ") == tree, "lines break where spaces are"


# The text, the place, what is told, the nearest word.
REFUSED: list[tuple[str, int, int, str, str | None]] = [
    ("last_ordr > 60 days ago", 1, 1, "a condition", "last_order"),
    ("tier = 'VIP' and\n  last_odrer > 60 days ago", 2, 3, "a condition", "last_order"),
    ("最近下蛋 早于 60天前", 1, 1, "a condition", "最近下单"),
    ("等级 = 'VIP' 且 等极 = 'x'", 1, 14, "a condition", "等级"),
    ("最近下单 早与 60天前", 1, 6, "a comparison", "早于"),
    ("tier = VIP", 1, 8, "a text stands in quotes", None),
    ("tier 'VIP'", 1, 6, "a comparison", None),
    ("tier contain 'x'", 1, 6, "a comparison", "contains"),
    ("last_order > 60 dayz ago", 1, 17, "a unit: days, hours or calendar days", "day"),
    ("event view in last 7 days witout order within 1 day", 1, 27, '"without"', "without"),
    ("event view", 1, 11, "the text ends here", None),
    ("member = true andd tier = 'x'", 1, 15, '"and" (且)', "and"),
    ("(member = true", 1, 15, "the text ends here", None),
    ("member = true)", 1, 14, "the end", None),
    ("", 1, 1, "a condition", None),
    ("  \n ", 1, 1, "a condition", None),
    ("member = true #", 1, 15, "the end", None),
    ("tag 'x", 1, 5, "is not closed", None),
    ("标签“x'", 1, 3, "write ” behind", None),
    ("order count >= 2 and orders >= 5 yuan", 1, 32, "only what is counted in fen", None),
    ("attribute spend >= 5元", 1, 20, "only what is counted in fen", None),
    ("order where (sku = 'a' and sku = 'b') count > 1", 1, 28, "is listed twice", None),
    ("last_order > 1.5 days ago", 1, 14, "a whole number", None),
    ("event view at least 1.5 times", 1, 21, "a whole number", None),
    (f"r = {'1' * 41}", 1, 5, "up to 40 digits", None),
    ("net_fen >= 1e99999999999999999999 yuan", 1, 12, "too large or too small", None),
    ("r >= 1 and net_fen top 1e-9999999% of buyers", 1, 24, "too large or too small", None),
    # What the tree has against a condition is told where the condition begins.
    ("member = true and  tier > 'x'", 1, 20, "tier takes =, in (…), not in (…), is known", None),
    ("r = 1 and stage = 'nwe'", 1, 11, "stage is one of prospect", None),
    ("birthday > 60 days ago", 1, 1, "write calendar days in place of hours or days", None),
    ("tag '员工' and birthday in next 7 days", 1, 14, "birthday takes older than", None),
    ("net_fen top 100% of buyers", 1, 1, "less than 1", None),
    ("event view < 0 times", 1, 1, "greater than or equal to 0", None),
    ("registered from 2026-02-30", 1, 1, "day is out of range", None),
    ("identity openid", 1, 1, "wechat_openid", None),
    ("not " * 11 + "member = true", 1, 1, "up to 10 levels deep", None),
    (" and ".join(["r = 1"] * 201), 1, 1, "up to 200 conditions", None),
    ("(" * 51, 1, 51, "too many brackets", None),
    ("x" * 20_001, 1, 20_001, "up to 20000 letters", None),
]


@pytest.mark.parametrize(("text", "line", "column", "word", "nearest"), REFUSED)
def test_what_is_wrong_and_where(text: str, line: int, column: int, word: str, nearest: str | None) -> None:
    with pytest.raises(RuleUnreadable) as refusal:
        read(text)
    error = refusal.value
    assert (error.line, error.column, error.nearest) == (line, column, nearest), error.detail
    assert error.detail is not None
    assert word in error.detail
    assert error.detail.startswith(f"line {line}, column {column}: ")
    assert error.field == "text"
    assert nearest is None or error.detail.endswith(f"did you mean {nearest}?")

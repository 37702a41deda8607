"""The words of the text form in English and Chinese: what each stands for, and which is written."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, NamedTuple

from app.segments.rules.catalogue import DATES, PROFILE, SCORES, STATS, Field

Language = Literal["en", "zh"]
LANGUAGES: Final[tuple[Language, ...]] = ("en", "zh")


class Forms(NamedTuple):
    """How one word is said; of each language the first is written, the others are read as well."""

    en: tuple[str, ...]
    zh: tuple[str, ...]


def _forms(en: str, zh: str) -> Forms:
    return Forms(tuple(en.split("|")), tuple(zh.split("|")))


# The grammar's words, by terminal. One with an underscore says nothing beyond its place, and is left out of the tree.
WORDS: Final[Mapping[str, Forms]] = {
    "_AND": _forms("and", "且|并且|而且"),
    "_OR": _forms("or", "或|或者"),
    "_NOT": _forms("not", "非|不|并非"),
    "_ALL": _forms("all of", "全部满足|全部"),
    "_ANY": _forms("any of|one of", "任一满足|任一"),
    # Comparisons
    "EQ": _forms("=|==|equals|exactly|is", "=|等于|恰好|为"),
    "NE": _forms("!=|<>|≠|is not", "!=|不等于|不是|不为"),
    "GE": _forms(">=|≥|at least", ">=|至少|不少于|不低于|大于等于"),
    "GT": _forms(">|more than|greater than", ">|大于|多于|高于|超过"),
    "LE": _forms("<=|≤|at most", "<=|至多|不超过|不多于|不高于|小于等于"),
    "LT": _forms("<|less than|fewer than", "<|小于|少于|低于"),
    "_IN": _forms("in", "属于"),
    "_NOT_IN": _forms("not in", "不属于"),
    "CONTAINS": _forms("contains", "包含"),
    "STARTS": _forms("starts with", "开头是|开头为"),
    "KNOWN": _forms("is known", "已知"),
    "UNKNOWN": _forms("is unknown|is not known", "未知"),
    # Values and units. 是 is a comparison, too.
    "YES": _forms("yes", "是"),
    "TRUE": _forms("true", "真"),
    "FALSE": _forms("false|no", "否|假"),
    "_YUAN": _forms("yuan", "元"),
    "_FEN": _forms("fen", "分"),
    "PERCENT": _forms("%|percent", "%"),
    "HOURS": _forms("hours|hour", "小时|个小时"),
    "DAYS": _forms("days|day", "天|日"),
    "CALENDAR_DAYS": _forms("calendar days|calendar day", "自然日|个自然日"),
    "_TIMES": _forms("times|time", "次"),
    # Conditions on what is known
    "ATTRIBUTE": _forms("attribute", "属性|自定义属性"),
    "DATE_ATTRIBUTE": _forms("date attribute", "日期属性"),
    "TAG": _forms("tag|tags", "标签"),
    "SEGMENT": _forms("segment|segments", "人群"),
    "IDENTITY": _forms("identity", "身份|客户身份"),
    "_SCOPE": _forms("scope", "范围"),
    "CONSENT": _forms("consent", "授权|营销授权"),
    "_FOR": _forms("for", "用途"),
    "GRANTED": _forms("granted", "已同意|同意"),
    "WITHDRAWN": _forms("withdrawn", "已撤回|撤回"),
    "NONE": _forms("none", "未表态"),
    "TOP": _forms("top|in top", "排前|位于前"),
    "BOTTOM": _forms("bottom|in bottom", "排后|位于后"),
    "BUYERS": _forms("of buyers|among buyers", "购买者中|购买者"),
    "EVERYBODY": _forms("of everybody|among everybody", "全体客户中|全体客户"),
    # Conditions on facts
    "EVENT": _forms("event", "行为"),
    "ORDER": _forms("order", "订单"),
    "_WHERE": _forms("where", "其中"),
    "NEVER": _forms("never", "从未"),
    "COUNT": _forms("count", "单数"),
    "SUM": _forms("sum", "金额合计|合计"),
    "AVERAGE": _forms("average", "平均金额|平均"),
    "MAX": _forms("max", "最高金额|最高"),
    "PRODUCTS": _forms("products", "商品种数"),
    "CATEGORIES": _forms("categories", "类目数"),
    "STORES": _forms("stores", "门店数"),
    "NET": _forms("net", "净额"),
    "GROSS": _forms("gross", "毛额"),
    "SKU": _forms("sku|skus", "商品"),
    "CHANNEL": _forms("channel|channels", "渠道"),
    "CATEGORY": _forms("category", "类目"),
    "STORE": _forms("store", "门店"),
    "_THEN": _forms("then", "之后有|然后"),
    "_WITHOUT": _forms("without", "之后没有|之后无"),
    "_WITHIN": _forms("within", "在"),
    "_DURING": _forms("during", "历时"),
    # Time
    "_LAST": _forms("last|past", "最近|过去"),
    "_NEXT": _forms("next", "未来|今后"),
    "_FROM": _forms("from", "从|自"),
    "_TO": _forms("to", "到|至"),
    "_OLDER": _forms("older than|before", "早于"),
    "_AGO": _forms("ago", "前|之前|以前"),
    "_ANNIVERSARY": _forms("anniversary", "周年"),
    # Signs
    "_LPAR": _forms("(", "("),
    "_RPAR": _forms(")", ")"),
    "_COMMA": _forms(",", ",|、"),
}
# These may stand anywhere and say nothing: "in the last", "标签：", "24小时内".
FILLERS: Final = ("the", "的", "内", "以内", "之内", ":")

CALENDARS: Final[Mapping[str, Forms]] = {
    "today": _forms("today", "今天|今日"),
    "yesterday": _forms("yesterday", "昨天|昨日"),
    "this_week": _forms("this week|this_week", "本周"),
    "last_week": _forms("last week|last_week", "上周"),
    "this_month": _forms("this month|this_month", "本月"),
    "last_month": _forms("last month|last_month", "上月|上个月"),
    "this_year": _forms("this year|this_year", "今年|本年"),
    "last_year": _forms("last year|last_year", "去年|上年"),
}
# The built-in types of events; in English they are called as they are.
ACTS: Final[Mapping[str, str]] = {
    "view": "浏览",
    "cart": "加购",
    "favourite": "收藏",
    "consult": "咨询",
    "visit": "到访",
    "campaign_response": "活动响应",
}
# Where a label is no word to write in a sentence, or people say it shorter.
_SHORTER: Final[Mapping[str, str]] = {
    "r": "R分",
    "f": "F分",
    "m": "M分",
    "tier": "等级|客户等级|客户分层",
    "rfm_type": "RFM类型",
    "expected_purchases_90d": "未来90天预计购买次数",
    "expected_purchases_365d": "未来365天预计购买次数",
    "gross_fen": "累计消费",
}

_BY_KEY: Final[Mapping[str, tuple[str, Field]]] = {
    **{key: ("profile", field) for key, field in PROFILE.items()},
    **{key: ("score", field) for key, field in SCORES.items()},
    **{key: ("stat", field) for key, field in STATS.items()},
}
# A few of the stats have the names of measures; the grammar tells them apart by their place.
_ALSO_MEASURES: Final = ("products", "categories", "stores")


def _of_key(key: str, label: str) -> Forms:
    spaced = f"|{key.replace('_', ' ')}" if "_" in key else ""
    return _forms(key + spaced, _SHORTER.get(key, label))


FIELDS: Final[Mapping[str, Forms]] = {key: _of_key(key, field.label) for key, (_, field) in _BY_KEY.items()}
DATE_FIELDS: Final[Mapping[str, Forms]] = {key: _of_key(key, field.label) for key, field in DATES.items()}


class Meaning(NamedTuple):
    """The terminal that a word is, and what it names; None where the terminal says all."""

    terminal: str
    names: str | None = None


def _meanings() -> Iterator[tuple[str, Meaning]]:
    for terminal, forms in WORDS.items():
        for form in dict.fromkeys((*forms.en, *forms.zh)):
            yield form, Meaning(terminal)
    for terminal, named in (("FIELD", FIELDS), ("DATE", DATE_FIELDS), ("CALENDAR", CALENDARS)):
        for key, forms in named.items():
            for form in (*forms.en, *forms.zh):
                if form not in _ALSO_MEASURES:
                    yield form, Meaning(terminal, key)
    for type_, form in ACTS.items():
        yield form, Meaning("ACT", type_)
    for form in FILLERS:
        yield form, Meaning("FILLER")


def _each_once() -> Mapping[str, Meaning]:
    found: dict[str, Meaning] = {}
    for form, meaning in _meanings():
        if found.setdefault(form.lower(), meaning) != meaning:
            raise ValueError(f"{form} is two words: {found[form.lower()]} and {meaning}")
    return found


MEANINGS: Final = _each_once()


def catalogued(key: str) -> tuple[str, Field]:
    """The kind of condition that a field of profile, scores or stats takes, and the field."""
    return _BY_KEY[key]


def said(word: Any, language: Language, among: Mapping[str, Forms] = WORDS) -> str:
    """How a word is written."""
    forms: tuple[str, ...] = getattr(among[word], language)
    return forms[0]

"""Refusals in Youzan's numbers: those of its gateway, and those of the business behind it."""

from typing import Final

from pydantic import ValidationError

from app.core.errors import Refusal
from app.core.problems import field_problems

GATEWAY: Final = {
    4001: "非法请求地址",
    4004: "非法的Content",
    4005: "非法的API",
    4007: "非法的请求姿势",
    4010: "参数类型不匹配",
    4101: "请求太频繁",
    4201: "非法的请求凭证",
    4202: "请求凭证过期",
    4203: "Token 不存在",
    4204: "无权限访问",
    5001: "系统异常",
    # Of the old signature mode (contract 1.6).
    40001: "app_id 无效",
    40002: "app 不存在",
    40003: "timestamp 无效",
    40004: "sign 为空",
    40005: "sign 错误",
    40006: "method 名称错误",
}
# What the old hosts called the same refusal; the others keep their number there.
LEGACY_CODES: Final = {
    4001: 40006,
    4004: 41000,
    4005: 40006,
    4007: 40007,
    4010: 41000,
    4201: 40010,
    4202: 40010,
    4203: 40010,
    5001: -1,
}

INVALID: Final = 141500101
MISSING: Final = 141001107
OTHER_SHOP: Final = 144100000
LOGGED_OFF: Final = 144100001
OVER_LIMIT: Final = 142710032
NO_CARD: Final = 141502105
NO_CARD_NUMBER: Final = 141502107
NO_FOLLOWER: Final = 141500201
NOT_BOUND: Final = 135200021
NO_SUCH_ACCOUNT_TYPE: Final = 135200036
TAGGING: Final = 142400105

BUSINESS: Final = {
    INVALID: "invalid params",
    MISSING: "客户不存在",
    141502108: "客户不存在",
    141502109: "customer already exist",
    143001027: "customer already exist",
    OTHER_SHOP: "客户不属于当前店铺",
    LOGGED_OFF: "客户不存在或已注销",
    OVER_LIMIT: "超过列表获取总数",
    NO_CARD: "card not exist",
    NO_CARD_NUMBER: "card number not exist",
    NO_FOLLOWER: "weixin follower not found",
    NOT_BOUND: "绑定关系不存在",
    NO_SUCH_ACCOUNT_TYPE: "帐号类型非法",
    TAGGING: "客户不存在或标签操作失败",
}


class GatewayRefusal(Refusal):
    """Refused before the business was reached; answered as `gw_err_resp`."""

    def __init__(self, code: int, detail: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.message = f"{GATEWAY[code]}，{detail}" if detail else GATEWAY[code]


class BusinessRefusal(Refusal):
    """Refused by the business; answered in the envelope with `success` false."""

    def __init__(self, code: int, detail: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.message = f"{BUSINESS[code]}: {detail}" if detail else BUSINESS[code]


def of_validation(error: ValidationError) -> GatewayRefusal | BusinessRefusal:
    """A wrong type is the gateway's to refuse (4010); a missing or unacceptable value is the business's (141500101)."""
    errors = error.errors(include_input=False, include_url=False, include_context=False)
    for entry in errors:
        if entry["type"].endswith(("_type", "_parsing", "_parsing_size", "_from_float")):
            return GatewayRefusal(4010, field_problems([entry])[0]["field"])
    first = field_problems(errors)[0]
    return BusinessRefusal(INVALID, f"{first['field']}: {first['message']}")

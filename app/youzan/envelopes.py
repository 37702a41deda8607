"""The bodies that clients tell apart, as JSON."""

from typing import Any, Final, Protocol

import orjson

from app.youzan.errors import LEGACY_CODES


class Envelope(Protocol):
    """How one generation of clients is answered."""

    @staticmethod
    def success(trace_id: str, data: bytes) -> bytes:
        """Around `data`, which is JSON already: it is serialised once, masking included."""

    @staticmethod
    def business_error(trace_id: str, code: int, message: str) -> bytes:
        """A refusal of the business."""

    @staticmethod
    def gateway_error(trace_id: str, code: int, message: str) -> bytes:
        """A refusal of the gateway."""


class _Current:
    """Contract 2.1 to 2.3."""

    @staticmethod
    def success(trace_id: str, data: bytes) -> bytes:
        head = b'{"trace_id":"' + trace_id.encode() + b'","code":200,"success":true,"message":"successful","data":'
        return head + data + b"}"

    @staticmethod
    def business_error(trace_id: str, code: int, message: str) -> bytes:
        return orjson.dumps({"trace_id": trace_id, "code": code, "success": False, "message": message, "data": None})

    @staticmethod
    def gateway_error(trace_id: str, code: int, message: str) -> bytes:
        # One key, with no `code` or `success` beside it.
        return orjson.dumps({"gw_err_resp": {"trace_id": trace_id, "err_code": code, "err_msg": message}})


class _Legacy:
    """Contract 2.4: some of the old APIs wrote `msg`, some `message`, and clients read either."""

    @staticmethod
    def success(trace_id: str, data: bytes) -> bytes:
        return b'{"response":' + data + b"}"

    @staticmethod
    def business_error(trace_id: str, code: int, message: str) -> bytes:
        return orjson.dumps({"error_response": {"code": code, "msg": message, "message": message}})

    @staticmethod
    def gateway_error(trace_id: str, code: int, message: str) -> bytes:
        return _Legacy.business_error(trace_id, LEGACY_CODES.get(code, code), message)


# What was seen instead of 4101 when somebody asked too fast.
RATE_LIMITED: Final[dict[str, bytes]] = {
    "msg": orjson.dumps({"msg": "请求被限流", "code": 500100004}),
    "message": orjson.dumps({"code": 123000042, "success": False, "message": "请求被限流"}),
}

CURRENT: Final[Envelope] = _Current()
LEGACY: Final[Envelope] = _Legacy()


def token_answer(code: int, message: str | None, data: dict[str, Any] | None) -> bytes:
    """The token endpoint's envelope, which carries no trace id."""
    return orjson.dumps({"success": data is not None, "code": code, "data": data, "message": message})

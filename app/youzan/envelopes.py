"""The four bodies that clients tell apart, as JSON."""

from typing import Any

import orjson


def success(trace_id: str, data: bytes) -> bytes:
    """The current envelope around `data`, which is JSON already: it is serialised once, masking included."""
    head = b'{"trace_id":"' + trace_id.encode() + b'","code":200,"success":true,"message":"successful","data":'
    return head + data + b"}"


def business_error(trace_id: str, code: int, message: str) -> bytes:
    """The current envelope of a refusal."""
    return orjson.dumps({"trace_id": trace_id, "code": code, "success": False, "message": message, "data": None})


def gateway_error(trace_id: str, code: int, message: str) -> bytes:
    """A refusal of the gateway: one key, with no `code` or `success` beside it."""
    return orjson.dumps({"gw_err_resp": {"trace_id": trace_id, "err_code": code, "err_msg": message}})


def token_answer(code: int, message: str | None, data: dict[str, Any] | None) -> bytes:
    """The token endpoint's envelope, which carries no trace id."""
    return orjson.dumps({"success": data is not None, "code": code, "data": data, "message": message})

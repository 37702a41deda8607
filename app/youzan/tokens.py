"""POST /auth/token: Youzan's token exchange. HTTP 200 always, refusals in the body."""

from typing import Any, Final

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.access.credentials import exchange
from app.access.entry import Entry
from app.access.errors import TokenRefused
from app.core.errors import AppError, BadRequest, DatabaseUnavailable, TooLarge, Unprocessable
from app.core.wire import RETRIABLE, parse_json
from app.youzan import envelopes
from app.youzan.errors import GATEWAY
from app.youzan.reading import JSON
from app.youzan.shapes import milliseconds

log = structlog.get_logger(__name__)

_ATTEMPTS: Final = 5
_BAD_REQUEST: Final = 1000
_FAILED: Final = 5001


class TokenEndpoint:
    """The ASGI endpoint. A class, so that every method comes here and is answered in the envelope."""

    path = "/auth/token"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI entry."""
        scope["route"] = self
        request = Request(scope, receive)
        try:
            body = envelopes.token_answer(200, None, await _issue(request))
        except ClientDisconnect:
            return
        except TokenRefused as error:
            log.info("token_refused", code=error.code)
            body = envelopes.token_answer(error.code, error.message, None)
        except Exception as error:
            if isinstance(error, DatabaseUnavailable):
                log.info("token_refused", code=_FAILED)
            else:
                log.exception("token_failed", error=type(error).__name__)
            body = envelopes.token_answer(_FAILED, GATEWAY[_FAILED], None)
        await Response(body, 200, {"Cache-Control": "no-store"}, "application/json")(scope, receive, send)


async def _issue(request: Request) -> dict[str, Any]:
    given = await _read(request)
    entry: Entry = request.app.state.entry
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            token = await exchange(entry, given)
            break
        except RETRIABLE:
            if attempt == _ATTEMPTS:
                raise
    return {
        "access_token": token.access_token,
        "expires": milliseconds(token.expires_at),
        "scope": token.scopes,
        "authority_id": str(token.shop_id),
        "refresh_token": token.refresh_token,
    }


async def _read(request: Request) -> dict[str, Any]:
    content_type = request.headers.get("content-type", "")
    if request.method != "POST" or content_type.partition(";")[0].strip().lower() != JSON:
        raise TokenRefused(
            _BAD_REQUEST, f"不支持的请求: {request.method[:20]}, Content-Type: {content_type[:100]}; 请用 POST {JSON}"
        )
    try:
        given = parse_json((await request.body()) or b"{}")
    except (BadRequest, Unprocessable, TooLarge) as error:
        raise TokenRefused(_BAD_REQUEST, _text(error)) from None
    if not isinstance(given, dict):
        raise TokenRefused(_BAD_REQUEST, "the body must be a JSON object")
    return given


def _text(error: AppError) -> str:
    return error.detail or error.title

"""Youzan's token exchange, /auth/token and the old hosts' /oauth/token: HTTP 200 always, refusals in the body."""

from functools import partial
from typing import Any, Final

import orjson
import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.access.credentials import Token, exchange
from app.access.entry import Entry
from app.access.errors import TokenRefused
from app.core import clock
from app.core.errors import BadRequest, DatabaseUnavailable, TooLarge, Unprocessable
from app.core.races import until_won
from app.core.wire import parse_json
from app.youzan import envelopes, reading
from app.youzan.errors import GATEWAY, GatewayRefusal
from app.youzan.reading import JSON
from app.youzan.shapes import milliseconds

log = structlog.get_logger(__name__)

_BAD_REQUEST: Final = 1000
_FAILED: Final = 5001


class TokenEndpoint:
    """The ASGI endpoint (contract 3.1). A class, so that every method comes here and is answered in the envelope."""

    path = "/auth/token"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI entry."""
        scope["route"] = self
        request = Request(scope, receive)
        try:
            body = self.answer(await _issue(request.app.state.entry, await self.read(request)))
        except ClientDisconnect:
            return
        except TokenRefused as error:
            log.info("token_refused", code=error.code)
            body = self.refuse(error.code, error.message)
        except Exception as error:
            if isinstance(error, DatabaseUnavailable):
                log.info("token_refused", code=_FAILED)
            else:
                log.exception("token_failed", error=type(error).__name__)
            body = self.refuse(_FAILED, GATEWAY[_FAILED])
        await Response(body, 200, {"Cache-Control": "no-store"}, "application/json")(scope, receive, send)

    async def read(self, request: Request) -> dict[str, Any]:
        """What is asked for. Raises TokenRefused."""
        content_type = request.headers.get("content-type", "")
        if request.method != "POST" or content_type.partition(";")[0].strip().lower() != JSON:
            raise TokenRefused(
                _BAD_REQUEST,
                f"不支持的请求: {request.method[:20]}, Content-Type: {content_type[:100]}; 请用 POST {JSON}",
            )
        return await _json(request)

    def answer(self, token: Token) -> bytes:
        """The answer to a good one."""
        data = {
            "access_token": token.access_token,
            "expires": milliseconds(token.expires_at),
            "scope": token.scopes,
            "authority_id": str(token.shop_id),
            "refresh_token": token.refresh_token,
        }
        return envelopes.token_answer(200, None, data)

    def refuse(self, code: int, message: str) -> bytes:
        """The answer to a bad one."""
        return envelopes.token_answer(code, message, None)


class OldTokenEndpoint(TokenEndpoint):
    """The ASGI endpoint of the old hosts (contract 3.4): a form as a rule, and flat answers."""

    path = "/oauth/token"

    async def read(self, request: Request) -> dict[str, Any]:
        """The same under its old names. Raises TokenRefused."""
        content_type = request.headers.get("content-type", "")
        try:
            media = reading.media_type(request.method, content_type)
            if media == JSON:
                given = await _json(request)
            else:
                query = reading.query_pairs(request.scope["query_string"])
                form = [] if request.method == "GET" else reading.form_pairs(media, content_type, await request.body())
                given = dict(query + form)
        except (GatewayRefusal, TooLarge) as refusal:
            raise TokenRefused(_BAD_REQUEST, getattr(refusal, "message", "")) from None
        kind = given.get("grant_type")
        kind = "certificate" if kind == "authorize_platform" else kind
        return given | {"authorize_type": kind, "grant_id": given.get("kdt_id"), "refresh": False}

    def answer(self, token: Token) -> bytes:
        """Flat, and with the seconds that are left."""
        data = {
            "access_token": token.access_token,
            "expires_in": max(0, int((token.expires_at - clock.now()).total_seconds())),
            "scope": token.scopes,
            "token_type": "Bearer",
            "refresh_token": token.refresh_token,
        }
        return orjson.dumps(data)

    def refuse(self, code: int, message: str) -> bytes:
        """Flat; old clients look for the text access_token in an answer, so it must not stand here."""
        return orjson.dumps({"error": code, "error_description": message})


async def _issue(entry: Entry, given: dict[str, Any]) -> Token:
    return await until_won(partial(exchange, entry, given))


async def _json(request: Request) -> dict[str, Any]:
    try:
        given = parse_json((await request.body()) or b"{}")
    except (BadRequest, Unprocessable, TooLarge) as error:
        raise TokenRefused(_BAD_REQUEST, error.detail or error.title) from None
    if not isinstance(given, dict):
        raise TokenRefused(_BAD_REQUEST, "the body must be a JSON object")
    return given

"""The gateway: one door for every API. Whatever happens inside, a valid envelope leaves with HTTP 200."""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, Final

import structlog
from pydantic import ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.access.audit import Visit
from app.access.door import address_of
from app.access.entry import Credential, Entry
from app.access.errors import (
    AppUnknown,
    CredentialExpired,
    CredentialMissing,
    CredentialRevoked,
    CredentialUnknown,
    ScopeMissing,
    SignatureWrong,
)
from app.access.limits import RateLimited, RowBudgetSpent
from app.core import metrics
from app.core.errors import DatabaseUnavailable, TooLarge
from app.core.ids import new_id
from app.core.races import RETRIABLE, until_won
from app.youzan import reading
from app.youzan.calling import Api, FacadeCall
from app.youzan.envelopes import RATE_LIMITED, Envelope
from app.youzan.errors import BusinessRefusal, GatewayRefusal, of_validation
from app.youzan.signature import signed
from app.youzan.ways import Way, way_of

log = structlog.get_logger(__name__)

AnyApi = Api[Any, Any]
Given = Callable[[], dict[str, Any]]  # reads what was sent

_calls: Final = lru_cache(maxsize=4096)(metrics.FACADE_CALLS.labels)
_KNOWN: Final[dict[type[Exception], int]] = {
    CredentialMissing: 4201,
    CredentialRevoked: 4201,
    CredentialExpired: 4202,
    CredentialUnknown: 4203,
    ScopeMissing: 4204,
    AppUnknown: 40002,
    SignatureWrong: 40005,
    RateLimited: 4101,
    RowBudgetSpent: 4101,
    TooLarge: 4004,
    DatabaseUnavailable: 5001,
}


class Gateway:
    """The ASGI endpoint below /api/. A class, so that every method comes here and hears 4007 instead of HTTP 405."""

    path = "/api/{name}/{version}"  # what the request log and the metrics call it

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI entry."""
        scope["route"] = self
        request = Request(scope, receive)
        trace_id = f"yz7-{scope.get('kehu.request_id') or new_id().hex}"
        way = way_of(request.path_params["rest"])
        api: AnyApi | None = None
        try:
            api = way.api()
            body = await _answer(request, api, way, trace_id)
            code = 200
        except ClientDisconnect:
            return
        except Exception as error:
            code, body = refusal(error, trace_id, way.envelope)
            if isinstance(error, RateLimited) and error.shop is not None and not way.old:
                body = RATE_LIMITED.get(error.shop.settings.facade.rate_limited_body, body)
        _calls(f"{api.name}/{api.version}" if api else "unknown", str(code)).inc()
        await Response(body, 200, {"Cache-Control": "no-store"}, "application/json")(scope, receive, send)


def refusal(error: Exception, trace_id: str, envelope: Envelope) -> tuple[int, bytes]:
    """The code and the body of whatever went wrong; what nobody foresaw is logged as an incident."""
    if isinstance(error, BusinessRefusal):
        log.info("facade_refused", code=error.code)
        return error.code, envelope.business_error(trace_id, error.code, error.message)
    if not isinstance(error, GatewayRefusal):
        code = _KNOWN.get(type(error))
        if isinstance(error, RETRIABLE):
            log.warning("race_lost_every_time", error=type(error).__name__)
        elif code is None:
            log.exception("facade_failed", error=type(error).__name__)
        error = GatewayRefusal(code or 5001)
    log.info("facade_refused", code=error.code)
    return error.code, envelope.gateway_error(trace_id, error.code, error.message)


async def _answer(request: Request, api: AnyApi, way: Way, trace_id: str) -> bytes:
    content_type = request.headers.get("content-type")
    media = reading.media_type(request.method, content_type)
    query = reading.query_pairs(request.scope["query_string"])
    if way.old:
        credential, parameters = await _old(request, way, media, query)
    else:
        token = _token(query)
        if way.exempt or not token:
            raise GatewayRefusal(4201)
        credential, parameters = Credential(token), await _current(request, media, query)
    return await until_won(partial(_carry_out, request, api, way, credential, parameters, trace_id))


async def _current(request: Request, media: str, query: reading.Pairs) -> Given:
    # Before the transaction, because a slow upload must not hold a connection. What it says is looked at inside,
    # because a bad token is answered first, and strangers get nothing parsed.
    content_type = request.headers.get("content-type")
    body = b"" if request.method == "GET" else await request.body()

    def parameters() -> dict[str, Any]:
        return reading.nested(query) if request.method == "GET" else reading.read_body(media, content_type, body)

    return parameters


async def _old(request: Request, way: Way, media: str, query: reading.Pairs) -> tuple[Credential, Given]:
    """The old hosts took the credential from among the parameters, so these are read first.

    Raises: GatewayRefusal 4004, 4007, 4201, 40001 to 40006.
    """
    content_type = request.headers.get("content-type")
    body = b"" if request.method == "GET" else await request.body()
    if media == reading.JSON:
        if way.signed and body:  # a signature covers pairs, and would cover nothing of this
            raise GatewayRefusal(4007, f"httpMethod:{request.method}, contentType:{(content_type or '')[:100]}")
        pairs, given = query, reading.nested(query) | reading.read_body(media, content_type, body)
    else:
        pairs = query if request.method == "GET" else query + reading.form_pairs(media, content_type, body)
        given = reading.nested(pairs)
    if way.signed:
        claim = signed(pairs, way.name)
        return Credential(claim.app_id, claim.proof), lambda: given
    token = _token(query) or given.get("access_token")
    if not isinstance(token, str) or not token:
        raise GatewayRefusal(4201)
    return Credential(token), lambda: given


def _token(query: reading.Pairs) -> str | None:
    return next((value for name, value in query if name == "access_token"), None)


async def _carry_out(
    request: Request, api: AnyApi, way: Way, credential: Credential, parameters: Given, trace_id: str
) -> bytes:
    state = request.app.state
    entry: Entry = state.entry
    visit = Visit(f"{api.name}/{api.version}", address_of(request), request.scope.get("kehu.request_id", "-"))
    route_class = "read" if api.scope.endswith(":read") else "write"
    async with entry.call(credential, visit, api.scope, route_class=route_class) as call:
        facade_call = FacadeCall(call.db, call.shop, call.caller, entry.root, call.ids, api.accounts, visit)
        try:
            data = await api.handle(facade_call, api.parameters.model_validate(parameters()))
        except ValidationError as error:
            raise of_validation(error) from None
    return way.envelope.success(trace_id, api.data.dump_json(data, context={"unmask": call.caller.unmasked}))

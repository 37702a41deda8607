"""The gateway: one door for every API. Whatever happens inside, a valid envelope leaves with HTTP 200."""

from collections.abc import Callable
from typing import Any, Final

import structlog
from pydantic import ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.access.audit import Visit
from app.access.door import address_of
from app.access.entry import Entry
from app.access.errors import (
    CredentialExpired,
    CredentialMissing,
    CredentialRevoked,
    CredentialUnknown,
    ScopeMissing,
)
from app.access.limits import RateLimited, RowBudgetSpent
from app.core import metrics
from app.core.errors import DatabaseUnavailable, TooLarge
from app.core.ids import new_id
from app.core.wire import RETRIABLE
from app.youzan import envelopes, reading, registry
from app.youzan.calling import Api, FacadeCall
from app.youzan.errors import BusinessRefusal, GatewayRefusal, of_validation
from app.youzan.parameters import Parameters

log = structlog.get_logger(__name__)

AnyApi = Api[Any, Any]

_ATTEMPTS: Final = 5
_RICH_TEXT: Final = "_textarea_"
_EXEMPT: Final = "auth_exempt"
_KNOWN: Final[dict[type[Exception], int]] = {
    CredentialMissing: 4201,
    CredentialRevoked: 4201,
    CredentialExpired: 4202,
    CredentialUnknown: 4203,
    ScopeMissing: 4204,
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
        api: AnyApi | None = None
        try:
            api, exempt = _find(request.path_params["rest"])
            body = await _answer(request, api, trace_id, exempt=exempt)
            code = 200
        except ClientDisconnect:
            return
        except Exception as error:
            code, body = refusal(error, trace_id)
        metrics.FACADE_CALLS.labels(f"{api.name}/{api.version}" if api else "unknown", str(code)).inc()
        await Response(body, 200, {"Cache-Control": "no-store"}, "application/json")(scope, receive, send)


def refusal(error: Exception, trace_id: str) -> tuple[int, bytes]:
    """The code and the body of whatever went wrong; what nobody foresaw is logged as an incident."""
    if isinstance(error, BusinessRefusal):
        log.info("facade_refused", code=error.code)
        return error.code, envelopes.business_error(trace_id, error.code, error.message)
    if not isinstance(error, GatewayRefusal):
        code = _KNOWN.get(type(error))
        if isinstance(error, RETRIABLE):
            log.warning("race_lost_every_time", error=type(error).__name__)
        elif code is None:
            log.exception("facade_failed", error=type(error).__name__)
        error = GatewayRefusal(code or 5001)
    log.info("facade_refused", code=error.code)
    return error.code, envelopes.gateway_error(trace_id, error.code, error.message)


def _find(rest: str) -> tuple[AnyApi, bool]:
    """The API that a path names, and whether it is called without a token."""
    parts = rest.strip("/").split("/")
    exempt = parts[0] == _EXEMPT
    if exempt or parts[0] == _RICH_TEXT:
        parts = parts[1:]
    if len(parts) != 2 or not all(parts):
        raise GatewayRefusal(4001)
    api = registry.APIS.get((parts[0], parts[1]))
    if api is None:
        raise GatewayRefusal(4005)
    return api, exempt


async def _answer(request: Request, api: AnyApi, trace_id: str, *, exempt: bool) -> bytes:
    content_type = request.headers.get("content-type")
    media = reading.media_type(request.method, content_type)
    query = reading.query_pairs(request.scope["query_string"])
    token = next((value for name, value in query if name == "access_token"), None)
    if exempt or not token:
        raise GatewayRefusal(4201)
    # Before the transaction, because a slow upload must not hold a connection. What it says is looked at inside,
    # because a bad token is answered first, and strangers get nothing parsed.
    body = b"" if request.method == "GET" else await request.body()

    def parameters() -> Parameters:
        given = reading.nested(query) if request.method == "GET" else reading.read_body(media, content_type, body)
        return api.parameters.model_validate(given)  # type: ignore[no-any-return]

    for _ in range(_ATTEMPTS - 1):
        try:
            return await _carry_out(request, api, token, parameters, trace_id)
        except RETRIABLE:
            continue  # nothing was committed, so the whole call is free to run again
    return await _carry_out(request, api, token, parameters, trace_id)


async def _carry_out(
    request: Request, api: AnyApi, token: str, parameters: Callable[[], Parameters], trace_id: str
) -> bytes:
    state = request.app.state
    entry: Entry = state.entry
    visit = Visit(f"{api.name}/{api.version}", address_of(request), request.scope.get("kehu.request_id", "-"))
    route_class = "read" if api.scope.endswith(":read") else "write"
    async with entry.call(token, visit, api.scope, route_class=route_class) as call:
        facade_call = FacadeCall(call.db, call.shop, call.caller, entry.root, call.ids, api.accounts, visit)
        try:
            data = await api.handle(facade_call, parameters())
        except ValidationError as error:
            raise of_validation(error) from None
    return envelopes.success(trace_id, api.data.dump_json(data, context={"unmask": call.caller.unmasked}))

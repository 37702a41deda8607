"""POST /youzan/push/{shop}: a pushed message is verified, kept, committed, and only then acknowledged."""

from typing import Final

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from app.access.audit import Visit
from app.access.door import address_of
from app.access.entry import Entry
from app.core import metrics
from app.core.errors import DatabaseUnavailable, NotFound, TooLarge
from app.push import envelope, service
from app.push.errors import PushRefused

log = structlog.get_logger(__name__)

PATH: Final = "/youzan/push/{shop}"
TAKEN: Final = b'{"code":0,"msg":"success"}'
NOT_TAKEN: Final = b'{"code":1,"msg":"failed"}'
_STATUSES: Final[dict[type[Exception], int]] = {PushRefused: 401, TooLarge: 413, DatabaseUnavailable: 503}


class Receiver:
    """The ASGI endpoint. Whatever is wrong with a message, its sender hears the same words."""

    path = PATH  # what the request log and the metrics call it

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI entry."""
        scope["route"] = self
        status, body = 200, TAKEN
        try:
            result = await _take(Request(scope, receive))
        except ClientDisconnect:
            return
        except Exception as error:
            result = "refused"
            status, body = _STATUSES.get(type(error), 500), NOT_TAKEN
            if status == 500:
                log.exception("push_failed", error=type(error).__name__)
            else:
                log.info("push_refused", reason=getattr(error, "reason", type(error).__name__))
        metrics.PUSHES.labels(result).inc()
        await Response(body, status, {"Cache-Control": "no-store"}, "application/json")(scope, receive, send)


async def _take(request: Request) -> str:
    """Keep a message. Returns what became of it. Raises: PushRefused, TooLarge, DatabaseUnavailable."""
    if request.method != "POST":
        raise PushRefused("method")
    # Before the transaction, because a slow upload must not hold a connection.
    body = await request.body()
    try:
        told = envelope.read(body)
    except ValueError:
        raise PushRefused("unreadable") from None
    if told.test:
        return "heartbeat"  # says only that we are here, whatever the path: it is not signed
    shop_id = _shop_id(request.path_params["shop"])
    visit = Visit(f"POST {PATH}", address_of(request), request.scope.get("kehu.request_id", "-"))
    entry: Entry = request.app.state.entry
    try:
        async with entry.shop(shop_id) as (db, shop):
            return await service.receive(db, shop, told, body, envelope.headers_sign(request.headers), visit)
    except NotFound:
        raise PushRefused("shop") from None


def _shop_id(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 15:
        raise PushRefused("shop")
    return int(text)


ROUTES: Final = (Route(PATH, Receiver(), include_in_schema=False),)

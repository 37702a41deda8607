"""One log line and one measurement per request, with an id that the caller can quote."""

import re
import time
from functools import lru_cache
from typing import Final

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core import metrics
from app.core.ids import new_id

_requests: Final = lru_cache(maxsize=1024)(metrics.REQUESTS.labels)
_ACCEPTABLE: Final = re.compile(rb"[A-Za-z0-9._-]{8,64}")


class RequestLog:
    """Binds `request_id` for everything that is logged meanwhile; paths are logged as route templates only."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._log = structlog.get_logger("app.request").bind()  # bound once, and not for every line

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI entry."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
        request_id = given.decode() if _ACCEPTABLE.fullmatch(given) else new_id().hex
        scope["kehu.request_id"] = request_id
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        started = time.perf_counter()
        status = 500

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message.setdefault("headers", []).append((b"x-request-id", request_id.encode()))
            await send(message)

        try:
            await self._app(scope, receive, note)
        finally:
            seconds = time.perf_counter() - started
            route = getattr(scope.get("route"), "path", "unmatched")
            _requests(route, scope["method"], str(status)).observe(seconds)
            if route not in ("/healthz", "/readyz", "/metrics"):
                self._log.info(
                    "request", route=route, method=scope["method"], status=status, ms=round(seconds * 1000, 1)
                )

"""How /v1 is entered: the route's own scopes, one transaction around its handler, committed before the answer."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Annotated, Any, Final, TypeVar

import structlog
from fastapi import Depends, Request, Response, Security
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from app.access import idempotency
from app.access.audit import Visit
from app.access.entry import Call, Caller, Entry
from app.access.scopes import Scope
from app.access.shops import Shop
from app.core.db import Connection
from app.core.races import until_won
from app.core.wire import LimitedRequest

T = TypeVar("T")

_bearer: Final = HTTPBearer(auto_error=False, description="An access token from /auth/token, or a kehu_live_… API key")
_MANY: Final = ("batch", "export", "triggers", "preview", "distribution", "migration")
_NO_ADDRESS: Final = re.compile(r"[^0-9A-Za-z.:]")


class Door:
    """The scopes that a route needs; as a dependency, the call that the route has opened."""

    def __init__(self, *scopes: Scope) -> None:
        self.scopes = scopes

    async def __call__(
        self, request: Request, _: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]
    ) -> Call:
        """FastAPI's side of it."""
        call: Call = request.state.call
        return call


def door(*scopes: Scope) -> Any:
    """`Annotated` metadata for handlers: `call: Annotated[Call, door("customers:read")]`."""
    return Depends(Door(*scopes))


class DoorRoute(APIRoute):
    """A route with a door. It does not start without one.

    Around the handler stands one transaction: the caller is admitted, the handler runs and its answer is made, the
    `Idempotency-Key` of a POST is kept with that answer, the access log gets its row, all is committed, and only then
    does the answer leave. When a race was lost, all of it runs again in a new transaction.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's hook for wrapping a route."""
        handle = super().get_route_handler()
        scopes = _door_of(self.dependant, self.path)
        methods = set(self.methods or ())
        posts = "POST" in methods
        route_class = _class_of(self.path, methods)
        name = f"{'/'.join(sorted(methods))} {self.path}"

        async def enter(request: Request) -> Response:
            limited = LimitedRequest(request.scope, request.receive)
            # Before the transaction, because a slow upload must not hold a connection; looked at inside, because
            # strangers get nothing parsed.
            body = await limited.body()
            key = request.headers.get("idempotency-key") if posts else None

            async def carry_out() -> Response:
                return await handle(limited)

            async def attempt() -> Response:
                entry: Entry = request.app.state.entry
                async with entry.call(
                    _secret(request), _visit(request, name), *scopes, route_class=route_class
                ) as call:
                    structlog.contextvars.bind_contextvars(shop_id=call.shop.id, client_id=call.caller.client_id)
                    if body and limited.is_json():
                        # FastAPI would turn whatever reading raises into one plain 400.
                        await limited.json()
                    limited.state.call = call
                    if key is None:
                        return await carry_out()
                    content = b"\n".join((request.url.path.encode(), request.url.query.encode(), body))
                    return await idempotency.once(
                        call.db, call.shop, call.caller.client, idempotency.check(key), content, carry_out
                    )

            return await until_won(attempt)

        return enter


class Gate:
    """The way in for a request that is too long for one transaction: its body is stored as it comes.

    The caller is admitted before a byte is read, each further piece only while the credential is live, and the call
    that decides is one like any other. First and last leave a row each in the access log.
    """

    def __init__(self, request: Request, name: str, scopes: tuple[Scope, ...]) -> None:
        self._request, self._name, self._scopes = request, name, scopes
        self._entry: Entry = request.app.state.entry
        self.caller: Caller
        self.shop: Shop

    async def admit(self) -> None:
        """Who is calling. Raises what `Entry.call` raises, and Unprocessable for a key that cannot be one."""
        async with self._call() as call:
            if (key := self._request.headers.get("idempotency-key")) is not None:
                idempotency.check(key)
            self.caller, self.shop = call.caller, call.shop
            structlog.contextvars.bind_contextvars(shop_id=call.shop.id, client_id=call.caller.client_id)

    def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes. Raises ClientDisconnect when it breaks off."""
        return self._request.stream()

    def piece(self) -> AbstractAsyncContextManager[tuple[Connection, Shop]]:
        """A transaction for a piece of the body. Raises CredentialRevoked."""
        return self._entry.again(self.caller)

    async def call(self, step: Callable[[Call], Awaitable[T]], *scopes: Scope) -> T:
        """Run the step as a call of its own that needs these scopes too, and again when it lost a race."""

        async def attempt() -> T:
            async with self._call(*scopes) as call:
                return await step(call)

        return await until_won(attempt)

    async def once(
        self, digest: bytes, step: Callable[[Call], Awaitable[Response]], *scopes: Scope
    ) -> tuple[Response, bool]:
        """`call`, carried out once for an `Idempotency-Key`. Returns the answer, and whether it was made just now.

        Args:
            digest: of the body; with path and query it tells one request from another.
        Raises: KeyReused, KeyInProgress.
        """
        key, url = self._request.headers.get("idempotency-key"), self._request.url
        done = False

        async def attempt(call: Call) -> Response:
            nonlocal done
            done = False  # what an attempt did that lost a race is undone

            async def carry_out() -> Response:
                nonlocal done
                done = True
                return await step(call)

            if key is None:
                return await carry_out()
            content = b"\n".join((url.path.encode(), url.query.encode(), digest))
            return await idempotency.once(
                call.db, call.shop, call.caller.client, idempotency.check(key), content, carry_out
            )

        return await self.call(attempt, *scopes), done

    def _call(self, *scopes: Scope) -> AbstractAsyncContextManager[Call]:
        visit = _visit(self._request, self._name)
        return self._entry.call(_secret(self._request), visit, *self._scopes, *scopes, route_class="write")


class UploadRoute(APIRoute):
    """A route whose handler takes its body in piece by piece, through a `Gate` in place of a `Call`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's hook for wrapping a route."""
        handle = super().get_route_handler()
        scopes = _door_of(self.dependant, self.path)
        name = f"{'/'.join(sorted(self.methods or ()))} {self.path}"

        async def enter(request: Request) -> Response:
            gate = Gate(request, name, scopes)
            await gate.admit()
            request.state.call = gate
            return await handle(request)

        return enter


def address_of(request: Request) -> str:
    """Where the caller is, as the access log keeps it."""
    return _NO_ADDRESS.sub("", request.client.host)[:45] if request.client else "-"


def _visit(request: Request, name: str) -> Visit:
    return Visit(name, address_of(request), request.scope.get("kehu.request_id", "-"))


def _secret(request: Request) -> str | None:
    kind, _, secret = request.headers.get("authorization", "").partition(" ")
    return secret.strip() if kind.lower() == "bearer" else None


def _class_of(path: str, methods: set[str]) -> str:
    if any(word in path for word in _MANY):
        return "batch"
    return "read" if methods <= {"GET", "HEAD"} or path.endswith(("/lookup", "/search")) else "write"


def _door_of(dependant: Dependant, path: str) -> tuple[Scope, ...]:
    doors = [found.call for found in dependant.dependencies if isinstance(found.call, Door)]
    if len(doors) != 1:
        raise RuntimeError(f"{path} declares {len(doors)} doors; every route of /v1 has exactly one")
    return doors[0].scopes

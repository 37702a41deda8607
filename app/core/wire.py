"""What comes in is limited before it is understood, and read by one JSON parser."""

from typing import Any, Final

import asyncpg
import orjson
from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core.errors import BadRequest, StartOver, TooLarge, Unprocessable

MAX_DEPTH: Final = 24
MAX_STRING: Final = 65_536
MAX_ITEMS: Final = 10_000
MAX_KEYS: Final = 64  # each unknown key is a refusal of its own to tell
ATTEMPTS: Final = 5  # how often a step that lost a race is run in all
RETRIABLE: Final = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError, StartOver)


def parse_json(body: bytes) -> Any:
    """Strict JSON: no NaN, no lone surrogates, no NUL; depth, strings, lists and objects within the limits above.

    Raises: BadRequest when it is not JSON, Unprocessable when it is and breaks a limit.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"The body is not valid JSON in UTF-8: {error}"[:200]) from None
    _check(value, len(body) > MAX_STRING, b"\\u0000" in body, MAX_DEPTH)
    return value


def _check(value: Any, long_strings: bool, nul: bool, depth: int) -> None:
    if isinstance(value, str):
        if nul and "\x00" in value:
            raise Unprocessable("Text must not contain the NUL character (\\u0000); remove it")
        if long_strings and len(value) > MAX_STRING:
            raise Unprocessable(f"Text is limited to {MAX_STRING} characters")
    elif isinstance(value, dict | list):
        if depth == 0:
            raise Unprocessable(f"Nesting is limited to {MAX_DEPTH} levels")
        if len(value) > (MAX_KEYS if isinstance(value, dict) else MAX_ITEMS):
            raise Unprocessable(f"A list is limited to {MAX_ITEMS} items, an object to {MAX_KEYS} keys")
        if not nul and not long_strings:  # the usual case: only containers can still break a limit
            for item in value.values() if isinstance(value, dict) else value:
                if isinstance(item, dict | list):
                    _check(item, long_strings, nul, depth - 1)
            return
        items = [*value.keys(), *value.values()] if isinstance(value, dict) else value
        for item in items:
            _check(item, long_strings, nul, depth - 1)


class LimitedRequest(Request):
    """A request whose JSON is read by `parse_json`."""

    def is_json(self) -> bool:
        """Whether the body claims to be JSON, or claims nothing."""
        kind = self.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
        return kind == "application/json" or kind.endswith("+json")

    async def json(self) -> Any:
        """The parsed body. Raises BadRequest, Unprocessable."""
        if not hasattr(self, "_json"):
            self._json = parse_json(await self.body())
        return self._json


class BodyLimit:
    """Refuses a body over the limit before a byte of it is parsed, whether or not its length was announced."""

    def __init__(self, app: ASGIApp, *, limit_bytes: int) -> None:
        self._app = app
        self._limit = limit_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI entry."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        scope["kehu.too_large"] = announced.isdigit() and int(announced) > self._limit
        seen = 0

        async def limited() -> Message:
            nonlocal seen
            if scope["kehu.too_large"]:
                raise TooLarge(f"Send at most {self._limit} bytes at a time")
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._limit:
                raise TooLarge(f"Send at most {self._limit} bytes at a time")
            return message

        await self._app(scope, limited, send)

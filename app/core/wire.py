"""What comes in is limited before it is understood, and read by one JSON parser."""

from collections.abc import Mapping
from itertools import chain
from typing import Any, Final

import orjson
from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core.errors import BadRequest, TooLarge, Unprocessable

MAX_DEPTH: Final = 24
MAX_STRING: Final = 65_536
MAX_ITEMS: Final = 10_000
MAX_KEYS: Final = 64  # each unknown key is a refusal of its own to tell


def parse_json(body: bytes) -> Any:
    """Strict JSON: no NaN, no lone surrogates, no NUL; depth, strings, lists and objects within the limits above.

    Raises: BadRequest when it is not JSON, Unprocessable when it is and breaks a limit.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"The body is not valid JSON in UTF-8: {error}"[:200]) from None
    nul = b"\\u0000" in body
    if nul or _may_hold_long_text(body):
        _check_texts(value, nul=nul)
    _check_shape(value)
    return value


def _may_hold_long_text(body: bytes) -> bool:
    """Whether two quotes stand further apart than a text may be long; behind an escaped one could be more."""
    at = 0
    while len(body) - at > MAX_STRING:
        at = body.rfind(b'"', at, at + MAX_STRING + 1) + 1
        if at == 0:
            return True
    return len(body) > MAX_STRING and b'\\"' in body


def _check_shape(value: Any) -> None:
    """Walks level by level: one pass over all values of a level is quicker than a call for each container."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        objects = [one for one in level if type(one) is dict]
        lists = [one for one in level if type(one) is list]
        if max(map(len, objects), default=0) > MAX_KEYS or max(map(len, lists), default=0) > MAX_ITEMS:
            raise Unprocessable(f"A list is limited to {MAX_ITEMS} items, an object to {MAX_KEYS} keys")
        if not objects and not lists:
            return
        level = [*chain.from_iterable(map(dict.values, objects)), *chain.from_iterable(lists)]
    raise Unprocessable(f"Nesting is limited to {MAX_DEPTH} levels")


def _check_texts(value: Any, *, nul: bool) -> None:
    """Walks with a list of its own, because the shape is not known to be harmless yet."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            if nul and "\x00" in value:
                raise Unprocessable("Text must not contain the NUL character (\\u0000); remove it")
            if len(value) > MAX_STRING:
                raise Unprocessable(f"Text is limited to {MAX_STRING} characters")
        elif isinstance(value, dict):
            waiting += value.keys()
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


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
    """Refuses a body over the limit before a byte of it is parsed, whether or not its length was announced.

    `uploads` are the limits of paths whose bodies are stored as they come, and are never in memory.
    """

    def __init__(self, app: ASGIApp, *, limit_bytes: int, uploads: Mapping[str, int]) -> None:
        self._app = app
        self._limit = limit_bytes
        self._uploads = uploads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI entry."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._uploads.get(scope["path"], self._limit)
        announced = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        scope["kehu.too_large"] = announced.isdigit() and int(announced) > limit
        seen = 0

        async def limited() -> Message:
            nonlocal seen
            if scope["kehu.too_large"]:
                raise TooLarge(f"Send at most {limit} bytes at a time")
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > limit:
                raise TooLarge(f"Send at most {limit} bytes at a time")
            return message

        await self._app(scope, limited, send)

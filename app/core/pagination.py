"""Keyset pages: an opaque cursor holds the order key of the last row seen."""

import base64
from typing import Annotated, Any

import orjson
from fastapi import Query

from app.core.errors import Unprocessable

Limit = Annotated[int, Query(ge=1, le=200, description="Rows per page")]
Cursor = Annotated[str | None, Query(max_length=512, description="`next_cursor` of the page before")]


class InvalidCursor(Unprocessable):
    """Not a cursor of ours, or one of another list."""

    code, title = "invalid_cursor", "Send back `next_cursor` exactly as it was given, with the same filters"

    def __init__(self) -> None:
        super().__init__(field="cursor")


def encode_cursor(*key: Any) -> str:
    """A cursor from the order key of the page's last row."""
    return base64.urlsafe_b64encode(orjson.dumps(key)).decode().rstrip("=")


def decode_cursor(cursor: str, *types: type) -> list[Any]:
    """The order key. Raises InvalidCursor when it was not made by us for this list."""
    try:
        key = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except ValueError:
        key = None
    if not isinstance(key, list) or [type(part) for part in key] != list(types):
        raise InvalidCursor
    if any(isinstance(part, int) and not 0 <= part < 2**63 for part in key):
        raise InvalidCursor
    return key

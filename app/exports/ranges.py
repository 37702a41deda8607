"""The Range header: a download that broke off goes on where it was (RFC 9110, section 14)."""

import re
from typing import Final, NamedTuple

from app.exports.errors import RangeBeyondContent

_ONE: Final = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


class Span(NamedTuple):
    """Bytes from `start` up to and without `end`."""

    start: int
    end: int


def span_of(header: str | None, length: int) -> Span | None:
    """The bytes asked for; None for all of them, as for a header that asks in a way that need not be understood.

    Raises: RangeBeyondContent.
    """
    found = _ONE.fullmatch(header.strip()) if header else None
    if found is None or found[1] == found[2] == "":
        return None
    if found[1] == "":  # the last so many
        start, end = max(0, length - int(found[2])), length
    else:
        start = int(found[1])
        end = min(length, int(found[2]) + 1) if found[2] else length
        if found[2] and int(found[2]) < start:
            return None
    if start >= end:
        raise RangeBeyondContent(f"The content has {length} bytes", field="range", length=length)
    return Span(start, end)

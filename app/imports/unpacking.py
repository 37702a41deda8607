"""A body that was packed for the way, unpacked as it comes: never more than a piece of it in memory."""

import zlib
from collections.abc import AsyncIterator
from typing import Final

from app.core.errors import Unprocessable

_PIECE: Final = 256 * 1024
_SLICE: Final = 4096
_GZIP: Final = 31  # zlib's word for a gzip header around the stream


def unpacked(pieces: AsyncIterator[bytes], encoding: str) -> AsyncIterator[bytes]:
    """The file's own bytes. Raises Unprocessable for an encoding that is neither gzip nor none."""
    if encoding in ("", "identity"):
        return pieces
    if encoding != "gzip":
        raise Unprocessable("Send the file as it is, or with Content-Encoding: gzip", field="Content-Encoding")
    return _gunzipped(pieces)


async def _gunzipped(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """A few bytes may unpack to gigabytes, so they are unpacked a bounded piece at a time."""
    unpacker, begun = zlib.decompressobj(_GZIP), False
    try:
        async for left in _sliced(pieces):
            while left:
                if unpacker.eof:  # one file may be several packed ones
                    unpacker = zlib.decompressobj(_GZIP)
                begun = True
                yield unpacker.decompress(left, _PIECE)
                left = unpacker.unused_data if unpacker.eof else unpacker.unconsumed_tail
    except zlib.error:
        raise Unprocessable("The body is not gzip, as Content-Encoding says", field="Content-Encoding") from None
    while begun and not unpacker.eof and (rest := unpacker.decompress(b"", _PIECE)):
        yield rest
    if begun and not unpacker.eof:
        raise Unprocessable("The gzip body ends before it is complete; send it again", field="Content-Encoding")


async def _sliced(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """In slices, because each end of a packed file copies what is left: of many small ones, again and again."""
    async for piece in pieces:
        for start in range(0, len(piece), _SLICE):
            yield piece[start : start + _SLICE]

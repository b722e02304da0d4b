"""Decodes a response's body in pieces, so that a limit applies before memory is allocated, not after."""

import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Final

ACCEPTED: Final = "gzip"
"""Value of the request's Accept-Encoding."""
_PIECE: Final = 64 * 1024


class BodyRefused(Exception):
    """The body is not read. The text is the reason, for the user."""


def pieces(raw: Iterable[bytes], content_encoding: str, max_bytes: int) -> Iterator[bytes]:
    """The decoded body, at most 64 KiB at a time and `max_bytes` in all. Raises BodyRefused.

    At most one content encoding is decoded: each further one could multiply the length by a thousand.
    """
    names = [name for name in map(str.strip, content_encoding.lower().split(",")) if name not in ("", "identity")]
    if len(names) > 1:
        raise BodyRefused("its content is encoded more than once")
    decode = _decoder(names[0]) if names else _identity
    wire = decoded = 0
    for chunk in raw:
        wire += len(chunk)
        for piece in decode(chunk):
            decoded += len(piece)
            if decoded > max_bytes:
                raise BodyRefused(f"longer than {max_bytes} bytes")
            yield piece
        # Input without output costs time as well. Gzip makes incompressible data slightly longer.
        if wire > max_bytes + _PIECE:
            raise BodyRefused(f"longer than {max_bytes} bytes")


def _decoder(name: str) -> Callable[[bytes], Iterator[bytes]]:
    if name in ("gzip", "x-gzip"):
        return _Inflate(lambda _: 16 + zlib.MAX_WBITS)
    if name == "deflate":
        return _Inflate(_deflate_window)
    raise BodyRefused("its content encoding is not one that was asked for")


def _deflate_window(first: bytes) -> int:
    # Servers send it with zlib's header, as the standard prescribes, or without.
    has_header = first[0] & 0x0F == 8 and (len(first) < 2 or (first[0] << 8 | first[1]) % 31 == 0)
    return zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS


class _Inflate:
    def __init__(self, window: Callable[[bytes], int]) -> None:
        """window: zlib's `wbits` for a stream that begins with these bytes."""
        self._window = window
        self._stream: zlib._Decompress | None = None

    def __call__(self, chunk: bytes) -> Iterator[bytes]:
        if not chunk:
            return
        if self._stream is None:
            self._stream = zlib.decompressobj(self._window(chunk))
        try:
            while not self._stream.eof:  # bytes after the end are no part of the page
                piece = self._stream.decompress(chunk, _PIECE)
                if piece:
                    yield piece
                chunk = self._stream.unconsumed_tail
                if not chunk and len(piece) < _PIECE:
                    return
        except zlib.error:
            raise BodyRefused("its content encoding is broken") from None


def _identity(chunk: bytes) -> Iterator[bytes]:
    for start in range(0, len(chunk), _PIECE):
        yield chunk[start : start + _PIECE]

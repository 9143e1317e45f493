"""The body of a response, bounded before and after decompression."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterable, AsyncIterator, Iterator

from searchmesh.fetch.problems import FetchProblem, Reason

ACCEPT_ENCODING = b"gzip"
"""The one encoding that is asked for, and the only one that is decoded: every server has it."""

_SLICE = 64 * 1024
"""Bytes that are decompressed at once: 0.1 ms of the event loop, for HTML and for zeros alike."""


async def bounded(
    raw: AsyncIterable[bytes], encoding: str, *, max_bytes: int, max_decoded_bytes: int
) -> AsyncIterator[bytes]:
    """The decoded body in pieces of at most 64 KiB where it is compressed.

    Raises FetchProblem as soon as there are more than `max_bytes` from the network or `max_decoded_bytes` decoded ones,
    and for an encoding that was not asked for.
    """
    if encoding not in ("", "identity", "gzip", "x-gzip"):
        raise FetchProblem("has a content encoding other than gzip", Reason.REFUSED)
    gzip = _Gzip() if "gzip" in encoding else None
    received = decoded = 0
    async for chunk in raw:
        received += len(chunk)
        if received > max_bytes:
            raise too_large(max_bytes)
        for piece in gzip.feed(chunk) if gzip else (chunk,):
            decoded += len(piece)
            if decoded > max_decoded_bytes:
                raise too_large(max_decoded_bytes)
            yield piece
            if gzip:
                await asyncio.sleep(0)  # a compressed chunk may hold a thousand pieces: others have their turn
    if gzip:
        gzip.finish()


def too_large(limit: int) -> FetchProblem:
    """A body over a limit in bytes."""
    return FetchProblem(f"is larger than {limit} bytes", Reason.TOO_LARGE)


class _Gzip:
    """Decompresses in slices. Members that follow one another are one body (RFC 1952, 2.2)."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(16 + zlib.MAX_WBITS)

    def feed(self, data: bytes) -> Iterator[bytes]:
        try:
            while data:
                if self._member.eof:
                    self._member = zlib.decompressobj(16 + zlib.MAX_WBITS)
                if piece := self._member.decompress(data, _SLICE):
                    yield piece
                data = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
        except zlib.error as error:
            raise FetchProblem("has a body that is not valid gzip", Reason.REFUSED) from error

    def finish(self) -> None:
        if not self._member.eof:
            raise FetchProblem("has a compressed body that is cut off", Reason.UNREACHABLE)

"""Long documents in overlapping windows."""

from __future__ import annotations

from searchmesh.catalog.sections import Chunking


def windows(tokens: int, length: int, chunking: Chunking | None) -> list[tuple[int, int]]:
    """Tokens [first, last) of each window of a document of so many tokens, at most `length` (≥ 1) of them.

    Windows start a `length` less their overlap apart; the last one is the document's last `length` tokens, so it may
    overlap more. A document that fits is one window. Without `chunking` there is only the first window.
    """
    if tokens <= length or chunking is None:
        return [(0, min(tokens, length))]
    step = length - min(chunking.overlap_max, length // chunking.overlap_divisor)
    starts = range(0, tokens - length, step)
    return [*((start, start + length) for start in starts), (tokens - length, tokens)]

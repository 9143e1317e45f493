"""A long list of documents in several passes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Room:
    """What one pass holds."""

    documents: int
    """At most."""
    budget: int
    """Tokens of documents, by the published rule, which does not count what is written around each of them."""
    reserve: int
    """A pass is full when so much or less of its budget is left."""
    tokens: int
    """Tokens of documents and of what is written around them that there really is room for."""


def blocks(lengths: Sequence[int], around: int, room: Room) -> Iterator[tuple[int, int]]:
    """Documents [first, last) of each pass, in order.

    `lengths` are the tokens of the documents, each with `around` at most `room.tokens`; `around` is written around each
    of them.
    """
    first, used = 0, 0
    for place, length in enumerate(lengths):
        written = used + (place - first) * around
        full = place - first == room.documents or room.budget - used <= room.reserve
        if place > first and (full or written + length + around > room.tokens):
            yield first, place
            first, used = place, 0
        used += length
    yield first, len(lengths)

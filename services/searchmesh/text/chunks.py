"""Where the chunks of a text end, in code points and in tokens (late chunking).

Every token belongs to exactly one chunk: that of its last character. Tokens before the text (special tokens, prompt)
go to the first chunk and those after it to the last, so that a text in one chunk has the vector it has without chunks.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby
from typing import TypeAlias

import sentencex

from searchmesh.runtime.errors import InvalidArgument

Offsets: TypeAlias = Sequence[tuple[int, int]]
"""Start and end (exclusive) of each token of a text, in code points."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Code points [start, end) of a text and its tokens [first, last)."""

    start: int
    end: int
    first: int
    last: int


Chunking: TypeAlias = Callable[[int, str, Offsets], list[Chunk]]
"""The chunks of the text at a position of a request, of which `Offsets` are the tokens. Never empty."""


def by_sentences(_: int, text: str, offsets: Offsets) -> list[Chunk]:
    """A chunk per sentence; what holds no token, such as an empty line, goes to the sentence before it."""
    ends = list(accumulate(map(len, sentencex.segment("en", text))))
    return list(_joined(_cut(offsets, ends)))


def by_tokens(size: int) -> Chunking:
    """A chunk per `size` tokens. A chunk reaches to where the next one starts."""

    def chunking(_: int, text: str, offsets: Offsets) -> list[Chunk]:
        firsts = range(0, max(1, len(offsets)), size)
        starts = [0, *(offsets[first][0] for first in firsts[1:]), len(text)]
        return [
            Chunk(start, end, first, min(first + size, len(offsets)))
            for first, start, end in zip(firsts, starts, starts[1:], strict=False)
        ]

    return chunking


def by_ends(ends: Sequence[Sequence[int]], field: Callable[[int], str]) -> Chunking:
    """Chunks that end at the given offsets, a list per text. `field` names the list of a text in an InvalidArgument."""

    def chunking(position: int, text: str, offsets: Offsets) -> list[Chunk]:
        own = ends[position]
        if not own or own[-1] != len(text) or any(a >= b for a, b in zip([0, *own], own, strict=False)):
            raise InvalidArgument(
                field(position), f"must ascend from above 0 to the length of the text, {len(text)} code points"
            )
        chunks = _cut(offsets, own)
        for number, chunk in enumerate(chunks):
            if chunk.first == chunk.last:
                raise InvalidArgument(f"{field(position)}[{number}]", "ends a chunk that holds no token")
        return chunks

    return chunking


def _cut(offsets: Offsets, ends: Sequence[int]) -> list[Chunk]:
    """A chunk per end; those without a token have ``first == last``."""
    owners = [min(bisect_left(ends, max(start + 1, end)), len(ends) - 1) for start, end in offsets]
    chunks, first = [], 0
    for number, (start, end) in enumerate(zip([0, *ends], ends, strict=False)):
        last = first
        while last < len(owners) and owners[last] == number:
            last += 1
        chunks.append(Chunk(start, end, first, last))
        first = last
    return chunks


def _joined(chunks: Sequence[Chunk]) -> Iterator[Chunk]:
    """The chunks, those without a token joined to the one before them, or to the first that has one."""
    before = list(accumulate(chunk.first < chunk.last for chunk in chunks))
    for _, group in groupby(range(len(chunks)), key=lambda number: max(before[number], 1)):
        own = [chunks[number] for number in group]
        yield Chunk(own[0].start, own[-1].end, own[0].first, own[-1].last)

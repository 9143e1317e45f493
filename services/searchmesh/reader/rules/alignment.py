"""Where an extracted text comes from in the page.

Extraction libraries answer with a text of their own making: links, code and tables are flattened, some pieces are left
out. Their judgement is worth having, their rendering is not. So each passage of the page is looked for in what they
extracted, as in a diff: long passages that are found in the same order are anchors, and what lies between two anchors
of the one is looked for between the same two of the other.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import zip_longest
from typing import NamedTuple

from searchmesh.reader.rules.passages import Passage

_LONG = 25
"""Letters that make a passage unlikely to be found where it does not come from."""

_SHORT = 8
"""Shorter passages must follow directly upon what was found before them."""

_MOST = 0.5
"""Share of a passage that must be found for it to count as extracted."""


class _Anchor(NamedTuple):
    passage: int
    start: int
    end: int


def align(passages: Sequence[Passage], extracted: str) -> None:
    """Mark the passages that are in `extracted` (letters alone) as kept, the others as not."""
    for passage in passages:
        passage.kept = False
    anchors = _anchors(passages, extracted)
    if not anchors:
        _fill(passages, extracted, 0, len(extracted))
        return
    # Before the first anchor what is nearest to it counts: words of a title may stand in the navigation, too.
    _fill_backwards(passages[: anchors[0].passage], extracted, anchors[0].start)
    for anchor, following in zip_longest(anchors, anchors[1:]):
        passages[anchor.passage].kept = True
        until, end = (following.passage, following.start) if following else (len(passages), len(extracted))
        _fill(passages[anchor.passage + 1 : until], extracted, anchor.end, end)


def _anchors(passages: Sequence[Passage], extracted: str) -> list[_Anchor]:
    """As many long passages as there are whose places follow one another in both texts."""
    found: list[_Anchor] = []
    cursor = 0
    for number, passage in enumerate(passages):
        text = passage.letters
        if len(text) < _LONG:
            continue
        start = extracted.find(text, cursor)
        if start < 0:
            start = extracted.find(text, 0, cursor)
        if start >= 0:
            cursor = start + len(text)
            found.append(_Anchor(number, start, cursor))
    return _ascending(found)


def _ascending(anchors: Sequence[_Anchor]) -> list[_Anchor]:
    """A longest subsequence with ascending starts (patience sorting)."""
    starts: list[int] = []
    ends_with: list[int] = []
    above: list[int | None] = []
    for number, anchor in enumerate(anchors):
        pile = bisect_left(starts, anchor.start)
        above.append(ends_with[pile - 1] if pile else None)
        if pile == len(starts):
            starts.append(anchor.start)
            ends_with.append(number)
        else:
            starts[pile], ends_with[pile] = anchor.start, number
    chosen: list[_Anchor] = []
    number_or_none = ends_with[-1] if ends_with else None
    while number_or_none is not None:
        chosen.append(anchors[number_or_none])
        number_or_none = above[number_or_none]
    return chosen[::-1]


def _fill(passages: Sequence[Passage], extracted: str, cursor: int, end: int) -> None:
    """Look for the passages between two anchors, one after the other."""
    for passage in passages:
        if cursor >= end:
            return
        text = passage.letters
        if not text:
            continue
        start = extracted.find(text, cursor, end)
        if start >= 0 and (len(text) >= _SHORT or start == cursor):
            passage.kept = True
            cursor = start + len(text)
        elif len(text) >= _LONG:
            reached, found = _parts(passage, extracted, cursor, end)
            if found >= _MOST * len(text):
                passage.kept = True
                cursor = reached


def _fill_backwards(passages: Sequence[Passage], extracted: str, end: int) -> None:
    for passage in reversed(passages):
        text = passage.letters
        start = extracted.rfind(text, 0, end) if text else -1
        if start >= 0 and (len(text) >= _SHORT or start + len(text) == end):
            passage.kept = True
            end = start


def _parts(passage: Passage, extracted: str, cursor: int, end: int) -> tuple[int, int]:
    """How far the parts of a passage reach in the extracted text, and how many letters of them were found."""
    found = 0
    for piece in passage.pieces():
        if len(piece) >= _SHORT and (start := extracted.find(piece, cursor, end)) >= 0:
            cursor = start + len(piece)
            found += len(piece)
    return cursor, found

"""What must always hold of windows of long documents and of passes over long lists."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from searchmesh.catalog.sections import Chunking
from searchmesh.reranker.blocks import Room, blocks
from searchmesh.reranker.windows import windows

chunkings = st.builds(
    Chunking,
    pair_specials=st.just(2),
    overlap_max=st.integers(0, 100),
    overlap_divisor=st.integers(2, 8),
    merge=st.just("max"),
)


@given(st.integers(0, 3000), st.integers(1, 600), chunkings)
def test_windows_cover_every_token_and_never_exceed_their_length(tokens: int, length: int, chunking: Chunking) -> None:
    found = windows(tokens, length, chunking)
    assert all(0 < last - first <= length or tokens == 0 for first, last in found)
    assert {token for first, last in found for token in range(first, last)} == set(range(tokens))
    assert len(set(found)) == len(found)


@given(st.integers(1, 3000), st.integers(1, 600), chunkings)
def test_windows_are_those_of_the_published_rule(tokens: int, length: int, chunking: Chunking) -> None:
    """Windows of `length`, a step apart; one that reaches the end is the document's last `length` tokens."""
    overlap = min(chunking.overlap_max, length // chunking.overlap_divisor)
    expected, start = set(), 0
    while start < tokens:
        end = start + length
        expected.add((max(0, tokens - length), tokens) if end >= tokens else (start, end))
        start += length - overlap
    assert set(windows(tokens, length, chunking)) == expected


@given(st.integers(0, 3000), st.integers(1, 600))
def test_without_a_rule_there_is_one_window(tokens: int, length: int) -> None:
    assert windows(tokens, length, None) == [(0, min(tokens, length))]


@st.composite
def lists(draw: st.DrawFn) -> tuple[list[int], int, Room]:
    around = draw(st.integers(0, 20))
    budget = draw(st.integers(around + 1, 4000))
    room = Room(
        documents=draw(st.integers(1, 130)),
        budget=budget,
        reserve=draw(st.integers(0, 600)),
        tokens=draw(st.integers(around + 1, budget)),
    )
    return draw(st.lists(st.integers(0, room.tokens - around), min_size=1, max_size=150)), around, room


@given(lists())
def test_passes_hold_all_documents_in_order_and_never_more_than_there_is_room_for(
    case: tuple[list[int], int, Room],
) -> None:
    lengths, around, room = case
    found = list(blocks(lengths, around, room))
    assert [place for first, last in found for place in range(first, last)] == list(range(len(lengths)))
    for first, last in found:
        assert 0 < last - first <= room.documents
        assert sum(length + around for length in lengths[first:last]) <= room.tokens


@given(st.lists(st.integers(1, 2048), min_size=1, max_size=300), st.integers(4096, 131072), st.integers(1, 125))
def test_passes_are_those_of_the_published_rule_where_what_is_around_documents_fits(
    lengths: list[int], budget: int, most: int
) -> None:
    """A pass ends with the document that makes it `most`, or leaves 2,048 or less of the budget."""
    expected, capacity, first = [], budget, 0
    for place, length in enumerate(lengths):
        capacity -= length
        if place + 1 - first == most or capacity <= 2048:
            expected.append((first, place + 1))
            capacity, first = budget, place + 1
    if first < len(lengths):
        expected.append((first, len(lengths)))
    room = Room(documents=most, budget=budget, reserve=2048, tokens=budget + 20 * len(lengths))
    assert list(blocks(lengths, 20, room)) == expected

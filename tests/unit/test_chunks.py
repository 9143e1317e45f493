"""Chunks of a text: a partition of its characters and of its tokens."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from searchmesh.runtime.errors import InvalidArgument
from searchmesh.text import Chunk, Chunking, Tokenizer, by_ends, by_sentences, by_tokens
from support.models import write_tokenizer

TEXT = "The quick fox. The lazy dog!  A search engine?"
WORDS = [
    (0, 3),
    (4, 9),
    (10, 13),
    (13, 14),
    (15, 18),
    (19, 23),
    (24, 27),
    (27, 28),
    (30, 31),
    (32, 38),
    (39, 45),
    (45, 46),
]


def field(position: int) -> str:
    return f"ends[{position}]"


def test_sentences_end_where_the_next_begins() -> None:
    chunks = by_sentences(0, TEXT, WORDS)
    assert [TEXT[chunk.start : chunk.end].strip() for chunk in chunks] == [
        "The quick fox.",
        "The lazy dog!",
        "A search engine?",
    ]
    assert [(chunk.first, chunk.last) for chunk in chunks] == [(0, 4), (4, 8), (8, 12)]


def test_what_holds_no_token_belongs_to_the_sentence_before_it() -> None:
    text = "\n\nOne.\n\n\n\nTwo."
    chunks = by_sentences(0, text, [(2, 5), (5, 6), (10, 13), (13, 14)])
    assert [(chunk.first, chunk.last) for chunk in chunks] == [(0, 2), (2, 4)]
    assert "".join(text[chunk.start : chunk.end] for chunk in chunks) == text


def test_chunks_of_a_size_reach_to_the_next_one() -> None:
    assert by_tokens(5)(0, TEXT, WORDS) == [Chunk(0, 19, 0, 5), Chunk(19, 39, 5, 10), Chunk(39, 46, 10, 12)]


def test_a_token_belongs_to_the_chunk_of_its_last_character() -> None:
    # As SentencePiece has it: the second token starts with the space before its word.
    chunks = by_ends([[4, 7]], field)(0, "one two", [(0, 3), (3, 7)])
    assert chunks == [Chunk(0, 4, 0, 1), Chunk(4, 7, 1, 2)]


@pytest.mark.parametrize("ends", [[], [3], [0, 46], [10, 5, 46], [46, 46], [47]])
def test_ends_ascend_to_the_end_of_the_text(ends: list[int]) -> None:
    with pytest.raises(InvalidArgument) as raised:
        by_ends([[46], ends], field)(1, TEXT, WORDS)
    assert raised.value.field == "ends[1]"
    assert "46 code points" in raised.value.message


def test_a_chunk_without_a_token_is_refused_by_its_place() -> None:
    with pytest.raises(InvalidArgument) as raised:
        by_ends([[14, 15, 46]], field)(0, TEXT, WORDS)
    assert raised.value.field == "ends[0][1]"


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    write_tokenizer(path)
    return Tokenizer(path)


@pytest.mark.parametrize("rule", [by_sentences, by_tokens(1), by_tokens(3), by_tokens(1000)])
@given(text=st.text(alphabet="abc xyz.!?\n\t\u00e9\u4f60", max_size=60))
def test_chunks_are_a_partition_whatever_the_text(tokenizer: Tokenizer, rule: Chunking, text: str) -> None:
    text = "fox " + text
    (made,) = asyncio.run(tokenizer.chunked([text], rule, max_tokens=1000, prompt="search ", field=field))
    assert "".join(text[chunk.start : chunk.end] for chunk in made.chunks) == text
    assert made.chunks[0].first == 0
    assert made.chunks[-1].last == len(made.ids)
    for before, after in zip(made.chunks, made.chunks[1:], strict=False):
        assert (before.end, before.last) == (after.start, after.first)
    assert all(chunk.first < chunk.last for chunk in made.chunks)


async def test_a_text_that_is_too_long_has_no_chunks(tokenizer: Tokenizer) -> None:
    with pytest.raises(InvalidArgument) as raised:
        await tokenizer.chunked(["fox", "fox " * 20], by_sentences, max_tokens=16, field=field)
    assert raised.value.field == "ends[1]"
    assert "22 tokens, the limit is 16" in raised.value.message

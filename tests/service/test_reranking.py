"""The reranking service on the real tritonserver."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tokenizers

from searchmesh.client import AsyncClient, Image, TokenVectors
from searchmesh.client.contents import Content
from searchmesh.runtime.errors import InvalidArgument
from support.models import MODEL

QUERY = "how to make a file smaller"
DOCUMENTS = [
    "The cat sat on the mat and looked at the rain.",
    "Compress a file with gzip to reduce its size.",
    "Paris is the capital of France.",
    "Archives such as zip hold several compressed files. " * 10,
]


async def test_the_most_relevant_document_comes_first(client: AsyncClient) -> None:
    ranking = await client.rerank(QUERY, DOCUMENTS)
    assert ranking.results[0].index == 1
    assert {result.index for result in ranking.results} == {0, 1, 2, 3}
    scores = [result.relevance_score for result in ranking.results]
    assert scores == sorted(scores, reverse=True)


async def test_scores_are_maxsim_of_the_token_vectors(client: AsyncClient) -> None:
    ranking = await client.rerank(QUERY, DOCUMENTS)
    vectors = (await client.embed([QUERY, *DOCUMENTS], multi_vector=True, bypass_cache=True)).per_input()
    for result in ranking.results:
        expected = float((vectors[0] @ vectors[1 + result.index].T).max(axis=1).sum())
        assert result.relevance_score == pytest.approx(expected, abs=1e-2)


async def test_a_score_does_not_depend_on_the_other_documents(client: AsyncClient) -> None:
    together = {result.index: result.relevance_score for result in (await client.rerank(QUERY, DOCUMENTS)).results}
    for index, document in enumerate(DOCUMENTS):
        (alone,) = (await client.rerank(QUERY, [document])).results
        assert alone.relevance_score == pytest.approx(together[index], abs=1e-2)


async def test_top_n_cuts_and_tokens_are_counted(client: AsyncClient, repository: Path) -> None:
    ranking = await client.rerank(QUERY, DOCUMENTS, top_n=2)
    assert len(ranking.results) == 2
    tokenizer = tokenizers.Tokenizer.from_file(str(repository / MODEL / "tokenizer.json"))
    tokenizer.no_padding()
    assert ranking.results[0].input.tokens == len(tokenizer.encode(DOCUMENTS[1]).ids)


async def test_vectors_of_the_embedding_service_take_the_place_of_documents(client: AsyncClient) -> None:
    computed = {result.index: result.relevance_score for result in (await client.rerank(QUERY, DOCUMENTS)).results}
    for dtype, tolerance in (("float32", 1e-2), ("int8", 0.2)):
        stored = await client.embed(DOCUMENTS, multi_vector=True, dtype=dtype)  # type: ignore[arg-type]
        ranking = await client.rerank(QUERY, document_vectors=TokenVectors.of(stored))
        assert {result.index: result.relevance_score for result in ranking.results} == pytest.approx(
            computed, abs=tolerance
        )
        assert [result.text for result in ranking.results] == [""] * len(DOCUMENTS)
    binary = await client.embed(DOCUMENTS, multi_vector=True, dtype="binary")
    assert (await client.rerank(QUERY, document_vectors=TokenVectors.of(binary))).results[0].index == 1


async def test_vectors_come_back_with_the_results_they_belong_to(client: AsyncClient) -> None:
    ranking = await client.rerank(QUERY, DOCUMENTS, top_n=2, return_document_vectors=True)
    vectors = (await client.embed(DOCUMENTS, multi_vector=True, bypass_cache=True)).per_input()
    for result in ranking.results:
        assert result.vectors is not None
        np.testing.assert_allclose(result.vectors, vectors[result.index], atol=1e-3)


async def test_the_response_says_what_became_of_the_query(client: AsyncClient) -> None:
    assert not (await client.rerank(QUERY, ["a"])).query.truncated
    long = await client.rerank("file " * 1000, ["a"])
    assert (long.query.tokens, long.query.truncated) == (256, True)


@pytest.mark.parametrize(
    ("documents", "options", "field"),
    [
        (["a", Image(b"\x89PNG")], {}, "documents[1].image"),
        (["a"], {"instruction": "be fair"}, "instruction"),
        (
            [],
            {"document_vectors": TokenVectors([np.ones((2, 5), np.float32)], "float32", 5)},
            "document_vectors.dimensions",
        ),
    ],
)
async def test_what_the_model_cannot_do_is_refused_by_field(
    client: AsyncClient, documents: list[Content], options: dict[str, object], field: str
) -> None:
    with pytest.raises(InvalidArgument) as raised:
        await client.rerank(QUERY, documents, **options)  # type: ignore[arg-type]
    assert raised.value.field == field


async def test_a_long_document_is_cut_and_marked(client: AsyncClient) -> None:
    ranking = await client.rerank(QUERY, ["gzip " * 1000, "short"])
    assert {result.index: result.input.truncated for result in ranking.results} == {0: True, 1: False}


@pytest.mark.parametrize(
    ("query", "documents", "field"),
    [("", ["a"], "query.text"), ("q", [], "documents"), ("q", ["a", " "], "documents[1].text")],
)
async def test_bad_input_is_refused_by_field(client: AsyncClient, query: str, documents: list[str], field: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        await client.rerank(query, documents)
    assert raised.value.field == field


async def test_equal_documents_have_equal_scores_and_keep_their_order(client: AsyncClient) -> None:
    ranking = await client.rerank(QUERY, ["same text"] * 5)
    assert [result.index for result in ranking.results] == [0, 1, 2, 3, 4]
    assert np.ptp([result.relevance_score for result in ranking.results]) < 1e-4

"""Late interaction: MaxSim on the fly and with stored vectors of every kind, and what stored vectors must be."""

from __future__ import annotations

from itertools import accumulate, pairwise
from pathlib import Path

import numpy as np
import pytest

from searchmesh.embedding.dtypes import packed
from searchmesh.reranker import maxsim as module
from searchmesh.reranker.maxsim import maxsim
from searchmesh.runtime.deadlines import Deadline
from searchmesh.runtime.errors import InvalidArgument
from searchmesh.runtime.rpc import Call
from searchmesh.v1 import common_pb2, reranker_pb2
from support.rerankers import COLBERT, WORDS, Service, vectors_of

QUERY = "w1 w2 w3"
DOCUMENTS = ["w4 w5", "w1 w2 w9 w8 w7", "w6 ! w6", "w2"]


@pytest.fixture
def service(tmp_path: Path) -> Service:
    return Service(tmp_path, COLBERT, max_tokens=64, max_inputs=8, max_request_tokens=300)


def units(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def expected(query: np.ndarray, documents: list[np.ndarray]) -> list[float]:
    return [float(sum(max(float(q @ d) for d in document) for q in query)) for document in documents]


async def token_vectors(service: Service, documents: list[str]) -> list[np.ndarray]:
    """Those of each document, in order."""
    response = await service.rerank("w1", documents, return_document_vectors=True)
    offsets = list(response.document_vectors.row_offsets)
    rows = vectors_of(response)
    found = {
        result.index: rows[first:last]
        for result, first, last in zip(response.results, offsets, offsets[1:], strict=False)
    }
    return [found[place] for place in range(len(documents))]


def query_vectors(service: Service, query: str) -> np.ndarray:
    """What the fake model makes of a query with its marker and 32 tokens."""
    ids = service.tokenizer.encode(query).ids
    ids.insert(1, service.tokenizer.token_to_id("[QueryMarker]"))
    ids += [service.tokenizer.token_to_id("<mask>")] * (32 - len(ids))
    return units(service.backend._output("token_embeddings", {"input_ids": np.array([ids])})[0])


async def test_scores_are_the_sum_of_the_best_matches(service: Service) -> None:
    vectors = await token_vectors(service, DOCUMENTS)
    # <s>, the marker, the words and </s>; punctuation was read but does not count.
    assert [len(rows) for rows in vectors] == [5, 8, 5, 4]
    scores = await service.scores(QUERY, DOCUMENTS)
    assert scores == pytest.approx(expected(query_vectors(service, QUERY), vectors), abs=1e-5)


async def test_a_score_does_not_depend_on_the_other_documents(service: Service) -> None:
    together = await service.scores(QUERY, DOCUMENTS)
    for document, score in zip(DOCUMENTS, together, strict=True):
        assert (await service.scores(QUERY, [document]))[0] == pytest.approx(score, abs=1e-5)


async def test_vectors_that_are_returned_belong_to_the_results(service: Service) -> None:
    response = await service.rerank(QUERY, DOCUMENTS, return_document_vectors=True, top_n=2)
    offsets = list(response.document_vectors.row_offsets)
    query = query_vectors(service, QUERY)
    documents = [vectors_of(response)[first:last] for first, last in pairwise(offsets)]
    assert len(documents) == 2
    assert [result.relevance_score for result in response.results] == pytest.approx(
        expected(query, documents), abs=1e-5
    )


async def test_vectors_that_do_not_fit_into_a_message_are_refused(tmp_path: Path) -> None:
    service = Service(tmp_path, COLBERT, max_tokens=64, max_message_bytes=1024)
    await service.rerank(QUERY, DOCUMENTS, return_document_vectors=True)
    with pytest.raises(InvalidArgument) as raised:
        await service.rerank(QUERY, DOCUMENTS * 3, return_document_vectors=True)
    assert raised.value.field == "return_document_vectors"
    assert "1024" in raised.value.problem


def stored(documents: list[np.ndarray], dtype: int = common_pb2.DTYPE_FLOAT32) -> common_pb2.Vectors:
    rows = np.concatenate(documents).astype(np.float32)
    return common_pb2.Vectors(
        dtype=dtype,
        dimensions=rows.shape[1],
        row_offsets=accumulate(map(len, documents), initial=0),
        data=packed(rows, dtype),
    )


async def test_stored_vectors_score_as_if_they_were_computed(service: Service) -> None:
    vectors = await token_vectors(service, DOCUMENTS)
    computed = await service.scores(QUERY, DOCUMENTS)
    service.backend.calls.clear()
    assert await service.scores(QUERY, [], document_vectors=stored(vectors)) == pytest.approx(computed, abs=1e-5)
    assert len(service.sequences()) == 1
    # A type that is not named is float32, and only directions count.
    lengthened = stored([3 * rows for rows in vectors], common_pb2.DTYPE_UNSPECIFIED)
    assert await service.scores(QUERY, [], document_vectors=lengthened) == pytest.approx(computed, abs=1e-5)


@pytest.mark.parametrize("dimensions", [4, 8])
async def test_stored_vectors_may_be_small(service: Service, dimensions: int) -> None:
    vectors = [units(rows[:, :dimensions]) for rows in await token_vectors(service, DOCUMENTS)]
    query = units(query_vectors(service, QUERY)[:, :dimensions])
    scores = await service.scores(QUERY, [], document_vectors=stored(vectors, common_pb2.DTYPE_INT8))
    assert scores == pytest.approx(expected(query, vectors), abs=0.2)
    signs = [np.where(rows > 0, 1.0, -1.0) / np.sqrt(dimensions) for rows in vectors]
    scores = await service.scores(QUERY, [], document_vectors=stored(vectors, common_pb2.DTYPE_BINARY))
    assert scores == pytest.approx(expected(query, signs), abs=1e-5)


async def test_stored_vectors_may_come_with_their_documents(service: Service) -> None:
    vectors = stored(await token_vectors(service, DOCUMENTS))
    response = await service.rerank(QUERY, DOCUMENTS, document_vectors=vectors, return_documents=True)
    assert [result.document.text for result in response.results] == [DOCUMENTS[r.index] for r in response.results]
    assert {result.index: result.input.tokens for result in response.results} == {0: 5, 1: 8, 2: 5, 3: 4}


ONE = np.ones((1, 4), np.float32)


def block(**fields: object) -> common_pb2.Vectors:
    return common_pb2.Vectors(**{"dimensions": 4, "row_offsets": [0, 1, 3], "data": bytes(48)} | fields)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"document_vectors": block(dtype=common_pb2.DTYPE_FLOAT16)}, "document_vectors.dtype"),
        ({"document_vectors": block(dtype=common_pb2.DTYPE_UINT8)}, "document_vectors.dtype"),
        ({"document_vectors": block(dimensions=0)}, "document_vectors.dimensions"),
        ({"document_vectors": block(dimensions=6, data=bytes(72))}, "document_vectors.dimensions"),
        ({"document_vectors": block(data=bytes(47))}, "document_vectors.data"),
        ({"document_vectors": block(data=np.full((3, 4), np.nan, "<f4").tobytes())}, "document_vectors.data"),
        ({"document_vectors": block(data=np.full((3, 4), 1e30, "<f4").tobytes())}, "document_vectors.data"),
        ({"document_vectors": block(row_offsets=[])}, "document_vectors.row_offsets"),
        ({"document_vectors": block(row_offsets=[0])}, "document_vectors.row_offsets"),
        ({"document_vectors": block(row_offsets=[1, 3])}, "document_vectors.row_offsets"),
        ({"document_vectors": block(row_offsets=[0, 2])}, "document_vectors.row_offsets"),
        ({"document_vectors": block(row_offsets=[0, 1, 4])}, "document_vectors.row_offsets"),
        ({"document_vectors": block(row_offsets=[0, 1, 1, 3])}, "document_vectors.row_offsets[2]"),
        ({"document_vectors": block(row_offsets=[0, 2, 1, 3])}, "document_vectors.row_offsets[2]"),
        ({"document_vectors": stored([ONE] * 9)}, "document_vectors.row_offsets"),
        ({"document_vectors": block(), "return_documents": True}, "return_documents"),
        ({"document_vectors": block(), "return_document_vectors": True}, "return_document_vectors"),
        ({"document_vectors": block(), "documents": [common_pb2.Content(text="w1")]}, "documents"),
    ],
)
async def test_stored_vectors_that_do_not_fit_are_refused_by_field(
    service: Service, fields: dict[str, object], field: str
) -> None:
    request = reranker_pb2.RerankRequest(query=common_pb2.Content(text="w1"), **fields)
    with pytest.raises(InvalidArgument) as raised:
        await service.servicer.Rerank(request, Call(Deadline()))
    assert raised.value.field == field
    assert service.backend.calls == []


async def test_documents_are_cut_or_refused_and_queries_cut(service: Service) -> None:
    long = " ".join(WORDS[:80])
    response = await service.rerank(long, [long, "w1"])
    by_index = {result.index: result.input for result in response.results}
    assert [(by_index[place].tokens, by_index[place].truncated) for place in (0, 1)] == [(64, True), (4, False)]
    assert (response.query.tokens, response.query.truncated) == (32, True)
    with pytest.raises(InvalidArgument) as raised:
        await service.rerank("w1", ["w2", long], truncation=common_pb2.TRUNCATION_REFUSE)
    assert raised.value.field == "documents[1]"


async def test_a_request_that_takes_too_much_of_the_model_is_refused(service: Service) -> None:
    with pytest.raises(InvalidArgument) as raised:
        await service.rerank("w1", [" ".join(WORDS[:50])] * 6)
    assert (raised.value.field, raised.value.reason) == ("documents", "REQUEST_TOO_LONG")
    assert [len(ids) for ids in service.sequences()] in ([], [32])  # the query may have been on its way


async def test_an_instruction_is_refused(service: Service) -> None:
    with pytest.raises(InvalidArgument) as raised:
        await service.rerank("w1", ["w2"], instruction="be fair")
    assert raised.value.field == "instruction"


@pytest.mark.parametrize(("block_rows", "query_rows"), [(1, 1), (7, 3), (8192, 256)])
def test_maxsim_is_the_same_however_it_is_cut(
    monkeypatch: pytest.MonkeyPatch, block_rows: int, query_rows: int
) -> None:
    monkeypatch.setattr(module, "_BLOCK_ROWS", block_rows)
    monkeypatch.setattr(module, "_QUERY_ROWS", query_rows)
    numbers = np.random.default_rng(0)
    query = units(numbers.normal(size=(11, 6))).astype(np.float32)
    documents = [units(numbers.normal(size=(count, 6))).astype(np.float32) for count in (1, 9, 2, 2, 30, 1)]
    scores = maxsim(query, [len(rows) for rows in documents], lambda first, last: np.concatenate(documents[first:last]))
    np.testing.assert_allclose(scores, expected(query, documents), atol=1e-5)

"""Reranking by the client over real gRPC: what is sent, and what comes back."""

from __future__ import annotations

from collections.abc import AsyncIterator

import numpy as np
import pytest

from searchmesh.client import AsyncClient, Image, TokenVectors
from searchmesh.runtime.errors import InvalidArgument
from searchmesh.v1 import common_pb2
from support import fake_mesh
from support.fake_mesh import DIMENSIONS, FakeMesh, vector_of


@pytest.fixture
async def mesh() -> FakeMesh:
    return FakeMesh()


@pytest.fixture
async def client(mesh: FakeMesh) -> AsyncIterator[AsyncClient]:
    async with fake_mesh.running(mesh) as target, AsyncClient(target, target, target, timeout_s=5) as client:
        yield client


async def test_everything_that_is_asked_is_sent(client: AsyncClient, mesh: FakeMesh) -> None:
    await client.rerank(
        "query",
        ["text", Image(b"png"), Image(url="http://x/y.png")],
        model="m",
        top_n=2,
        instruction="be fair",
        truncation="refuse",
        lane="bulk",
    )
    (sent,) = mesh.reranked
    assert [content.WhichOneof("content") for content in sent.documents] == ["text", "image", "image"]
    assert (sent.documents[1].image.data, sent.documents[2].image.url) == (b"png", "http://x/y.png")
    assert (sent.model, sent.top_n, sent.instruction) == ("m", 2, "be fair")
    assert (sent.truncation, sent.lane) == (common_pb2.TRUNCATION_REFUSE, common_pb2.LANE_BULK)
    assert not sent.HasField("document_vectors")


async def test_results_have_what_was_sent_and_the_vectors_that_were_asked_for(client: AsyncClient) -> None:
    image = Image(b"png")
    ranking = await client.rerank("red fish", ["bird", image, "a red fish"], return_document_vectors=True)
    assert [(result.index, result.text, result.image) for result in ranking.results] == [
        (2, "a red fish", None),
        (0, "bird", None),
        (1, "", image),
    ]
    assert (ranking.query.tokens, ranking.query.truncated) == (2, False)
    assert ranking.results[0].vectors is not None
    np.testing.assert_array_equal(ranking.results[0].vectors, [vector_of("a red fish")])
    assert (await client.rerank("red", ["red"])).results[0].vectors is None
    assert (await client.rerank("a query of five words", ["red"])).query.truncated


@pytest.mark.parametrize("dtype", ["float32", "int8", "binary"])
async def test_token_vectors_of_an_embedding_take_the_place_of_documents(
    client: AsyncClient, mesh: FakeMesh, dtype: str
) -> None:
    embeddings = await client.embed(["a bc def", "gh"], multi_vector=True, dtype=dtype)  # type: ignore[arg-type]
    ranking = await client.rerank("a", document_vectors=TokenVectors.of(embeddings))
    assert [(result.index, result.text) for result in ranking.results] == [(0, ""), (1, "")]
    sent = mesh.reranked[0].document_vectors
    assert list(sent.row_offsets) == [0, 3, 4]
    assert (sent.dimensions, sent.data) == (DIMENSIONS, embeddings.vectors.tobytes())
    with_texts = await client.rerank("a", ["x a", "y"], document_vectors=TokenVectors.of(embeddings))
    assert with_texts.results[0].text == "x a"


ROWS = np.zeros((2, 4), np.float32)


@pytest.mark.parametrize(
    ("vectors", "field"),
    [
        (TokenVectors([ROWS.astype(np.float16)], "float16", 4), "document_vectors.dtype"),
        (TokenVectors([ROWS, ROWS.astype(np.float64)], "float32", 4), "document_vectors.documents[1]"),
        (TokenVectors([ROWS], "float32", 5), "document_vectors.documents[0]"),
        (TokenVectors([ROWS[0]], "float32", 4), "document_vectors.documents[0]"),
        (TokenVectors([ROWS.astype(np.uint8)], "binary", 4), "document_vectors.documents[0]"),
    ],
)
async def test_token_vectors_that_are_not_what_they_say_are_refused_before_the_call(
    client: AsyncClient, mesh: FakeMesh, vectors: TokenVectors, field: str
) -> None:
    with pytest.raises(InvalidArgument) as raised:
        await client.rerank("a", document_vectors=vectors)
    assert raised.value.field == field
    assert mesh.calls == 0

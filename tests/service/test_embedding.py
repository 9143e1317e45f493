"""The embedding service on the real tritonserver and the real Redis."""

from __future__ import annotations

import asyncio
import random
import uuid
from pathlib import Path

import grpc.aio
import numpy as np
import onnxruntime
import pytest
import tokenizers

from searchmesh.client import AsyncClient
from searchmesh.local import MeshSettings
from searchmesh.runtime.errors import DeadlineExceeded, InvalidArgument
from searchmesh.v1 import common_pb2, embedding_pb2, embedding_pb2_grpc
from support.models import MODEL
from support.triton import inferences

SENTENCES = [
    "The quick brown fox jumps over the lazy dog.",
    "Vector search finds documents by meaning.",
    "A",
    "Der schnelle braune Fuchs springt über den faulen Hund.",
    "Redis keeps the index in memory. " * 12,
]


def _unseen(text: str) -> str:
    """A text that no cache has seen."""
    return f"{text} {uuid.uuid4().hex[:8]}"


def _cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def _alone(repository: Path, texts: list[str], output: str = "sentence_embedding") -> list[np.ndarray]:
    """What the exported graph says of each text by itself, without padding, without searchmesh."""
    tokenizer = tokenizers.Tokenizer.from_file(str(repository / MODEL / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    session = onnxruntime.InferenceSession(str(repository / MODEL / "1" / "model.onnx"))
    found = []
    for text in texts:
        ids = np.asarray([tokenizer.encode(text).ids], dtype=np.int64)
        (value,) = session.run([output], {"input_ids": ids, "attention_mask": np.ones_like(ids)})
        found.append(value[0])
    return found


async def test_vectors_are_those_of_the_graph_alone(client: AsyncClient, repository: Path) -> None:
    answer = await client.embed(SENTENCES, bypass_cache=True)
    assert answer.model == MODEL
    assert np.allclose(np.linalg.norm(answer.vectors, axis=1), 1, atol=1e-5)
    assert (_cosines(answer.vectors, np.stack(_alone(repository, SENTENCES))) > 0.9999).all()


async def test_token_vectors_are_those_of_the_graph_alone(client: AsyncClient, repository: Path) -> None:
    answer = await client.embed(SENTENCES, multi_vector=True, bypass_cache=True)
    for found, states in zip(answer.per_input(), _alone(repository, SENTENCES, "token_embeddings"), strict=True):
        inner = states[1:-1]  # without [CLS] and [SEP]
        assert found.shape == inner.shape
        assert (_cosines(found, inner) > 0.999).all()


async def test_meaning_is_near_meaning(client: AsyncClient) -> None:
    vectors = (await client.embed(["How do I compress a file?", "gzip makes archives smaller", "the cat sat"])).vectors
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.1


async def test_a_vector_does_not_depend_on_its_neighbours(client: AsyncClient) -> None:
    rng = random.Random(7)
    words = ["search", "index", "vector", "query", "graph", "token", "model", "cache", "batch", "lane", "shape", "row"]
    texts = [" ".join(rng.choices(words, k=rng.randint(1, 150))) for _ in range(40)]
    together = (await client.embed(texts, bypass_cache=True)).vectors
    order = rng.sample(range(40), 40)
    shuffled = (await client.embed([texts[i] for i in order], bypass_cache=True)).vectors
    alone = np.concatenate([(await client.embed([text], bypass_cache=True)).vectors for text in texts[:10]])
    assert (_cosines(shuffled, together[order]) > 0.9999).all()
    assert (_cosines(alone, together[:10]) > 0.9999).all()


async def test_what_the_cache_answers_is_what_the_model_said(client: AsyncClient) -> None:
    texts = [_unseen(text) for text in SENTENCES[:4]]
    first = await client.embed(texts)
    for _ in range(100):
        second = await client.embed(texts)
        if all(info.cached for info in second.inputs):
            break
        await asyncio.sleep(0.02)
    assert [info.cached for info in first.inputs] == [False] * 4
    assert [info.cached for info in second.inputs] == [True] * 4
    assert np.array_equal(first.vectors, second.vectors)
    assert [info.tokens for info in first.inputs] == [info.tokens for info in second.inputs]
    assert "infer" not in second.timings


async def test_bypassing_the_cache_neither_reads_nor_fills_it(client: AsyncClient) -> None:
    text = _unseen("never stored")
    assert (await client.embed([text], bypass_cache=True)).cache == "bypassed"
    await asyncio.sleep(0.1)
    answer = await client.embed([text])
    assert answer.cache == "used"
    assert not answer.inputs[0].cached


@pytest.mark.parametrize(("dtype", "tolerance"), [("float16", 1e-3), ("int8", 1e-3), ("uint8", 1e-3), ("binary", 0.4)])
async def test_smaller_dtypes_keep_the_direction(client: AsyncClient, dtype: str, tolerance: float) -> None:
    full = (await client.embed(SENTENCES)).vectors
    small = (await client.embed(SENTENCES, dtype=dtype)).float32()  # type: ignore[arg-type]
    assert (_cosines(full, small) > 1 - tolerance).all()


@pytest.mark.parametrize(
    "text",
    [
        "😀👩‍👩‍👧‍👦🏳️‍🌈",
        "مرحبا بالعالم",
        "שלום עולם",
        "日本語のテキスト",
        "\u202eabc\u202c",
        "a\x00b",
        "﷽" * 50,
        "Ṡ̴̡̛" * 20,
    ],
)
async def test_any_text_has_a_unit_vector(client: AsyncClient, text: str) -> None:
    answer = await client.embed([text], truncation="end")
    assert np.linalg.norm(answer.vectors) == pytest.approx(1, abs=1e-4)


async def test_a_megabyte_of_text_is_refused_or_cut_as_asked(client: AsyncClient) -> None:
    text = "searchmesh " * 95_000
    with pytest.raises(InvalidArgument) as raised:
        await client.embed(["short", text])
    assert raised.value.field == "inputs[1]"
    assert "the limit is 256" in raised.value.message
    answer = await client.embed([text], truncation="end")
    assert answer.inputs[0].truncated
    assert answer.inputs[0].tokens == 256


async def test_empty_text_is_refused_by_name(client: AsyncClient) -> None:
    with pytest.raises(InvalidArgument) as raised:
        await client.embed(["fine", ""])
    assert raised.value.field == "inputs[1].text"


async def test_a_stream_answers_in_order_and_survives_a_bad_batch(client: AsyncClient) -> None:
    batches = [["one", "two"], [""], ["three"]]
    answers = [answer async for answer in client.embed_stream(batches)]
    assert [answer.sequence for answer in answers] == [0, 1, 2]
    assert len(answers[0].embeddings.vectors) == 2
    with pytest.raises(InvalidArgument):
        _ = answers[1].embeddings
    assert len(answers[2].embeddings.vectors) == 1


async def test_an_expired_call_does_no_model_work(client: AsyncClient, mesh: MeshSettings) -> None:
    await client.embed([_unseen("warm")])
    before = await inferences(mesh)
    with pytest.raises(DeadlineExceeded):
        await client.embed([_unseen("late")], timeout_s=1e-6)
    assert await inferences(mesh) == before


async def test_a_cancelled_call_stops_the_work_that_has_not_begun(client: AsyncClient, mesh: MeshSettings) -> None:
    before = await inferences(mesh)
    rng = random.Random(3)
    texts = [_unseen(" ".join(rng.choices(SENTENCES[1].split(), k=200))) for _ in range(400)]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{mesh.ports.embedding}") as channel:
        call = embedding_pb2_grpc.EmbeddingStub(channel).Embed(
            embedding_pb2.EmbedRequest(
                inputs=[common_pb2.Content(text=text) for text in texts],
                lane=common_pb2.LANE_BULK,
                truncation=common_pb2.TRUNCATION_END,
            )
        )
        await asyncio.sleep(0.6)
        call.cancel()
    done = await inferences(mesh) - before
    assert 0 < done < 60, "400 texts of 200 tokens are at least 80 batches"


async def test_equal_texts_of_many_callers_are_computed_once(client: AsyncClient, mesh: MeshSettings) -> None:
    before = await inferences(mesh)
    text = _unseen("everybody asks this")
    answers = await asyncio.gather(*(client.embed([text]) for _ in range(30)))
    assert await inferences(mesh) - before == 1
    assert len({answer.vectors.tobytes() for answer in answers}) == 1


async def test_the_service_lists_its_models(client: AsyncClient) -> None:
    for service in ("embedding", "reranker"):
        models = await client.models(service)  # type: ignore[arg-type]
        (default,) = [model for model in models if model.is_default]
        assert default.name == MODEL
        assert default.ready
        assert default.dimensions == (384,)
        assert default.licence == "Apache-2.0"

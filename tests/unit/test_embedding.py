"""The embedding pipeline on the fake backend: checks before work, invariance, tasks, sizes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from searchmesh.catalog import ExportedModel
from searchmesh.embedding.pipeline import Pipeline
from searchmesh.embedding.servicer import EmbeddingServicer
from searchmesh.embedding.settings import EmbeddingSettings
from searchmesh.encoding import Encoders, Held
from searchmesh.fetch import Fetcher
from searchmesh.images import ImageLoader
from searchmesh.runtime.deadlines import Deadline
from searchmesh.runtime.errors import FailedPrecondition, InvalidArgument, NotFound, Overloaded
from searchmesh.runtime.rpc import Call
from searchmesh.triton.fake import FakeBackend
from searchmesh.v1 import common_pb2, embedding_pb2
from support.models import MODEL, TEXT, write_repository

WORDS = TEXT.split()


def _serves(model: ExportedModel) -> bool:
    return True


class Service:
    def __init__(self, root: Path, *, chunks: bool = False, **settings: int) -> None:
        self.backend = FakeBackend()
        outputs = ("sentence_embedding", "token_embeddings", *(["span_embeddings"] if chunks else []))
        inputs = ("input_ids", "attention_mask", *(["spans"] if chunks else []))
        repository = write_repository(root, inputs=inputs, outputs=outputs)
        self.settings = EmbeddingSettings(model_repository=repository, default_model=MODEL, **settings)
        images = ImageLoader(Fetcher(self.settings), self.settings.image_limits)
        pipeline = Pipeline(Encoders(self.settings, self.backend, _serves), None, images, self.settings)
        self.servicer = EmbeddingServicer(pipeline, self.settings)

    async def embed(self, *texts: str, **fields: object) -> embedding_pb2.EmbedResponse:
        inputs = [common_pb2.Content(text=text) for text in texts]
        return await self.servicer.Embed(embedding_pb2.EmbedRequest(inputs=inputs, **fields), Call(Deadline()))

    async def vectors(self, *texts: str, **fields: object) -> np.ndarray:
        packed = (await self.embed(*texts, **fields)).vectors
        return np.frombuffer(packed.data, np.float32).reshape(-1, packed.dimensions)


@pytest.fixture
def service(tmp_path: Path) -> Service:
    return Service(tmp_path / "repository", max_inputs=4, max_text_bytes=1000)


@pytest.mark.parametrize(
    ("texts", "fields", "field"),
    [
        ((), {}, "inputs"),
        (("fox",) * 5, {}, "inputs"),
        (("fox", ""), {}, "inputs[1].text"),
        (("fox", " \n\t"), {}, "inputs[1].text"),
        (("x" * 1001,), {}, "inputs[0].text"),
        (("fox", "fox " * 100), {}, "inputs[1]"),
        (("fox", "fox", "fox " * 100), {}, "inputs[2]"),
        (("fox",), {"dimensions": 3}, "dimensions"),
        (("fox",), {"task": "nonsense"}, "task"),
    ],
)
async def test_bad_input_is_refused_by_field_without_model_work(
    service: Service, texts: tuple[str, ...], fields: dict[str, object], field: str
) -> None:
    with pytest.raises(InvalidArgument) as raised:
        await service.embed(*texts, **fields)
    assert raised.value.field == field
    assert service.backend.shapes == []


async def test_an_image_is_refused_by_a_text_model(service: Service) -> None:
    request = embedding_pb2.EmbedRequest(inputs=[common_pb2.Content(image=common_pb2.Image(data=b"png"))])
    with pytest.raises(InvalidArgument) as raised:
        await service.servicer.Embed(request, Call(Deadline()))
    assert raised.value.field == "inputs[0].image"


async def test_an_unknown_model_is_not_found_and_an_unexported_one_says_how_to_export_it(service: Service) -> None:
    with pytest.raises(NotFound):
        await service.embed("fox", model="no-such-model")
    with pytest.raises(FailedPrecondition) as raised:
        await service.embed("fox", model="jina-embeddings-v3")
    assert "searchmesh models export jina-embeddings-v3" in raised.value.message


async def test_an_expired_deadline_does_no_model_work(service: Service) -> None:
    from searchmesh.runtime.errors import DeadlineExceeded

    request = embedding_pb2.EmbedRequest(inputs=[common_pb2.Content(text="fox")])
    with pytest.raises(DeadlineExceeded):
        await service.servicer.Embed(request, Call(Deadline.after(0)))
    assert service.backend.shapes == []


async def test_a_slice_is_the_renormalised_start_of_the_full_vector(service: Service) -> None:
    full = await service.vectors("the quick fox")
    half = await service.vectors("the quick fox", dimensions=4)
    assert half.shape == (1, 4)
    assert np.allclose(half, full[:, :4] / np.linalg.norm(full[:, :4]), atol=1e-6)


async def test_a_task_puts_its_prompt_before_the_text(service: Service) -> None:
    asked = await service.vectors("the fox", task="query")
    assert np.allclose(asked, await service.vectors("search the fox"))
    assert not np.allclose(asked, await service.vectors("the fox"))


async def test_token_vectors_have_offsets_and_unit_length(service: Service) -> None:
    response = await service.embed("the quick fox", "search", multi_vector=True)
    vectors = np.frombuffer(response.vectors.data, np.float32).reshape(-1, response.vectors.dimensions)
    assert list(response.vectors.row_offsets) == [0, 3, 4]
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


async def test_usage_counts_real_tokens_with_special_ones(service: Service) -> None:
    response = await service.embed("the quick fox", "fox")
    assert [info.tokens for info in response.inputs] == [5, 3]
    assert response.usage.tokens == 8


async def test_truncation_is_reported(service: Service) -> None:
    response = await service.embed("fox " * 100, "fox", truncation=common_pb2.TRUNCATION_END)
    assert [(info.tokens, info.truncated) for info in response.inputs] == [(32, True), (3, False)]


async def test_every_stage_is_timed(service: Service) -> None:
    response = await service.embed("fox")
    assert [timing.stage for timing in response.timings] == ["cache", "tokenize", "queue", "infer", "encode"]


async def test_equal_inputs_of_one_request_are_computed_once(service: Service) -> None:
    vectors = await service.vectors("fox", "fox", "fox")
    assert service.backend.shapes == [(1, 8)]
    assert np.array_equal(vectors[0], vectors[2])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    texts=st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=25).map(" ".join), min_size=1, max_size=12),
    seed=st.randoms(use_true_random=False),
)
async def test_a_vector_does_not_depend_on_neighbours_order_or_batch(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], seed: object
) -> None:
    service = Service(tmp_path_factory.mktemp("models") / "repository", max_batch_tokens=128)
    together = await service.vectors(*texts)
    order = list(range(len(texts)))
    seed.shuffle(order)  # type: ignore[attr-defined]
    shuffled = await service.vectors(*[texts[i] for i in order])
    alone = [await service.vectors(text) for text in texts]
    for place, i in enumerate(order):
        assert np.allclose(shuffled[place], together[i], atol=1e-6)
        assert np.allclose(alone[i][0], together[i], atol=1e-6)


LONG = "the quick fox. the lazy dog finds a search engine. many small words"


@pytest.fixture
def chunking(tmp_path: Path) -> Service:
    return Service(tmp_path / "chunking", chunks=True)


def given_ends(*ends: list[int]) -> embedding_pb2.Chunking:
    inputs = [embedding_pb2.ChunkEnds(ends=own) for own in ends]
    return embedding_pb2.Chunking(given=embedding_pb2.GivenChunks(inputs=inputs))


async def test_one_chunk_of_the_whole_text_has_the_vector_of_the_text(chunking: Service) -> None:
    whole = await chunking.vectors(LONG, task="query")
    assert np.allclose(await chunking.vectors(LONG, task="query", chunking=given_ends([len(LONG)])), whole, atol=1e-6)


async def test_every_chunk_has_a_vector_and_says_which_part_it_is(chunking: Service) -> None:
    response = await chunking.embed(LONG, "a fox", chunking=embedding_pb2.Chunking(sentences=True))
    assert list(response.vectors.row_offsets) == [0, 3, 4]
    parts = [LONG[chunk.start : chunk.end] for chunk in response.chunks[:3]]
    assert parts == ["the quick fox. ", "the lazy dog finds a search engine. ", "many small words"]
    assert sum(chunk.tokens for chunk in response.chunks[:3]) == response.inputs[0].tokens
    vectors = np.frombuffer(response.vectors.data, np.float32).reshape(4, -1)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    given = await chunking.vectors(LONG, chunking=given_ends([15, 51, 67]))
    assert np.array_equal(given, vectors[:3])


async def test_chunk_vectors_have_matryoshka_sizes(chunking: Service) -> None:
    response = await chunking.embed(LONG, dimensions=4, chunking=embedding_pb2.Chunking(tokens=4))
    assert (response.vectors.dimensions, len(response.vectors.data)) == (4, 4 * 4 * 4)
    assert [chunk.tokens for chunk in response.chunks] == [5, 4, 4, 4]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"chunking": embedding_pb2.Chunking()}, "chunking"),
        ({"chunking": embedding_pb2.Chunking(sentences=False)}, "chunking"),
        ({"chunking": embedding_pb2.Chunking(tokens=0)}, "chunking"),
        ({"chunking": given_ends([5])}, "chunking.given.inputs"),
        ({"chunking": given_ends([7], [4])}, "chunking.given.inputs[1].ends"),
        ({"chunking": embedding_pb2.Chunking(tokens=4), "multi_vector": True}, "chunking"),
        ({"chunking": embedding_pb2.Chunking(tokens=4), "truncation": common_pb2.TRUNCATION_END}, "truncation"),
    ],
)
async def test_chunks_that_cannot_be_are_refused_by_field(
    chunking: Service, fields: dict[str, object], field: str
) -> None:
    with pytest.raises(InvalidArgument) as raised:
        await chunking.embed("the fox", "dog", **fields)
    assert raised.value.field == field
    assert chunking.backend.shapes == []


async def test_a_model_without_late_chunking_says_so(service: Service) -> None:
    with pytest.raises(InvalidArgument, match="has no late chunking"):
        await service.embed("fox", chunking=embedding_pb2.Chunking(sentences=True))


async def test_images_of_a_request_are_counted_before_any_is_read(tmp_path: Path) -> None:
    service = Service(tmp_path / "repository", max_images=1)
    image = common_pb2.Content(image=common_pb2.Image(data=b"png"))
    with pytest.raises(InvalidArgument, match="has 2 images, the limit is 1") as raised:
        await service.servicer.Embed(embedding_pb2.EmbedRequest(inputs=[image, image]), Call(Deadline()))
    assert raised.value.field == "inputs"


def test_requests_hold_a_number_of_images_together() -> None:
    held = Held(3)
    with held.of(5), pytest.raises(Overloaded), held.of(1):
        pass
    with held.of(2), held.of(1), pytest.raises(Overloaded), held.of(1):
        pass
    with held.of(3):
        pass

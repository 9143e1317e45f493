"""An exported model in the real tritonserver."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import numpy as np
import onnxruntime
import pytest
import pytest_asyncio

from searchmesh.catalog import ExportedModel, load_card
from searchmesh.local import MeshSettings, free_port_offset, running
from searchmesh.runtime.deadlines import Deadline
from searchmesh.runtime.errors import Internal
from searchmesh.triton import TritonBackend
from searchmesh_export import exporter, samples, saving
from searchmesh_export.built import Built, Graph
from searchmesh_export.exporter import export_model
from support.checkpoints import write_bert
from support.graphs import text_graph, vision_graph
from support.models import write_tokenizer
from support.triton import counted

pytestmark = pytest.mark.asyncio(loop_scope="module")

NAME = "all-MiniLM-L6-v2"
BOTH = ("sentence_embedding", "token_embeddings")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> MeshSettings:
    return MeshSettings(home=tmp_path_factory.mktemp("home"), port_offset=free_port_offset(), stop_grace_s=10)


@pytest.fixture(scope="module")
def model(settings: MeshSettings, tmp_path_factory: pytest.TempPathFactory) -> ExportedModel:
    checkpoint = write_bert(tmp_path_factory.mktemp("checkpoint") / "tiny")
    repository = settings.folder.repository
    return export_model(load_card(NAME), checkpoint, repository, precision="int8", flavour="python")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def backend(settings: MeshSettings, model: ExportedModel, every_input: str) -> AsyncIterator[TritonBackend]:
    async with running(settings, only=["triton"]):
        backend = TritonBackend(f"127.0.0.1:{settings.ports.triton_grpc}")
        yield backend
        await backend.close()


def tensors(ids: list[list[int]]) -> dict[str, np.ndarray]:
    return {"input_ids": np.array(ids, np.int64), "attention_mask": (np.array(ids) > 0).astype(np.int64)}


async def test_it_answers_as_the_graph_does(backend: TritonBackend, model: ExportedModel) -> None:
    inputs = tensors([[2, 5, 6, 7, 3], [2, 8, 3, 0, 0]])
    session = onnxruntime.InferenceSession(str(model.path / "1" / "model.onnx"))
    expected = dict(zip(BOTH, session.run(list(BOTH), inputs), strict=True))
    outputs = await backend.infer(NAME, inputs, BOTH, deadline=Deadline.after(10))
    for name in BOTH:
        np.testing.assert_allclose(outputs[name], expected[name], atol=1e-5)


@pytest.mark.parametrize("name", BOTH)
async def test_only_what_is_asked_for_comes_back(backend: TritonBackend, name: str) -> None:
    outputs = await backend.infer(NAME, tensors([[2, 5, 3]]), [name], deadline=Deadline.after(10))
    assert list(outputs) == [name]


async def test_a_bad_request_fails_alone(backend: TritonBackend) -> None:
    good, bad = tensors([[2, 5, 3]]), tensors([[2, 10_000_000, 3]])
    deadline = Deadline.after(10)
    calls = [backend.infer(NAME, inputs, BOTH, deadline=deadline) for inputs in (good, bad) * 20]
    results = await asyncio.gather(*calls, return_exceptions=True)
    for answer, failure in zip(results[::2], results[1::2], strict=True):
        assert isinstance(answer, dict)
        assert isinstance(failure, Internal)


@pytest.fixture(scope="module")
def every_input(settings: MeshSettings, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model with all inputs and outputs there are, a graph of images and weights in a file of their own."""
    folder = tmp_path_factory.mktemp("checkpoint")
    (folder / "config.json").write_text("{}")
    write_tokenizer(folder / "tokenizer.json")
    card = load_card("jina-embeddings-v4")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(saving, "_INLINE_BYTES", 0)
        patch.setattr(exporter, "family", lambda card: lambda *_: Built(card, 64, (text_graph(), vision_graph())))
        repository = settings.folder.repository
        model = exporter.export_model(card, folder, repository, precision="fp32", flavour="python")
    assert (model.path / "1" / "model.onnx.data").is_file()
    return model.name


@pytest.mark.parametrize(("suffix", "graph"), [("", text_graph()), ("-vision", vision_graph())])
async def test_every_kind_of_tensor_goes_in_and_out(
    every_input: str, backend: TritonBackend, settings: MeshSettings, suffix: str, graph: Graph
) -> None:
    inputs = samples.traced(graph)
    session = onnxruntime.InferenceSession(
        str(settings.folder.repository / (every_input + suffix) / "1" / "model.onnx")
    )
    expected = dict(zip(graph.outputs, session.run(list(graph.outputs), inputs), strict=True))
    outputs = await backend.infer(every_input + suffix, inputs, graph.outputs, deadline=Deadline.after(10))
    for name in graph.outputs:
        np.testing.assert_allclose(outputs[name], expected[name], atol=1e-5)


@pytest.mark.parametrize("rows", [1, 3])
async def test_requests_are_not_joined(backend: TritonBackend, settings: MeshSettings, rows: int) -> None:
    before = await counted(settings, NAME)
    inputs = tensors([[2, 5, 3]] * rows)
    await asyncio.gather(*(backend.infer(NAME, inputs, BOTH, deadline=Deadline.after(20)) for _ in range(60)))
    after = await counted(settings, NAME)
    assert [late - early for early, late in zip(before, after, strict=True)] == [60, 60]

"""What holds for the graphs of every family: all inputs, images, large weights, precision, whole or nothing."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from searchmesh.catalog import Card, ExportedModel, Flavour, ModelRepository, Precision, load_card, load_catalog
from searchmesh.runtime.errors import FailedPrecondition, Internal, InvalidArgument
from searchmesh_export import exporter, families, parity, samples, saving
from searchmesh_export.built import Built, Graph
from searchmesh_export.checkpoint import Checkpoint
from searchmesh_export.graph import to_onnx
from searchmesh_export.tensors import Sizes
from support.graphs import TEXT_INPUTS, TEXT_OUTPUTS, EveryInput, text_graph, vision_graph
from support.models import write_tokenizer

CARD = load_card("jina-embeddings-v4")
TEXT, VISION = CARD.name, f"{CARD.name}-vision"
EVERY: list[tuple[Precision, Flavour]] = [
    ("fp32", "python"),
    ("int8", "python"),
    ("fp16", "onnxruntime"),
    ("fp16", "tensorrt"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint of which the family reads nothing."""
    checkpoint = tmp_path / "checkpoint"
    checkpoint.mkdir()
    (checkpoint / "config.json").write_text("{}")
    write_tokenizer(checkpoint / "tokenizer.json")
    return checkpoint


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes the family of every card give these graphs, with the same random weights each time."""

    def builds(*graphs: Callable[[], Graph]) -> None:
        def build(checkpoint: Checkpoint, card: Card) -> Built:
            torch.manual_seed(0)
            resolved = card.resolved(hidden_size=64, max_tokens=64)
            return Built(resolved, 64, tuple(make() for make in graphs))

        monkeypatch.setattr(exporter, "family", lambda card: build)

    builds(text_graph, vision_graph)
    return builds


def export(folder: Path, repository: Path, precision: Precision = "fp32", flavour: Flavour = "python") -> ExportedModel:
    return exporter.export_model(CARD, folder, repository, precision=precision, flavour=flavour)


def files(repository: Path) -> dict[str, bytes]:
    return {str(file.relative_to(repository)): file.read_bytes() for file in repository.rglob("*") if file.is_file()}


@pytest.mark.parametrize(("precision", "flavour"), EVERY)
def test_text_and_images_become_two_graphs_of_one_model(
    folder: Path, tmp_path: Path, builds: object, precision: Precision, flavour: Flavour
) -> None:
    stages: list[str] = []
    repository = tmp_path / "repository"
    model = exporter.export_model(
        CARD, folder, repository, precision=precision, flavour=flavour, on_stage=stages.append
    )
    assert sorted(path.name for path in repository.iterdir()) == [TEXT, VISION]
    assert ModelRepository(repository).names() == [TEXT]
    assert (model.inputs, model.outputs, model.vision_name) == (TEXT_INPUTS, TEXT_OUTPUTS, VISION)
    assert model.export.parity.cosine_error <= model.export.parity.cosine_tolerance
    assert len(stages) == exporter.stages(CARD)
    limits = (model.export.max_rows, model.export.max_images)
    assert limits == {"python": (64, 64), "onnxruntime": (256, 256), "tensorrt": (256, 10)}[flavour]
    for name, graph in ((TEXT, text_graph()), (VISION, vision_graph())):
        session = onnxruntime.InferenceSession(str(repository / name / "1" / "model.onnx"))
        assert tuple(tensor.name for tensor in session.get_inputs()) == graph.inputs
        assert {tensor.type for tensor in session.get_inputs()} <= {"tensor(int64)", "tensor(float)"}
        outputs = session.run(None, samples.traced(graph))
        assert all(output.dtype == np.float32 for output in outputs)


def test_a_model_that_has_no_images_any_more_loses_that_graph(folder: Path, tmp_path: Path, builds: Callable) -> None:
    export(folder, tmp_path / "repository")
    builds(text_graph)
    export(folder, tmp_path / "repository")
    assert [path.name for path in (tmp_path / "repository").iterdir()] == [TEXT]


@pytest.mark.parametrize("inline", [True, False])
def test_the_same_weights_give_the_same_files(
    folder: Path, tmp_path: Path, builds: object, monkeypatch: pytest.MonkeyPatch, inline: bool
) -> None:
    if not inline:
        monkeypatch.setattr(saving, "_INLINE_BYTES", 0)
    model = export(folder, tmp_path / "one")
    export(folder, tmp_path / "two")
    assert files(tmp_path / "one") == files(tmp_path / "two")
    graphs = ("model.onnx",) if inline else ("model.onnx", "model.onnx.data")
    contents = [(tmp_path / "one" / name / "1" / file).read_bytes() for name in (TEXT, VISION) for file in graphs]
    assert model.model_digest == hashlib.sha256(b"".join(contents)).hexdigest()


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_large_weights_have_a_file_of_their_own(
    folder: Path, tmp_path: Path, builds: object, monkeypatch: pytest.MonkeyPatch, precision: Precision
) -> None:
    inline = export(folder, tmp_path / "inline", precision)
    monkeypatch.setattr(saving, "_INLINE_BYTES", 0)
    monkeypatch.setattr(saving, "_PAGE_BYTES", 64)
    apart = export(folder, tmp_path / "apart", precision)
    version = apart.path / "1"
    weights = onnx.load(version / "model.onnx", load_external_data=False).graph.initializer
    assert any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in weights)
    assert (version / "model.onnx.data").stat().st_size > 0
    example = samples.traced(text_graph())
    sessions = [onnxruntime.InferenceSession(str(each.path / "1" / "model.onnx")) for each in (inline, apart)]
    for one, other in zip(*(session.run(None, example) for session in sessions), strict=True):
        np.testing.assert_array_equal(one, other)


class _HalfIsOpposite(EveryInput):
    def finish(self, outputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        first, *others = outputs
        return -first if self.score.weight.dtype == torch.float16 else first, *others


class _Nan(EveryInput):
    def finish(self, outputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        *others, logit = outputs
        return *others, logit / 0 * 0


def test_a_graph_that_differs_leaves_the_repository_as_it_was(folder: Path, tmp_path: Path, builds: Callable) -> None:
    repository = tmp_path / "repository"
    export(folder, repository)
    before = files(repository)
    builds(lambda: text_graph(_HalfIsOpposite()), vision_graph)
    with pytest.raises(FailedPrecondition, match=r"a cosine error of 2\.0e\+00, .* nothing was written; --precision"):
        export(folder, repository, "fp16", "onnxruntime")
    builds(lambda: text_graph(_Nan()), vision_graph)
    with pytest.raises(FailedPrecondition, match="an absolute error of nan"):
        export(folder, repository)
    assert files(repository) == before


def test_no_space_leaves_the_repository_as_it_was(
    folder: Path, tmp_path: Path, builds: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = tmp_path / "repository"
    export(folder, repository)
    before = files(repository)

    def full(*_: object, **__: object) -> bytes:
        raise OSError("no space left")

    monkeypatch.setattr(saving.ir, "save", full)
    monkeypatch.setattr(saving, "_INLINE_BYTES", 0)
    with pytest.raises(OSError, match="no space left"):
        export(folder, repository, "int8")
    assert files(repository) == before


def test_a_tokenizer_that_is_larger_than_the_model_is_refused(folder: Path, tmp_path: Path, builds: Callable) -> None:
    sizes = Sizes(vocabulary=5, adapters=2, sentence=64, token=64, picked=64, hidden=32)
    builds(lambda: Graph(EveryInput(5).eval(), TEXT_INPUTS, TEXT_OUTPUTS, sizes))
    with pytest.raises(InvalidArgument, match=r"tokenizer\.json gives the token \d+; the model has 5"):
        export(folder, tmp_path / "repository")


class _OneLength(nn.Module):  # type: ignore[misc]
    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor]:
        return (((input_ids + torch.arange(16)) * attention_mask).float(),)


def test_a_module_that_fixes_a_free_axis_is_refused() -> None:
    graph = Graph(_OneLength(), ("input_ids", "attention_mask"), ("sentence_embedding",), Sizes(vocabulary=9))
    with pytest.raises(torch.onnx.OnnxExporterError, match="static shape of 16"):
        to_onnx(graph)


def test_sizes_that_a_module_does_not_have_are_refused() -> None:
    graph = text_graph()
    wrong = dataclasses.replace(graph, sizes=dataclasses.replace(graph.sizes, token=7))
    with pytest.raises(Internal, match=r"token_embeddings is \[rows,length,64\] in the graph, not .*7"):
        to_onnx(wrong)


def test_tensors_are_given_in_the_order_of_the_table() -> None:
    with pytest.raises(ValueError, match="not in the order"):
        Graph(nn.Identity(), ("attention_mask", "input_ids"), ("logit",), Sizes())
    with pytest.raises(ValueError, match="not in the order"):
        Graph(nn.Identity(), ("input_ids",), ("embedding",), Sizes())


def test_zero_vectors_must_be_zero_on_both_sides() -> None:
    zero, one = np.zeros((1, 2)), np.ones((1, 2))
    assert parity._cosine_errors(zero, zero) == 0
    assert not parity._cosine_errors(one, zero) <= 1
    assert math.isnan(parity._worst(0.5, np.array([math.nan])))


def test_every_encoder_of_the_catalog_has_a_family() -> None:
    for card in load_catalog().values():
        if card.kind != "generation":
            assert families.family(card)

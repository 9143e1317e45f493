"""An exported graph gives the vectors of its source model, whatever it shares a batch with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from transformers import AutoModel

from searchmesh.catalog import ExportedModel, Flavour, Precision, load_card
from searchmesh.local.home import Home
from searchmesh.runtime.errors import FailedPrecondition
from searchmesh_export import parity
from searchmesh_export.exporter import export_model, source_folder
from support.checkpoints import MAX_TOKENS, WIDTH, write_bert

CARD = load_card("all-MiniLM-L6-v2")


def cosines(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float64]:
    a, b = a.astype(np.float64), b.astype(np.float64)
    return (a * b).sum(-1) / (np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1))


def padded(rows: Sequence[Sequence[int]], length: int | None = None) -> dict[str, NDArray[np.int64]]:
    ids = np.zeros((len(rows), length or max(map(len, rows))), np.int64)
    mask = np.zeros_like(ids)
    for position, row in enumerate(rows):
        ids[position, : len(row)] = row
        mask[position, : len(row)] = 1
    return {"input_ids": ids, "attention_mask": mask}


def random_rows(vocabulary: int, longest: int, lengths: Sequence[int]) -> list[list[int]]:
    numbers = np.random.default_rng(1)
    return [numbers.integers(0, vocabulary, min(length, longest)).tolist() for length in lengths]


class Graph:
    """An exported graph in ONNX Runtime, outside tritonserver."""

    def __init__(self, model: ExportedModel) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(str(model.path / "1" / "model.onnx"), options)

    def __call__(self, inputs: dict[str, NDArray[np.int64]]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        sentence, tokens = self.session.run(["sentence_embedding", "token_embeddings"], inputs)
        return sentence, tokens


def source_vectors(
    folder: Path, inputs: dict[str, NDArray[np.int64]], pooling: str = "mean"
) -> tuple[NDArray[Any], NDArray[Any]]:
    """What transformers makes of each row alone, without any padding."""
    model = AutoModel.from_pretrained(folder).eval()
    sentences, tokens = [], []
    for ids, mask in zip(inputs["input_ids"], inputs["attention_mask"], strict=True):
        row = torch.from_numpy(ids[mask.astype(bool)])[None]
        with torch.inference_mode():
            states = model(input_ids=row, attention_mask=torch.ones_like(row)).last_hidden_state[0].numpy()
        tokens.append(states)
        sentences.append(states.mean(axis=0) if pooling == "mean" else states[0])
    return np.stack(sentences), np.concatenate(tokens)


@pytest.fixture(scope="module", params=["fp32", "int8"])
def exported(request: pytest.FixtureRequest, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> ExportedModel:
    return export_model(CARD, tiny, tmp_path_factory.mktemp("tiny"), precision=request.param, flavour="python")


LENGTHS = (1, 2, 5, 64, 17, 64, 3)


def test_vectors_equal_those_of_the_source(exported: ExportedModel, tiny: Path) -> None:
    inputs = padded(random_rows(20, MAX_TOKENS, LENGTHS))
    sentence, tokens = Graph(exported)(inputs)
    their_sentence, their_tokens = source_vectors(tiny, inputs)
    limit = parity.TOLERANCES[exported.precision]
    assert (1 - cosines(sentence, their_sentence)).max() <= limit
    assert (1 - cosines(tokens[inputs["attention_mask"].astype(bool)], their_tokens)).max() <= limit
    if exported.precision == "fp32":
        unit = their_sentence / np.linalg.norm(their_sentence, axis=-1, keepdims=True)
        np.testing.assert_allclose(sentence, unit, atol=2e-6)


def test_a_vector_does_not_depend_on_padding_order_or_neighbours(exported: ExportedModel) -> None:
    graph = Graph(exported)
    rows = random_rows(20, MAX_TOKENS, LENGTHS)
    together, tokens = graph(padded(rows))
    backwards, _ = graph(padded(rows[::-1]))
    assert cosines(together, backwards[::-1]).min() >= 0.99999
    for position, row in enumerate(rows):
        alone, own = graph(padded([row]))
        roomy, _ = graph(padded([row], MAX_TOKENS))
        crowded, _ = graph(padded([row] * 9))
        for other in (alone, roomy, crowded):
            assert cosines(together[position], other).min() >= 0.99999
        assert cosines(tokens[position, : len(row)], own[0]).min() >= 0.99999


def test_sentence_vectors_have_unit_length_and_padding_rows_none(exported: ExportedModel) -> None:
    sentence, tokens = Graph(exported)(padded([[3, 4, 5], []]))
    np.testing.assert_allclose(np.linalg.norm(sentence[0]), 1, rtol=1e-6)
    np.testing.assert_array_equal(sentence[1], np.zeros(WIDTH, np.float32))
    assert np.isfinite(tokens).all()


def test_the_card_tells_what_was_exported(exported: ExportedModel) -> None:
    assert (exported.card.dimensions, exported.hidden_size, exported.max_tokens) == ((WIDTH,), WIDTH, MAX_TOKENS)
    assert exported.export.parity.cosine_error <= exported.export.parity.cosine_tolerance
    assert (exported.precision, exported.flavour) in {("fp32", "python"), ("int8", "python")}
    assert set(exported.export.versions) == {"torch", "onnx", "onnxruntime"}


@pytest.mark.parametrize("flavour", ["onnxruntime", "tensorrt"])
def test_half_precision_keeps_inputs_and_outputs(tiny: Path, tmp_path: Path, flavour: Flavour) -> None:
    model = export_model(CARD, tiny, tmp_path, precision="fp16", flavour=flavour)
    inputs = padded(random_rows(20, MAX_TOKENS, LENGTHS))
    sentence, tokens = Graph(model)(inputs)
    assert (sentence.dtype, tokens.dtype) == (np.float32, np.float32)
    assert (1 - cosines(sentence, source_vectors(tiny, inputs)[0])).max() <= parity.TOLERANCES["fp16"]
    assert np.isfinite(Graph(model)(padded([[3], []]))[0]).all()


def test_the_folder_says_how_to_pool(tmp_path: Path) -> None:
    folder = write_bert(tmp_path / "cls", pooling="cls_token")
    model = export_model(CARD, folder, tmp_path / "repository", precision="fp32", flavour="python")
    inputs = padded(random_rows(20, MAX_TOKENS, LENGTHS))
    assert model.card.pooling == "cls"
    assert (1 - cosines(Graph(model)(inputs)[0], source_vectors(folder, inputs, "cls")[0])).max() <= 1e-5


@pytest.mark.parametrize("config", [{"hidden_act": "gelu_new"}, {"hidden_act": "relu"}])
def test_activations_follow_the_configuration(tmp_path: Path, config: dict[str, Any]) -> None:
    folder = write_bert(tmp_path / "checkpoint", **config)
    export_model(CARD, folder, tmp_path / "repository", precision="fp32", flavour="python")


def test_a_graph_that_differs_is_not_written(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(parity.TOLERANCES, "int8", 1e-9)
    with pytest.raises(FailedPrecondition, match=r"cosine error of .*, the tolerance is 1e-09; nothing was written"):
        export_model(CARD, tiny, tmp_path, precision="int8", flavour="python")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("precision", "limit"), [("fp32", 1e-5), ("int8", 2e-2)])
def test_the_default_model(tmp_path: Path, precision: Precision, limit: float) -> None:
    model = export_model(CARD, source_folder(CARD, Home(tmp_path)), tmp_path, precision=precision, flavour="python")
    assert model.export.parity.cosine_error <= limit
    assert (model.card.dimensions, model.max_tokens, model.card.pooling) == ((384,), 256, "mean")
    graph = Graph(model)
    rows = random_rows(30_000, 256, (3, 90, 256))
    together, _ = graph(padded(rows))
    for position, row in enumerate(rows):
        assert cosines(together[position], graph(padded([row]))[0]).min() >= 0.99999

"""Models on XLM-RoBERTa encoders give what transformers gives with the adapters merged, in any batch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from searchmesh.catalog import ExportedModel, Precision, load_card
from searchmesh.catalog.repository import VISION
from searchmesh.runtime.errors import InvalidArgument
from searchmesh_export import parity
from searchmesh_export.exporter import export_model
from support import checkpoints_xlm as xlm
from support import eva_reference
from support.running import Running, cosine_error

Floats = NDArray[np.float32]
LENGTHS = (1, 2, 5, xlm.LENGTH, 17, 33)
V3, COLBERT, CLIP = load_card("jina-embeddings-v3"), load_card("jina-colbert-v2"), load_card("jina-clip-v2")
PAIRS = load_card("jina-reranker-v2-base-multilingual")


def rows_of(lengths: Sequence[int] = LENGTHS) -> list[list[int]]:
    numbers = np.random.default_rng(5)
    return [numbers.integers(3, 40, length).tolist() for length in lengths]


def padded(rows: Sequence[Sequence[int]], length: int = 0) -> dict[str, NDArray[np.int64]]:
    ids = np.full((len(rows), max(length, *map(len, rows))), 7, np.int64)
    mask = np.zeros_like(ids)
    for position, row in enumerate(rows):
        ids[position, : len(row)] = row
        mask[position, : len(row)] = 1
    return {"input_ids": ids, "attention_mask": mask}


def whole(rows: Sequence[Sequence[int]], adapters: Sequence[int]) -> dict[str, NDArray[np.int64]]:
    """The inputs of jina-embeddings-v3 for a vector per row."""
    spans = np.array([[[0, len(row)]] for row in rows])
    return padded(rows) | {"adapter": np.array(adapters)[:, None], "spans": spans}


def states(published: xlm.Published, row: Sequence[int], adapter: int = -1) -> torch.Tensor:
    with torch.inference_mode():
        model = xlm.merged(published, adapter)
        found: torch.Tensor = model(
            input_ids=torch.tensor([row]), attention_mask=torch.ones(1, len(row), dtype=torch.long)
        ).last_hidden_state[0]
    return found


def means(published: xlm.Published, rows: Sequence[Sequence[int]], adapters: Sequence[int]) -> Floats:
    return np.stack([states(published, row, own).mean(dim=0).numpy() for row, own in zip(rows, adapters, strict=True)])


@pytest.fixture(scope="module")
def v3(tmp_path_factory: pytest.TempPathFactory) -> xlm.Published:
    return xlm.write_v3(tmp_path_factory.mktemp("v3"))


@pytest.fixture(scope="module", params=["fp32", "int8"])
def v3_model(
    request: pytest.FixtureRequest, v3: xlm.Published, tmp_path_factory: pytest.TempPathFactory
) -> ExportedModel:
    return export_model(V3, v3.folder, tmp_path_factory.mktemp("r"), precision=request.param, flavour="python")


MIXED = (-1, 0, 1, 2, 3, 4)


def test_every_row_has_its_own_adapter(v3: xlm.Published, v3_model: ExportedModel) -> None:
    rows = rows_of()
    vectors = Running(v3_model)(whole(rows, MIXED))["sentence_embedding"]
    assert cosine_error(vectors, means(v3, rows, MIXED)) <= parity.TOLERANCES[v3_model.precision]
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_adapters_and_neighbours_do_not_leak(v3_model: ExportedModel) -> None:
    graph, rows = Running(v3_model), rows_of()
    together = graph(whole(rows, MIXED))["sentence_embedding"]
    for position, (row, adapter) in enumerate(zip(rows, MIXED, strict=True)):
        alone = graph(whole([row], [adapter]))["sentence_embedding"]
        crowd = graph(whole([row, *rows], [adapter, *reversed(MIXED)]))["sentence_embedding"]
        assert cosine_error(alone[0], together[position]) <= 1e-6
        assert cosine_error(crowd[0], together[position]) <= 1e-6


def test_spans_are_pooled_from_one_pass(v3: xlm.Published, v3_model: ExportedModel) -> None:
    row = rows_of()[3]
    spans = [(0, 10), (10, 50), (50, len(row)), (0, 0)]
    inputs = padded([row]) | {"adapter": np.array([[1]]), "spans": np.array([spans])}
    (vectors,) = Running(v3_model)(inputs)["span_embeddings"]
    expected = np.stack([states(v3, row, 1)[first:last].mean(dim=0).numpy() for first, last in spans[:3]])
    assert cosine_error(vectors[:3], expected) <= parity.TOLERANCES[v3_model.precision]
    assert not vectors[3].any()


def test_the_card_has_the_sizes_of_the_checkpoint(v3_model: ExportedModel) -> None:
    assert (v3_model.card.dimensions, v3_model.max_tokens) == ((32, xlm.WIDTH), xlm.LENGTH)
    assert v3_model.export.inputs == ("input_ids", "attention_mask", "adapter", "spans")


@pytest.mark.parametrize("alpha", [1, 6])
def test_the_scaling_of_adapters_is_the_checkpoints(tmp_path: Path, alpha: int) -> None:
    other = xlm.write_v3(tmp_path / "v3", lora_alpha=alpha)
    model = export_model(V3, other.folder, tmp_path / "r", precision="fp32", flavour="python")
    rows = rows_of((9,))
    base, adapted = (Running(model)(whole(rows, [own]))["sentence_embedding"] for own in (-1, 2))
    assert cosine_error(base, means(other, rows, [-1])) <= 1e-5
    assert cosine_error(adapted, means(other, rows, [2])) > 1e-4


def test_half_precision_stays_close(v3: xlm.Published, tmp_path: Path) -> None:
    model = export_model(V3, v3.folder, tmp_path, precision="fp16", flavour="onnxruntime")
    rows = rows_of()
    vectors = Running(model)(whole(rows, MIXED))["sentence_embedding"]
    assert vectors.dtype == np.float32
    assert cosine_error(vectors, means(v3, rows, MIXED)) <= parity.TOLERANCES["fp16"]


@pytest.mark.parametrize("prefix", ["roberta.", ""])
def test_late_interaction_vectors(tmp_path: Path, prefix: str) -> None:
    published = xlm.write_colbert(tmp_path / "colbert", prefix)
    model = export_model(COLBERT, published.folder, tmp_path / "r", precision="fp32", flavour="python")
    assert model.card.multi_vector is not None
    assert model.card.multi_vector.dimensions == (xlm.TOKEN_VECTOR,)
    rows = rows_of()
    tokens = Running(model)(padded(rows))["token_embeddings"]
    for row, vectors in zip(rows, tokens, strict=True):
        expected = states(published, row) @ published.heads["linear.weight"].T
        assert cosine_error(vectors[: len(row)], expected.numpy()) <= 1e-5
        assert np.allclose(np.linalg.norm(vectors[: len(row)], axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_pairs_are_scored_by_the_first_token(tmp_path: Path, precision: Precision) -> None:
    published = xlm.write_pairs(tmp_path / "pairs")
    model = export_model(PAIRS, published.folder, tmp_path / "r", precision=precision, flavour="python")
    rows = rows_of()
    logits = Running(model)(padded(rows, xlm.LENGTH))["logit"]
    with torch.inference_mode():
        expected = torch.cat([published.model(input_ids=torch.tensor([row])).logits for row in rows]).numpy()
    assert model.max_tokens == xlm.LENGTH
    assert np.abs(logits - expected).max() <= parity.ABSOLUTE_TOLERANCES[precision]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> xlm.Published:
    return xlm.write_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def clip_model(clip: xlm.Published, tmp_path_factory: pytest.TempPathFactory) -> ExportedModel:
    return export_model(CLIP, clip.folder, tmp_path_factory.mktemp("r"), precision="fp32", flavour="python")


def test_the_only_adapter_of_clip_is_always_on(clip: xlm.Published, clip_model: ExportedModel) -> None:
    rows = rows_of()
    vectors = Running(clip_model)(padded(rows))["sentence_embedding"]
    assert cosine_error(vectors, means(clip, rows, [0] * len(rows))) <= 1e-5
    assert clip_model.export.inputs == ("input_ids", "attention_mask")


def test_images_of_clip(clip: xlm.Published, clip_model: ExportedModel) -> None:
    pixels = torch.randn(3, 3, xlm.IMAGE, xlm.IMAGE, generator=torch.Generator().manual_seed(1))
    graph = Running(clip_model, VISION)
    vectors = graph({"pixel_values": pixels.numpy()})["sentence_embedding"]
    expected = torch.stack([eva_reference.embedded(clip.heads, image, xlm.PATCH) for image in pixels])
    assert cosine_error(vectors, expected.numpy()) <= 1e-5
    alone = graph({"pixel_values": pixels[1:2].numpy()})["sentence_embedding"]
    assert cosine_error(alone[0], vectors[1]) <= 1e-6
    assert clip_model.card.image is not None
    assert (clip_model.card.image.size, clip_model.card.dimensions) == (xlm.IMAGE, (xlm.WIDTH,))


def changed(published: xlm.Published, **tensors: torch.Tensor | None) -> None:
    file = published.folder / "model.safetensors"
    weights = load_file(file)
    for name, tensor in tensors.items():
        weights.pop(name, None)
        if tensor is not None:
            weights[name] = tensor
    save_file(weights, file)


WQKV = "roberta.encoder.layers.0.mixer.Wqkv.parametrizations.weight"


@pytest.mark.parametrize(
    ("tensors", "problem"),
    [
        ({f"{WQKV}.0.lora_A": None}, f"lacks {WQKV.removeprefix('roberta.')}.0.lora_A"),
        ({"roberta.encoder.layers.7.norm1.bias": torch.ones(1)}, "has unknown roberta.encoder.layers.7.norm1.bias"),
        (
            {f"{WQKV}.0.lora_B": torch.ones(5, 3, 2)},
            rf"has misshapen {WQKV}.0.lora_B \[5, 3, 2\] for \[64, 15\]",
        ),
        ({"roberta.emb_ln.bias": torch.ones(3)}, r"has misshapen roberta.emb_ln.bias \[3\] instead of \[64\]"),
    ],
)
def test_keys_that_do_not_fit_are_named(tmp_path: Path, tensors: dict[str, torch.Tensor | None], problem: str) -> None:
    published = xlm.write_v3(tmp_path / "v3")
    changed(published, **tensors)
    with pytest.raises(InvalidArgument, match=problem):
        export_model(V3, published.folder, tmp_path / "r", precision="fp32", flavour="python")
    assert not (tmp_path / "r").exists()


def test_a_clip_with_more_than_its_towers_is_refused(tmp_path: Path) -> None:
    published = xlm.write_clip(tmp_path / "clip")
    changed(published, **{"text_projection.weight": torch.ones(2)})
    with pytest.raises(InvalidArgument, match=r"has unknown text_projection\.weight"):
        export_model(CLIP, published.folder, tmp_path / "r", precision="fp32", flavour="python")


def test_published_angles_must_be_those_of_the_configuration(tmp_path: Path) -> None:
    published = xlm.write_clip(tmp_path / "clip")
    changed(published, **{"vision_model.rope.freqs_cos": torch.zeros(16, 16)})
    with pytest.raises(InvalidArgument, match=r"rope\.freqs_cos that are not those of config\.json"):
        export_model(CLIP, published.folder, tmp_path / "r", precision="fp32", flavour="python")

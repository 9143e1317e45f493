"""jina-code-embeddings and jina-embeddings-v4 give the vectors of transformers with merged adapters, in any batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional

from searchmesh.catalog import ExportedModel, Precision, load_card
from searchmesh_export import parity
from searchmesh_export.exporter import export_model
from support.checkpoints_qwen import LENGTH, MULTI_VECTOR, TASKS, WIDTH, Published, write_qwen2, write_qwen2_5_vl
from support.qwen_reference import Inputs, Row, picture, row_with, states, text_inputs, token_vectors
from support.running import Running, cosine_error

Floats = NDArray[np.float32]
PRECISIONS: list[Precision] = ["fp32", "int8"]
LENGTHS = (1, 2, 5, LENGTH, 17, 64, 3)


def ids(length: int, seed: int = 0) -> list[int]:
    numbers: list[int] = np.random.default_rng([length, seed]).integers(0, 256, length).tolist()
    return numbers


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Published:
    return write_qwen2(tmp_path_factory.mktemp("code"))


@pytest.fixture(scope="module", params=PRECISIONS)
def code_model(request: pytest.FixtureRequest, code: Published, tmp_path_factory: Any) -> ExportedModel:
    card = load_card("jina-code-embeddings-0.5b")
    return export_model(card, code.folder, tmp_path_factory.mktemp("code"), precision=request.param, flavour="python")


@pytest.fixture(scope="module")
def v4(tmp_path_factory: pytest.TempPathFactory) -> Published:
    return write_qwen2_5_vl(tmp_path_factory.mktemp("v4"))


@pytest.fixture(scope="module", params=PRECISIONS)
def v4_model(request: pytest.FixtureRequest, v4: Published, tmp_path_factory: Any) -> ExportedModel:
    card = load_card("jina-embeddings-v4")
    return export_model(card, v4.folder, tmp_path_factory.mktemp("v4"), precision=request.param, flavour="python")


def last_tokens(published: Published, rows: Sequence[Sequence[int]]) -> Floats:
    """What transformers makes of each row alone."""
    with torch.inference_mode():
        return np.stack(
            [published.model(input_ids=torch.tensor([row])).last_hidden_state[0, -1].numpy() for row in rows]
        )


def padded(rows: Sequence[Sequence[int]], length: int = 0) -> Inputs:
    tokens = np.full((len(rows), max(length, *map(len, rows))), 7, np.int64)
    mask = np.zeros_like(tokens)
    for number, row in enumerate(rows):
        tokens[number, : len(row)] = row
        mask[number, : len(row)] = 1
    return {"input_ids": tokens, "attention_mask": mask}


def test_a_text_is_embedded_by_its_last_token(code: Published, code_model: ExportedModel) -> None:
    rows = [ids(length) for length in LENGTHS]
    vectors = Running(code_model)(padded(rows))["sentence_embedding"]
    assert cosine_error(vectors, last_tokens(code, rows)) <= parity.TOLERANCES[code_model.precision]
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=-1), 1, rtol=1e-5)


def test_a_text_has_the_same_vector_in_every_batch(code_model: ExportedModel) -> None:
    graph = Running(code_model)
    rows = [ids(length) for length in LENGTHS]
    together = graph(padded(rows))["sentence_embedding"]
    backwards = graph(padded(rows[::-1]))["sentence_embedding"][::-1]
    alone = np.concatenate([graph(padded([row]))["sentence_embedding"] for row in rows])
    roomy = np.concatenate([graph(padded([row], LENGTH + 40))["sentence_embedding"] for row in rows])
    for other in (backwards, alone, roomy):
        assert cosine_error(together, other) <= 1e-5


@pytest.fixture(scope="module")
def rows(v4: Published) -> Sequence[Row]:
    """Texts and images of several tasks, one token and the longest text, and a row on the base weights."""
    return [
        Row(ids(12), task="retrieval"),
        row_with(v4, [*ids(3), picture(3, 5, 1), *ids(6)], "code"),
        Row(ids(1), task="text-matching"),
        Row(ids(LENGTH), task="code"),
        row_with(v4, [*ids(2), picture(1, 1, 2), *ids(1), picture(6, 2, 3), *ids(4)], "retrieval"),
        Row(ids(12), task="text-matching"),
        Row(ids(12)),
    ]


def v4_inputs(v4: Published, rows: Sequence[Row], length: int = 0) -> Inputs:
    adapter = [[-1 if row.task is None else TASKS.index(row.task)] for row in rows]
    spans = [[[0, len(row.ids)], [len(row.ids) // 2, len(row.ids)], [0, 0]] for row in rows]
    return text_inputs(v4, rows, length) | {"adapter": np.array(adapter), "spans": np.array(spans)}


def test_tasks_and_images_share_a_batch(v4: Published, v4_model: ExportedModel, rows: Sequence[Row]) -> None:
    outputs = Running(v4_model)(v4_inputs(v4, rows))
    limit = parity.TOLERANCES[v4_model.precision]
    for number, row in enumerate(rows):
        last = states(v4, row)
        assert cosine_error(outputs["sentence_embedding"][number], last.mean(dim=0).numpy()) <= limit
        second = last[len(row.ids) // 2 :].mean(dim=0).numpy()
        assert cosine_error(outputs["span_embeddings"][number, 1], second) <= limit
        tokens = outputs["token_embeddings"][number, : len(row.ids)]
        assert cosine_error(tokens, token_vectors(v4, row).numpy()) <= limit


def test_vectors_have_unit_length_and_padding_has_none(
    v4: Published, v4_model: ExportedModel, rows: Sequence[Row]
) -> None:
    inputs = v4_inputs(v4, rows)
    outputs = Running(v4_model)(inputs)
    real = inputs["attention_mask"].astype(bool)
    tokens = outputs["token_embeddings"]
    np.testing.assert_allclose(np.linalg.norm(tokens[real], axis=-1), 1, rtol=1e-5)
    np.testing.assert_array_equal(tokens[~real], 0)
    np.testing.assert_allclose(np.linalg.norm(outputs["sentence_embedding"], axis=-1), 1, rtol=1e-5)
    np.testing.assert_array_equal(outputs["span_embeddings"][:, 0], outputs["sentence_embedding"])
    np.testing.assert_array_equal(outputs["span_embeddings"][:, 2], 0)


def test_a_row_of_any_task_is_the_same_in_every_batch(
    v4: Published, v4_model: ExportedModel, rows: Sequence[Row]
) -> None:
    graph = Running(v4_model)
    together = graph(v4_inputs(v4, rows))
    backwards = graph(v4_inputs(v4, rows[::-1]))
    assert cosine_error(together["sentence_embedding"], backwards["sentence_embedding"][::-1]) <= 1e-5
    for number, row in enumerate(rows):
        for other in (graph(v4_inputs(v4, [row])), graph(v4_inputs(v4, [row], LENGTH + 40))):
            assert cosine_error(together["sentence_embedding"][number], other["sentence_embedding"][0]) <= 1e-5
            here = slice(0, len(row.ids))
            assert cosine_error(together["token_embeddings"][number, here], other["token_embeddings"][0, here]) <= 1e-5


def test_each_task_has_vectors_of_its_own(v4: Published, v4_model: ExportedModel) -> None:
    inputs = v4_inputs(v4, [Row(ids(12), task=task) for task in (*TASKS, None)])
    vectors = Running(v4_model)(inputs)["sentence_embedding"]
    apart = 1 - vectors @ vectors.T
    assert apart[~np.eye(4, dtype=bool)].min() > 1e-2


def test_a_batch_without_images_needs_no_features(v4: Published, v4_model: ExportedModel) -> None:
    inputs = v4_inputs(v4, [Row(ids(12), task="code"), Row(ids(5))])
    without = inputs | {"image_features": np.zeros((2, 0, WIDTH), np.float32)}
    graph = Running(v4_model)
    for name, values in graph(inputs).items():
        np.testing.assert_array_equal(graph(without)[name], values)


def test_a_chunk_of_a_long_text_knows_what_came_before(v4: Published, v4_model: ExportedModel) -> None:
    """Late chunking: the mean over a span differs from the vector of the same tokens alone."""
    text = ids(60)
    inputs = v4_inputs(v4, [Row(text, task="retrieval")]) | {"spans": np.array([[[0, 60], [30, 60]]])}
    late = Running(v4_model)(inputs)["span_embeddings"][0, 1]
    expected = functional.normalize(states(v4, Row(text, task="retrieval"))[30:].mean(dim=0), dim=-1).numpy()
    assert cosine_error(late, expected) <= parity.TOLERANCES[v4_model.precision]
    alone = Running(v4_model)(v4_inputs(v4, [Row(text[30:], task="retrieval")]))["sentence_embedding"][0]
    assert cosine_error(late, alone) > 5e-2


@pytest.fixture(scope="module")
def half(v4: Published, tmp_path_factory: pytest.TempPathFactory) -> ExportedModel:
    card = load_card("jina-embeddings-v4")
    return export_model(card, v4.folder, tmp_path_factory.mktemp("v4"), precision="fp16", flavour="tensorrt")


def test_half_precision_keeps_tensors_and_tasks(v4: Published, half: ExportedModel, rows: Sequence[Row]) -> None:
    outputs = Running(half)(v4_inputs(v4, rows))
    for number, row in enumerate(rows):
        tokens = outputs["token_embeddings"][number, : len(row.ids)]
        assert tokens.dtype == np.float32
        assert cosine_error(tokens, token_vectors(v4, row).numpy()) <= parity.TOLERANCES["fp16"]
        mean = states(v4, row).mean(dim=0).numpy()
        assert cosine_error(outputs["sentence_embedding"][number], mean) <= parity.TOLERANCES["fp16"]


def test_the_card_has_what_the_checkpoint_says(v4_model: ExportedModel) -> None:
    card = v4_model.card
    assert (card.dimensions, card.max_tokens, v4_model.hidden_size) == ((WIDTH,), LENGTH, WIDTH)
    assert card.multi_vector is not None
    assert card.multi_vector.dimensions == (MULTI_VECTOR,)
    assert card.image is not None
    image = card.image
    assert (image.patch, image.merge, image.temporal, image.window, image.tile) == (14, 2, 2, 4, 28)
    assert (image.min_pixels, image.max_pixels, image.max_tokens) == (3136, 40 * 28 * 28, 40)
    assert v4_model.export.inputs == (
        "input_ids", "attention_mask", "adapter", "spans", "position_ids", "image_features", "image_index",
    )  # fmt: skip
    assert v4_model.outputs == ("sentence_embedding", "span_embeddings", "token_embeddings")

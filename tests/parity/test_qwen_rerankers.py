"""jina-reranker-m0 and jina-reranker-v3 score as transformers and the heads written here do, in any batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from searchmesh.catalog import ExportedModel, Precision, load_card
from searchmesh_export import parity
from searchmesh_export.exporter import export_model
from support.checkpoints_qwen import LENGTH, PICKED, Published, write_qwen2_vl, write_qwen3
from support.qwen_reference import Row, picture, row_with, states, text_inputs
from support.running import Running, cosine_error

PRECISIONS: list[Precision] = ["fp32", "int8"]


def ids(length: int, seed: int = 0) -> list[int]:
    numbers: list[int] = np.random.default_rng([length, seed]).integers(0, 256, length).tolist()
    return numbers


@pytest.fixture(scope="module")
def m0(tmp_path_factory: pytest.TempPathFactory) -> Published:
    return write_qwen2_vl(tmp_path_factory.mktemp("m0"))


@pytest.fixture(scope="module", params=PRECISIONS)
def m0_model(request: pytest.FixtureRequest, m0: Published, tmp_path_factory: Any) -> ExportedModel:
    card = load_card("jina-reranker-m0")
    return export_model(card, m0.folder, tmp_path_factory.mktemp("m0"), precision=request.param, flavour="python")


@pytest.fixture(scope="module")
def v3(tmp_path_factory: pytest.TempPathFactory) -> Published:
    return write_qwen3(tmp_path_factory.mktemp("v3"))


@pytest.fixture(scope="module", params=PRECISIONS)
def v3_model(request: pytest.FixtureRequest, v3: Published, tmp_path_factory: Any) -> ExportedModel:
    card = load_card("jina-reranker-v3")
    return export_model(card, v3.folder, tmp_path_factory.mktemp("v3"), precision=request.param, flavour="python")


@pytest.fixture(scope="module")
def pairs(m0: Published) -> Sequence[Row]:
    """Texts and images as documents and as queries, with the score token at the end; the longest, and one token."""
    return [
        Row([*ids(20), 100]),
        row_with(m0, [*ids(3), picture(3, 5, 1), *ids(6), 100]),
        Row([100]),
        Row([*ids(LENGTH - 1), 100]),
        row_with(m0, [*ids(2), picture(1, 1, 2), *ids(3), picture(6, 2, 3), 100]),
    ]


def logits(published: Published, rows: Sequence[Row]) -> NDArray[np.float32]:
    """Linear, ReLU, Linear on the last state of each row alone."""
    last = torch.stack([states(published, row)[-1] for row in rows])
    head = published.heads
    hidden = torch.relu(last @ head["score.0.weight"].T + head["score.0.bias"])
    scores: NDArray[np.float32] = (hidden @ head["score.2.weight"].T + head["score.2.bias"]).numpy()
    return scores


def probability(logit: NDArray[np.float32]) -> NDArray[np.float32]:
    """The score that the model's makers give."""
    scores: NDArray[np.float32] = 1 / (1 + np.exp(2.65 - logit))
    return scores


def test_pairs_of_texts_and_images_share_a_batch(m0: Published, m0_model: ExportedModel, pairs: Sequence[Row]) -> None:
    found = Running(m0_model)(text_inputs(m0, pairs))["logit"]
    expected = logits(m0, pairs)
    assert found.shape == (len(pairs), 1)
    assert np.ptp(expected) > 0.5
    assert np.abs(found - expected).max() <= parity.ABSOLUTE_TOLERANCES[m0_model.precision]
    limit = 1e-4 if m0_model.precision == "fp32" else 3e-2
    assert np.abs(probability(found) - probability(expected)).max() <= limit


def test_a_pair_has_the_same_score_in_every_batch(m0: Published, m0_model: ExportedModel, pairs: Sequence[Row]) -> None:
    graph = Running(m0_model)
    together = graph(text_inputs(m0, pairs))["logit"]
    backwards = graph(text_inputs(m0, pairs[::-1]))["logit"][::-1]
    alone = np.concatenate([graph(text_inputs(m0, [pair]))["logit"] for pair in pairs])
    roomy = np.concatenate([graph(text_inputs(m0, [pair], LENGTH + 40))["logit"] for pair in pairs])
    for other in (backwards, alone, roomy):
        np.testing.assert_allclose(other, together, atol=1e-4)


def test_half_precision_scores_pairs(m0: Published, tmp_path_factory: Any, pairs: Sequence[Row]) -> None:
    folder = tmp_path_factory.mktemp("m0")
    half = export_model(load_card("jina-reranker-m0"), m0.folder, folder, precision="fp16", flavour="tensorrt")
    found = Running(half)(text_inputs(m0, pairs))["logit"]
    assert found.dtype == np.float32
    assert np.abs(found - logits(m0, pairs)).max() <= parity.ABSOLUTE_TOLERANCES["fp16"]


def projected(published: Published, row: Sequence[int], picks: Sequence[int]) -> NDArray[np.float32]:
    """Linear, ReLU, Linear on chosen states of a row alone."""
    with torch.inference_mode():
        chosen = published.model(input_ids=torch.tensor([row])).last_hidden_state[0, list(picks)]
        hidden = torch.relu(chosen @ published.heads["projector.0.weight"].T)
        vectors: NDArray[np.float32] = (hidden @ published.heads["projector.2.weight"].T).numpy()
    return vectors


LISTS = ((LENGTH, (3, 70, 159)), (1, (0, 0, 0)), (40, (12, 39, 0)), (17, (16, 5, 9)))
"""Length of a row and the positions that are read."""


def list_inputs(rows: Sequence[tuple[int, Sequence[int]]], length: int = LENGTH) -> dict[str, NDArray[np.int64]]:
    tokens = np.full((len(rows), length), 7, np.int64)
    mask = np.zeros_like(tokens)
    for number, (count, _) in enumerate(rows):
        tokens[number, :count] = ids(count)
        mask[number, :count] = 1
    return {"input_ids": tokens, "attention_mask": mask, "picks": np.array([picks for _, picks in rows])}


def test_chosen_states_come_projected(v3: Published, v3_model: ExportedModel) -> None:
    found = Running(v3_model)(list_inputs(LISTS))["picked_embeddings"]
    assert found.shape == (len(LISTS), 3, PICKED)
    for number, (count, picks) in enumerate(LISTS):
        expected = projected(v3, ids(count), picks)
        assert cosine_error(found[number], expected) <= parity.TOLERANCES[v3_model.precision]
        if v3_model.precision == "fp32":
            np.testing.assert_allclose(found[number], expected, atol=2e-5)


def test_a_list_has_the_same_states_in_every_batch(v3_model: ExportedModel) -> None:
    graph = Running(v3_model)
    together = graph(list_inputs(LISTS))["picked_embeddings"]
    backwards = graph(list_inputs(LISTS[::-1]))["picked_embeddings"][::-1]
    alone = np.concatenate([graph(list_inputs([row], row[0]))["picked_embeddings"] for row in LISTS])
    for other in (backwards, alone):
        assert cosine_error(together, other) <= 1e-5


def test_the_card_has_the_size_of_document_vectors(v3_model: ExportedModel) -> None:
    assert v3_model.card.listing is not None
    assert v3_model.card.listing.document_dimensions == PICKED
    assert v3_model.card.max_tokens == LENGTH

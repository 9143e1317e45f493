"""The vision graphs of jina-embeddings-v4 and jina-reranker-m0 see what the towers of transformers see."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from searchmesh.catalog import ExportedModel, load_card
from searchmesh.catalog.repository import VISION
from searchmesh_export import parity
from searchmesh_export.exporter import export_model
from support.checkpoints_qwen import Published, write_qwen2_5_vl, write_qwen2_vl
from support.qwen_reference import Picture, features, picture, vision_inputs
from support.running import Running, cosine_error

# One token; less than a window; whole windows; windows that the edges cut; long and flat.
SIZES = ((1, 1), (3, 2), (4, 8), (5, 7), (1, 13))
PICTURES = [picture(rows, columns, seed) for seed, (rows, columns) in enumerate(SIZES)]


@pytest.fixture(
    scope="module",
    params=[("jina-embeddings-v4", "fp32"), ("jina-reranker-m0", "fp32"), ("jina-embeddings-v4", "int8")],
    ids=lambda param: "-".join(param),
)
def exported(request: pytest.FixtureRequest, tmp_path_factory: Any) -> tuple[Published, ExportedModel]:
    name, precision = request.param
    folder = tmp_path_factory.mktemp(name)
    write = write_qwen2_5_vl if name == "jina-embeddings-v4" else write_qwen2_vl
    published = write(folder / "checkpoint")
    model = export_model(
        load_card(name), published.folder, folder / "repository", precision=precision, flavour="python"
    )
    return published, model


def seen(model: ExportedModel, graph: Running, pictures: Sequence[Picture]) -> list[Any]:
    """Features in reading order, of pictures in one batch."""
    assert model.card.image is not None
    inputs, each = vision_inputs(pictures, model.card.image.window)
    results = graph(inputs)["image_features"]
    return [result[slots.order] for result, slots in zip(results, each, strict=True)]


def test_pictures_of_many_sizes_share_a_batch(exported: tuple[Published, ExportedModel]) -> None:
    published, model = exported
    found = seen(model, Running(model, VISION), PICTURES)
    for one, result in zip(PICTURES, found, strict=True):
        expected = features(published, one)
        assert cosine_error(result, expected) <= parity.TOLERANCES[model.precision]
        if model.precision == "fp32":
            np.testing.assert_allclose(result, expected, atol=1e-4)


def test_a_picture_is_seen_the_same_in_every_batch(exported: tuple[Published, ExportedModel]) -> None:
    _, model = exported
    graph = Running(model, VISION)
    together = seen(model, graph, PICTURES)
    backwards = seen(model, graph, PICTURES[::-1])[::-1]
    for number, one in enumerate(PICTURES):
        (alone,) = seen(model, graph, [one])
        assert cosine_error(together[number], alone) <= 1e-5
        assert cosine_error(together[number], backwards[number]) <= 1e-5


def test_what_padding_holds_is_not_seen(exported: tuple[Published, ExportedModel]) -> None:
    _, model = exported
    assert model.card.image is not None
    graph = Running(model, VISION)
    inputs, each = vision_inputs(PICTURES, model.card.image.window)
    noise = np.random.default_rng(0).normal(size=inputs["patches"].shape).astype(np.float32)
    noisy = inputs | {"patches": np.where(inputs["patch_mask"][:, :, None] == 1, inputs["patches"], noise)}
    noisy["patch_positions"] = np.where(inputs["patch_mask"][:, :, None] == 1, inputs["patch_positions"], 3)
    before, after = graph(inputs)["image_features"], graph(noisy)["image_features"]
    for number, slots in enumerate(each):
        np.testing.assert_allclose(after[number][slots.order], before[number][slots.order], atol=1e-5)


def test_the_graph_beside_the_model_is_no_model_of_its_own(exported: tuple[Published, ExportedModel]) -> None:
    _, model = exported
    folder = model.path.parent / (model.name + VISION)
    assert (folder / "config.pbtxt").is_file()
    assert not (folder / "card.json").exists()

"""The vision graph of jina-vlm sees what the SigLIP of transformers sees, behind a connector written out here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from searchmesh.runtime.errors import InvalidArgument
from searchmesh_export import attention, saving
from searchmesh_export.built import Graph
from searchmesh_export.checkpoint import Checkpoint
from searchmesh_export.graph import to_onnx
from searchmesh_export.jina_vlm import vision_graph
from support import vlm_reference as reference
from support.checkpoints_vlm import SIDE, Published, write_vlm


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Published:
    return write_vlm(tmp_path_factory.mktemp("vlm") / "checkpoint")


@pytest.fixture(scope="module", params=["fp32", "fp16"])
def session(
    request: pytest.FixtureRequest, published: Published, tmp_path_factory: pytest.TempPathFactory
) -> tuple[onnxruntime.InferenceSession, float]:
    """The graph in ONNX Runtime, and the error that its precision may have."""
    graph = vision_graph(Checkpoint(published.folder))
    if request.param == "fp16":
        graph.module.half()
    else:
        attention.fuse(graph.module, "fp32", "python")
    (file, *_) = saving.save(to_onnx(graph), tmp_path_factory.mktemp("graph"))
    return onnxruntime.InferenceSession(str(file)), 1e-4 if request.param == "fp32" else 3e-2


def inputs(count: int) -> dict[str, NDArray[np.float32]]:
    """Crops whose patches show the image, do not, do in part, and are beyond the image."""
    numbers = np.random.default_rng(count)
    return {
        "crops": numbers.uniform(-1, 1, (count, SIDE**2, 588)).astype(np.float32),
        "coverage": numbers.choice([1, 0, 0.5, -1], (count, SIDE**2), p=(0.4, 0.2, 0.2, 0.2)).astype(np.float32),
    }


def test_features_of_crops(session: tuple[onnxruntime.InferenceSession, float], published: Published) -> None:
    graph, tolerance = session
    given = inputs(3)
    (found,) = graph.run(["image_features"], given)
    expected = reference.features(published, *(torch.from_numpy(value) for value in given.values())).numpy()
    assert found.shape == (3, 36, 64)
    np.testing.assert_allclose(found, expected, atol=tolerance * np.abs(expected).max())


def test_a_crop_is_seen_the_same_in_every_batch(session: tuple[onnxruntime.InferenceSession, float]) -> None:
    graph, tolerance = session
    given = inputs(4)
    (together,) = graph.run(None, given)
    for number in range(4):
        (alone,) = graph.run(None, {name: value[number : number + 1] for name, value in given.items()})
        np.testing.assert_allclose(alone[0], together[number], atol=tolerance * np.abs(alone).max())


def run(graph: Graph, given: dict[str, NDArray[np.float32]]) -> Any:
    with torch.inference_mode():
        return graph.module(*(torch.from_numpy(value) for value in given.values()))[0]


def change(folder: Path, **values: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["vision_config"] |= values
    (folder / "config.json").write_text(json.dumps(config))


def test_layers_count_from_the_end_of_a_list_with_the_final_norm(tmp_path: Path, monkeypatch: Any) -> None:
    own = write_vlm(tmp_path / "checkpoint")
    given = inputs(1)
    tensors = [torch.from_numpy(value) for value in given.values()]
    for places in ((-1, 0), (5, -7), (-3, -5)):
        change(own.folder, vit_layers=places)
        monkeypatch.setattr(reference, "LIST", places)
        found = run(vision_graph(Checkpoint(own.folder)), given)
        torch.testing.assert_close(found, reference.features(own, *tensors), atol=1e-4, rtol=1e-4)
    change(own.folder, vit_layers=(-8, 1))
    with pytest.raises(InvalidArgument, match="vit_layers beyond the 7 outputs"):
        vision_graph(Checkpoint(own.folder))


def test_what_the_graph_does_not_have_is_refused_by_name(tmp_path: Path) -> None:
    folder = write_vlm(tmp_path / "checkpoint").folder
    weights = load_file(folder / "model.safetensors")
    kept = {name: tensor for name, tensor in weights.items() if not name.endswith("layers.3.attn.k_b")}
    save_file(kept, folder / "model.safetensors")
    with pytest.raises(InvalidArgument, match=r"lacks layers\.3\.attn\.k_b"):
        vision_graph(Checkpoint(folder))
    save_file(weights | {"model.vision_model.class_token": torch.zeros(1)}, folder / "model.safetensors")
    with pytest.raises(InvalidArgument, match=r"unknown model\.vision_model\.class_token"):
        vision_graph(Checkpoint(folder))
    save_file(weights, folder / "model.safetensors")
    change(folder, use_cls_token=True)
    with pytest.raises(InvalidArgument, match=r"vision_config\.use_cls_token"):
        vision_graph(Checkpoint(folder))

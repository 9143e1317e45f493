"""Pixels, patches, windows and positions are those of the models' own processors in transformers."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import MethodType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VLModel
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil, smart_resize
from transformers.models.qwen2_vl.modeling_qwen2_vl import Qwen2VLModel
from transformers.vision_utils import get_vision_position_ids, get_vision_window_index

from searchmesh.catalog import load_card
from searchmesh.catalog.sections import Image as Section
from searchmesh.images import Grid, ImageLimits, Patches, decode, mrope_positions, to_patches, to_pixels, tokens
from support.pictures import picture

V4 = load_card("jina-embeddings-v4").image
M0 = load_card("jina-reranker-m0").image
CLIP = load_card("jina-clip-v2").image

SIZES = [(28, 28), (1, 1), (100, 70), (56, 56), (640, 480), (1200, 900), (113, 899), (30, 2900), (2000, 10), (141, 142)]

DATA = Path(os.environ.get("SEARCHMESH_DATA", "/nowhere")) / "images-chartqa"


def _processor(section: Section, max_pixels: int | None = None) -> Qwen2VLImageProcessorPil:
    assert section.mean is not None
    assert section.std is not None
    return Qwen2VLImageProcessorPil(
        min_pixels=section.min_pixels,
        max_pixels=max_pixels or section.max_pixels,
        patch_size=section.patch,
        merge_size=section.merge,
        temporal_patch_size=section.temporal,
        image_mean=list(section.mean),
        image_std=list(section.std),
    )


def _in_reading_order(patches: Patches, values: NDArray[Any], group: int) -> NDArray[Any]:
    """Slots back in the order of transformers, which is by token."""
    return values.reshape(-1, group, values.shape[-1])[patches.order].reshape(-1, values.shape[-1])


@pytest.mark.parametrize("section", [V4, M0], ids=["with windows", "without"])
@pytest.mark.parametrize("size", SIZES)
def test_patches(section: Section, size: tuple[int, int]) -> None:
    image = picture(*size)
    made = to_patches(image, section)
    expected = _processor(section)(image, return_tensors="np")
    ours = _in_reading_order(made, made.pixels, 4)
    assert ours.shape == expected["pixel_values"].shape
    assert np.abs(ours - expected["pixel_values"]).max() < 1e-6
    assert [[1, 2 * made.grid[0], 2 * made.grid[1]]] == expected["image_grid_thw"].tolist()
    assert tokens(*size, section) == made.grid[0] * made.grid[1] == len(made.order)


@pytest.mark.parametrize("max_pixels", [200_000, 1_003_520, 12_845_056])
def test_patches_of_another_limit(max_pixels: int) -> None:
    image = picture(1600, 1300)
    made = to_patches(image, M0, max_pixels=max_pixels)
    expected = _processor(M0, max_pixels)(image, return_tensors="np")
    assert np.abs(_in_reading_order(made, made.pixels, 4) - expected["pixel_values"]).max() < 1e-6
    assert len(made.mask) == 4 * tokens(1600, 1300, M0, max_pixels)


@pytest.mark.parametrize("size", SIZES)
def test_windows_and_places(size: tuple[int, int]) -> None:
    """The slots that hold something are transformers' order window by window, and each window of theirs is one of ours.

    Within a window transformers has no holes, so only the order of what there is can be compared.
    """
    made = to_patches(picture(*size), V4)
    thw = torch.tensor([[1, 2 * made.grid[0], 2 * made.grid[1]]])
    index, bounds = get_vision_window_index(thw, spatial_merge_size=2, window_size=112, patch_size=14)
    assert np.argsort(made.order).tolist() == index.tolist()

    places = get_vision_position_ids(thw, 2)
    assert (_in_reading_order(made, made.positions, 4) == places.numpy()).all()

    sizes = made.mask.reshape(-1, 64).sum(1)
    assert sizes.tolist() == torch.diff(bounds).tolist()


@given(st.integers(1, 16_384), st.integers(1, 16_384), st.integers(200 * 784, 20_000_000))
def test_grids(width: int, height: int, max_pixels: int) -> None:
    """Equal down to the smallest limit that transformers itself keeps; below it a strip of tiles exceeds it there."""
    if max(width, height) <= 200 * min(width, height):
        expected = smart_resize(height, width, 28, 3136, max_pixels)
        rows, columns = Grid.of(M0, max_pixels).fit(width, height, "image")
        assert (rows * 28, columns * 28) == expected


def test_empty_slots_are_zero() -> None:
    made = to_patches(picture(30, 900), V4)
    empty = made.mask == 0
    assert empty.sum() == len(empty) - 4 * len(made.order) > 0
    assert not made.pixels[empty].any()
    assert not made.positions[empty].any()


# Positions

IMAGE = 9


def _rope_index(kind: type[Any], ids: list[int], grids: list[tuple[int, int]]) -> NDArray[np.int64]:
    """Of transformers, from what it reads of a model."""
    vision = SimpleNamespace(spatial_merge_size=2, tokens_per_second=4)
    model = SimpleNamespace(config=SimpleNamespace(vision_config=vision))
    model.get_vision_position_ids = MethodType(kind.get_vision_position_ids, model)
    thw = torch.tensor([[1, 2 * rows, 2 * columns] for rows, columns in grids]) if grids else None
    given = torch.tensor([ids])
    positions, _ = kind.get_rope_index(model, given, (given == IMAGE).int(), image_grid_thw=thw)
    made: NDArray[np.int64] = positions[:, 0].numpy()
    return made


@pytest.mark.parametrize("kind", [Qwen2VLModel, Qwen2_5_VLModel])
@pytest.mark.parametrize(
    ("texts", "grids"),
    [
        ((5,), ()),
        ((0, 3), ((2, 2),)),
        ((4, 0), ((1, 7),)),
        ((2, 5), ((3, 4),)),
        ((2, 5), ((4, 3),)),
        ((3, 1, 6), ((5, 2), (2, 6))),
        ((0, 2, 2, 0), ((1, 1), (9, 3), (2, 2))),
    ],
)
def test_positions(kind: type[Any], texts: tuple[int, ...], grids: tuple[tuple[int, int], ...]) -> None:
    ids: list[int] = []
    for place, length in enumerate(texts):
        ids += [1] * length
        if place < len(grids):
            ids += [IMAGE] * (grids[place][0] * grids[place][1])
    made = mrope_positions(ids, IMAGE, grids)
    assert made.dtype == np.int64
    assert made.tolist() == _rope_index(kind, ids, list(grids)).tolist()


# CLIP


@pytest.mark.parametrize("size", [(512, 512), (640, 480), (480, 640), (2000, 513), (1, 1), (90, 31), (1024, 3000)])
def test_pixels_of_one_size(size: tuple[int, int]) -> None:
    assert CLIP.mean is not None
    assert CLIP.std is not None
    image = picture(*size)
    processor = CLIPImageProcessorPil(
        size={"shortest_edge": CLIP.size},
        crop_size={"height": CLIP.size, "width": CLIP.size},
        image_mean=list(CLIP.mean),
        image_std=list(CLIP.std),
    )
    made = to_pixels(image, CLIP)
    expected = processor(image, return_tensors="np")["pixel_values"][0]
    assert made.shape == (3, 512, 512)
    assert made.dtype == np.float32
    assert np.abs(made - expected).max() < 1e-6


def test_a_margin_that_cannot_be_halved_is_split_as_torchvision_splits_it() -> None:
    """transformers rounds down, torchvision to even; the model was trained with the latter."""
    small = CLIP.model_copy(update={"size": 4})
    image = picture(11, 4)  # a margin of 7: 3.5 becomes 4
    cut = np.asarray(image, np.float64)[:, 4:8].transpose(2, 0, 1) / 255
    expected = (cut - np.array(CLIP.mean)[:, None, None]) / np.array(CLIP.std)[:, None, None]
    assert np.abs(to_pixels(image, small) - expected).max() < 1e-6


# Real images


def _charts() -> Iterator[Path]:
    if DATA.is_dir():
        lines = (DATA / "images.jsonl").read_text().splitlines()
        yield from (DATA / json.loads(line)["image"] for line in lines[:12])


@pytest.mark.skipif(not DATA.is_dir(), reason="SEARCHMESH_DATA is not set")
def test_charts() -> None:
    for path in _charts():
        image = decode(path.read_bytes(), field="image", limits=ImageLimits())
        with Image.open(path) as reference:
            if not reference.has_transparency_data:
                assert np.array_equal(np.asarray(image), np.asarray(reference.convert("RGB")))
        made = to_patches(image, V4)
        expected = _processor(V4)(image, return_tensors="np")["pixel_values"]
        assert np.abs(_in_reading_order(made, made.pixels, 4) - expected).max() < 1e-6

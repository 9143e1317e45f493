"""Crops of images are those that jina-vlm was trained with: its sizes and counts, and torch's resizing."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL.Image import Image as Picture
from torch.nn import functional

from searchmesh.catalog import Image, load_card
from searchmesh.images import Cropping
from searchmesh.runtime.errors import InvalidArgument
from support.pictures import picture

Filter = Literal["bilinear", "bicubic"]


def cropping(resample: Filter = "bilinear", *, in_float: bool = False, **crops: Any) -> Cropping:
    image = load_card("jina-vlm").image
    assert image is not None
    assert image.crops is not None
    section: Image = image.model_copy(
        update={
            "resample": resample,
            "crops": image.crops.model_copy(update={"resize_in_float": in_float} | crops),
        }
    )
    return Cropping.of(section)


@pytest.mark.parametrize(
    ("size", "tiling", "tokens"),
    [
        ((64, 64), (1, 1), 212 + 212),
        ((640, 480), (2, 2), 212 + 602),
        ((480, 640), (2, 2), 212 + 602),
        ((378, 378), (1, 1), 424),
        ((380, 380), (1, 1), 424),
        ((390, 378), (1, 2), 212 + 14 * 25 + 2),
        ((3000, 3000), (3, 3), 212 + 34 * 35 + 2),
        ((4000, 2000), (2, 5), 212 + 24 * 55 + 2),
        # Smaller than the margins along one side.
        ((2000, 60), (1, 1), 424),
    ],
)
def test_an_image_of_a_size_has_so_many_crops_and_tokens(
    size: tuple[int, int], tiling: tuple[int, int], tokens: int
) -> None:
    cut = cropping()
    assert cut.tiling(*size) == tiling
    layout = cut.layout(tiling)
    assert len(layout) == tokens
    assert layout[:212] == ["<im_start>", *(["<im_patch>"] * 14 + ["<im_col>"]) * 14, "<im_end>"]
    assert (layout[212], layout[-1]) == ("<im_start>", "<im_end>")


def test_every_token_has_one_feature_and_lies_to_the_right_of_the_one_before_it() -> None:
    cut = cropping()
    for size in ((64, 64), (640, 480), (1400, 700), (300, 1200)):
        crops = cut.cut(picture(*size))
        assert cut.layout(crops.tiling).count("<im_patch>") == len(crops.order)
        assert len(set(crops.order)) == len(crops.order)
        assert crops.order[:196].tolist() == list(range(196))
        # Where the window of each feature begins in the whole image, in patches.
        crop, token = np.divmod(crops.order[196:] - 196, 196)
        line, place = np.divmod(token, 14)
        rows, columns = np.divmod(crop, crops.tiling[1])
        starts = [(19 * i + 2 * r, 19 * j + 2 * c) for i, r, j, c in zip(rows, line, columns, place, strict=True)]
        assert starts == sorted(starts)


def torch_resized(values: torch.Tensor, size: tuple[int, int], kind: Filter) -> torch.Tensor:
    resized: torch.Tensor = functional.interpolate(values, size, mode=kind, antialias=True, align_corners=False)
    return resized.clamp(0, 1)


def reference(image: Picture, kind: Filter, tiling: tuple[int, int]) -> list[NDArray[np.float32]]:
    """The thumbnail and the crops, [3, 378, 378] each, from -1 to 1; both resizings in float."""
    width, height = (round(side / 14) * 14 for side in image.size)
    values = torch.from_numpy(np.asarray(image, np.float32) / 255).permute(2, 0, 1)[None]
    values = torch_resized(values, (height, width), kind)
    large = torch_resized(values, (tiling[0] * 266 + 112, tiling[1] * 266 + 112), kind)[0]
    corners = [(266 * i, 266 * j) for i in range(tiling[0]) for j in range(tiling[1])]
    crops = [large[:, top : top + 378, left : left + 378] for top, left in corners]
    parts = [torch_resized(values, (378, 378), kind)[0], *crops]
    return [(part * 2 - 1).numpy() for part in parts]


@pytest.mark.parametrize("kind", ["bilinear", "bicubic"])
@pytest.mark.parametrize("in_float", [True, False])
def test_pixels_are_those_of_torch(kind: Filter, in_float: bool) -> None:
    image = picture(500, 420, seed=3)
    crops = cropping(kind, in_float=in_float).cut(image)
    expected = reference(image, kind, crops.tiling)
    assert len(crops.patches) == len(expected) == 1 + crops.tiling[0] * crops.tiling[1]
    for patches, part in zip(crops.patches, expected, strict=True):
        own = patches.reshape(27, 27, 14, 14, 3).transpose(4, 0, 2, 1, 3).reshape(3, 378, 378)
        # Values of 8 bits are off by half of one at most, and bicubic overshoots.
        np.testing.assert_allclose(own, part, atol=2e-5 if in_float else 2 / 255)


def test_the_last_crop_passes_for_partly_padded() -> None:
    image = picture(640, 480)
    assert cropping().cut(image).coverage[:, 0].tolist() == [1, 1, 1, 1, -1]
    assert (cropping(last_is_partial=False).cut(image).coverage == 1).all()


def test_a_strip_is_refused_by_field() -> None:
    with pytest.raises(InvalidArgument) as raised:
        cropping().cut(picture(2500, 10), "messages[0].content[1].image")
    assert raised.value.field == "messages[0].content[1].image"

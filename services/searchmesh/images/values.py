"""From 8-bit pixels to the values that towers read."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from searchmesh.catalog.sections import Image as ImageSection
from searchmesh.runtime.errors import Internal

_RESAMPLING: Mapping[str, Image.Resampling] = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
}


def resized(image: Image.Image, size: tuple[int, int], section: ImageSection) -> Image.Image:
    """The image at (width, height), by the filter that the card names."""
    if section.resample is None:
        raise Internal("the card of the model does not say how images are resized")
    return image if image.size == size else image.resize(size, _RESAMPLING[section.resample])


def resized_values(values: NDArray[np.float32], size: tuple[int, int], section: ImageSection) -> NDArray[np.float32]:
    """Values from 0 to 1, [height, width, channels], at (width, height), by the filter that the card names, which may
    overshoot and is cut off."""
    if section.resample is None:
        raise Internal("the card of the model does not say how images are resized")
    if values.shape[:2] == size[::-1]:
        return values
    channels = (
        np.asarray(Image.fromarray(np.ascontiguousarray(channel)).resize(size, _RESAMPLING[section.resample]))
        for channel in np.moveaxis(values, -1, 0)
    )
    scaled: NDArray[np.float32] = np.stack(list(channels), axis=-1).clip(0, 1)
    return scaled


def affine(section: ImageSection) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Per channel (factor, offset), float32 [3]: ``(pixel / 255 - mean) / std`` is ``pixel * factor + offset``."""
    if section.mean is None or section.std is None:
        raise Internal("the card of the model does not say how pixel values are normalised")
    mean, std = np.array(section.mean), np.array(section.std)
    return (1 / (255 * std)).astype(np.float32), (-mean / std).astype(np.float32)

"""Images for towers of one fixed size (CLIP)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from searchmesh.catalog.sections import Image as ImageSection
from searchmesh.images.values import affine, resized
from searchmesh.runtime.errors import Internal


def to_pixels(image: Image.Image, section: ImageSection) -> NDArray[np.float32]:
    """Pixel values, float32 [3, size, size]: the shortest side scaled to the card's size, the centre cut out,
    normalised. Sizes round as torchvision's Resize and CenterCrop do, which the models were trained with."""
    side = section.size
    if side is None or section.resize != "shortest side" or section.crop != "centre":
        raise Internal("the card of the model does not say how images become pixels of one size")
    width, height = image.size
    short = min(width, height)
    width, height = int(side * width / short), int(side * height / short)
    left, top = round((width - side) / 2), round((height - side) / 2)
    square = resized(image, (width, height), section).crop((left, top, left + side, top + side))
    factor, offset = affine(section)
    channels = np.asarray(square).transpose(2, 0, 1)
    values: NDArray[np.float32] = channels * factor[:, None, None] + offset[:, None, None]
    return values

"""Images for towers that read crops of one size: a thumbnail of the whole, then overlapping parts (Molmo, arXiv
2409.17146; jina-vlm, arXiv 2512.04032)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from searchmesh.catalog.sections import Crops as CropsSection
from searchmesh.catalog.sections import Image as ImageSection
from searchmesh.images.grid import Grid
from searchmesh.images.values import resized, resized_values
from searchmesh.runtime.errors import Internal


@dataclass(frozen=True, slots=True)
class Crops:
    """One image as the tower reads it."""

    patches: NDArray[np.float32]
    """[crops, patches, values]: the thumbnail, then the crops row by row; values of a patch by row, column, channel."""
    coverage: NDArray[np.float32]
    """[crops, patches]: share of a patch that shows the image, as the model was trained with it."""
    order: NDArray[np.int64]
    """[tokens]: for each feature that is used, in the order of its tokens, its place among those of all crops."""
    tiling: tuple[int, int]
    """Rows and columns of crops."""


@dataclass(frozen=True)
class Cropping:
    """How a model cuts images, by its card. Sizes below are of one axis unless they say otherwise."""

    image: ImageSection
    crops: CropsSection
    patch: int
    """Pixels along each side of a patch."""

    @classmethod
    def of(cls, section: ImageSection) -> Cropping:
        """As the card says. Raises Internal for a card of a model that reads no crops."""
        if section.crops is None or section.patch is None or section.scale is None:
            raise Internal("the card of the model does not say how images become crops")
        return cls(section, section.crops, section.patch)

    @property
    def side(self) -> int:
        """Patches of a crop."""
        return self.crops.size // self.patch

    @property
    def window(self) -> int:
        """Patches that are a crop's own: the step from one to the next."""
        return self.side - sum(self.crops.margins_patches)

    @property
    def pooled(self) -> int:
        """Tokens of a crop."""
        return -(-self.side // self.crops.pool)

    @cached_property
    def grid(self) -> Grid:
        """How images are scaled before they are cut: to whole patches."""
        return Grid.of(self.image.model_copy(update={"merge": 1}))

    def tiling(self, width: int, height: int, field: str = "image") -> tuple[int, int]:
        """(rows, columns) of crops of an image of that size.

        The tiling that enlarges least, and if all of them shrink the image the one that shrinks least; of several the
        one with fewest crops. An image that is smaller than the margins along a side is one crop. Raises as `Grid.fit`
        does.
        """
        rows, columns = self.grid.fit(width, height, field)
        margins = self.patch * sum(self.crops.margins_patches)
        free = [size * self.patch - margins for size in (rows, columns)]
        most = self.crops.max_crops
        tilings = [(i, j) for i in range(1, most + 1) for j in range(1, most // i + 1)]
        tilings.sort(key=lambda each: (each[0] * each[1], each[0]))
        scales = {each: min(map(self._scale, each, free)) for each in tilings}
        enlarging = [each for each in tilings if scales[each] >= 1]
        if not enlarging:
            return max(tilings, key=lambda each: scales[each])
        return min(enlarging, key=lambda each: scales[each])

    def _scale(self, crops: int, pixels: int) -> float:
        """By which the image grows along an axis of so many crops; as the model was trained, below zero for one that
        is smaller than the margins."""
        return float(np.float32(crops * self.window * self.patch) / np.float32(pixels)) if pixels else float("inf")

    def kept(self, crops: int) -> list[range]:
        """Which tokens of each crop along an axis are used; the others are the neighbours'."""
        left, right = self.crops.margins_patches
        ranges = []
        for number in range(crops):
            first = 0 if number == 0 else left // self.crops.pool
            patches = self.window + (left if number == 0 else 0) + (right if number == crops - 1 else 0)
            ranges.append(range(first, first + -(-patches // self.crops.pool)))
        return ranges

    def layout(self, tiling: tuple[int, int]) -> list[str]:
        """The tokens that stand for an image."""
        rows, columns = (sum(map(len, self.kept(crops))) for crops in tiling)
        return [*self._block(self.pooled, self.pooled), *self._block(rows, columns)]

    def _block(self, rows: int, columns: int) -> list[str]:
        row = [self.crops.token] * columns + ([self.crops.column] if self.crops.column else [])
        return [self.crops.start, *row * rows, self.crops.end]

    def cut(self, image: Image.Image, field: str = "image") -> Crops:
        """The image in crops. Takes tens of milliseconds. Raises as `Grid.fit` does."""
        rows, columns = self.grid.fit(*image.size, field)
        tiling = self.tiling(*image.size, field)
        values = self._first_resized(image, (columns * self.patch, rows * self.patch))
        margins = self.patch * sum(self.crops.margins_patches)
        step = self.patch * self.window
        large = resized_values(values, (tiling[1] * step + margins, tiling[0] * step + margins), self.image)
        thumbnail = resized_values(values, (self.crops.size, self.crops.size), self.image)
        corners = [(i * step, j * step) for i in range(tiling[0]) for j in range(tiling[1])]
        parts = [large[top : top + self.crops.size, left : left + self.crops.size] for top, left in corners]
        patches = np.stack([self._patches(part) for part in (thumbnail, *parts)])
        coverage = np.ones(patches.shape[:2], np.float32)
        if self.crops.last_is_partial:
            coverage[-1] = -1
        return Crops(patches, coverage, self._order(tiling), tiling)

    def _first_resized(self, image: Image.Image, size: tuple[int, int]) -> NDArray[np.float32]:
        """Values from 0 to 1, [height, width, channels]."""
        if self.crops.resize_in_float:
            return resized_values(np.asarray(image, np.float32) / 255, size, self.image)
        return np.asarray(resized(image, size, self.image), np.float32) / 255

    def _patches(self, part: NDArray[np.float32]) -> NDArray[np.float32]:
        """[side, side, 3] to [patches, values], in the range that the card names."""
        low, high = self.image.scale or (0.0, 1.0)
        cut = part.reshape(self.side, self.patch, self.side, self.patch, 3).transpose(0, 2, 1, 3, 4)
        values: NDArray[np.float32] = cut.reshape(self.side**2, -1) * np.float32(high - low) + np.float32(low)
        return values

    def _order(self, tiling: tuple[int, int]) -> NDArray[np.int64]:
        """Those of the thumbnail, then line by line through the crops."""
        each = self.pooled**2
        places = np.arange(each * (1 + tiling[0] * tiling[1]))
        crops = places[each:].reshape(*tiling, self.pooled, self.pooled)
        lines = [
            np.concatenate([crops[i, j, line, kept] for j, kept in enumerate(self.kept(tiling[1]))])
            for i, own in enumerate(self.kept(tiling[0]))
            for line in own
        ]
        return np.concatenate([places[:each], *lines])

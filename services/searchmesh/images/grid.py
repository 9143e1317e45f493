"""Into how many patches and tokens an image is cut, by the card of a model that reads any size.

The sizes are those of Qwen2-VL's image processor (smart_resize).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from searchmesh.catalog.sections import Image as ImageSection
from searchmesh.runtime.errors import Internal, InvalidArgument

_MAX_ASPECT = 200
"""Longer side over shorter side."""


@dataclass(frozen=True, slots=True)
class Grid:
    """How the patches of a model lie. `of` a card's section, `fit` to an image."""

    patch: int
    """Side in pixels."""
    merge: int
    """Patches along each side of the group that becomes one token."""
    temporal: int
    """Frames of one patch."""
    window: int | None
    """Tokens along each side of an attention window."""
    min_pixels: int
    max_pixels: int

    @classmethod
    def of(cls, section: ImageSection, max_pixels: int | None = None) -> Grid:
        """As the card says, with `max_pixels` in place of the card's if it is given."""
        most = max_pixels or section.max_pixels
        if section.patch is None or section.merge is None or section.min_pixels is None or most is None:
            raise Internal("the card of the model does not say how images become patches")
        return cls(section.patch, section.merge, section.temporal or 1, section.window, section.min_pixels, most)

    @property
    def tile(self) -> int:
        """Side in pixels of what becomes one token."""
        return self.patch * self.merge

    @property
    def most_slots(self) -> int:
        """Slots that an image of `max_pixels` takes at most: with windows a strip of one row takes most, because each
        of its windows is filled to one part in `window` only."""
        tokens = self.max_pixels // self.tile**2
        groups = tokens if self.window is None else math.ceil(tokens / self.window) * self.window**2
        return groups * self.merge**2

    def fit(self, width: int, height: int, field: str) -> tuple[int, int]:
        """(rows, columns) in tokens of an image of that size, after it is scaled to whole tiles between `min_pixels`
        and `max_pixels` with about the same aspect.

        Raises InvalidArgument, naming `field`, if one side is more than 200 times the other.
        """
        if max(width, height) > _MAX_ASPECT * min(width, height):
            raise InvalidArgument(
                field,
                f"is {width} x {height} pixels, one side is more than {_MAX_ASPECT} times the other",
                reason="IMAGE_ASPECT",
            )
        tile, pixels = self.tile, width * height
        rows, columns = round(height / tile), round(width / tile)
        if rows * columns * tile**2 > self.max_pixels:
            shrink = math.sqrt(pixels / self.max_pixels)
            rows, columns = max(1, math.floor(height / shrink / tile)), max(1, math.floor(width / shrink / tile))
        elif rows * columns * tile**2 < self.min_pixels:
            grow = math.sqrt(self.min_pixels / pixels)
            rows, columns = math.ceil(height * grow / tile), math.ceil(width * grow / tile)
        # A strip of one tile's height may still be longer than a small limit allows: then its aspect gives way.
        most = max(1, self.max_pixels // tile**2)
        return min(rows, max(1, most // columns)), min(columns, max(1, most // rows))


def tokens(
    width: int, height: int, section: ImageSection, max_pixels: int | None = None, *, field: str = "image"
) -> int:
    """Image tokens of an image of that size, without its pixels. Raises as `Grid.fit` does."""
    rows, columns = Grid.of(section, max_pixels).fit(width, height, field)
    return rows * columns

"""Settings of services that take images."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import Field

from searchmesh.fetch import FetchSettings


@dataclass(frozen=True)
class ImageLimits:
    """What an image may be at most, checked before its pixels are decoded."""

    max_bytes: int = 10 * 1024 * 1024
    """Of the file."""

    max_pixels: int = 40_000_000
    """Width times height."""

    max_side: int = 16_384
    """The longer side in pixels."""


class ImageSettings(FetchSettings):
    """How large images may be, and what is done with them."""

    image_max_bytes: int = Field(default=ImageLimits.max_bytes, ge=1)
    """Bytes of one image file, sent or fetched. A request also has to fit into `max_message_bytes`."""

    image_max_pixels: int = Field(default=ImageLimits.max_pixels, ge=1, le=80_000_000)
    """Width times height of one image. Decoding takes 4 bytes a pixel, and 8 for a moment where it is rotated or has
    transparency: 305 MiB for 40 million."""

    image_max_side: int = Field(default=ImageLimits.max_side, ge=1, le=65_535)
    """Longer side of one image in pixels."""

    image_resize_pixels: int | None = Field(default=None, ge=200_000)
    """Pixels to which images are scaled down for models that read any size; fewer pixels are fewer tokens. None: what
    the model's card says."""

    image_threads: int = Field(default=2, ge=1)
    """Images decoded and prepared at once; about as many as there are cores. A JPEG of 1200 x 900 pixels and 310 kB
    took 25 ms of an EPYC core for a model that reads any size: 5 to decode, 13 to scale to 868 x 644, 6 to normalise
    and cut into patches. As a PNG it took 29 to decode."""

    @property
    def image_limits(self) -> ImageLimits:
        """The limits of one image."""
        return ImageLimits(self.image_max_bytes, self.image_max_pixels, self.image_max_side)

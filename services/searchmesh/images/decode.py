"""Image files to RGB.

The format is told by the first bytes, never by a name or a content type, and only four are opened. Pillow's plugins are
called directly: `PIL.Image.open` would consult its process-wide registry and size limit, and warn through the
process-wide filters.
"""

from __future__ import annotations

from io import BytesIO

import numpy as np
from PIL import Image, ImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from searchmesh.images.settings import ImageLimits
from searchmesh.runtime.errors import InvalidArgument

_ORIENTATION = 0x0112
"""EXIF tag."""

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What turns an image of each orientation upright; 5 to 8 swap its sides."""

_MAX_JPEG_SCANS = 100
"""A progressive JPEG has about ten. One of 14 bytes took 2 ms of a core with an image of 4 megapixels, so that 10 MB of
them could keep it busy for hours."""


def decode(data: bytes, *, field: str, limits: ImageLimits) -> Image.Image:
    """The image as upright RGB.

    PNG, JPEG, WebP or GIF; of animations the first frame. CMYK, palettes, grey and 16 bits a channel are converted,
    transparency is laid on white, EXIF (or XMP) orientation is applied. ICC profiles are not: models were trained on
    images whose profiles had been ignored.

    Raises InvalidArgument, naming `field`, for other formats, broken or truncated files, and files over a limit; the
    limits are checked before any pixel is decoded.
    """
    image: Image.Image = _open(data, field, limits)
    try:
        image.load()
        turn = _UPRIGHT.get(_orientation(image))
        image = _rgb(image)  # the same name, so that no more than two copies are held at once
        return image if turn is None else image.transpose(turn)
    except Exception as error:
        raise _broken(field) from error


def probe(data: bytes, *, field: str, limits: ImageLimits) -> tuple[int, int]:
    """Width and height as the header has them; an orientation, which may swap them, makes no difference to the number
    of tokens. Raises as `decode` does, except for what is wrong with the pixels."""
    return _open(data, field, limits).size


def _open(data: bytes, field: str, limits: ImageLimits) -> ImageFile.ImageFile:
    if len(data) > limits.max_bytes:
        raise InvalidArgument(
            field, f"has {len(data)} bytes, the limit is {limits.max_bytes}", reason="IMAGE_TOO_LARGE"
        )
    plugin = _plugin(data)
    if plugin is None:
        raise InvalidArgument(field, "is not a PNG, JPEG, WebP or GIF image", reason="IMAGE_FORMAT")
    if plugin is JpegImageFile and data.count(b"\xff\xda") > _MAX_JPEG_SCANS:
        raise InvalidArgument(field, f"has more than {_MAX_JPEG_SCANS} JPEG scans", reason="IMAGE_TOO_LARGE")
    if plugin is WebPImageFile:
        # The plugin allocates the canvas as soon as it opens a file.
        _check_size(_webp_size(data, field), field, limits)
    try:
        image = plugin(BytesIO(data))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        # Of the GIF plugin, for a first frame larger than the screen it is to be shown on.
        raise InvalidArgument(field, "has a frame of too many pixels", reason="IMAGE_TOO_LARGE") from error
    except Exception as error:
        # The plugins raise whatever their parsers stumble on, from struct.error to SyntaxError.
        raise _broken(field) from error
    _check_size(image.size, field, limits)
    return image


def _plugin(data: bytes) -> type[ImageFile.ImageFile] | None:
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return PngImageFile
    if data.startswith(b"\xff\xd8\xff"):
        return JpegImageFile
    if data.startswith((b"GIF87a", b"GIF89a")):
        return GifImageFile
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return WebPImageFile
    return None


def _check_size(size: tuple[int, int], field: str, limits: ImageLimits) -> None:
    width, height = size
    if width < 1 or height < 1:
        raise InvalidArgument(field, "is an image without pixels", reason="IMAGE_BROKEN")
    if max(width, height) > limits.max_side:
        raise InvalidArgument(
            field, f"is {width} x {height} pixels, the limit is {limits.max_side} a side", reason="IMAGE_TOO_LARGE"
        )
    if width * height > limits.max_pixels:
        raise InvalidArgument(
            field,
            f"is {width} x {height} pixels, {width * height} in all; the limit is {limits.max_pixels}",
            reason="IMAGE_TOO_LARGE",
        )


def _webp_size(data: bytes, field: str) -> tuple[int, int]:
    """Of the canvas, from the first chunk (RFC 9649, 2.5 to 2.7)."""
    kind, head = data[12:16], data[20:30]
    if kind == b"VP8X" and len(head) == 10:
        return 1 + int.from_bytes(head[4:7], "little"), 1 + int.from_bytes(head[7:10], "little")
    if kind == b"VP8 " and len(head) == 10:
        return int.from_bytes(head[6:8], "little") & 0x3FFF, int.from_bytes(head[8:10], "little") & 0x3FFF
    if kind == b"VP8L" and len(head) >= 5:
        bits = int.from_bytes(head[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    raise _broken(field)


def _orientation(image: Image.Image) -> int:
    """From 1 to 8. EXIF that cannot be read says nothing; the pixels are still good."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit grey, whose high byte is the 8-bit value; `convert` would clip at 255
        return Image.fromarray((np.asarray(image) >> 8).clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        pixels = image if image.mode == "RGBA" else image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(pixels, mask=pixels)
        return white
    return image if image.mode == "RGB" else image.convert("RGB")


def _broken(field: str) -> InvalidArgument:
    return InvalidArgument(field, "is a broken or truncated image file", reason="IMAGE_BROKEN")

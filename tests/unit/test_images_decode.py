"""Files of every kind become upright RGB; files that are broken, huge or something else are refused by name."""

from __future__ import annotations

import struct
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageFile, PngImagePlugin

from searchmesh.images import ImageLimits, decode, probe
from searchmesh.runtime.errors import InvalidArgument
from support.pictures import encoded, picture, png, png_chunk

LIMITS = ImageLimits()
PICTURE = picture(60, 40)
KINDS = {
    "png": encoded(PICTURE, "PNG"),
    "jpeg": encoded(PICTURE, "JPEG", quality=95, subsampling=0),
    "progressive jpeg": encoded(PICTURE, "JPEG", quality=95, progressive=True),
    "webp": encoded(PICTURE, "WEBP", quality=95),
    "lossless webp": encoded(PICTURE, "WEBP", lossless=True),
    "gif": encoded(PICTURE, "GIF"),
}


def _decode(data: bytes, limits: ImageLimits = LIMITS) -> Image.Image:
    return decode(data, field="inputs[1].image", limits=limits)


def _refusal(data: bytes, limits: ImageLimits = LIMITS) -> InvalidArgument:
    with pytest.raises(InvalidArgument) as caught:
        _decode(data, limits)
    assert caught.value.field == "inputs[1].image"
    return caught.value


def _distance(left: Image.Image, right: Image.Image) -> float:
    assert left.mode == right.mode == "RGB"
    assert left.size == right.size
    return float(np.abs(np.asarray(left, np.int16) - np.asarray(right, np.int16)).mean())


@pytest.mark.parametrize("kind", KINDS)
def test_the_formats(kind: str) -> None:
    most = {"png": 0, "lossless webp": 0, "gif": 8}.get(kind, 4)
    assert _distance(_decode(KINDS[kind]), PICTURE) <= most
    assert probe(KINDS[kind], field="x", limits=LIMITS) == (60, 40)


# What is converted


def test_of_animations_the_first_frame_is_taken() -> None:
    frames = [Image.new("RGB", (8, 6), colour) for colour in ("red", "green", "blue")]
    for kind, options in {"GIF": {}, "PNG": {}, "WEBP": {"lossless": True}}.items():
        data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], duration=10, **options)
        assert _distance(_decode(data), frames[0]) == 0


def test_transparency_is_laid_on_white() -> None:
    clear = Image.new("RGBA", (4, 3), (255, 0, 0, 0))
    half = Image.new("RGBA", (4, 3), (255, 0, 0, 128))
    for kind, options in {"PNG": {}, "WEBP": {"lossless": True, "exact": True}}.items():
        assert _decode(encoded(clear, kind, **options)).getpixel((1, 1)) == (255, 255, 255)
        assert _decode(encoded(half, kind, **options)).getpixel((1, 1)) == (255, 127, 127)
    grey = encoded(Image.new("LA", (4, 3), (0, 51)), "PNG")
    assert _decode(grey).getpixel((1, 1)) == (204, 204, 204)


def test_a_transparent_colour_counts_as_transparency() -> None:
    palette = Image.new("P", (4, 3), 1)
    palette.putpalette([0, 0, 255, 255, 0, 0])
    for kind in ("PNG", "GIF"):
        assert _decode(encoded(palette, kind)).getpixel((1, 1)) == (255, 0, 0)
        assert _decode(encoded(palette, kind, transparency=1)).getpixel((1, 1)) == (255, 255, 255)
    named = encoded(Image.new("RGB", (4, 3), "red"), "PNG", transparency=(255, 0, 0))
    assert _decode(named).getpixel((1, 1)) == (255, 255, 255)


def test_grey_and_single_bits() -> None:
    assert _decode(encoded(Image.new("L", (4, 3), 77), "PNG")).getpixel((1, 1)) == (77, 77, 77)
    assert _decode(encoded(Image.new("L", (4, 3), 77), "JPEG")).getpixel((1, 1)) == (77, 77, 77)
    assert _decode(encoded(Image.new("1", (4, 3), 1), "PNG")).getpixel((1, 1)) == (255, 255, 255)


def test_sixteen_bits_a_channel_are_scaled_not_clipped() -> None:
    grey = png(2, 1, bits=16, colour=0, rows=b"\0" + struct.pack(">HH", 0x1234, 0xFFFF))
    assert [_decode(grey).getpixel((x, 0)) for x in range(2)] == [(0x12,) * 3, (0xFF,) * 3]
    colour = png(1, 1, bits=16, colour=2, rows=b"\0" + struct.pack(">HHH", 0x1234, 0x8000, 0xFF00))
    assert _decode(colour).getpixel((0, 0)) == (0x12, 0x80, 0xFF)


def test_cmyk() -> None:
    data = encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=100)
    red, green, blue = _decode(data).getpixel((3, 3))
    assert red > 250
    assert max(green, blue) < 5


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied(kind: str, orientation: int) -> None:
    """The file holds the picture as a camera held that way would have stored it."""
    undo = {
        1: None, 2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]  # fmt: skip
    stored = PICTURE if undo is None else PICTURE.transpose(undo)
    exif = Image.Exif()
    exif[0x0112] = orientation
    options: dict[str, Any] = {"JPEG": {"quality": 98, "subsampling": 0}, "WEBP": {"lossless": True}}.get(kind, {})
    assert _distance(_decode(encoded(stored, kind, exif=exif, **options)), PICTURE) < 3


@pytest.mark.filterwarnings("ignore:.*EXIF data:UserWarning")
@pytest.mark.parametrize("exif", [b"Exif\0\0garbage", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"", b"\0" * 100])
def test_broken_exif_does_not_make_an_image_unreadable(exif: bytes) -> None:
    assert _distance(_decode(encoded(PICTURE, "JPEG", quality=95, exif=exif)), PICTURE) < 8


def test_colour_profiles_are_left_alone() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    assert _distance(_decode(encoded(PICTURE, "PNG", icc_profile=profile)), PICTURE) == 0


def test_what_follows_an_image_is_ignored() -> None:
    for data in KINDS.values():
        assert _decode(data + b"<script>").size == (60, 40)


# What is refused


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 100,
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%PDF-1.7",
        b"RIFF\0\0\0\0WAVEfmt ",
        encoded(PICTURE, "BMP"),
        encoded(PICTURE, "TIFF"),
        encoded(PICTURE, "ICO"),
        encoded(PICTURE, "PPM"),
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    ],
    ids=["empty", "zeros", "svg", "pdf", "wav", "bmp", "tiff", "ico", "ppm", "eps"],
)
def test_other_formats(data: bytes) -> None:
    refusal = _refusal(data)
    assert (refusal.problem, refusal.reason) == ("is not a PNG, JPEG, WebP or GIF image", "IMAGE_FORMAT")


@pytest.mark.parametrize("kind", KINDS)
def test_truncated_files(kind: str) -> None:
    """Cut anywhere before the last bytes, of which a format may not need all."""
    data = KINDS[kind]
    for length in [*range(12, 60), *range(60, len(data) - 60, 97), len(data) - 60]:
        assert _refusal(data[:length]).reason in ("IMAGE_BROKEN", "IMAGE_FORMAT")


def test_a_png_whose_checksums_are_wrong() -> None:
    data = bytearray(KINDS["png"])
    data[200] ^= 0xFF
    assert _refusal(bytes(data)).problem == "is a broken or truncated image file"


@pytest.mark.parametrize("kind", KINDS)
def test_limits_are_checked_on_the_header(kind: str) -> None:
    data = KINDS[kind]
    assert _decode(data, ImageLimits(max_bytes=len(data), max_pixels=2400, max_side=60)).size == (60, 40)
    for limits, problem in (
        (ImageLimits(max_bytes=len(data) - 1), f"has {len(data)} bytes, the limit is {len(data) - 1}"),
        (ImageLimits(max_pixels=2399), "is 60 x 40 pixels, 2400 in all; the limit is 2399"),
        (ImageLimits(max_side=59), "is 60 x 40 pixels, the limit is 59 a side"),
    ):
        refusal = _refusal(data, limits)
        assert (refusal.problem, refusal.reason) == (problem, "IMAGE_TOO_LARGE")
        with pytest.raises(InvalidArgument, match="limit"):
            probe(data, field="x", limits=limits)


def _gif(screen: tuple[int, int], frame: tuple[int, int]) -> bytes:
    head = b"GIF89a" + struct.pack("<HHBBB", *screen, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    return head + b"," + struct.pack("<HHHHB", 0, 0, *frame, 0) + b"\x02\x02\x4c\x01\x00;"


def _webp(kind: bytes, body: bytes) -> bytes:
    chunk = kind + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


def _jpeg(width: int, height: int) -> bytes:
    data = bytearray(KINDS["jpeg"])
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(data)


@pytest.mark.parametrize(
    "bomb",
    [
        png(16_000, 16_000),
        png(60_000, 60_000),
        png(0x7FFFFFFF, 1),
        _gif((65_535, 65_535), (1, 1)),
        _gif((1, 1), (65_535, 65_535)),
        _gif((1, 1), (10_000, 10_000)),
        _gif((1, 1), (8_000, 8_000)),
        _webp(b"VP8X", b"\0\0\0\0" + b"\xfe\x3f\0" * 2),
        _webp(b"VP8X", b"\0\0\0\0" + b"\xff\xff\xff" + b"\0\0\0"),
        _webp(b"VP8L", b"\x2f" + struct.pack("<I", 0x0FFFFFFF)),
        _webp(b"VP8 ", b"\0\0\0\x9d\x01\x2a" + struct.pack("<HH", 16_000, 16_000)),
        _jpeg(65_500, 65_500),
        _jpeg(10_000, 10_000),
    ],
)
def test_bombs_are_refused_by_their_size(bomb: bytes) -> None:
    assert _refusal(bomb).reason == "IMAGE_TOO_LARGE"


def test_sizes_of_webp_are_read_as_libwebp_reads_them() -> None:
    """A canvas within the limits is decoded; the limits would refuse it if the header had been read wrongly."""
    image = picture(300, 7)
    alpha = image.convert("RGBA")
    alpha.putalpha(9)
    for data in (
        encoded(image, "WEBP"),
        encoded(image, "WEBP", lossless=True),
        encoded(alpha, "WEBP"),
        encoded(image, "WEBP", save_all=True, append_images=[picture(300, 7, 1)]),
    ):
        assert _decode(data, ImageLimits(max_pixels=2100, max_side=300)).size == (300, 7)
        assert "300 x 7" in _refusal(data, ImageLimits(max_side=299)).problem


def test_an_image_without_pixels() -> None:
    assert _refusal(_gif((0, 0), (0, 0))).reason == "IMAGE_BROKEN"
    assert _refusal(png(0, 5)).reason == "IMAGE_BROKEN"


def test_a_jpeg_of_endless_scans() -> None:
    data = KINDS["progressive jpeg"]
    start = data.rindex(b"\xff\xda")
    refusal = _refusal(data[:start] + data[start:-2] * 200 + b"\xff\xd9")
    assert refusal.problem == "has more than 100 JPEG scans"


def test_text_that_unpacks_to_far_more_than_it_has_bytes() -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text("comment", "x" * 5_000_000, zip=True)
    data = encoded(PICTURE, "PNG", pnginfo=text)
    assert len(data) < 20_000
    assert _refusal(data).reason == "IMAGE_BROKEN"


def test_a_chunk_that_claims_more_than_the_file_has() -> None:
    lying = bytearray(png(4, 4, rows=b"\0" * 52, more=png_chunk(b"tEXt", b"a\0b")))
    place = lying.index(b"tEXt")
    lying[place - 4 : place] = struct.pack(">I", 0x7FFFFFFF)
    assert _refusal(bytes(lying)).reason == "IMAGE_BROKEN"


# Sharing


def test_nothing_of_pillow_that_others_share_is_changed() -> None:
    before = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, dict(Image.OPEN), list(Image.ID))
    for data in KINDS.values():
        _decode(data)
    assert before == (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, dict(Image.OPEN), list(Image.ID))


def test_many_threads_decode_at_once() -> None:
    expected = {kind: _decode(data).tobytes() for kind, data in KINDS.items()}
    with ThreadPoolExecutor(8) as threads:
        for kind, got in threads.map(lambda kind: (kind, _decode(KINDS[kind]).tobytes()), list(KINDS) * 30):
            assert got == expected[kind]

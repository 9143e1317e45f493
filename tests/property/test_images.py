"""What must always hold of files, grids, patches and positions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from searchmesh.catalog.sections import Image as Section
from searchmesh.images import (
    Grid,
    ImageLimits,
    decode,
    image_index,
    mrope_positions,
    probe,
    to_patches,
    to_pixels,
    tokens,
)
from searchmesh.runtime.errors import Internal, InvalidArgument
from support.pictures import encoded, picture

sides = st.one_of(st.integers(1, 64), st.integers(1, 16_384))
sizes = st.tuples(sides, sides).filter(lambda size: max(size) <= 200 * min(size))
windows = st.sampled_from([None, 1, 2, 4])


def _section(window: int | None = None, *, min_pixels: int = 36, max_pixels: int = 3600) -> Section:
    return Section(
        mean=(0.5, 0.4, 0.3),
        std=(0.3, 0.2, 0.1),
        resample="bicubic",
        min_pixels=min_pixels,
        max_pixels=max_pixels,
        patch=3,
        merge=2,
        temporal=2,
        window=window,
    )


@given(sizes, st.integers(3136, 20_000_000))
def test_an_image_never_takes_more_tokens_than_its_pixels_allow(size: tuple[int, int], max_pixels: int) -> None:
    grid = Grid(14, 2, 2, None, 3136, max_pixels)
    rows, columns = grid.fit(*size, "image")
    assert rows >= 1
    assert columns >= 1
    assert rows * columns * 784 <= max_pixels


@given(sizes)
def test_a_turned_image_takes_as_many_tokens(size: tuple[int, int]) -> None:
    width, height = size
    section = _section(min_pixels=3136, max_pixels=602_112)
    assert tokens(width, height, section) == tokens(height, width, section)


@given(sizes)
def test_no_image_is_smaller_than_the_least(size: tuple[int, int]) -> None:
    assert tokens(*size, _section(min_pixels=3136, max_pixels=602_112)) * 36 >= 3136


@given(sides, sides)
def test_an_image_is_refused_exactly_where_it_is_too_long(width: int, height: int) -> None:
    if max(width, height) <= 200 * min(width, height):
        assert tokens(width, height, _section()) >= 1
    else:
        with pytest.raises(InvalidArgument, match=f"inputs: is {width} x {height} pixels"):
            tokens(width, height, _section(), field="inputs")


@given(st.integers(1, 400), st.sampled_from([None, 1, 2, 3, 4, 7]))
@settings(max_examples=60)
def test_no_grid_takes_more_slots_than_said(most: int, window: int | None) -> None:
    grid = Grid(14, 2, 2, window, 1, most * 784)
    for rows in range(1, most + 1):
        columns = most // rows
        side = window or 1
        groups = -(-rows // side) * -(-columns // side) * side**2
        assert groups * 4 <= grid.most_slots


@given(st.integers(1, 90), st.integers(1, 90), windows)
def test_slots_tokens_and_places_agree(width: int, height: int, window: int | None) -> None:
    section = _section(window)
    image = picture(width, height)
    made = to_patches(image, section)
    rows, columns = made.grid
    assert rows * columns == tokens(width, height, section)
    slots = len(made.mask)
    assert slots <= Grid.of(section).most_slots
    assert slots % (4 * (window or 1) ** 2) == 0
    assert made.pixels.shape == (slots, 3 * 2 * 9)
    assert made.mask.sum() == 4 * rows * columns
    assert len(set(made.order.tolist())) == rows * columns
    filled = made.positions[made.mask == 1]
    assert sorted(map(tuple, filled.tolist())) == [(y, x) for y in range(2 * rows) for x in range(2 * columns)]


@given(st.integers(1, 60), st.integers(1, 60), windows)
def test_the_scaled_image_can_be_read_back_from_its_patches(width: int, height: int, window: int | None) -> None:
    section = _section(window)
    assert section.mean is not None
    assert section.std is not None
    image = picture(width, height)
    made = to_patches(image, section)
    rows, columns = made.grid
    canvas = np.zeros((rows * 6, columns * 6, 3))
    for slot in np.flatnonzero(made.mask):
        frames = made.pixels[slot].reshape(3, 2, 3, 3)
        assert (frames[:, 0] == frames[:, 1]).all()
        y, x = made.positions[slot] * 3
        canvas[y : y + 3, x : x + 3] = frames[:, 0].transpose(1, 2, 0)
    pixels = (canvas * np.array(section.std) + np.array(section.mean)) * 255
    expected = np.asarray(image.resize((columns * 6, rows * 6), Image.Resampling.BICUBIC))
    assert np.abs(pixels - expected).max() < 1e-3


@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 40))
def test_pixels_of_one_size_always_have_it(width: int, height: int, size: int) -> None:
    section = Section(
        mean=(0.5,) * 3, std=(0.5,) * 3, resample="bicubic", size=size, resize="shortest side", crop="centre"
    )
    made = to_pixels(picture(width, height), section)
    assert made.shape == (3, size, size)
    assert made.dtype == np.float32
    assert np.abs(made).max() <= 1 + 1e-6


texts = st.lists(st.integers(0, 5), min_size=1, max_size=5)
grids = st.tuples(st.integers(1, 5), st.integers(1, 5))


@given(texts, st.data())
def test_positions_of_texts_with_images(lengths: list[int], data: st.DataObject) -> None:
    images = [data.draw(grids) for _ in lengths[1:]]
    ids = [1] * lengths[0]
    for (rows, columns), length in zip(images, lengths[1:], strict=True):
        ids += [7] * (rows * columns) + [1] * length
    made = mrope_positions(ids, 7, images)
    assert made.shape == (3, len(ids))
    following = 0
    for place, token in enumerate(ids):
        column = made[:, place]
        if token == 1:
            assert column.tolist() == [max(following, made[:, :place].max() + 1 if place else 0)] * 3
            following = column[0] + 1
    taken = 0
    for rows, columns in images:
        places = np.flatnonzero(np.array(ids) == 7)[taken : taken + rows * columns]
        block = made[:, places] - made[0, places[0]]
        assert block.tolist() == [
            [0] * (rows * columns),
            [row for row in range(rows) for _ in range(columns)],
            [column for _ in range(rows) for column in range(columns)],
        ]
        taken += rows * columns


def test_places_and_image_tokens_must_be_as_many() -> None:
    for ids, images in (([7, 7, 1], [(1, 1)]), ([1], [(1, 1)]), ([7], [])):
        with pytest.raises(Internal):
            mrope_positions(ids, 7, images)
        with pytest.raises(Internal):
            image_index(ids, 7, [np.arange(rows * columns) for rows, columns in images])


def test_image_tokens_take_their_rows_of_the_features() -> None:
    rows = [np.array([2, 0]), np.array([5])]
    assert image_index([1, 7, 7, 1, 7], 7, rows).tolist() == [-1, 2, 0, -1, 5]
    assert image_index([1, 1], 7, []).tolist() == [-1, -1]


FILES = [
    encoded(picture(30, 20), "PNG"),
    encoded(picture(30, 20).convert("P"), "PNG", transparency=3),
    encoded(picture(30, 20), "JPEG", progressive=True),
    encoded(picture(30, 20).convert("CMYK"), "JPEG"),
    encoded(picture(30, 20), "WEBP"),
    encoded(picture(30, 20), "WEBP", save_all=True, append_images=[picture(30, 20, 1)]),
    encoded(picture(30, 20), "GIF", save_all=True, append_images=[picture(30, 20, 1)]),
]


@pytest.mark.filterwarnings("ignore::UserWarning")
@given(st.sampled_from(FILES), st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=6), st.data())
@settings(max_examples=400, deadline=2000)
def test_any_damage_ends_in_an_image_or_in_a_clear_error(
    data: bytes, damage: list[tuple[int, int]], draw: st.DataObject
) -> None:
    damaged = bytearray(data)
    for place, value in damage:
        damaged[place % len(damaged)] = value
    end = draw.draw(st.sampled_from([None, len(damaged) // 2, len(damaged) - 1]))
    limits = ImageLimits(max_pixels=10_000)
    for act in (decode, probe):
        told = _told(act, bytes(damaged[:end]), limits)
        if isinstance(told, InvalidArgument):
            assert told.field == "inputs[0].image"
            assert told.reason.startswith("IMAGE_")
        else:
            width, height = told.size if isinstance(told, Image.Image) else told
            assert width * height <= 10_000
            assert not isinstance(told, Image.Image) or told.mode == "RGB"


def _told(act: Any, data: bytes, limits: ImageLimits) -> Any:
    """The result or the InvalidArgument; any other error is one of the test."""
    try:
        return act(data, field="inputs[0].image", limits=limits)
    except InvalidArgument as error:
        return error

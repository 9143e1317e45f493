"""Images for towers that read patches of any number (Qwen2-VL, Qwen2.5-VL)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from searchmesh.catalog.sections import Image as ImageSection
from searchmesh.images.grid import Grid
from searchmesh.images.values import affine, resized


@dataclass(frozen=True, slots=True)
class Patches:
    """One image in the tower's slots.

    A slot holds a patch; merge² slots that follow one another are a group, which becomes one token. Without windows the
    groups are in reading order. With windows they are window by window, each of window² groups; the groups of a window
    that lie outside the image are empty.
    """

    pixels: NDArray[np.float32]
    """[slots, channels * temporal * patch * patch], in that order; zero in empty slots."""
    mask: NDArray[np.int64]
    """[slots], 1 where there is a patch."""
    positions: NDArray[np.int64]
    """[slots, 2], row and column of the patch; zero in empty slots."""
    order: NDArray[np.int64]
    """[tokens], the group of each token in reading order, which is its row of the tower's output."""
    grid: tuple[int, int]
    """Rows and columns in tokens."""


def to_patches(
    image: Image.Image, section: ImageSection, *, max_pixels: int | None = None, field: str = "image"
) -> Patches:
    """The patches of an RGB image, scaled as `Grid.fit` says (and raises), with `max_pixels` in place of the card's."""
    grid = Grid.of(section, max_pixels)
    rows, columns = grid.fit(*image.size, field)
    scaled = resized(image, (columns * grid.tile, rows * grid.tile), section)
    groups = _groups(rows, columns, grid.window)
    return Patches(
        pixels=_pixels(scaled, groups, grid, section),
        mask=np.repeat((groups >= 0).astype(np.int64), grid.merge**2),
        positions=_positions(groups, columns, grid.merge),
        order=_order(groups, rows * columns),
        grid=(rows, columns),
    )


def _groups(rows: int, columns: int, window: int | None) -> NDArray[np.int64]:
    """[groups], the token (in reading order) that each group of slots becomes, -1 for an empty one."""
    tokens = np.arange(rows * columns, dtype=np.int64).reshape(rows, columns)
    if window is None:
        return tokens.reshape(-1)
    padded = np.pad(tokens, ((0, -rows % window), (0, -columns % window)), constant_values=-1)
    windows = padded.reshape(padded.shape[0] // window, window, padded.shape[1] // window, window)
    return windows.transpose(0, 2, 1, 3).reshape(-1)


def _order(groups: NDArray[np.int64], tokens: int) -> NDArray[np.int64]:
    order = np.empty(tokens, np.int64)
    filled = np.flatnonzero(groups >= 0)
    order[groups[filled]] = filled
    return order


def _positions(groups: NDArray[np.int64], columns: int, merge: int) -> NDArray[np.int64]:
    corner = np.stack(np.divmod(groups, columns), axis=-1) * merge
    inside = np.stack(np.divmod(np.arange(merge**2), merge), axis=-1)
    positions: NDArray[np.int64] = corner[:, None, :] + inside
    positions[groups < 0] = 0
    return positions.reshape(-1, 2)


def _pixels(scaled: Image.Image, groups: NDArray[np.int64], grid: Grid, section: ImageSection) -> NDArray[np.float32]:
    """The bytes are put in order before they become floats, when they are a quarter as large; the frames of a still
    image are copies."""
    patch, merge = grid.patch, grid.merge
    raw = np.asarray(scaled)
    rows, columns = raw.shape[0] // grid.tile, raw.shape[1] // grid.tile
    tiles = raw.reshape(rows, merge, patch, columns, merge, patch, 3).transpose(0, 3, 1, 4, 6, 2, 5)
    by_token = tiles.reshape(rows * columns, merge**2, 3, patch * patch)
    filled = np.flatnonzero(groups >= 0)
    pixels = np.zeros((len(groups), merge**2, 3, grid.temporal, patch * patch), np.float32)
    factor, offset = affine(section)
    values = by_token[groups[filled]] * factor[:, None] + offset[:, None]
    pixels[filled] = values[:, :, :, None]
    return pixels.reshape(len(groups) * merge**2, -1)

"""Where tokens of a text with images stand: M-RoPE positions, and which image token takes which place."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from searchmesh.runtime.errors import Internal


def mrope_positions(ids: Sequence[int], image_token: int, grids: Sequence[tuple[int, int]]) -> NDArray[np.int64]:
    """Temporal, height and width position of each token, int64 [3, length] (Qwen2-VL, arXiv 2409.12191, 2.1).

    `grids` are (rows, columns) in tokens of the images, in the order of their runs of `image_token` in `ids`. Text has
    the same number in all three; an image starts after the text before it and lies in rows and columns; the text
    behind it goes on after the largest number so far.
    """
    places = np.flatnonzero(np.asarray(ids, np.int64) == image_token)
    if len(places) != sum(rows * columns for rows, columns in grids):
        raise Internal("the places for image tokens are not as many as the image tokens")
    parts: list[NDArray[np.int64]] = []
    done = following = taken = 0
    for rows, columns in grids:
        start = int(places[taken])
        parts.append(_text(start - done, following))
        following += start - done
        row, column = np.divmod(np.arange(rows * columns), columns)
        parts.append(np.stack([np.zeros_like(row), row, column]) + following)
        following += max(rows, columns)
        taken += rows * columns
        done = start + rows * columns
    parts.append(_text(len(ids) - done, following))
    return np.concatenate(parts, axis=1)


def image_index(ids: Sequence[int], image_token: int, rows: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """For each token the row of `image_features` that takes its place, -1 for text; int64 [length].

    `rows` has for each image, in the order of the text, the rows of its tokens in reading order: `Patches.order`, plus
    the number of rows before the image if several are laid one after another.
    """
    index = np.full(len(ids), -1, np.int64)
    places = np.asarray(ids, np.int64) == image_token
    taken = np.concatenate([np.empty(0, np.int64), *rows])
    if np.count_nonzero(places) != len(taken):
        raise Internal("the places for image tokens are not as many as the image tokens")
    index[places] = taken
    return index


def _text(length: int, start: int) -> NDArray[np.int64]:
    return np.broadcast_to(np.arange(start, start + length, dtype=np.int64), (3, length))

"""What transformers makes of the inputs of the Qwen graphs, one row at a time and without any padding."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from support.checkpoints_qwen import ALPHA, RANK, Published

Inputs = dict[str, NDArray[np.generic]]


@dataclass(frozen=True)
class Picture:
    """An image behind the processor of transformers."""

    pixels: Tensor
    """[patches, values]; four patches of a square follow one another."""
    rows: int
    columns: int
    """In tokens, each of which is a square of 2 x 2 patches."""

    @property
    def grid(self) -> Tensor:
        return torch.tensor([[1, 2 * self.rows, 2 * self.columns]])

    @property
    def tokens(self) -> int:
        return self.rows * self.columns


def picture(rows: int, columns: int, seed: int = 0) -> Picture:
    """Random pixels."""
    numbers = torch.Generator().manual_seed(seed)
    return Picture(torch.randn(4 * rows * columns, 3 * 2 * 14 * 14, generator=numbers), rows, columns)


@dataclass(frozen=True)
class Slots:
    """A picture as the vision graph takes it."""

    patches: NDArray[np.float32]
    mask: NDArray[np.int64]
    positions: NDArray[np.int64]
    order: NDArray[np.int64]
    """The place of each token, in reading order, among the graph's features."""


def slots(picture: Picture, window: int | None) -> Slots:
    """Tokens in reading order, or in windows whose tokens outside of the picture are padding."""
    places = [
        (row, column, top, left)
        for top in range(0, picture.rows, window or picture.rows)
        for left in range(0, picture.columns, window or picture.columns)
        for row in range(top, top + (window or picture.rows))
        for column in range(left, left + (window or picture.columns))
    ]
    patches = np.zeros((4 * len(places), picture.pixels.shape[1]), np.float32)
    mask = np.zeros(4 * len(places), np.int64)
    positions = np.zeros((4 * len(places), 2), np.int64)
    order = np.zeros(picture.tokens, np.int64)
    for group, (row, column, *_) in enumerate(places):
        if row < picture.rows and column < picture.columns:
            token = row * picture.columns + column
            here = slice(4 * group, 4 * group + 4)
            patches[here] = picture.pixels[4 * token : 4 * token + 4].numpy()
            mask[here] = 1
            positions[here] = [(2 * row + down, 2 * column + right) for down in (0, 1) for right in (0, 1)]
            order[token] = group
    return Slots(patches, mask, positions, order)


def vision_inputs(pictures: Sequence[Picture], window: int | None) -> tuple[Inputs, list[Slots]]:
    """One batch of pictures."""
    each = [slots(picture, window) for picture in pictures]
    inputs: Inputs = {
        "patches": _stacked([one.patches for one in each]),
        "patch_mask": _stacked([one.mask for one in each]),
        "patch_positions": _stacked([one.positions for one in each]),
    }
    return inputs, each


def features(published: Published, picture: Picture) -> NDArray[np.float32]:
    """[tokens, width] in reading order."""
    visual = published.model.get_submodule("visual")
    with torch.inference_mode():
        seen: NDArray[np.float32] = visual(picture.pixels, picture.grid).pooler_output.numpy()
    return seen


@dataclass(frozen=True)
class Row:
    """A text, with a run of image tokens for each picture."""

    ids: Sequence[int]
    pictures: Sequence[Picture] = ()
    task: str | None = None
    """Whose adapters are merged; None: the base weights."""


def row_with(published: Published, parts: Sequence[int | Picture], task: str | None = None) -> Row:
    """Token ids and pictures, in the order of the text."""
    pad = published.model.config.image_token_id
    ids: list[int] = []
    for part in parts:
        ids += [pad] * part.tokens if isinstance(part, Picture) else [part]
    return Row(ids, [part for part in parts if isinstance(part, Picture)], task)


def states(published: Published, row: Row) -> Tensor:
    """The last states [length, width]."""
    model = published.model if row.task is None else merged(published, row.task)
    ids = torch.tensor([row.ids])
    images = {}
    if row.pictures:
        images = {
            "pixel_values": torch.cat([picture.pixels for picture in row.pictures]),
            "image_grid_thw": torch.cat([picture.grid for picture in row.pictures]),
            "mm_token_type_ids": (ids == model.config.image_token_id).int(),
        }
    with torch.inference_mode():
        output = model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False, **images)
    last: Tensor = output.last_hidden_state[0]
    return last


def merged(published: Published, task: str) -> torch.nn.Module:
    """The model with the adapters of a task in its weights."""
    model = copy.deepcopy(published.model)
    for name, (down, up) in published.adapters[task].items():
        if name.startswith("language_model."):
            model.get_submodule(name).weight.data += ALPHA / RANK * up @ down
    return model


def token_vectors(published: Published, row: Row) -> Tensor:
    """Multi-vectors [length, size] of unit length."""
    weight = published.heads["multi_vector_projector.weight"]
    if row.task is not None:
        down, up = published.adapters[row.task]["multi_vector_projector"]
        weight = weight + ALPHA / RANK * up @ down
    vectors = functional.linear(states(published, row), weight, published.heads["multi_vector_projector.bias"])
    return functional.normalize(vectors, dim=-1)


def text_inputs(published: Published, rows: Sequence[Row], length: int = 0) -> Inputs:
    """What a text graph takes of these rows, padded to the longest or to `length`; positions by transformers."""
    length = max(length, *(len(row.ids) for row in rows))
    count = max(1, *(sum(picture.tokens for picture in row.pictures) for row in rows))
    width = published.model.config.text_config.hidden_size if published.model.config.model_type != "qwen2" else 0
    inputs: Inputs = {
        "input_ids": np.zeros((len(rows), length), np.int64),
        "attention_mask": np.zeros((len(rows), length), np.int64),
        "position_ids": np.zeros((len(rows), 3, length), np.int64),
        "image_features": np.full((len(rows), count, width), 9.0, np.float32),
        "image_index": np.full((len(rows), length), -1, np.int64),
    }
    for number, row in enumerate(rows):
        here = slice(0, len(row.ids))
        inputs["input_ids"][number, here] = row.ids
        inputs["attention_mask"][number, here] = 1
        inputs["position_ids"][number, :, here] = _positions(published, row)
        seen = [features(published, picture) for picture in row.pictures]
        index = inputs["image_index"][number, here]
        index[np.asarray(row.ids) == published.model.config.image_token_id] = np.arange(sum(map(len, seen)))
        if seen:
            inputs["image_features"][number, : sum(map(len, seen))] = np.concatenate(seen)
    return inputs


def _positions(published: Published, row: Row) -> NDArray[np.int64]:
    if not row.pictures:
        return np.tile(np.arange(len(row.ids)), (3, 1))
    ids = torch.tensor([row.ids])
    positions, _ = published.model.get_rope_index(
        ids,
        mm_token_type_ids=(ids == published.model.config.image_token_id).int(),
        image_grid_thw=torch.cat([picture.grid for picture in row.pictures]),
    )
    places: NDArray[np.int64] = positions[:, 0].numpy()
    return places


def _stacked(rows: Sequence[NDArray[np.generic]]) -> NDArray[np.generic]:
    stacked = np.zeros((len(rows), max(map(len, rows)), *rows[0].shape[1:]), rows[0].dtype)
    for number, row in enumerate(rows):
        stacked[number, : len(row)] = row
    return stacked

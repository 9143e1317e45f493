"""Valid values for the inputs of any graph, for tracing and for the parity check."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from searchmesh_export.built import Graph
from searchmesh_export.tensors import Sizes

Values = NDArray[Any]

_SPANS, _PICKS, _FEATURES = 3, 4, 6
_FEATURE_COLUMNS = 2
_GRID = 8
"""Rows and columns of the images that patches are said to come from."""


def text(graph: Graph, rows: Sequence[Sequence[int]]) -> dict[str, Values]:
    """Inputs of a text graph for these token ids, which must be at least one a row; the rest is random but valid.

    Adapters take turns, -1 among them. Span 0 is the whole row. Every second row that is long enough has an image.
    """
    lengths = np.array([len(row) for row in rows])
    return _values(graph, lengths, rows)


def images(graph: Graph, groups: Sequence[int]) -> dict[str, Values]:
    """Inputs of a vision graph: a random image a row, of so many groups of patches (≥ 1) where its size is free."""
    lengths = np.array(groups) * graph.sizes.slot_group
    return _values(graph, lengths, ())


def traced(graph: Graph) -> dict[str, Values]:
    """Small inputs; no free axis is 0 or 1 long, which would be taken for fixed."""
    if "input_ids" in graph.inputs:
        numbers = np.random.default_rng(0)
        return text(graph, [numbers.integers(0, graph.sizes.vocabulary, length).tolist() for length in (16, 11)])
    return images(graph, (3, 2))


def _values(graph: Graph, lengths: Values, rows: Sequence[Sequence[int]]) -> dict[str, Values]:
    batch = _Batch(graph.sizes, lengths, rows, np.random.default_rng(lengths.tolist()))
    return {tensor.name: _MAKERS[tensor.name](batch).astype(_DTYPES[tensor.dtype]) for tensor in graph.takes}


_DTYPES = {"INT64": np.int64, "FP32": np.float32}


@dataclass(frozen=True)
class _Batch:
    sizes: Sizes
    lengths: Values
    """Tokens, or patches, of each row."""
    rows: Sequence[Sequence[int]]
    numbers: np.random.Generator

    @property
    def count(self) -> int:
        return len(self.lengths)

    @property
    def longest(self) -> int:
        return int(self.lengths.max())

    def mask(self) -> Values:
        mask: Values = np.arange(self.longest) < self.lengths[:, None]
        return mask

    def patch_mask(self) -> Values:
        """As long as the row is, with holes, as windows at the edge of an image have them."""
        features = self.longest // self.sizes.merged
        holes = self.numbers.random((self.count, features)) < 0.2
        holes[:, 0] = False
        mask: Values = self.mask() & ~np.repeat(holes, self.sizes.merged, axis=1)
        return mask

    def ids(self) -> Values:
        ids = np.zeros((self.count, self.longest), np.int64)
        ids[self.mask()] = np.concatenate([np.asarray(row) for row in self.rows])
        return ids

    def adapter(self) -> Values:
        adapter: Values = np.arange(self.count)[:, None] % (self.sizes.adapters + 1) - 1
        return adapter

    def spans(self) -> Values:
        ends = self.numbers.integers(1, self.lengths[:, None] + 1, (self.count, _SPANS))
        starts = self.numbers.integers(0, ends)
        spans: Values = np.stack([starts, ends], axis=-1)
        spans[:, 0] = np.stack([np.zeros_like(self.lengths), self.lengths], axis=-1)
        spans[::2, -1] = 0
        return spans

    def picks(self) -> Values:
        return self.numbers.integers(0, self.lengths[:, None], (self.count, _PICKS))

    def image_index(self) -> Values:
        index = np.full((self.count, self.longest), -1)
        for row in self._illustrated():
            index[row, 1 : 1 + _FEATURES] = np.arange(_FEATURES)
        return index

    def position_ids(self) -> Values:
        """Text counts on in all three; the tokens of an image share their first position and have rows and columns."""
        positions: Values = np.tile(np.arange(self.longest), (self.count, 3, 1))
        features = np.arange(_FEATURES)
        rows, columns = features // _FEATURE_COLUMNS, features % _FEATURE_COLUMNS
        place = slice(1, 1 + _FEATURES)
        for row in self._illustrated():
            positions[row, :, place] = 1 + np.stack([np.zeros_like(features), rows, columns])
            positions[row, :, place.stop :] -= _FEATURES - 1 - rows.max()
        return positions

    def _illustrated(self) -> list[int]:
        return [row for row in range(0, self.count, 2) if self.lengths[row] >= _FEATURES + 2]

    def image_features(self) -> Values:
        return self.normal(_FEATURES, self.sizes.hidden) * 0.1

    def patch_positions(self) -> Values:
        return self.numbers.integers(0, _GRID, (self.count, self.longest, 2))

    def coverage(self) -> Values:
        """Of patches that show the image, do not, do in part, and are of no crop."""
        return self.numbers.choice([1.0, 0.0, 0.5, -1.0], (self.count, self.sizes.patches))

    def normal(self, *shape: int) -> Values:
        return self.numbers.normal(size=(self.count, *shape))


_MAKERS: dict[str, Callable[[_Batch], Values]] = {
    "input_ids": _Batch.ids,
    "attention_mask": _Batch.mask,
    "adapter": _Batch.adapter,
    "spans": _Batch.spans,
    "position_ids": _Batch.position_ids,
    "image_features": _Batch.image_features,
    "image_index": _Batch.image_index,
    "picks": _Batch.picks,
    "pixel_values": lambda batch: batch.normal(3, batch.sizes.side, batch.sizes.side),
    "patches": lambda batch: batch.normal(batch.longest, batch.sizes.values),
    "patch_mask": _Batch.patch_mask,
    "patch_positions": _Batch.patch_positions,
    "crops": lambda batch: batch.normal(batch.sizes.patches, batch.sizes.values),
    "coverage": _Batch.coverage,
}

"""The tensors of exported graphs: one table for tracing, config.pbtxt, the parity check and TensorRT's profiles.

======================  =====  =========================  ==========================================================
input                   dtype  shape
======================  =====  =========================  ==========================================================
input_ids               int64  [rows, length]             padded on the right, causal models too
attention_mask          int64  [rows, length]             1 = real, 0 = padding
adapter                 int64  [rows, 1]                  index in the card's adapters.names, -1 = base weights
spans                   int64  [rows, spans, 2]           first token and the one after the last; (0, 0) = padding
position_ids            int64  [rows, 3, length]          M-RoPE: temporal, height, width
image_features          fp32   [rows, features, hidden]   of the images of a row, one after the other
image_index             int64  [rows, length]             -1 = a text token, else the image feature that replaces it
picks                   int64  [rows, picks]              positions of tokens
pixel_values            fp32   [rows, 3, side, side]      a normalised image, channels first
patches                 fp32   [rows, slots, values]      values of a patch: channel, frame, row, column
patch_mask              int64  [rows, slots]              1 = a patch, 0 = padding
patch_positions         int64  [rows, slots, 2]           row and column of the patch in its image
crops                   fp32   [rows, patches, values]    a square part of an image; values: row, column, channel
coverage                fp32   [rows, patches]            share of a patch that shows the image; the card says more
======================  =====  =========================  ==========================================================

======================  =====  =========================  ==========================================================
output                  dtype  shape
======================  =====  =========================  ==========================================================
sentence_embedding      fp32   [rows, sentence]           unit length; zero for a row without tokens
span_embeddings         fp32   [rows, spans, sentence]    unit length; zero for padding
token_embeddings        fp32   [rows, length, token]      the card's multi_vector says whether of unit length
picked_embeddings       fp32   [rows, picks, picked]      as they are
logit                   fp32   [rows, 1]
image_features          fp32   [rows, features, hidden]   of groups of patches, in order
======================  =====  =========================  ==========================================================

Half-precision graphs have the same tensors: they cast inside. No tensor may be named ``embedding``: torch's exporter
gives that name to values of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Axis = str | int

FREE = ("rows", "length", "spans", "features", "picks", "slots")
"""Axes that every call chooses anew, unless `Sizes` fixes them; the others are numbers, or fields of `Sizes`."""


@dataclass(frozen=True)
class Sizes:
    """What the table leaves open; 0 for what a graph has no tensor of."""

    vocabulary: int = 0
    """`input_ids` are below it."""
    adapters: int = 0
    """Adapters that a row can name."""
    sentence: int = 0
    """Width of `sentence_embedding` and `span_embeddings`."""
    token: int = 0
    """Width of `token_embeddings`."""
    picked: int = 0
    """Width of `picked_embeddings`."""
    hidden: int = 0
    """Width of `image_features`."""
    side: int = 0
    """Pixels along each side of `pixel_values`."""
    values: int = 0
    """Numbers of one patch."""
    patches: int = 0
    """Patches of a crop."""
    features: int = 0
    """Features of a crop, of which all have as many; 0: the number of `image_features` is free."""
    slot_group: int = 1
    """`slots` is a multiple of it."""
    merged: int = 1
    """Slots in a row that become one image feature; all of them are patches, or all padding."""


@dataclass(frozen=True)
class Tensor:
    """One input or output."""

    name: str
    dtype: Literal["INT64", "FP32"]
    axes: tuple[Axis, ...]

    def shape(self, sizes: Sizes) -> tuple[Axis, ...]:
        """The axes; fixed ones as numbers, free ones by name."""
        return tuple(axis if isinstance(axis, int) else _size(axis, sizes) for axis in self.axes)

    def dims(self, sizes: Sizes) -> list[int]:
        """The shape behind the rows as tritonserver writes it: -1 for a free axis."""
        return [-1 if isinstance(axis, str) else axis for axis in self.shape(sizes)[1:]]


def _size(axis: str, sizes: Sizes) -> Axis:
    """A free axis stays free, unless the graph has a number for it."""
    number: int = getattr(sizes, axis, 0)
    return axis if axis in FREE and not number else number


INPUTS = {
    tensor.name: tensor
    for tensor in (
        Tensor("input_ids", "INT64", ("rows", "length")),
        Tensor("attention_mask", "INT64", ("rows", "length")),
        Tensor("adapter", "INT64", ("rows", 1)),
        Tensor("spans", "INT64", ("rows", "spans", 2)),
        Tensor("position_ids", "INT64", ("rows", 3, "length")),
        Tensor("image_features", "FP32", ("rows", "features", "hidden")),
        Tensor("image_index", "INT64", ("rows", "length")),
        Tensor("picks", "INT64", ("rows", "picks")),
        Tensor("pixel_values", "FP32", ("rows", 3, "side", "side")),
        Tensor("patches", "FP32", ("rows", "slots", "values")),
        Tensor("patch_mask", "INT64", ("rows", "slots")),
        Tensor("patch_positions", "INT64", ("rows", "slots", 2)),
        Tensor("crops", "FP32", ("rows", "patches", "values")),
        Tensor("coverage", "FP32", ("rows", "patches")),
    )
}
"""All inputs there are, in the order in which every graph takes its own."""

OUTPUTS = {
    tensor.name: tensor
    for tensor in (
        Tensor("sentence_embedding", "FP32", ("rows", "sentence")),
        Tensor("span_embeddings", "FP32", ("rows", "spans", "sentence")),
        Tensor("token_embeddings", "FP32", ("rows", "length", "token")),
        Tensor("picked_embeddings", "FP32", ("rows", "picks", "picked")),
        Tensor("logit", "FP32", ("rows", 1)),
        Tensor("image_features", "FP32", ("rows", "features", "hidden")),
    )
}
"""All outputs there are, in order."""


def in_order(names: Sequence[str], table: dict[str, Tensor]) -> tuple[Tensor, ...]:
    """The tensors of these names. Raises ValueError unless they are known and in the table's order."""
    tensors = tuple(table[name] for name in table if name in names)
    if [tensor.name for tensor in tensors] != list(names):
        raise ValueError(f"{', '.join(names)} are not in the order of {', '.join(table)}")
    return tensors

"""Rows of a text graph, and the tensors of a batch of them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from searchmesh.batching import Batch
from searchmesh.triton import Tensor

Vectors = NDArray[np.float32]


class Output(Enum):
    """What to ask a model for; the value is the name of the graph's output."""

    SENTENCE = "sentence_embedding"
    """One unit vector per input."""

    TOKENS = "token_embeddings"
    """One unit vector per token."""

    SPANS = "span_embeddings"
    """One unit vector per span of tokens."""

    PICKS = "picked_embeddings"
    """One vector per picked token, of any length."""

    FEATURES = "image_features"
    """What a vision graph makes of one image, for a text graph to read."""

    LOGIT = "logit"
    """One number per input."""


@dataclass(frozen=True, slots=True)
class Pictures:
    """The images of one row."""

    features: Sequence[Vectors]
    """[tokens, hidden] of each image: what the vision graph made of it."""
    index: NDArray[np.int64]
    """[length]: the feature that takes the place of the row's token, counted over all images; -1 for a token of
    text."""
    positions: NDArray[np.int64]
    """[3, length]: temporal, height and width of each token (M-RoPE)."""

    @property
    def count(self) -> int:
        """Features of all images."""
        return sum(map(len, self.features))


@dataclass(frozen=True, slots=True)
class Row:
    """One sequence for a text graph."""

    ids: Sequence[int]
    """With special tokens, prompts and markers."""
    output: Output
    adapter: int = -1
    """Index of the LoRA set, -1 for the base weights."""
    spans: Sequence[tuple[int, int]] = ()
    """Tokens [first, last) that are pooled together; none stands for one span of all tokens."""
    picks: Sequence[int] = ()
    pictures: Pictures | None = None

    @property
    def tokens(self) -> int:
        """See `Item`."""
        return len(self.ids)

    @property
    def kind(self) -> Hashable:
        """Rows of one output share a batch, if what differs in number among them is padded to the same size."""
        features = self.pictures.count if self.pictures else 0
        return self.output, _step(len(self.spans)), _step(len(self.picks)), _step(features)

    def cut(self, result: Vectors) -> Vectors:
        """The vectors of the row, [n, dimensions], from its part of the batch's output."""
        match self.output:
            case Output.SENTENCE | Output.LOGIT:
                return result[None]
            case Output.TOKENS:
                return result[: len(self.ids)]
            case Output.SPANS:
                return result[: len(self.spans)]
            case Output.PICKS:
                return result[: len(self.picks)]
            case Output.FEATURES:
                raise AssertionError("unreachable: a text graph has no image features")


def _step(count: int) -> int:
    """`count` padded to a power of two, so that there are few sizes."""
    return 1 << (count - 1).bit_length() if count else 0


def tensors(names: Sequence[str], batch: Batch[Row], hidden_size: int) -> dict[str, Tensor]:
    """The inputs `names` of a text graph with `hidden_size` wide states, shapes as the exporter writes them."""
    return {name: _BUILDERS[name](batch, hidden_size) for name in names}


def _input_ids(batch: Batch[Row], _: int) -> Tensor:
    ids = np.zeros((batch.padded_rows, batch.length), dtype=np.int64)
    for position, row in enumerate(batch.items):
        ids[position, : len(row.ids)] = row.ids
    return ids


def _attention_mask(batch: Batch[Row], _: int) -> Tensor:
    mask = np.zeros((batch.padded_rows, batch.length), dtype=np.int64)
    for position, row in enumerate(batch.items):
        mask[position, : len(row.ids)] = 1
    # Padding rows attend to one token: a mask of zeros would make the softmax of some kernels NaN.
    mask[len(batch.items) :, 0] = 1
    return mask


def _adapter(batch: Batch[Row], _: int) -> Tensor:
    adapter = np.full((batch.padded_rows, 1), -1, dtype=np.int64)
    adapter[: len(batch.items), 0] = [row.adapter for row in batch.items]
    return adapter


def _spans(batch: Batch[Row], _: int) -> Tensor:
    most = max(1, *(_step(len(row.spans)) for row in batch.items))
    spans = np.zeros((batch.padded_rows, most, 2), dtype=np.int64)
    for position, row in enumerate(batch.items):
        own = row.spans or ((0, len(row.ids)),)
        spans[position, : len(own)] = own
    return spans


def _picks(batch: Batch[Row], _: int) -> Tensor:
    picks = np.zeros((batch.padded_rows, _step(len(batch.items[0].picks))), dtype=np.int64)
    for position, row in enumerate(batch.items):
        picks[position, : len(row.picks)] = row.picks
    return picks


def _position_ids(batch: Batch[Row], _: int) -> Tensor:
    positions = np.empty((batch.padded_rows, 3, batch.length), dtype=np.int64)
    positions[:] = np.arange(batch.length)
    for position, row in enumerate(batch.items):
        if row.pictures:
            positions[position, :, : len(row.ids)] = row.pictures.positions
    return positions


def _image_features(batch: Batch[Row], hidden_size: int) -> Tensor:
    most = max(1, *(_step(row.pictures.count) if row.pictures else 0 for row in batch.items))
    features = np.zeros((batch.padded_rows, most, hidden_size), dtype=np.float32)
    for position, row in enumerate(batch.items):
        if row.pictures:
            # Joined here and not before: many rows may share an image.
            features[position, : row.pictures.count] = np.concatenate(row.pictures.features)
    return features


def _image_index(batch: Batch[Row], _: int) -> Tensor:
    index = np.full((batch.padded_rows, batch.length), -1, dtype=np.int64)
    for position, row in enumerate(batch.items):
        if row.pictures:
            index[position, : len(row.ids)] = row.pictures.index
    return index


_BUILDERS: dict[str, Callable[[Batch[Row], int], Tensor]] = {
    "input_ids": _input_ids,
    "attention_mask": _attention_mask,
    "adapter": _adapter,
    "spans": _spans,
    "picks": _picks,
    "position_ids": _position_ids,
    "image_features": _image_features,
    "image_index": _image_index,
}

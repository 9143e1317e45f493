"""Linear layers in parts, with adapters (`searchmesh_export.adapters`) or without.

One matrix product may be several: of a part of the outputs each, or of a part of the inputs each, to be added up. ONNX
Runtime then never writes and splits what is wider than the parts, and a part is still in the cache when it is read. An
encoder of width 768 in float32 on one core, 16 x 128 tokens: queries, keys and values apart 2 % faster, a feed-forward
layer in four parts 5 % faster; in int8 4 % and 3 %. A GPU is better off with large products.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from searchmesh_export.activations import Activation


class Fork(nn.Module):  # type: ignore[misc]
    """A linear layer whose outputs come in equal parts. `down` is [ranks, inputs], `ups` are [part, ranks]."""

    def __init__(self, inputs: int, outputs: int, *, parts: int = 1, ranks: int = 0) -> None:
        super().__init__()
        part = outputs // parts
        self.weights = _several(parts, part, inputs)
        self.biases = _several(parts, part)
        if ranks:
            self.down = nn.Parameter(torch.empty(ranks, inputs))
            self.ups = _several(parts, part, ranks)

    def forward(self, states: Tensor, gates: Tensor | None = None) -> list[Tensor]:
        """States [rows, length, inputs]; `gates` exactly if there are ranks."""
        outputs = [functional.linear(states, *each) for each in zip(self.weights, self.biases, strict=True)]
        if gates is None:
            return outputs
        low = functional.linear(states, self.down) * gates
        return [output + functional.linear(low, up) for output, up in zip(outputs, self.ups, strict=True)]

    def cut(self, parts: int) -> None:
        """Make one part several."""
        for name, tensors in self.named_children():
            setattr(self, name, _cut(tensors, parts, dim=0))


class Join(nn.Module):  # type: ignore[misc]
    """A linear layer whose inputs come in equal parts. `downs` are [ranks, part], `up` is [outputs, ranks]."""

    def __init__(self, inputs: int, outputs: int, *, parts: int = 1, ranks: int = 0) -> None:
        super().__init__()
        part = inputs // parts
        self.weights = _several(parts, outputs, part)
        self.bias = nn.Parameter(torch.empty(outputs))
        if ranks:
            self.downs = _several(parts, ranks, part)
            self.up = nn.Parameter(torch.empty(outputs, ranks))

    def forward(self, states: Sequence[Tensor], gates: Tensor | None = None) -> Tensor:
        """States [rows, length, part] each; `gates` exactly if there are ranks."""
        output = _sum(states, self.weights) + self.bias
        if gates is None:
            return output
        return output + functional.linear(_sum(states, self.downs) * gates, self.up)

    def cut(self, parts: int) -> None:
        """Make one part several."""
        for name, tensors in self.named_children():
            setattr(self, name, _cut(tensors, parts, dim=1))


class FeedForward(nn.Module):  # type: ignore[misc]
    """Two layers with an activation between them."""

    def __init__(self, width: int, inner: int, activation: Activation, *, ranks: int = 0) -> None:
        super().__init__()
        self.activation = activation
        self.widen = Fork(width, inner, ranks=ranks)
        self.narrow = Join(inner, width, ranks=ranks)
        self.parts = inner // width if inner % width == 0 else 1

    def forward(self, states: Tensor, gates: Tensor | None = None) -> Tensor:
        return self.narrow([self.activation(part) for part in self.widen(states, gates)], gates)


def cut(module: nn.Module) -> None:
    """Have every feed-forward layer in parts as wide as its states, for a CPU. To be done once."""
    for layer in module.modules():
        if isinstance(layer, FeedForward):
            layer.widen.cut(layer.parts)
            layer.narrow.cut(layer.parts)


def _several(count: int, *shape: int) -> nn.ParameterList:
    return nn.ParameterList(nn.Parameter(torch.empty(*shape)) for _ in range(count))


def _cut(tensors: nn.ParameterList, parts: int, dim: int) -> nn.ParameterList:
    (whole,) = tensors
    # Copies: a view of some columns cannot be written as it is, and would keep the whole.
    return nn.ParameterList(nn.Parameter(part.clone()) for part in whole.detach().chunk(parts, dim=dim))


def _sum(states: Sequence[Tensor], weights: nn.ParameterList) -> Tensor:
    first, *others = (functional.linear(*each) for each in zip(states, weights, strict=True))
    return sum(others, first)

"""The vision tower SigLIP 2 (arXiv 2502.14786) and the connector that makes tokens of a decoder of what it sees.

Pre-norm blocks of full attention over the patches of one crop, learned positions, no class token. The connector takes
the states behind several layers side by side and pools windows of patches by attention whose query is the window's
mean (as Molmo does, arXiv 2409.17146).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from searchmesh_export.activations import Activation
from searchmesh_export.attention import MaskedAttention
from searchmesh_export.qwen_vision import FeedForward, LayerNorm


@dataclass(frozen=True)
class Shape:
    """Sizes of the tower and the connector."""

    side: int
    """Patches along each side of a crop."""
    values: int
    """Numbers of one patch."""
    width: int
    heads: int
    intermediate: int
    eps: float
    layers: tuple[int, ...]
    """0-based layers whose outputs are taken, in the order in which they lie side by side; the number that follows the
    last layer's stands for its output behind the final norm."""
    depth: int
    """Layers of the checkpoint; those behind the last one that is taken are left out."""
    window: int
    """Patches along each side of what becomes one token."""
    pool_heads: int
    pool_width: int
    pooled: int
    """Width of a pooled window."""
    projected: int
    """Width inside the projector."""
    output: int
    """Width of the decoder."""

    @property
    def used(self) -> int:
        """Layers that something is taken from, or that lie before one of those."""
        return min(self.depth, max(self.layers) + 1)

    @property
    def final_norm(self) -> bool:
        """Whether something is taken behind the final norm."""
        return self.depth in self.layers

    @property
    def windows(self) -> int:
        """Tokens of a crop."""
        return math.ceil(self.side / self.window) ** 2

    @property
    def features(self) -> int:
        """Numbers of a patch that the connector reads."""
        return self.width * len(self.layers)


class CropVision(nn.Module):  # type: ignore[misc]
    """(crops [rows, patches, values], coverage [rows, patches]) to `image_features` [rows, windows, output].

    Patches and windows are in reading order. Coverage is the share of a patch that shows the image.
    """

    def __init__(self, shape: Shape, activation: Activation) -> None:
        super().__init__()
        self.layers = shape.layers
        self.patch_embed = nn.Linear(shape.values, shape.width)
        self.positions = nn.Parameter(torch.empty(shape.side**2, shape.width))
        self.blocks = nn.ModuleList(Block(shape, activation) for _ in range(shape.used))
        self.norm = LayerNorm(shape.width, eps=shape.eps) if shape.final_norm else None
        self.connector = Connector(shape)

    def forward(self, crops: Tensor, coverage: Tensor) -> tuple[Tensor]:
        # What a block adds up is float32 in a half-precision graph, too: a few of these numbers grow large.
        states = (self.patch_embed(crops.to(self.positions.dtype)) + self.positions).float()
        behind = []
        for block in self.blocks:
            states = block(states)
            behind.append(states)
        if self.norm is not None:
            behind.append(self.norm(states))
        features = torch.cat([behind[layer].to(self.positions.dtype) for layer in self.layers], dim=-1)
        return (self.connector(features, coverage).float(),)


class Block(nn.Module):  # type: ignore[misc]
    """Attention and a feed-forward layer, each behind a norm and added to what there was."""

    def __init__(self, shape: Shape, activation: Activation) -> None:
        super().__init__()
        self.norm1 = LayerNorm(shape.width, eps=shape.eps)
        self.attn = SelfAttention(shape)
        self.norm2 = LayerNorm(shape.width, eps=shape.eps)
        self.mlp = FeedForward(shape.width, shape.intermediate, activation, bias=True)

    def forward(self, states: Tensor) -> Tensor:
        states = states + self.attn(self.norm1(states)).float()
        return states + self.mlp(self.norm2(states)).float()


class SelfAttention(nn.Module):  # type: ignore[misc]
    """Every patch of a crop sees every other."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.qkv = nn.Linear(shape.width, 3 * shape.width)
        self.proj = nn.Linear(shape.width, shape.width)
        self.attend = MaskedAttention()

    def forward(self, states: Tensor) -> Tensor:
        return self.proj(self.attend(*self.qkv(states).unflatten(2, (3, self.heads, -1)).unbind(dim=2)))


class Connector(nn.Module):  # type: ignore[misc]
    """Features of patches [rows, patches, features] to tokens [rows, windows, output]."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.side = shape.side
        self.window = shape.window
        self.pad_embed = nn.Parameter(torch.empty(2, shape.features))
        self.pool = WindowPool(shape)
        self.project = GatedProjector(shape.pooled, shape.projected, shape.output)

    def forward(self, features: Tensor, coverage: Tensor) -> Tensor:
        empty = coverage == 0
        partial = (coverage < 1) & ~empty
        whole, edge = self.pad_embed
        features = features + empty[:, :, None].to(features.dtype) * whole
        features = features + partial[:, :, None].to(features.dtype) * edge
        return self.project(self.pool(self._windows(features)))

    def _windows(self, features: Tensor) -> Tensor:
        """[rows, windows, patches of a window, features]; windows that lie over the edge are filled up with zeros."""
        more = -self.side % self.window
        grid = functional.pad(features.unflatten(1, (self.side, self.side)), (0, 0, 0, more, 0, more))
        cut = grid.unflatten(2, (-1, self.window)).unflatten(1, (-1, self.window))
        return cut.transpose(2, 3).flatten(3, 4).flatten(1, 2)


class WindowPool(nn.Module):  # type: ignore[misc]
    """The mean of a window looks at its patches: [rows, windows, patches, features] to [rows, windows, pooled]."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = shape.pool_heads
        self.query = nn.Linear(shape.features, shape.pool_width)
        self.key = nn.Linear(shape.features, shape.pool_width)
        self.value = nn.Linear(shape.features, shape.pool_width)
        self.out = nn.Linear(shape.pool_width, shape.pooled)

    def forward(self, windows: Tensor) -> Tensor:
        query = self.query(windows.mean(dim=2, keepdim=True)).unflatten(3, (self.heads, -1))
        key, value = (project(windows).unflatten(3, (self.heads, -1)) for project in (self.key, self.value))
        # A handful of keys for one query: products of numbers, not of matrices.
        scores = (query / math.sqrt(query.shape[-1]) * key).sum(dim=-1, keepdim=True)
        attended = (torch.softmax(scores, dim=2) * value).sum(dim=2)
        return self.out(attended.flatten(2))


class GatedProjector(nn.Module):  # type: ignore[misc]
    """down(silu(gate(x)) · value(x)) (arXiv 2002.05202)."""

    def __init__(self, width: int, intermediate: int, output: int) -> None:
        super().__init__()
        self.value = nn.Linear(width, intermediate, bias=False)
        self.gate = nn.Linear(width, intermediate, bias=False)
        self.down = nn.Linear(intermediate, output, bias=False)

    def forward(self, states: Tensor) -> Tensor:
        return self.down(functional.silu(self.gate(states)) * self.value(states))

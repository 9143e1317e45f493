"""Rotary positions (RoFormer, arXiv 2104.09864): a pair of numbers has one in each half of a head and turns together.

Written out, it takes nine operators over every query and key; ONNX Runtime has one. With ONNX Runtime 1.32 on one core,
16 x 128 tokens of 12 heads of 64: 0.4 ms instead of 2.2 ms.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

Rotation = tuple[Tensor, Tensor]
"""Cosines and sines [rows or 1, length, 1, head size / 2]."""


def frequencies(theta: float, size: int) -> Tensor:
    """How fast each pair of a vector of `size` turns, in radians a position [size / 2]."""
    return 1.0 / theta ** (torch.arange(0, size, 2, dtype=torch.float32) / size)


def turned(angles: Tensor, dtype: torch.dtype) -> Rotation:
    """The rotation by angles [rows or 1, length, head size / 2]."""
    angles = angles[:, :, None, :]
    return angles.cos().to(dtype), angles.sin().to(dtype)


class Rotary(nn.Module):  # type: ignore[misc]
    """Turns heads [rows, length, heads, size] by a rotation."""

    fused = False
    """Export as one operator of ONNX Runtime."""

    def forward(self, heads: Tensor, rotation: Rotation) -> Tensor:
        if self.fused and torch.onnx.is_in_onnx_export():
            return _rotary_embedding(heads, rotation)
        cosine, sine = rotation
        first, second = heads.chunk(2, dim=-1)
        return torch.cat([first * cosine - second * sine, second * cosine + first * sine], dim=-1)


def _rotary_embedding(heads: Tensor, rotation: Rotation) -> Tensor:
    """com.microsoft.RotaryEmbedding, which looks angles up in a table: here, of all tokens that have their own."""
    rows, length, count, _ = heads.shape
    cosine, sine = (each.flatten(0, 2) for each in rotation)
    places = torch.arange(cosine.shape[0], device=heads.device).view(-1, length).expand(rows, length)
    states = heads.flatten(2)
    return torch.onnx.ops.symbolic(
        "com.microsoft::RotaryEmbedding",
        (states, places, cosine, sine),
        {"num_heads": count},
        dtype=states.dtype,
        shape=states.shape,
        version=1,
    ).view_as(heads)

"""Attention over whole sequences, written out or as ONNX Runtime's own operator.

Written out, the scores of a layer take rows · heads · length² numbers, several times over. `GroupQueryAttention` of
ONNX Runtime goes through them in blocks and never holds them. With ONNX Runtime 1.32 on two busy cores, one row, 12
heads of 64 with 2 of keys and values; seconds of one layer and growth of the process:

=========  ================  ================  ==================  ====================
length     fused             written out       MultiHeadAttention  Attention (opset 23)
=========  ================  ================  ==================  ====================
2,048      0.21 s, 0.06 GB   0.22 s, 0.9 GB    0.20 s, 0.5 GB      0.36 s, 0.4 GB
8,192      2.3 s, 0.2 GB     3.6 s, 14 GB      3.2 s, 3.7 GB       4.4 s, 3.5 GB
=========  ================  ================  ==================  ====================

For short rows (16 x 128 tokens) the two are equally fast. TensorRT does not know the operator and fuses what is written
out; in eager torch only that runs.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

MASKED = -1e4
"""Added to the scores of what must not be seen. exp(-1e4) is 0 in every precision, and the sum with a score stays
finite in float16, so that a row of nothing but padding gives numbers, too."""


class Attention(nn.Module):  # type: ignore[misc]
    """Query [rows, length, heads, size], key and value [rows, length, groups, size] to [rows, length, heads · size].

    Each group of keys and values serves heads / groups heads that follow one another.
    """

    fused = False
    """Export as one operator of ONNX Runtime."""


class CausalAttention(Attention):
    """Every token sees itself and those before it, so padding on the right needs no mask."""

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        rows, length = query.shape[:2]
        if self.fused and torch.onnx.is_in_onnx_export():
            return _operator(query, key, value, torch.full((rows,), length, dtype=torch.int32), causal=True)
        places = torch.arange(length, device=query.device)
        return _written_out(query, key, value, places[:, None] < places)


class MaskedAttention(Attention):
    """Every token sees the real ones: `mask` [rows, length] is 1 for them and 0 for padding, which may be anywhere."""

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
        if self.fused and torch.onnx.is_in_onnx_export():
            # The operator takes so many keys from the left. Their order does not matter.
            first = mask.to(torch.float32).argsort(dim=1, descending=True)
            real = mask.sum(dim=1).clamp(min=1).to(torch.int32)
            return _operator(query, _rows_in_order(key, first), _rows_in_order(value, first), real, causal=False)
        return _written_out(query, key, value, (mask == 0)[:, None, None, None, :])


Kind = Literal["causal", "all"]


def fuse(module: nn.Module, kind: Kind) -> None:
    """Have the causal attention in `module`, or all, exported as ONNX Runtime's operator.

    Only versions from 1.23 on know the attribute that makes the operator look both ways.
    """
    for part in module.modules():
        if isinstance(part, CausalAttention if kind == "causal" else Attention):
            part.fused = True


def _written_out(query: Tensor, key: Tensor, value: Tensor, unseen: Tensor) -> Tensor:
    rows, length, heads, size = query.shape
    groups = key.shape[2]
    # Scaled before the product: the scores of some models leave the range of float16.
    grouped = (query / math.sqrt(size)).view(rows, length, groups, heads // groups, size).permute(0, 2, 3, 1, 4)
    scores = grouped @ key.permute(0, 2, 3, 1)[:, :, None] + unseen.to(query.dtype) * MASKED
    attended = torch.softmax(scores, dim=-1) @ value.transpose(1, 2)[:, :, None]
    return attended.permute(0, 3, 1, 2, 4).reshape(rows, length, heads * size)


def _operator(query: Tensor, key: Tensor, value: Tensor, real: Tensor, *, causal: bool) -> Tensor:
    """com.microsoft.GroupQueryAttention without a past; `real` int32 [rows] keys from the left are seen."""
    rows, length, heads, size = query.shape
    groups = key.shape[2]
    total = torch.scalar_tensor(length, dtype=torch.int32)
    attributes = {"num_heads": heads, "kv_num_heads": groups} | ({} if causal else {"causal": 0})
    attended, _, _ = torch.onnx.ops.symbolic_multi_out(
        "com.microsoft::GroupQueryAttention",
        (query.flatten(2), key.flatten(2), value.flatten(2), None, None, real - 1, total),
        attributes,
        dtypes=(query.dtype,) * 3,
        shapes=((rows, length, heads * size),) + ((rows, groups, length, size),) * 2,
        version=1,
    )
    return attended


def _rows_in_order(states: Tensor, order: Tensor) -> Tensor:
    """States [rows, length, ...] in the order of [rows, length]."""
    rows, length = order.shape
    flat = order + torch.arange(rows, device=order.device)[:, None] * length
    return states.flatten(0, 1)[flat]

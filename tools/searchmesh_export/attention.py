"""Attention over whole sequences, written out or as operators of ONNX Runtime.

Written out, the scores of a layer take rows · heads · length² numbers, several times over. ONNX Runtime's operators go
through them in blocks and never hold them. With ONNX Runtime 1.32 on one core, one row; seconds of one layer and growth
of the process (causal on two busy cores: 12 heads of 64, 2 of keys and values; masked: 16 heads of 80):

==============  ================  ================  ==================  ====================
length          operator          written out       MultiHeadAttention  Attention (opset 23)
==============  ================  ================  ==================  ====================
2,048, causal   0.21 s, 0.06 GB   0.22 s, 0.9 GB    0.20 s, 0.5 GB      0.36 s, 0.4 GB
8,192, causal   2.3 s, 0.2 GB     3.6 s, 14 GB      3.2 s, 3.7 GB       4.4 s, 3.5 GB
3,072, masked   0.51 s, 0.08 GB   0.64 s, 1.3 GB
12,288, masked  8.5 s, 0.3 GB
==============  ================  ================  ==================  ====================

For short rows (16 x 128 tokens, or windows of 64 patches) the two are equally fast. A decoder of 6 layers (width 768)
on one long row takes 3.6 s of a core and 0.1 GB for 2,048 tokens, 21 s and 0.6 GB for 8,192, 185 s and 2.3 GB for
32,768: its memory is linear in the length. In eager torch what is written out runs.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from searchmesh.catalog import Flavour, Precision
from searchmesh_export import cpu
from searchmesh_export.rotary import Rotary

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
        if self.fused and torch.onnx.is_in_onnx_export():
            return _grouped_query_attention(query, key, value)
        places = torch.arange(query.shape[1], device=query.device)
        return _written_out(query, key, value, places[:, None] < places)


class MaskedAttention(Attention):
    """Every token sees the real ones: `mask` [rows, length] is 1 for them and 0 for padding, which may be anywhere.

    Without a mask all are real.
    """

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
        if self.fused and torch.onnx.is_in_onnx_export():
            return _multi_head_attention(query, key, value, mask)
        return _written_out(query, key, value, None if mask is None else (mask == 0)[:, None, None, None, :])


def fuse(module: nn.Module, precision: Precision, flavour: Flavour) -> None:
    """Have attention and rotary positions exported as operators of ONNX Runtime where what runs the graph has them.

    TensorRT does not. On a GPU `GroupQueryAttention` takes half precision only, in which the masked operator is out of
    range.
    """
    on_cpu = cpu.runs(precision, flavour)
    if flavour == "tensorrt" or not (on_cpu or precision == "fp16"):
        return
    for part in module.modules():
        if isinstance(part, Attention | Rotary if on_cpu else CausalAttention):
            part.fused = True


def _written_out(query: Tensor, key: Tensor, value: Tensor, unseen: Tensor | None) -> Tensor:
    rows, length, heads, size = query.shape
    groups = key.shape[2]
    # Scaled before the product: the scores of some models leave the range of float16.
    grouped = (query / math.sqrt(size)).view(rows, length, groups, heads // groups, size).permute(0, 2, 3, 1, 4)
    scores = grouped @ key.permute(0, 2, 3, 1)[:, :, None]
    if unseen is not None:
        scores = scores + unseen.to(query.dtype) * MASKED
    attended = torch.softmax(scores, dim=-1) @ value.transpose(1, 2)[:, :, None]
    return attended.permute(0, 3, 1, 2, 4).reshape(rows, length, heads * size)


def _grouped_query_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """com.microsoft.GroupQueryAttention without a past."""
    rows, length, heads, size = query.shape
    groups = key.shape[2]
    last = torch.full((rows,), length - 1, dtype=torch.int32)
    total = torch.scalar_tensor(length, dtype=torch.int32)
    attended, _, _ = torch.onnx.ops.symbolic_multi_out(
        "com.microsoft::GroupQueryAttention",
        (query.flatten(2), key.flatten(2), value.flatten(2), None, None, last, total),
        {"num_heads": heads, "kv_num_heads": groups},
        dtypes=(query.dtype,) * 3,
        shapes=((rows, length, heads * size),) + ((rows, groups, length, size),) * 2,
        version=1,
    )
    return attended


def _multi_head_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """com.microsoft.MultiHeadAttention without its own mask, with which it would hold all scores.

    Queries and keys are one number longer instead: its product is 0, or `MASKED` for padding.
    """
    rows, length, heads, size = query.shape
    scale = 1 / math.sqrt(size)
    if mask is not None:
        unseen = (mask == 0).to(key.dtype) * (MASKED / scale)
        query = torch.cat([query, torch.ones_like(query[..., :1])], dim=-1)
        key = torch.cat([key, unseen[:, :, None, None].expand(-1, -1, heads, 1)], dim=-1)
    return torch.onnx.ops.symbolic(
        "com.microsoft::MultiHeadAttention",
        (query.flatten(2), key.flatten(2), value.flatten(2)),
        {"num_heads": heads, "scale": scale},
        dtype=query.dtype,
        shape=(rows, length, heads * size),
        version=1,
    )

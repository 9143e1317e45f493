"""Operators of ONNX Runtime attend as what is written out does."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from searchmesh.catalog import Flavour, Precision
from searchmesh_export.attention import CausalAttention, MaskedAttention, fuse

ROWS, LENGTH, HEADS, GROUPS, SIZE = 3, 40, 6, 2, 16


class Both(nn.Module):  # type: ignore[misc]
    """Causal and masked attention of the same queries, keys and values."""

    def __init__(self) -> None:
        super().__init__()
        self.causal = CausalAttention()
        self.masked = MaskedAttention()

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        heads = [each.repeat_interleave(HEADS // GROUPS, dim=2) for each in (key, value)]
        return self.causal(query, key, value), self.masked(query, *heads, mask)


def inputs(rows: int = ROWS, length: int = LENGTH) -> tuple[Tensor, ...]:
    numbers = torch.Generator().manual_seed(0)
    shapes = ((rows, length, heads, SIZE) for heads in (HEADS, GROUPS, GROUPS))
    mask = (torch.rand(rows, length, generator=numbers) > 0.3).long()
    mask[:, 0] = 1
    return (*(torch.randn(shape, generator=numbers) * 3 for shape in shapes), mask)


def expected(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """By torch's own attention."""
    query, key, value = (each.transpose(1, 2) for each in (query, key, value))
    seen = mask[:, None, None, :].bool()
    causal = functional.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=True)
    masked = functional.scaled_dot_product_attention(query, key, value, attn_mask=seen, enable_gqa=True)
    return causal.transpose(1, 2).flatten(2), masked.transpose(1, 2).flatten(2)


def exported(precision: Precision, flavour: Flavour, path: Path) -> Path:
    module = Both().eval()
    fuse(module, precision, flavour)
    names = ["query", "key", "value", "mask"]
    free = {0: "rows", 1: "length"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module, inputs(), dynamo=True, verbose=False, opset_version=20, input_names=names,
            output_names=["causal", "masked"], dynamic_shapes=(free,) * 4,
        )  # fmt: skip
    program.save(path)
    return path


def operators(path: Path) -> set[str]:
    return {node.op_type for node in onnx.load(path).graph.node if node.domain == "com.microsoft"}


def test_what_is_written_out_is_attention() -> None:
    for found, wanted in zip(Both()(*inputs()), expected(*inputs()), strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("precision", "flavour", "names"),
    [
        ("fp32", "python", {"GroupQueryAttention", "MultiHeadAttention"}),
        ("int8", "onnxruntime", {"GroupQueryAttention", "MultiHeadAttention"}),
        ("fp16", "onnxruntime", {"GroupQueryAttention"}),
        ("fp32", "onnxruntime", set()),
        ("fp16", "tensorrt", set()),
    ],
)
def test_operators_are_where_there_is_a_kernel(
    tmp_path: Path, precision: Precision, flavour: Flavour, names: set[str]
) -> None:
    path = exported(precision, flavour, tmp_path / "model.onnx")
    assert operators(path) == names
    session = onnxruntime.InferenceSession(str(path))
    for values in (inputs(), inputs(1, 1), inputs(2, 130)):
        named = dict(zip(("query", "key", "value", "mask"), (each.numpy() for each in values), strict=True))
        for found, wanted in zip(session.run(None, named), expected(*values), strict=True):
            np.testing.assert_allclose(found, wanted.numpy(), atol=2e-5, rtol=1e-4)


def test_a_row_of_padding_gives_numbers(tmp_path: Path) -> None:
    query, key, value, mask = inputs()
    mask[1] = 0
    assert torch.isfinite(Both()(query, key, value, mask)[1]).all()
    path = exported("fp32", "python", tmp_path / "model.onnx")
    values = zip(("query", "key", "value", "mask"), (each.numpy() for each in (query, key, value, mask)), strict=True)
    assert np.isfinite(onnxruntime.InferenceSession(str(path)).run(["masked"], dict(values))[0]).all()
    half = Both()(query.half(), key.half(), value.half(), mask)
    assert all(torch.isfinite(each).all() for each in half)

"""int8 MatMuls with a scale per row: near the float product, and exact in what they must not mix."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from searchmesh_export.rowwise import quantise

WIDTH, OUT, NARROW = 48, 36, 8
WEIGHT = np.random.default_rng(0).normal(size=(WIDTH, OUT)).astype(np.float32)
WEIGHT[:, 3] = 0


def float_graph() -> ir.Model:
    """y = x W and, from the same x, z = x x^T, which has no constant side, and n = x N, which is narrow."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["y"]),
        helper.make_node("Transpose", ["x"], ["xt"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["x", "xt"], ["z"]),
        helper.make_node("MatMul", ["x", "n"], ["narrow"]),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", "length", WIDTH])
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("y", "z", "narrow")]
    constants = [numpy_helper.from_array(WEIGHT, "w"), numpy_helper.from_array(WEIGHT[:, :NARROW].copy(), "n")]
    graph = helper.make_graph(nodes, "product", [x], outputs, constants)
    return ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10))


def int8_graph() -> ir.Model:
    model = float_graph()
    quantise(model)
    return model


SESSION = onnxruntime.InferenceSession(ir.to_proto(int8_graph()).SerializeToString())


def product(x: NDArray[Any]) -> NDArray[np.float32]:
    (y,) = SESSION.run(["y"], {"x": x.astype(np.float32)})
    return y


def test_only_wide_products_with_constants_become_int8() -> None:
    graph = int8_graph().graph
    operators = [node.op_type for node in graph]
    assert operators.count("MatMulIntegerToFloat") == 1
    assert [node.outputs[0].name for node in graph if node.op_type == "MatMul"] == ["z", "narrow"]
    assert [output.name for output in graph.outputs] == ["y", "z", "narrow"]
    assert "w" not in graph.initializers


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(1e-6, 1e6), st.integers(1, 5), st.integers(1, 7))
def test_rows_are_close_and_independent_of_each_other(seed: int, magnitude: float, rows: int, length: int) -> None:
    x = np.random.default_rng(seed).normal(size=(rows, length, WIDTH))
    x[0] *= magnitude  # neighbours of a very different size
    y = product(x)
    np.testing.assert_array_equal(y[-1:], product(x[-1:]))
    exact = x @ WEIGHT
    bound = np.abs(x).max(axis=-1, keepdims=True) * (np.abs(WEIGHT).sum(axis=0) + np.abs(WEIGHT).max(axis=0) * WIDTH)
    assert (np.abs(y - exact) <= bound / 254 * 1.01 + 1e-6 * magnitude).all()


def test_zeros_stay_zeros() -> None:
    np.testing.assert_array_equal(product(np.zeros((1, 2, WIDTH))), np.zeros((1, 2, OUT), np.float32))
    np.testing.assert_array_equal(product(np.ones((1, 1, WIDTH)))[0, 0, 3], 0)

"""From a graph to be to ONNX in a precision, with what makes it fast where it will run."""

from __future__ import annotations

import onnx_ir as ir

from searchmesh.catalog import Flavour, Precision
from searchmesh_export import attention, cpu, parts, rowwise
from searchmesh_export.built import Graph
from searchmesh_export.graph import to_onnx


def lowered(graph: Graph, precision: Precision, flavour: Flavour) -> ir.Model:
    """The ONNX model; changes the module, whose weights it refers to."""
    if precision == "fp16":
        graph.module.half()
    attention.fuse(graph.module, precision, flavour)
    on_cpu = cpu.runs(precision, flavour)
    if on_cpu:
        parts.cut(graph.module)
    model = to_onnx(graph)
    if precision == "int8":
        rowwise.quantise(model)
    if on_cpu:
        cpu.keep_sums_apart(model)
    return model

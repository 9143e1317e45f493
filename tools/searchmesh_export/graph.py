"""torch module → ONNX."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import onnx_ir as ir
import torch

from searchmesh.runtime.errors import Internal
from searchmesh_export import samples
from searchmesh_export.built import Graph
from searchmesh_export.tensors import FREE

_OPSET = 20
"""The first with Gelu as one operator, which ONNX Runtime's and TensorRT's fusions know."""


def to_onnx(graph: Graph) -> ir.Model:
    """The ONNX graph, whose free axes bear the names of `tensors.FREE`; its weights are still the module's.

    The same weights give the same graph: what the exporter notes about its own run is left out.
    """
    example = tuple(torch.from_numpy(value) for value in samples.traced(graph).values())
    free = tuple({number: axis for number, axis in enumerate(tensor.axes) if axis in FREE} for tensor in graph.takes)
    with _quiet(), torch.inference_mode():
        program = torch.onnx.export(
            graph.module,
            example,
            dynamo=True,
            verbose=False,
            opset_version=_OPSET,
            input_names=list(graph.inputs),
            output_names=list(graph.outputs),
            dynamic_shapes=free,
        )
    model: ir.Model = program.model
    _forget_origin(model)
    _check_shapes(model, graph)
    return model


def _check_shapes(model: ir.Model, graph: Graph) -> None:
    """Outputs have the sizes that the family states; tritonserver and the services rely on them."""
    for tensor, value in zip(graph.gives, model.graph.outputs, strict=True):
        wanted = [axis if isinstance(axis, int) else None for axis in tensor.shape(graph.sizes)]
        found = [axis if isinstance(axis, int) else None for axis in value.shape or ()]
        if found != wanted:
            raise Internal(f"{tensor.name} is {value.shape} in the graph, not {list(tensor.shape(graph.sizes))}")


def _forget_origin(model: ir.Model) -> None:
    """Drop stack traces, file names and the shapes of values inside."""
    model.metadata_props.clear()
    model.graph.metadata_props.clear()
    for node in model.graph.all_nodes():
        node.metadata_props.clear()
        node.doc_string = None
        for value in node.outputs:
            value.metadata_props.clear()
    for value in (*model.graph.inputs, *model.graph.initializers.values()):
        value.metadata_props.clear()


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's notes on optional packages and its own deprecations."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)

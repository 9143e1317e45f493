"""torch module → ONNX."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import onnx
import torch
from torch import nn

from searchmesh_export.pooled import OUTPUTS

INPUTS = ("input_ids", "attention_mask")

_OPSET = 20
"""The first with Gelu as one operator, which ONNX Runtime's and TensorRT's fusions know."""


def to_onnx(model: nn.Module) -> onnx.ModelProto:
    """The graph of an encoder with `pooled.Pooled` outputs; rows and length are free.

    The same weights give the same bytes: what the exporter notes about its own run is left out.
    """
    # Two tensors: one object given twice is traced as one input.
    example = (torch.ones(2, 16, dtype=torch.int64), torch.ones(2, 16, dtype=torch.int64))
    free = {0: "rows", 1: "length"}
    with _quiet(), torch.inference_mode():
        program = torch.onnx.export(
            model,
            example,
            dynamo=True,
            verbose=False,
            opset_version=_OPSET,
            input_names=list(INPUTS),
            output_names=list(OUTPUTS),
            dynamic_shapes=(free, free),
        )
    proto: onnx.ModelProto = program.model_proto
    _forget_origin(proto)
    onnx.checker.check_model(proto)
    return proto


def _forget_origin(proto: onnx.ModelProto) -> None:
    """Drop stack traces and file names."""
    del proto.metadata_props[:], proto.graph.metadata_props[:], proto.graph.value_info[:]
    for item in (*proto.graph.node, *proto.graph.input, *proto.graph.output, *proto.graph.initializer):
        del item.metadata_props[:]
        item.doc_string = ""


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

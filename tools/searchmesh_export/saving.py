"""ONNX models as files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import onnx
import onnx_ir as ir

MODEL_FILE = "model.onnx"
DATA_FILE = "model.onnx.data"

_INLINE_BYTES = 256 << 20
"""Larger weights get a file of their own: protobuf ends at 2 GiB, and ONNX Runtime maps such a file into memory, where
all processes that run the model share it."""

_PAGE_BYTES = 4096
"""What is mapped starts at a page."""


def weight_bytes(model: ir.Model) -> int:
    """Size of all weights."""
    return sum(value.const_value.nbytes for value in model.graph.initializers.values() if value.const_value is not None)


def save(model: ir.Model, folder: Path) -> tuple[Path, ...]:
    """Write model.onnx, and model.onnx.data for weights that are large in all. The same model gives the same bytes.

    Weights are written one after the other, so none of them is copied as a whole.
    """
    file, data = folder / MODEL_FILE, folder / DATA_FILE
    if weight_bytes(model) <= _INLINE_BYTES:
        file.write_bytes(ir.to_proto(model).SerializeToString(deterministic=True))
    else:
        ir.save(model, file, external_data=DATA_FILE, size_threshold_bytes=_PAGE_BYTES, alignment=_PAGE_BYTES)
    onnx.checker.check_model(str(file))
    return (file, data) if data.exists() else (file,)


def digest(files: Iterable[Path]) -> str:
    """SHA-256 of the files' contents, one after the other."""
    sha = hashlib.sha256()
    for file in files:
        with file.open("rb") as content:
            while block := content.read(1 << 20):
                sha.update(block)
    return sha.hexdigest()

"""Full vectors to what the caller asked for: fewer dimensions, smaller numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from searchmesh.v1 import common_pb2

Vectors = NDArray[np.float32]


def sliced(vectors: Vectors, dimensions: int) -> Vectors:
    """The first `dimensions` components of unit vectors [n, d], as unit vectors [n, dimensions] again (Matryoshka)."""
    if dimensions == vectors.shape[1]:
        return vectors
    cut = vectors[:, :dimensions]
    lengths = np.linalg.norm(cut, axis=1, keepdims=True)
    return np.asarray(cut / np.maximum(lengths, np.float32(1e-12)))


def packed(vectors: Vectors, dtype: int) -> bytes:
    """Vectors [n, d] as the bytes that common.proto describes for `dtype`."""
    match dtype:
        case common_pb2.DTYPE_FLOAT16:
            return vectors.astype("<f2").tobytes()
        case common_pb2.DTYPE_INT8:
            return _scaled(vectors).astype(np.int8).tobytes()
        case common_pb2.DTYPE_UINT8:
            return (_scaled(vectors) + 128).astype(np.uint8).tobytes()
        case common_pb2.DTYPE_BINARY:
            return np.packbits(vectors > 0, axis=1).tobytes()
        case _:
            return vectors.astype("<f4", copy=False).tobytes()


def _scaled(vectors: Vectors) -> NDArray[Any]:
    largest = np.abs(vectors).max(axis=1, keepdims=True)
    return np.asarray(np.rint(vectors * (127 / np.maximum(largest, np.float32(1e-12)))))

"""Packed vectors of the wire to numpy arrays, and quantised ones to float32."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from searchmesh.runtime.errors import Internal
from searchmesh.v1 import common_pb2

_NUMPY: dict[int, str] = {
    common_pb2.DTYPE_UNSPECIFIED: "<f4",
    common_pb2.DTYPE_FLOAT32: "<f4",
    common_pb2.DTYPE_FLOAT16: "<f2",
    common_pb2.DTYPE_INT8: "i1",
    common_pb2.DTYPE_UINT8: "u1",
    common_pb2.DTYPE_BINARY: "u1",
}


def decoded(vectors: common_pb2.Vectors) -> NDArray[Any]:
    """The rows [n, columns] in their own dtype; columns are dimensions, or for BINARY bytes of eight packed bits.

    A read-only view of the message's bytes, nothing is copied. Raises Internal if the block is no whole number of rows.
    """
    if vectors.dtype not in _NUMPY:
        raise Internal(f"vectors of the unknown type {vectors.dtype}; this client is older than the service")
    dtype = np.dtype(_NUMPY[vectors.dtype])
    columns = -(-vectors.dimensions // 8) if vectors.dtype == common_pb2.DTYPE_BINARY else vectors.dimensions
    if columns == 0 or len(vectors.data) % (columns * dtype.itemsize):
        raise Internal(f"{len(vectors.data)} bytes are no whole number of {vectors.dimensions}-dimensional vectors")
    return np.frombuffer(vectors.data, dtype).reshape(-1, columns)


def dequantised(rows: NDArray[Any], dtype: int, dimensions: int) -> NDArray[np.float32]:
    """Rows of `decoded` as float32 [n, dimensions].

    INT8, UINT8 and BINARY keep directions only, so their rows come back with unit length; cosines are dot products.
    """
    match dtype:
        case common_pb2.DTYPE_INT8:
            return _unit(rows.astype(np.float32))
        case common_pb2.DTYPE_UINT8:
            return _unit(rows.astype(np.float32) - np.float32(128))
        case common_pb2.DTYPE_BINARY:
            bits = np.unpackbits(rows, axis=1, count=dimensions)
            return _unit(bits.astype(np.float32) * np.float32(2) - np.float32(1))
        case _:
            return rows.astype(np.float32)


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(lengths, np.float32(1e-12)), dtype=np.float32)

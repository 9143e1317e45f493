"""Token vectors of documents that were computed before, at indexing time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from searchmesh.client.vectors import dequantised
from searchmesh.encoding import Vectors
from searchmesh.reranker.vectors import unit
from searchmesh.runtime.errors import InvalidArgument
from searchmesh.v1 import common_pb2

_FIELD = "document_vectors"

_NUMPY: dict[int, str] = {
    common_pb2.DTYPE_UNSPECIFIED: "<f4",
    common_pb2.DTYPE_FLOAT32: "<f4",
    common_pb2.DTYPE_INT8: "i1",
    common_pb2.DTYPE_BINARY: "u1",
}


@dataclass(frozen=True)
class StoredVectors:
    """The vectors of documents as they came, which may be a thirty-second of their size in float32."""

    dtype: int
    dimensions: int
    offsets: Sequence[int]
    """Document i has rows [offsets[i], offsets[i + 1])."""
    rows: NDArray[Any]
    """[vectors, columns], those of BINARY packed."""

    @classmethod
    def from_proto(cls, message: common_pb2.Vectors, *, max_documents: int) -> StoredVectors:
        """Raises InvalidArgument, naming the field, for another type, and for blocks and offsets that do not fit."""
        if message.dtype not in _NUMPY:
            raise InvalidArgument(f"{_FIELD}.dtype", "must be FLOAT32, INT8 or BINARY")
        if not message.dimensions:
            raise InvalidArgument(f"{_FIELD}.dimensions", "is missing")
        dtype = np.dtype(_NUMPY[message.dtype])
        binary = message.dtype == common_pb2.DTYPE_BINARY
        columns = -(-message.dimensions // 8) if binary else message.dimensions
        data, row_bytes = message.data, columns * dtype.itemsize
        if len(data) % row_bytes:
            raise InvalidArgument(
                f"{_FIELD}.data", f"has {len(data)} bytes, no whole number of vectors of {row_bytes} bytes"
            )
        rows = np.frombuffer(data, dtype).reshape(-1, columns)
        _check_offsets(message.row_offsets, len(rows), max_documents)
        if rows.dtype.kind == "f":
            _check_numbers(rows)
        return cls(message.dtype, message.dimensions, list(message.row_offsets), rows)

    @property
    def counts(self) -> list[int]:
        """Vectors of each document."""
        return [end - start for start, end in pairwise(self.offsets)]

    def block(self, first: int, last: int) -> Vectors:
        """The vectors of documents [first, last) as float32 of unit length."""
        rows = self.rows[self.offsets[first] : self.offsets[last]]
        return unit(dequantised(rows, self.dtype, self.dimensions))


def _check_offsets(offsets: Sequence[int], rows: int, max_documents: int) -> None:
    field = f"{_FIELD}.row_offsets"
    if len(offsets) < 2:
        raise InvalidArgument(field, "must say where the vectors of each document start, and where the last ones end")
    if len(offsets) - 1 > max_documents:
        raise InvalidArgument(field, f"has {len(offsets) - 1} documents, the limit is {max_documents}")
    for position, (before, offset) in enumerate(pairwise(offsets), 1):
        if offset <= before:
            raise InvalidArgument(f"{field}[{position}]", "must be above the one before it: a document has vectors")
    if offsets[0] != 0 or offsets[-1] != rows:
        raise InvalidArgument(field, f"must go from 0 to {rows}, the number of vectors")


def _check_numbers(rows: NDArray[np.float32]) -> None:
    with np.errstate(over="ignore"):
        lengths = np.linalg.norm(rows, axis=1)
    if not np.isfinite(lengths).all():
        raise InvalidArgument(
            f"{_FIELD}.data", "holds numbers that are not finite, or too large to be those of vectors"
        )

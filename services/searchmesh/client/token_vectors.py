"""Token vectors of documents that were computed before, for reranking by late interaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from searchmesh.client import words
from searchmesh.client.embeddings import Embeddings
from searchmesh.runtime.errors import InvalidArgument
from searchmesh.v1 import common_pb2

_NUMPY: dict[words.DType, str] = {"float32": "<f4", "int8": "i1", "binary": "u1"}


@dataclass(frozen=True, eq=False)
class TokenVectors:
    """What `embed` with `multi_vector` gave for documents, perhaps long ago::

    embeddings = client.embed(texts, model="jina-colbert-v2", multi_vector=True, dtype="int8", dimensions=64)
    client.rerank("a query", model="jina-colbert-v2", document_vectors=TokenVectors.of(embeddings))
    """

    documents: Sequence[NDArray[Any]]
    """[n, dimensions] of each document, or packed bits [n, dimensions / 8 rounded up]."""
    dtype: words.DType
    """float32, int8 or binary."""
    dimensions: int

    @classmethod
    def of(cls, embeddings: Embeddings) -> TokenVectors:
        """Those of every input of the embeddings."""
        return cls(embeddings.per_input(), embeddings.dtype, embeddings.dimensions)

    def to_proto(self) -> common_pb2.Vectors:
        """For the wire. Raises InvalidArgument for another type, and for arrays of another type or shape."""
        if self.dtype not in _NUMPY:
            raise InvalidArgument("document_vectors.dtype", f"must be one of {', '.join(_NUMPY)}; got {self.dtype!r}")
        dtype = np.dtype(_NUMPY[self.dtype])
        columns = -(-self.dimensions // 8) if self.dtype == "binary" else self.dimensions
        for place, rows in enumerate(self.documents):
            if rows.dtype != dtype or rows.ndim != 2 or rows.shape[1] != columns:
                raise InvalidArgument(
                    f"document_vectors.documents[{place}]",
                    f"is {rows.dtype} {list(rows.shape)}; it must be {dtype} [n, {columns}]",
                )
        return common_pb2.Vectors(
            dtype=words.DTYPES[self.dtype],
            dimensions=self.dimensions,
            row_offsets=accumulate(map(len, self.documents), initial=0),
            data=b"".join(rows.tobytes() for rows in self.documents),
        )

"""Late interaction: each query token looks for its best match among the document's tokens (MaxSim).

Khattab and Zaharia, "ColBERT: Efficient and Effective Passage Search via Contextualized Late Interaction over
BERT", SIGIR 2020.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from searchmesh.encoding import Vectors

_BLOCK_ROWS = 8192
_QUERY_ROWS = 256
"""So the similarities that are in memory at a time are 8 MiB, and a document's own if it is longer."""


def maxsim(query: Vectors, counts: Sequence[int], block: Callable[[int, int], Vectors]) -> NDArray[np.float32]:
    """Sum over the query's vectors of the largest dot product with any vector of the document, one per document.

    `query` is [q, d] of unit length; document i has `counts[i]` ≥ 1 vectors; `block` gives those of documents
    [first, last), one below the other, [n, d] of unit length.
    """
    return np.concatenate([_of_block(query, counts[first:last], block(first, last)) for first, last in _blocks(counts)])


def _of_block(query: Vectors, counts: Sequence[int], rows: Vectors) -> NDArray[np.float32]:
    starts = np.cumsum([0, *counts[:-1]])
    scores = np.zeros(len(counts), np.float32)
    for part in range(0, len(query), _QUERY_ROWS):
        # One matrix product for all documents, then a maximum over each document's own rows.
        similarities = rows @ query[part : part + _QUERY_ROWS].T
        scores += np.maximum.reduceat(similarities, starts, axis=0).sum(axis=1)
    return scores


def _blocks(counts: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Documents [first, last) of at most `_BLOCK_ROWS` vectors together, or one that has more."""
    first = rows = 0
    for position, count in enumerate(counts):
        if position > first and rows + count > _BLOCK_ROWS:
            yield first, position
            first, rows = position, 0
        rows += count
    yield first, len(counts)

"""Late interaction: each query token looks for its best match among the document's tokens (MaxSim).

Khattab and Zaharia, "ColBERT: Efficient and Effective Passage Search via Contextualized Late Interaction over
BERT", SIGIR 2020.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from searchmesh.batching import Lane
from searchmesh.cache import Entry
from searchmesh.encoding import NO_TASK, Context, Encoder, Output
from searchmesh.reranker.scorer import Scored
from searchmesh.runtime.rpc import Call
from searchmesh.text import Truncation

Vectors = NDArray[np.float32]


def maxsim(query: Vectors, documents: Sequence[Vectors]) -> NDArray[np.float32]:
    """Sum over the query's vectors of the largest dot product with any vector of the document, one per document.

    `query` is [q, d], each document [n, d] with n ≥ 1, all of unit length.
    """
    # One matrix product for all documents, then a maximum over each document's own rows.
    similarities = np.concatenate(documents) @ query.T
    starts = np.cumsum([0, *(len(document) for document in documents[:-1])])
    return np.asarray(np.maximum.reduceat(similarities, starts, axis=0).sum(axis=1))


class LateInteraction:
    """MaxSim over the token vectors of a multi-vector encoder, computed on the fly."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    async def score(
        self, query: str, documents: Sequence[str], *, truncation: Truncation, lane: Lane, call: Call
    ) -> list[Scored]:
        """See `Scorer.score`. The query is cut to the model's limit, it is never refused."""
        card = self._encoder.card

        async def encode(texts: Sequence[str], task: str | None, truncation: Truncation, field: str) -> list[Entry]:
            return await self._encoder.encode(
                texts,
                Output.TOKENS,
                Context(lane, call.deadline, call.stages),
                task=card.tasks[task] if task else NO_TASK,
                truncation=truncation,
                field=lambda position: f"{field}[{position}]",
            )

        (asked,), found = await asyncio.gather(
            encode([query], card.query_task, Truncation.END, "query"),
            encode(documents, card.passage_task, truncation, "documents"),
        )
        with call.stages.measure("score"):
            scores = maxsim(asked.vectors, [document.vectors for document in found])
        return [
            Scored(float(score), document.tokens, document.truncated)
            for score, document in zip(scores, found, strict=True)
        ]

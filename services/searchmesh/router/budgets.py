"""How much of a search's time each stage may take."""

from __future__ import annotations

from dataclasses import dataclass

from searchmesh.runtime.deadlines import Deadline

RETRIEVAL_SHARE = 0.5
"""Of the time left, what embedding the query or asking a source may take at most."""

REPLY_RESERVE_S = 0.02
"""Kept from the reranker, for blending and sending the answer."""


@dataclass(frozen=True, slots=True)
class Budgets:
    """The longest waits, in seconds; a caller's deadline shortens them."""

    embed_s: float
    rerank_s: float
    source_s: float

    def embed(self, deadline: Deadline) -> float:
        """For the vector of the query."""
        return _share(self.embed_s, deadline)

    def source(self, deadline: Deadline) -> float:
        """For the answer of a source."""
        return _share(self.source_s, deadline)

    def rerank(self, deadline: Deadline) -> float:
        """For the reranker, which comes last; 0 or less if nothing is left."""
        left = deadline.remaining_s()
        return self.rerank_s if left is None else min(self.rerank_s, left - REPLY_RESERVE_S)


def _share(longest_s: float, deadline: Deadline) -> float:
    left = deadline.remaining_s()
    return longest_s if left is None else min(longest_s, RETRIEVAL_SHARE * left)

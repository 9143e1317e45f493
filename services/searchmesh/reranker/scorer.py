"""How a model ranks: one interface, a strategy for each way of scoring."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from searchmesh.batching import Lane
from searchmesh.runtime.rpc import Call
from searchmesh.text import Truncation


@dataclass(frozen=True, slots=True)
class Scored:
    """What a scorer says of one document."""

    score: float
    tokens: int
    truncated: bool


class Scorer(Protocol):
    """Scores of documents against one query; higher is more relevant, the scale is the model's."""

    async def score(
        self, query: str, documents: Sequence[str], *, truncation: Truncation, lane: Lane, call: Call
    ) -> list[Scored]:
        """One result per document, in order. Raises what `Encoder.encode` raises, naming `query` or `documents`."""
        ...

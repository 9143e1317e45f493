"""The second half of a search: the best candidates, read by the reranker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from searchmesh.router.blend import blend, blends
from searchmesh.router.budgets import Budgets
from searchmesh.router.documents import passage
from searchmesh.router.fusion import Ranking
from searchmesh.router.index import Document
from searchmesh.router.ports import Reranker
from searchmesh.router.retrieval import Key, measured
from searchmesh.runtime.errors import DeadlineExceeded
from searchmesh.runtime.rpc import Call

MAX_PASSAGE_CHARACTERS = 32 * 1024
"""Sent of one document: about what the longest context of a reranker takes when it reads one at a time."""

MAX_REQUEST_CHARACTERS = 2 * 1024 * 1024
"""Sent of all documents: below the size of a gRPC message however many bytes a character has."""

FUSED_WEIGHT = 2.0
"""Where rankings of several places cannot be compared, the fused one stands for the two of dense and lexical."""


@dataclass(frozen=True, slots=True)
class Reordered:
    """Candidates with what orders them now, and what the reranker itself said."""

    scores: Mapping[Key, float]
    rerank: Mapping[Key, float]


class Reranking:
    """Asks the reranker, and combines its scores with those of retrieval where its card says so."""

    def __init__(self, reranker: Reranker, budgets: Budgets) -> None:
        self._reranker = reranker
        self._budgets = budgets

    async def reorder(
        self,
        model: str,
        query: str,
        documents: Mapping[Key, Document],
        rankings: Sequence[Ranking[Key]],
        fused: Mapping[Key, float],
        call: Call,
    ) -> Reordered:
        """New scores of the documents. Those without text have none.

        Raises DeadlineExceeded if the caller's time is too short to begin with, and what the reranker raises.
        """
        texts = {key: text for key, document in documents.items() if (text := passage(document))}
        if not texts:
            return Reordered({}, {})
        timeout_s = self._budgets.rerank(call.deadline)
        if timeout_s <= 0:
            raise DeadlineExceeded("no time was left for the reranker")
        limit = min(MAX_PASSAGE_CHARACTERS, MAX_REQUEST_CHARACTERS // len(texts))
        with measured(call, "rerank"):
            answer = await self._reranker.rerank(
                model, query, [text[:limit] for text in texts.values()], timeout_s=timeout_s
            )
        keys = list(texts)
        raw = dict(zip(keys, answer.scores, strict=True))
        if not blends(answer.model):
            return Reordered(raw, raw)
        if len({place for place, _ in fused}) > 1:
            rankings = [Ranking("fused", fused, min(fused.values()), FUSED_WEIGHT)]
        return Reordered(dict(zip(keys, blend(answer.scores, keys, rankings), strict=True)), raw)

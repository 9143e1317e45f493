"""The second half of a search: the best candidates, read by the reranker."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from searchmesh.router.blend import blend, blends
from searchmesh.router.budgets import Budgets
from searchmesh.router.fusion import Ranking
from searchmesh.router.index import Content, Document, Image
from searchmesh.router.known_models import KnownModels
from searchmesh.router.library import Library
from searchmesh.router.ports import Model, Reranked, Reranker
from searchmesh.router.query import Degradation
from searchmesh.router.reading import Reading, reading
from searchmesh.router.retrieval import Key, measured
from searchmesh.runtime.errors import DeadlineExceeded, InvalidArgument
from searchmesh.runtime.rpc import Call

MAX_UNREADABLE = 3
"""Candidates whose images cannot be read that are left out one by one; with more the order stays the fused one."""

FUSED_WEIGHT = 2.0
"""Where rankings of several places or sides cannot be compared, the fused one stands for the two of dense and
lexical."""

_IMAGE_OF_DOCUMENT = re.compile(r"documents\[(\d+)\]\.image")


@dataclass(frozen=True, slots=True)
class Reordered:
    """Candidates with what orders them now, and what the reranker itself said."""

    scores: Mapping[Key, float]
    rerank: Mapping[Key, float]
    degraded: Sequence[Degradation] = ()


class Reranking:
    """Asks the reranker, and combines its scores with those of retrieval where its card says so."""

    def __init__(self, reranker: Reranker, budgets: Budgets) -> None:
        self._reranker = reranker
        self._models = KnownModels(reranker)
        self._budgets = budgets

    async def reorder(
        self,
        name: str,
        query: Content,
        candidates: Mapping[Key, Document],
        rankings: Sequence[Ranking[Key]],
        fused: Mapping[Key, float],
        library: Library,
        call: Call,
    ) -> Reordered:
        """New scores of the candidates. Those that the model cannot read have none.

        Raises DeadlineExceeded if the caller's time is too short to begin with, InvalidArgument if the model cannot
        read the query, and what the reranker raises.
        """
        timeout_s = self._budgets.rerank(call.deadline)
        if timeout_s <= 0:
            raise DeadlineExceeded("no time was left for the reranker")
        model = await self._models.get(name, timeout_s=timeout_s) or Model(name)
        if isinstance(query, Image) and "image" not in model.modalities:
            raise InvalidArgument(
                "rerank.model", f"{model.name} does not read images", reason="RERANKER_READS_NO_IMAGES"
            )
        images = {key for ranking in rankings if ranking.side == "image" for key in ranking.scores}
        read = await reading(model, candidates, images, library)
        with measured(call, "rerank"):
            read, answer = await self._ask(name, query, read, call)
        if answer is None:
            return Reordered({}, {}, read.degraded)
        raw = dict(zip(read.keys, answer.scores, strict=True))
        if not blends(answer.model):
            return Reordered(raw, raw, read.degraded)
        places, sides = {place for place, _ in fused}, {ranking.side for ranking in rankings}
        if len(places) > 1 or len(sides) > 1:
            rankings = [Ranking("fused", fused, min(fused.values()), FUSED_WEIGHT)]
        return Reordered(
            dict(zip(read.keys, blend(answer.scores, read.keys, rankings), strict=True)), raw, read.degraded
        )

    async def _ask(self, name: str, query: Content, read: Reading, call: Call) -> tuple[Reading, Reranked | None]:
        """The reranker's answer, None if there is nothing to read; and what it has read: all but images that it cannot,
        as those behind a URL may be gone.
        """
        for left in reversed(range(MAX_UNREADABLE + 1)):
            if not read.keys:
                break
            timeout_s = self._budgets.rerank(call.deadline)
            try:
                return read, await self._reranker.rerank(name, query, read.documents, timeout_s=timeout_s)
            except InvalidArgument as error:
                named = _IMAGE_OF_DOCUMENT.match(error.field)
                if named is None or left == 0:
                    raise
                read = read.without(int(named[1]), error)
        return read, None

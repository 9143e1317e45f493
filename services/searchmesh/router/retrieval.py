"""The first half of a search: every retriever at once, and what to make of those that fail."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

from searchmesh.router.budgets import Budgets
from searchmesh.router.fusion import Ranking
from searchmesh.router.index import Collection, Document, Index, Match, Space
from searchmesh.router.plan import Plan
from searchmesh.router.ports import Embedder, Source
from searchmesh.router.query import Degradation, SearchQuery
from searchmesh.runtime.errors import IndexUnavailable, SearchmeshError
from searchmesh.runtime.rpc import Call
from searchmesh.runtime.telemetry import span

Key: TypeAlias = tuple[str, str]
"""Collection (or source) and id of a document."""


@dataclass(frozen=True, slots=True)
class Retrieved:
    """What the retrievers found. `documents` are those that came along with it."""

    rankings: Sequence[Ranking[Key]]
    documents: Mapping[Key, Document]
    degraded: Sequence[Degradation]


@dataclass(frozen=True, slots=True)
class _Outcome:
    ranking: Ranking[Key] | None = None
    documents: Mapping[Key, Document] | None = None
    degraded: Sequence[Degradation] = ()
    error: SearchmeshError | None = None


class Retrieval:
    """Runs the retrievers of a plan."""

    def __init__(self, index: Index, embedder: Embedder, sources: Mapping[str, Source], budgets: Budgets) -> None:
        self._index = index
        self._embedder = embedder
        self._sources = sources
        self._budgets = budgets

    async def retrieve(self, plan: Plan, query: SearchQuery, call: Call) -> Retrieved:
        """The rankings of all retrievers that answered. Raises an error only if none did."""
        jobs = [
            self._run("dense", self._dense(model, dimensions, spaces, query, call), query)
            for (model, dimensions), spaces in plan.embeddings().items()
        ]
        if plan.lexical:
            jobs += [self._run("lexical", self._lexical(one, query, call), query) for one in plan.collections]
        # A source has fused its retrievers already: its ranking has the votes of as many as run here.
        votes = float(plan.dense + plan.lexical)
        jobs += [self._run(name, self._source(name, votes, query, call), query) for name in plan.sources]
        outcomes = await asyncio.gather(*jobs)
        errors = [outcome.error for outcome in outcomes if outcome.error is not None]
        if errors and len(errors) == len(outcomes):
            raise next((error for error in errors if isinstance(error, IndexUnavailable)), errors[0])
        return Retrieved(
            rankings=[outcome.ranking for outcome in outcomes if outcome.ranking is not None],
            documents={key: document for one in outcomes for key, document in (one.documents or {}).items()},
            degraded=[one for outcome in outcomes for one in outcome.degraded],
        )

    async def _run(self, stage: str, job: Coroutine[Any, Any, _Outcome], query: SearchQuery) -> _Outcome:
        try:
            return await job
        except SearchmeshError as error:
            what = f"left out of {', '.join(query.collections)}: {error.message}"
            return _Outcome(error=error, degraded=[Degradation(stage, error.reason, what)])

    async def _dense(
        self, model: str, dimensions: int, spaces: Sequence[tuple[Collection, Space]], query: SearchQuery, call: Call
    ) -> _Outcome:
        with measured(call, "embed"):
            vector = await self._embedder.embed_query(
                model, dimensions, query.text, timeout_s=self._budgets.embed(call.deadline)
            )
        with measured(call, "dense"):
            found = await asyncio.gather(
                *(
                    self._index.dense(collection, space.name, vector, query.candidates, query.filter)
                    for collection, space in spaces
                )
            )
        # Cosines to one query vector compare across collections.
        merged = sorted(
            (
                (match.score, (collection.name, match.id))
                for (collection, _), matches in zip(spaces, found, strict=True)
                for match in matches
            ),
            key=lambda scored: -scored[0],
        )
        scores: dict[Key, float] = {}
        for score, key in merged:
            scores.setdefault(key, score)
        floor = max((matches[-1].score for matches in found if matches), default=0.0)
        return _Outcome(Ranking("dense", scores, floor, query.fusion.weight("dense")))

    async def _lexical(self, collection: Collection, query: SearchQuery, call: Call) -> _Outcome:
        with measured(call, "lexical"):
            found = await self._index.lexical(collection, query.text, query.candidates, query.filter)
        # A list that was not cut has all documents with any of the terms.
        floor = found[-1].score if len(found) == query.candidates else 0.0
        return _Outcome(Ranking("lexical", _scores(collection, found), floor, query.fusion.weight("lexical")))

    async def _source(self, name: str, votes: float, query: SearchQuery, call: Call) -> _Outcome:
        with measured(call, name):
            answer = await self._sources[name].retrieve(
                query.text, query.mode, query.candidates, query.filter, timeout_s=self._budgets.source(call.deadline)
            )
        scores = {(name, hit.document.id): hit.score for hit in answer.hits}
        return _Outcome(
            ranking=Ranking(name, scores, min(scores.values(), default=0.0), votes),
            documents={(name, hit.document.id): hit.document for hit in answer.hits},
            degraded=[Degradation(name, one.reason, f"{one.stage}: {one.message}") for one in answer.degraded],
        )


def _scores(collection: Collection, matches: Sequence[Match]) -> dict[Key, float]:
    return {(collection.name, match.id): match.score for match in matches}


@contextmanager
def measured(call: Call, stage: str) -> Iterator[None]:
    """Time and trace a stage."""
    with span(stage), call.stages.measure(stage):
        yield

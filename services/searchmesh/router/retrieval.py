"""The first half of a search: every retriever at once, and what to make of those that fail."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from searchmesh.router.budgets import Budgets
from searchmesh.router.fusion import Ranking
from searchmesh.router.index import Collection, Document, Index, Match, SpaceName, Vector
from searchmesh.router.plan import Plan, Probe
from searchmesh.router.ports import Embedder, Source
from searchmesh.router.query import LEXICAL, Degradation, Route, SearchQuery, dense_stage
from searchmesh.runtime.errors import IndexUnavailable, SearchmeshError
from searchmesh.runtime.rpc import Call
from searchmesh.runtime.telemetry import span

Key: TypeAlias = tuple[str, str]
"""Collection (or source) and id of a document."""


@dataclass(frozen=True, slots=True)
class Retrieved:
    """What the retrievers found. `documents` are those that came along with it, `routes` the plan's after the event."""

    rankings: Sequence[Ranking[Key]]
    documents: Mapping[Key, Document]
    degraded: Sequence[Degradation]
    routes: Sequence[Route]


@dataclass(frozen=True, slots=True)
class _Retriever:
    stage: str
    places: Sequence[tuple[str, str]]
    """Collections and their spaces, as in the routes."""

    job: Coroutine[Any, Any, _Found]


@dataclass(frozen=True, slots=True)
class _Found:
    ranking: Ranking[Key]
    documents: Mapping[Key, Document] | None = None
    degraded: Sequence[Degradation] = ()


class Retrieval:
    """Runs the retrievers of a plan."""

    def __init__(self, index: Index, embedder: Embedder, sources: Mapping[str, Source], budgets: Budgets) -> None:
        self._index = index
        self._embedder = embedder
        self._sources = sources
        self._budgets = budgets

    async def retrieve(self, plan: Plan, query: SearchQuery, call: Call) -> Retrieved:
        """The rankings of all retrievers that answered. Raises an error only if none did."""
        retrievers = [*self._dense_ones(plan, query, call), *self._lexical_ones(plan, query, call)]
        retrievers += [
            _Retriever(name, [(name, "")], self._source(name, plan.votes, query, call)) for name in plan.sources
        ]
        outcomes = await asyncio.gather(*(_outcome(retriever.job) for retriever in retrievers))
        found = [outcome for outcome in outcomes if isinstance(outcome, _Found)]
        failed = [
            (retriever, outcome)
            for retriever, outcome in zip(retrievers, outcomes, strict=True)
            if isinstance(outcome, SearchmeshError)
        ]
        if not found:
            errors = [error for _, error in failed]
            raise next((error for error in errors if isinstance(error, IndexUnavailable)), errors[0])
        return Retrieved(
            rankings=[one.ranking for one in found],
            documents={key: document for one in found for key, document in (one.documents or {}).items()},
            degraded=[_degradation(retriever, error) for retriever, error in failed]
            + [degradation for one in found for degradation in one.degraded],
            routes=_after(plan.routes, {place: error for one, error in failed for place in one.places}),
        )

    def _dense_ones(self, plan: Plan, query: SearchQuery, call: Call) -> list[_Retriever]:
        vectors = {probe.vector_key: probe for probe in plan.probes}
        asked = {key: asyncio.create_task(self._vector(probe, query, call)) for key, probe in vectors.items()}
        return [
            _Retriever(
                dense_stage(probe.space.name),
                [(collection.name, space.name) for collection, space in probe.places],
                self._dense(probe, asked[probe.vector_key], plan.votes, query, call),
            )
            for probe in plan.probes
        ]

    async def _vector(self, probe: Probe, query: SearchQuery, call: Call) -> Vector:
        with measured(call, "embed"):
            return await self._embedder.embed_query(
                probe.space, query.content, timeout_s=self._budgets.embed(call.deadline)
            )

    async def _dense(
        self, probe: Probe, asked: asyncio.Task[Vector], votes: float, query: SearchQuery, call: Call
    ) -> _Found:
        vector = await asked
        stage = dense_stage(probe.space.name)
        with measured(call, stage):
            found = await asyncio.gather(
                *(
                    self._index.dense(collection, space.name, vector, query.candidates, query.filter)
                    for collection, space in probe.places
                )
            )
        merged = sorted(
            (
                (match.score, (collection.name, match.id))
                for (collection, _), matches in zip(probe.places, found, strict=True)
                for match in matches
            ),
            key=lambda scored: -scored[0],
        )
        scores: dict[Key, float] = {}
        for score, key in merged:
            scores.setdefault(key, score)
        floor = max((matches[-1].score for matches in found if matches), default=0.0)
        if probe.space.name == SpaceName.IMAGE:
            # Alone on its side, it has as many votes as the other side's rankings together.
            return _Found(Ranking(stage, scores, floor, votes, side="image"))
        return _Found(Ranking(stage, scores, floor, query.fusion.dense))

    def _lexical_ones(self, plan: Plan, query: SearchQuery, call: Call) -> list[_Retriever]:
        text = query.content
        if not isinstance(text, str):
            return []
        return [
            _Retriever(LEXICAL, [(collection.name, LEXICAL)], self._lexical(collection, text, weight, query, call))
            for collection, weight in plan.lexical
        ]

    async def _lexical(
        self, collection: Collection, text: str, weight: float, query: SearchQuery, call: Call
    ) -> _Found:
        with measured(call, LEXICAL):
            found = await self._index.lexical(collection, text, query.candidates, query.filter)
        # A list that was not cut has all documents with any of the terms.
        floor = found[-1].score if len(found) == query.candidates else 0.0
        return _Found(Ranking(LEXICAL, _scores(collection, found), floor, weight))

    async def _source(self, name: str, votes: float, query: SearchQuery, call: Call) -> _Found:
        with measured(call, name):
            answer = await self._sources[name].retrieve(
                query.content, query.mode, query.candidates, query.filter, timeout_s=self._budgets.source(call.deadline)
            )
        scores = {(name, hit.document.id): hit.score for hit in answer.hits}
        return _Found(
            # A source has fused its retrievers already: its ranking has the votes of as many as run here.
            ranking=Ranking(name, scores, min(scores.values(), default=0.0), votes),
            documents={(name, hit.document.id): hit.document for hit in answer.hits},
            degraded=[Degradation(name, one.reason, f"{one.stage}: {one.message}") for one in answer.degraded],
        )


async def _outcome(job: Coroutine[Any, Any, _Found]) -> _Found | SearchmeshError:
    try:
        return await job
    except SearchmeshError as error:
        return error


def _degradation(retriever: _Retriever, error: SearchmeshError) -> Degradation:
    where = ", ".join(place for place, _ in retriever.places)
    return Degradation(retriever.stage, error.reason, f"left out of {where}: {error.message}")


def _after(routes: Sequence[Route], failed: Mapping[tuple[str, str], SearchmeshError]) -> list[Route]:
    """The routes; those that led nowhere say why."""
    return [
        replace(one, searched=False, reason=error.reason, message=error.message)
        if (error := failed.get((one.collection, one.space))) is not None
        else one
        for one in routes
    ]


def _scores(collection: Collection, matches: Sequence[Match]) -> dict[Key, float]:
    return {(collection.name, match.id): match.score for match in matches}


@contextmanager
def measured(call: Call, stage: str) -> Iterator[None]:
    """Time and trace a stage."""
    with span(stage), call.stages.measure(stage):
        yield

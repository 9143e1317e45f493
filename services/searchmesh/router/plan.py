"""What a search touches: collections, vector spaces, sources, a reranker."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from searchmesh.router.collections import Collections
from searchmesh.router.index import Collection, Space, SpaceName
from searchmesh.router.index.filters import check_filter
from searchmesh.router.query import LEXICAL, Route, RouteReason, SearchQuery
from searchmesh.router.routing import check_spaces, route
from searchmesh.router.tasks import query_task
from searchmesh.runtime.errors import InvalidArgument

Place: TypeAlias = tuple[Collection, Space]


@dataclass(frozen=True, slots=True)
class Probe:
    """Vector spaces that one query vector is compared with, and whose cosines compare with one another.

    They have one name, so that a text space and an image space of one model are two probes: the cosines of a query to
    texts and to images are apart by the modality gap.
    """

    space: Space
    """Stands for all: model, size and task are the same."""

    places: Sequence[Place]

    @property
    def vector_key(self) -> tuple[str, int, str]:
        """Equal for probes that need the same query vector."""
        return self.space.embedder, self.space.dimensions, query_task(self.space.embedder, self.space.name)


@dataclass(frozen=True, slots=True)
class Plan:
    """`reranker` None: the fused order is the answer; empty: the reranking service's default model."""

    collections: Sequence[Collection]
    sources: Sequence[str]
    probes: Sequence[Probe]
    lexical: Sequence[tuple[Collection, float]]
    """Collections, and the weights of their lexical rankings."""

    routes: Sequence[Route]
    reranker: str | None

    @property
    def votes(self) -> float:
        """Rankings of the text side that a document can be in."""
        dense = any(probe.space.name != SpaceName.IMAGE for probe in self.probes)
        return max(1.0, float(dense + bool(self.lexical)))


async def plan(query: SearchQuery, collections: Collections, sources: Container[str]) -> Plan:
    """The plan of a search.

    Raises NotFound for an unknown collection, InvalidArgument for an unfit filter, for spaces that are not there or
    cannot read the query, and for a query that nothing can be searched with.
    """
    names = dict.fromkeys(query.collections)
    own = [await collections.get(name) for name in names if name not in sources]
    if query.filter is not None:
        for collection in own:
            check_filter(query.filter, collection.fields)
    check_spaces(query, own)
    routes = [one for collection in own for one in route(query, collection)]
    searched = {(one.collection, one.space): one.reason for one in routes if one.searched}
    named = [name for name in names if name in sources]
    if not searched and not named:
        why = "; ".join(f"{one.collection}: {one.message}" for one in routes)
        raise InvalidArgument(f"query.{query.modality}", f"cannot be searched with: {why}")
    return Plan(
        collections=own,
        sources=named,
        probes=_probes([(one, space) for one in own for space in one.spaces if (one.name, space.name) in searched]),
        lexical=[
            (one, query.fusion.lexical(foreign=searched[one.name, LEXICAL] is RouteReason.OTHER_LANGUAGE))
            for one in own
            if (one.name, LEXICAL) in searched
        ],
        routes=routes,
        reranker=_reranker(query, own),
    )


def _probes(places: Sequence[Place]) -> list[Probe]:
    groups: dict[tuple[str, str, int], list[Place]] = {}
    for collection, space in places:
        groups.setdefault((space.name, space.embedder, space.dimensions), []).append((collection, space))
    return [Probe(group[0][1], group) for group in groups.values()]


def _reranker(query: SearchQuery, collections: Sequence[Collection]) -> str | None:
    options = query.rerank
    named = options.model or next((one.reranker for one in collections if one.reranker), "")
    wanted = bool(named) if options.enabled is None else options.enabled
    return named if wanted or options.required else None

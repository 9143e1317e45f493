"""What a search touches: collections, vector spaces, sources, a reranker."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass

from searchmesh.router.collections import Collections
from searchmesh.router.index import Collection, Space
from searchmesh.router.index.filters import check_filter
from searchmesh.router.query import Mode, SearchQuery


@dataclass(frozen=True, slots=True)
class Plan:
    """`reranker` None: the fused order is the answer; empty: the reranking service's default model."""

    collections: Sequence[Collection]
    sources: Sequence[str]
    dense: bool
    lexical: bool
    reranker: str | None

    def embeddings(self) -> dict[tuple[str, int], list[tuple[Collection, Space]]]:
        """The spaces to be searched, by the model and size of the query vector that they need."""
        needed: dict[tuple[str, int], list[tuple[Collection, Space]]] = {}
        if self.dense:
            for collection in self.collections:
                for space in collection.spaces:
                    needed.setdefault((space.embedder, space.dimensions), []).append((collection, space))
        return needed


async def plan(query: SearchQuery, collections: Collections, sources: Container[str]) -> Plan:
    """The plan of a search. Raises NotFound for an unknown collection, InvalidArgument for an unfit filter."""
    names = dict.fromkeys(query.collections)
    own = [await collections.get(name) for name in names if name not in sources]
    if query.filter is not None:
        for collection in own:
            check_filter(query.filter, collection.fields)
    return Plan(
        collections=own,
        sources=[name for name in names if name in sources],
        dense=query.mode is not Mode.LEXICAL,
        lexical=query.mode is not Mode.DENSE,
        reranker=_reranker(query, own),
    )


def _reranker(query: SearchQuery, collections: Sequence[Collection]) -> str | None:
    options = query.rerank
    named = options.model or next((one.reranker for one in collections if one.reranker), "")
    wanted = bool(named) if options.enabled is None else options.enabled
    return named if wanted or options.required else None

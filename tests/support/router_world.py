"""A searcher over real collections, with everything around it as fakes that can fail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from searchmesh.router.budgets import Budgets
from searchmesh.router.collections import Collections
from searchmesh.router.index import Collection, Content, Document, FieldType, FilterField, MultiVectors, Record, Space
from searchmesh.router.index.redis_engine import RedisIndex
from searchmesh.router.indexing import Indexer, IndexingLimits
from searchmesh.router.query import SearchQuery, SearchResult
from searchmesh.router.reranking import Reranking
from searchmesh.router.retrieval import Retrieval
from searchmesh.router.search import Searcher
from searchmesh.router.window import Arrival
from searchmesh.runtime.deadlines import Deadline
from searchmesh.runtime.rpc import Call
from support.router import FakeEmbedder, FakeReranker, FakeSource, vector_of

TEXTS = {
    "flow": "laminar flow over a wing",
    "wing": "the wing of a bird is good good",
    "heat": "heat transfer in laminar layers good",
    "cake": "a cake recipe with butter",
}
YEARS = {"flow": 1950, "wing": 1960, "heat": 1970, "cake": 1980}


class World:
    """A searcher and its surroundings."""

    def __init__(self, index: RedisIndex) -> None:
        self.index = index
        self.embedder = FakeEmbedder()
        self.reranker = FakeReranker()
        self.sources: dict[str, FakeSource] = {}
        self.collections = Collections(index, self.embedder)
        self.budgets = Budgets(embed_s=1.0, rerank_s=1.0, source_s=0.5)
        self.last = Call(Deadline())

    async def fill(self, name: str = "papers", *, reranker: str = "", texts: Mapping[str, str] = TEXTS) -> None:
        """A collection of texts alone, written into the index."""
        fields = (FilterField("year", FieldType.NUMBER), FilterField("kind", FieldType.TAG))
        wanted = Collection(name, (), "english", fields, reranker=reranker)
        collection = await self.collections.create(wanted, Deadline())
        records = [
            Record(
                Document(id, "", text, {"year": YEARS.get(id, 2000), "kind": "food" if id == "cake" else "paper"}),
                b"h",
                {"text": vector_of(text)},
            )
            for id, text in texts.items()
        ]
        await self.index.upsert(collection, records)

    async def make(
        self,
        name: str,
        spaces: Mapping[str, str],
        documents: Sequence[Document],
        *,
        reranker: str = "",
        multi: MultiVectors | None = None,
    ) -> Collection:
        """A collection with these spaces (name to model), and documents that were indexed into it."""
        wanted = Collection(name, tuple(Space(space, model, 0) for space, model in spaces.items()), "english")
        wanted = replace(wanted, reranker=reranker, multi_vectors=multi)
        collection = await self.collections.create(wanted, Deadline())
        limits = IndexingLimits(batch_documents=8, window=2, embed_timeout_s=5, patience_s=1, max_image_bytes=1 << 20)

        async def arriving() -> object:
            yield [Arrival(position, document) for position, document in enumerate(documents)]

        async for progress in Indexer(self.index, self.embedder, limits).run(collection, arriving()):  # type: ignore[arg-type]
            assert progress.failures == (), [failure.error for failure in progress.failures]
        return collection

    async def search(
        self, content: Content = "laminar wing", *collections: str, deadline_s: float | None = None, **options: object
    ) -> SearchResult:
        """A search; `last` is its call."""
        retrieval = Retrieval(self.index, self.embedder, self.sources, self.budgets)
        reranking = Reranking(self.reranker, self.budgets)
        searcher = Searcher(self.index, self.collections, retrieval, reranking, sources=self.sources.keys())
        query = replace(SearchQuery(content, collections or ("papers",)), **options)  # type: ignore[arg-type]
        self.last = Call(Deadline.after(deadline_s))
        return await searcher.search(query, self.last)


def ids(result: SearchResult) -> list[str]:
    """Of the documents that were found, in order."""
    return [hit.document.id for hit in result.hits]

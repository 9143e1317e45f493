"""The index's Redis dies and comes back: searches say so at once, streams wait, nothing acknowledged is lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from searchmesh.router.budgets import Budgets
from searchmesh.router.collections import Collections
from searchmesh.router.index import Collection, Document
from searchmesh.router.index.redis_engine import RedisIndex
from searchmesh.router.indexing import Indexer, IndexingLimits
from searchmesh.router.query import SearchQuery
from searchmesh.router.reranking import Reranking
from searchmesh.router.retrieval import Retrieval
from searchmesh.router.search import Searcher
from searchmesh.router.window import Arrival
from searchmesh.runtime.deadlines import Deadline
from searchmesh.runtime.errors import IndexUnavailable
from searchmesh.runtime.rpc import Call
from support.redis_server import RedisServer
from support.router import FakeEmbedder, FakeReranker

DURABLE = ("--appendonly", "yes", "--appendfsync", "always")
BUDGETS = Budgets(1.0, 1.0, 1.0)


def searcher(index: RedisIndex, embedder: FakeEmbedder, collections: Collections) -> Searcher:
    retrieval = Retrieval(index, embedder, {}, BUDGETS)
    return Searcher(index, collections, retrieval, Reranking(FakeReranker(), BUDGETS))


async def arriving(count: int) -> AsyncIterator[list[Arrival]]:
    for position in range(count):
        yield [Arrival(position, Document(f"d{position}", "", f"text {position}"))]


async def test_a_killed_index_fails_searches_fast_and_has_everything_when_it_is_back(tmp_path: Path) -> None:
    with RedisServer(tmp_path, *DURABLE) as redis:
        index, embedder = RedisIndex(redis.url, read_timeout_s=0.5, write_timeout_s=2.0), FakeEmbedder()
        collections = Collections(index, embedder)
        collection = await collections.create(Collection("c", (), ""), Deadline())
        indexer = Indexer(index, embedder, IndexingLimits(8, 2, 5.0, patience_s=20.0, max_image_bytes=1000))
        acknowledged = asyncio.Event()
        last = 0

        async def stream() -> None:
            nonlocal last
            async for progress in indexer.run(collection, arriving(400)):
                last = progress.acknowledged
                if last >= 40:
                    acknowledged.set()

        streaming = asyncio.create_task(stream())
        await acknowledged.wait()
        search = searcher(index, embedder, collections)
        query = SearchQuery("text 7", ["c"])
        assert (await search.search(query, Call(Deadline()))).hits != []
        redis.kill()
        start = time.perf_counter()
        for _ in range(5):
            with pytest.raises(IndexUnavailable):
                await search.search(query, Call(Deadline()))
        assert time.perf_counter() - start < 1.0
        assert not streaming.done()
        redis.start()
        await asyncio.wait_for(streaming, 30)
        assert last == 400
        assert await index.count(collection) == 400
        found = await search.search(query, Call(Deadline()))
        assert found.hits[0].document == Document("d7", "", "text 7")
        assert found.degraded == []
        await index.close()

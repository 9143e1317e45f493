"""Indexing: documents in, progress out.

::

    stream ─► window: batches in flight, acknowledged in order ─► progress
              batch: check ─► hash ─► embed what changed, space by space ─► write

Everything is idempotent: a stream that was cut is sent again from `acknowledged`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from searchmesh.router.documents import check_document, content_hash
from searchmesh.router.index import Collection, Index, Record
from searchmesh.router.patience import patiently
from searchmesh.router.ports import Embedder
from searchmesh.router.vectors import Vectoriser
from searchmesh.router.window import Arrival, Window
from searchmesh.runtime.errors import InvalidArgument, SearchmeshError


@dataclass(frozen=True, slots=True)
class Failure:
    """A document that cannot be indexed, and why."""

    position: int
    id: str
    error: SearchmeshError


@dataclass(frozen=True, slots=True)
class Progress:
    """Counts from the start of the stream, and the failures since the progress before."""

    acknowledged: int = 0
    indexed: int = 0
    unchanged: int = 0
    truncated: int = 0
    failed: int = 0
    failures: Sequence[Failure] = ()

    def plus(self, batch: Progress) -> Progress:
        """The progress after a further batch."""
        return Progress(
            self.acknowledged + batch.acknowledged,
            self.indexed + batch.indexed,
            self.unchanged + batch.unchanged,
            self.truncated + batch.truncated,
            self.failed + batch.failed,
            batch.failures,
        )


@dataclass(frozen=True, slots=True)
class IndexingLimits:
    """How much of a stream is worked on at once, and how long faults are waited out."""

    batch_documents: int
    window: int
    embed_timeout_s: float
    patience_s: float
    max_image_bytes: int


class Indexer:
    """Indexes streams of documents."""

    def __init__(self, index: Index, embedder: Embedder, limits: IndexingLimits) -> None:
        self._index = index
        self._limits = limits
        self._vectoriser = Vectoriser(embedder, timeout_s=limits.embed_timeout_s, patience_s=limits.patience_s)

    async def run(
        self, collection: Collection, arriving: AsyncIterator[Sequence[Arrival]]
    ) -> AsyncGenerator[Progress, None]:
        """Progress after each batch that is written, in the order of the stream.

        Raises what ends the stream: NotFound if the collection is deleted meanwhile, Unavailable if the embedding
        service or the index stay away for longer than `patience_s`, and what `arriving` raises.
        """
        window = Window(
            arriving,
            lambda batch: self._process(collection, batch),
            batch_documents=self._limits.batch_documents,
            batches=self._limits.window,
        )
        progress = Progress()
        async with aclosing(window.results()) as results:
            async for done in results:
                progress = progress.plus(done)
                yield progress

    async def _process(self, collection: Collection, batch: Sequence[Arrival]) -> Progress:
        good, failures = self._checked(collection, batch)
        hashes = [content_hash(one.document, collection) for one in good]
        ids = [one.document.id for one in good]
        known = await patiently(lambda: self._index.content_hashes(collection, ids), self._limits.patience_s)
        changed = [(arrival, new) for arrival, new, old in zip(good, hashes, known, strict=True) if new != old]
        made = await self._vectoriser.vectors(collection, [arrival.document for arrival, _ in changed])
        records = []
        truncated = 0
        for (arrival, new), vectors in zip(changed, made, strict=True):
            if isinstance(vectors, SearchmeshError):
                failures.append(Failure(arrival.position, arrival.document.id, vectors))
            else:
                truncated += vectors.truncated
                records.append(Record(arrival.document, new, vectors.by_space, vectors.tokens))
        if records:
            await patiently(lambda: self._index.upsert(collection, records), self._limits.patience_s)
        failures.sort(key=lambda failure: failure.position)
        return Progress(len(batch), len(records), len(good) - len(changed), truncated, len(failures), tuple(failures))

    def _checked(self, collection: Collection, batch: Sequence[Arrival]) -> tuple[list[Arrival], list[Failure]]:
        good, failures = [], []
        for arrival in batch:
            error = arrival.error
            if error is None:
                try:
                    check_document(arrival.document, collection, max_image_bytes=self._limits.max_image_bytes)
                except InvalidArgument as refused:
                    error = refused
            if error is None:
                good.append(arrival)
            else:
                failures.append(Failure(arrival.position, arrival.document.id, error))
        return good, failures

"""Indexing: documents in, progress out.

::

    stream ─► window: batches in flight, acknowledged in order ─► progress
              batch: check ─► hash ─► embed what changed ─► write

Everything is idempotent: a stream that was cut is sent again from `acknowledged`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from searchmesh.router.documents import check_document, content_hash, passage
from searchmesh.router.index import Collection, Index, Record, Space, Vector
from searchmesh.router.patience import patiently
from searchmesh.router.ports import Embedder
from searchmesh.router.window import Arrival, Window
from searchmesh.runtime.errors import FailedPrecondition, InvalidArgument, SearchmeshError


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


class Indexer:
    """Indexes streams of documents."""

    def __init__(self, index: Index, embedder: Embedder, limits: IndexingLimits) -> None:
        self._index = index
        self._embedder = embedder
        self._limits = limits

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
        good, failures = _checked(collection, batch)
        hashes = [content_hash(one.document, collection) for one in good]
        ids = [one.document.id for one in good]
        known = await patiently(lambda: self._index.content_hashes(collection, ids), self._limits.patience_s)
        changed = [(arrival, new) for arrival, new, old in zip(good, hashes, known, strict=True) if new != old]
        made = await self._vectors(collection, [arrival for arrival, _ in changed])
        records = []
        truncated = 0
        for (arrival, new), vectors in zip(changed, made, strict=True):
            if isinstance(vectors, SearchmeshError):
                failures.append(Failure(arrival.position, arrival.document.id, vectors))
            else:
                truncated += vectors.truncated
                records.append(Record(arrival.document, new, vectors.by_space))
        if records:
            await patiently(lambda: self._index.upsert(collection, records), self._limits.patience_s)
        failures.sort(key=lambda failure: failure.position)
        return Progress(len(batch), len(records), len(good) - len(changed), truncated, len(failures), tuple(failures))

    async def _vectors(self, collection: Collection, arrivals: Sequence[Arrival]) -> list[_Vectors | SearchmeshError]:
        made: list[_Vectors | SearchmeshError] = [_Vectors() for _ in arrivals]
        for space in collection.spaces:
            for number, answer in enumerate(await self._embed(space, [passage(one.document) for one in arrivals])):
                so_far = made[number]
                if isinstance(answer, SearchmeshError):
                    made[number] = answer
                elif isinstance(so_far, _Vectors):
                    so_far.by_space[space.name], cut = answer
                    so_far.truncated |= cut
        return made

    async def _embed(self, space: Space, texts: Sequence[str]) -> list[tuple[Vector, bool] | SearchmeshError]:
        if not texts:
            return []
        try:
            answer = await patiently(
                lambda: self._embedder.embed_passages(
                    space.embedder, space.dimensions, texts, timeout_s=self._limits.embed_timeout_s
                ),
                self._limits.patience_s,
            )
        except InvalidArgument as error:
            # One text spoils the request: halve until it stands alone.
            if len(texts) == 1:
                return [error]
            middle = len(texts) // 2
            return [*await self._embed(space, texts[:middle]), *await self._embed(space, texts[middle:])]
        if len(answer.vectors[0]) != space.dimensions:
            raise FailedPrecondition(
                f"model {space.embedder} now has {len(answer.vectors[0])} dimensions, the collection "
                f"{space.dimensions}; make a new collection for it"
            )
        return list(zip(answer.vectors, answer.truncated, strict=True))


@dataclass(slots=True)
class _Vectors:
    by_space: dict[str, Vector] = field(default_factory=dict)
    truncated: bool = False


def _checked(collection: Collection, batch: Sequence[Arrival]) -> tuple[list[Arrival], list[Failure]]:
    good, failures = [], []
    for arrival in batch:
        error = arrival.error
        if error is None:
            try:
                check_document(arrival.document, collection)
            except InvalidArgument as refused:
                error = refused
        if error is None:
            good.append(arrival)
        else:
            failures.append(Failure(arrival.position, arrival.document.id, error))
    return good, failures

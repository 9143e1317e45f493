"""One encoder model: texts and images in, vectors out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from searchmesh.batching import Ladder
from searchmesh.cache import Entry
from searchmesh.catalog import Card, ExportedModel, Task
from searchmesh.encoding.pool import Context, Pool
from searchmesh.encoding.rows import Output, Row, Vectors, tensors
from searchmesh.encoding.settings import EncodingSettings
from searchmesh.encoding.token_vectors import TokenVectors
from searchmesh.encoding.vision import Prepared, Seen, Tiles, Vision
from searchmesh.runtime.deadlines import Deadline
from searchmesh.runtime.errors import FailedPrecondition
from searchmesh.text import Chunk, Chunking, Tokenizer, Truncation
from searchmesh.triton import Backend

NO_TASK = Task()


class Encoder:
    """Feeds one model of the backend. Make one per model and process."""

    def __init__(self, model: ExportedModel, backend: Backend, settings: EncodingSettings) -> None:
        self.model = model
        self.card: Card = model.card
        self.tokenizer = Tokenizer(model.tokenizer_path, threads=settings.tokenizer_threads)
        self.vision = Vision(model, self.tokenizer, backend, settings) if model.card.image else None
        """None if the model reads no images."""
        ladder = Ladder(
            model.max_tokens,
            max_batch_tokens=settings.max_batch_tokens,
            max_rows=min(settings.max_batch_rows, model.export.max_rows or settings.max_batch_rows),
            steps=settings.length_steps,
        )
        build = partial(tensors, model.export.inputs, hidden_size=model.hidden_size)
        self._pool: Pool[Row] = Pool(model.name, backend, ladder, settings.limits, build)
        multi = model.card.multi_vector
        self._token_vectors = TokenVectors(multi, self.tokenizer) if multi else None

    async def run(self, rows: Sequence[Row], context: Context) -> list[Vectors]:
        """The vectors of rows that the caller made. Raises what `Pool.run` raises."""
        return await self._pool.run(rows, context)

    async def encode(
        self,
        texts: Sequence[str],
        output: Output,
        context: Context,
        *,
        task: Task = NO_TASK,
        truncation: Truncation,
        field: Callable[[int], str],
        admit: Callable[[int], None] = lambda _: None,
    ) -> list[Entry]:
        """The vectors of each text, in order; `Output.SENTENCE` or `Output.TOKENS`.

        `field` names the text at a position in an InvalidArgument; `admit` may refuse, by raising, the tokens of all
        texts before the model reads them. Raises InvalidArgument (too long, with `Truncation.REFUSE`) and what
        `Pool.run` raises.
        """
        rules = self._token_vectors if output is Output.TOKENS else None
        limit = rules.room(task.role, self.model.max_tokens) if rules else self.model.max_tokens
        if rules and rules.cuts(task.role):
            truncation = Truncation.END
        with context.stages.measure("tokenize"):
            tokenized = await self.tokenizer.tokenize(
                texts, max_tokens=limit, truncation=truncation, prompt=task.prefix, field=field
            )
        ids = [rules.prepared(text.ids, task.role) if rules else text.ids for text in tokenized]
        admit(sum(map(len, ids)))
        rows = [Row(own, output, self._adapter(task)) for own in ids]
        vectors = await self.run(rows, context)
        if rules:
            vectors = [rules.kept(own, found, task.role) for own, found in zip(ids, vectors, strict=True)]
        return [
            Entry(found, len(own), text.truncated) for found, own, text in zip(vectors, ids, tokenized, strict=True)
        ]

    async def encode_chunks(
        self,
        texts: Sequence[str],
        chunking: Chunking,
        context: Context,
        *,
        task: Task = NO_TASK,
        field: Callable[[int], str],
    ) -> list[Entry]:
        """A vector per chunk of each text, all pooled from one pass over the whole text (late chunking).

        Raises InvalidArgument (too long: chunks beyond the limit would be lost; or a chunk without tokens) and what
        `Pool.run` raises.
        """
        with context.stages.measure("tokenize"):
            chunked = await self.tokenizer.chunked(
                texts, chunking, max_tokens=self.model.max_tokens, prompt=task.prefix, field=field
            )
        rows = [
            Row(text.ids, Output.SPANS, self._adapter(task), spans=[(chunk.first, chunk.last) for chunk in text.chunks])
            for text in chunked
        ]
        vectors = await self.run(rows, context)
        return [
            Entry(found, len(text.ids), chunks=_table(text.chunks))
            for found, text in zip(vectors, chunked, strict=True)
        ]

    async def encode_images(
        self, images: Sequence[Prepared], output: Output, context: Context, *, task: Task = NO_TASK
    ) -> list[Entry]:
        """The vectors of each image, in order; `Output.SENTENCE` or `Output.TOKENS`. Raises what `Pool.run` raises."""
        if self.vision is None:
            raise FailedPrecondition(f"{self.card.name} reads no images")
        found = await self.vision.look(images, context)
        if self.vision.embeds:
            return [Entry(vectors, image.tokens) for vectors, image in zip(found, images, strict=True)]
        seen = [image.seen(features) for image, features in zip(images, found, strict=True) if isinstance(image, Tiles)]
        return await self.encode_seen(seen, output, context, task=task)

    async def encode_seen(
        self, images: Sequence[Seen], output: Output, context: Context, *, task: Task = NO_TASK
    ) -> list[Entry]:
        """The same of images that the vision graph has seen before."""
        if self.vision is None:
            raise FailedPrecondition(f"{self.card.name} reads no images")
        rows = [self.vision.row(image, output, self._adapter(task)) for image in images]
        vectors = await self.run(rows, context)
        return [Entry(found, row.tokens) for found, row in zip(vectors, rows, strict=True)]

    def _adapter(self, task: Task) -> int:
        return -1 if task.adapter is None else task.adapter

    async def warm(self, deadline: Deadline) -> None:
        """Run shapes beforehand, so that no request pays for meeting them first."""
        output = Output(self.model.outputs[0])
        every_shape = self.model.flavour != "python"
        await self._pool.warm(
            lambda length: Row([1] * length, output, picks=[0] if output is Output.PICKS else ()),
            deadline,
            every_shape=every_shape,
        )
        if self.vision is not None:
            await self.vision.warm(deadline, every_shape=every_shape)

    def close(self) -> None:
        """End the tokenizer's threads."""
        self.tokenizer.close()


def _table(chunks: Sequence[Chunk]) -> np.ndarray[tuple[int, int], np.dtype[np.uint32]]:
    return np.array([(chunk.start, chunk.end, chunk.last - chunk.first) for chunk in chunks], dtype=np.uint32)

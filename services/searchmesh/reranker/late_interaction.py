"""Scores by late interaction: token vectors, computed on the fly or at hand, and MaxSim."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import numpy as np

from searchmesh.cache import Entry
from searchmesh.encoding import NO_TASK, Encoder, ImageReader, Output, Seen, Vectors
from searchmesh.reranker.inputs import Input, document_field, inputs_of
from searchmesh.reranker.limits import check_tokens
from searchmesh.reranker.maxsim import maxsim
from searchmesh.reranker.scorer import Abilities, Ask, Read, Scored, Scores
from searchmesh.reranker.settings import RerankerSettings
from searchmesh.reranker.stored import StoredVectors
from searchmesh.reranker.vectors import unit
from searchmesh.runtime.errors import InvalidArgument
from searchmesh.runtime.together import together
from searchmesh.text import Truncation

_INLINE_PRODUCTS = 1 << 22
"""Multiplications up to here are made on the event loop: they take about 1 ms."""


class LateInteraction:
    """MaxSim over the token vectors of a multi-vector encoder."""

    def __init__(self, encoder: Encoder, images: ImageReader, settings: RerankerSettings) -> None:
        self._encoder = encoder
        self._images = images
        self._max_tokens = settings.max_request_tokens

    @property
    def abilities(self) -> Abilities:
        """See `Scorer`."""
        return Abilities(images=self._encoder.vision is not None, vectors="tokens")

    async def score(self, ask: Ask) -> Scores:
        """See `Scorer`. Vectors that the request brings are used in place of the documents."""
        card = self._encoder.card
        if ask.stored is not None:
            self._check_size(ask.stored)
        async with inputs_of(ask, self._images, self._encoder.vision) as inputs:
            (query,), documents = await together(
                [
                    self._encode([inputs.query], lambda _: "query", card.query_task, Truncation.END, ask),
                    self._encode(inputs.documents, document_field, card.passage_task, ask.truncation, ask),
                ]
            )
        if ask.stored is not None:
            asked = unit(query.vectors[:, : ask.stored.dimensions])
            scores = await self._maxsim(asked, ask.stored.counts, ask.stored.block, ask)
            reads = [Read(count) for count in ask.stored.counts]
            return Scores(_read(query), [Scored(score, read) for score, read in zip(scores, reads, strict=True)])
        found = [document.vectors for document in documents]
        scores = await self._maxsim(
            query.vectors, list(map(len, found)), lambda first, last: np.concatenate(found[first:last]), ask
        )
        return Scores(
            _read(query),
            [Scored(score, _read(entry), entry.vectors) for score, entry in zip(scores, documents, strict=True)],
        )

    def _check_size(self, stored: StoredVectors) -> None:
        multi = self._encoder.card.multi_vector
        sizes = multi.dimensions if multi else ()
        if stored.dimensions not in sizes:
            raise InvalidArgument(
                "document_vectors.dimensions",
                f"{self._encoder.card.name} has {', '.join(map(str, sizes))}; {stored.dimensions} is none of them",
            )

    async def _encode(
        self,
        inputs: Sequence[Input],
        field: Callable[[int], str],
        task_name: str | None,
        truncation: Truncation,
        ask: Ask,
    ) -> list[Entry]:
        """The token vectors of each input, in order."""
        task = self._encoder.card.tasks[task_name] if task_name else NO_TASK
        texts = {place: content for place, content in enumerate(inputs) if isinstance(content, str)}
        pictures = {place: content for place, content in enumerate(inputs) if isinstance(content, Seen)}
        of_pictures = sum(picture.tokens for picture in pictures.values())
        check_tokens(of_pictures, self._max_tokens)
        entries: dict[int, Entry] = {}
        if texts:
            places = list(texts)
            made = await self._encoder.encode(
                list(texts.values()),
                Output.TOKENS,
                ask.context,
                task=task,
                truncation=truncation,
                field=lambda position: field(places[position]),
                admit=lambda tokens: check_tokens(of_pictures + tokens, self._max_tokens),
            )
            entries.update(zip(texts, made, strict=True))
        if pictures:
            made = await self._encoder.encode_seen(list(pictures.values()), Output.TOKENS, ask.context, task=task)
            entries.update(zip(pictures, made, strict=True))
        return [entries[place] for place in range(len(inputs))]

    async def _maxsim(
        self, query: Vectors, counts: Sequence[int], block: Callable[[int, int], Vectors], ask: Ask
    ) -> Sequence[float]:
        with ask.context.stages.measure("score"):
            if query.size * sum(counts) <= _INLINE_PRODUCTS:
                found = maxsim(query, counts, block)
            else:
                found = await asyncio.to_thread(maxsim, query, counts, block)
        return [float(score) for score in found]


def _read(entry: Entry) -> Read:
    return Read(entry.tokens, entry.truncated)

"""Scores of documents that the model reads side by side, with the query, in one sequence.

Wang and others, "jina-reranker-v3: Last but Not Late Interaction for Listwise Document Reranking", arXiv 2509.25085.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from searchmesh.catalog.sections import Listing
from searchmesh.encoding import Encoder, Output, Row, Vectors
from searchmesh.reranker.blocks import Room, blocks
from searchmesh.reranker.inputs import document_field
from searchmesh.reranker.limits import check_tokens
from searchmesh.reranker.prompt import Prompter
from searchmesh.reranker.scorer import Abilities, Ask, Read, Scored, Scores
from searchmesh.reranker.settings import RerankerSettings
from searchmesh.reranker.vectors import unit
from searchmesh.runtime.errors import FailedPrecondition, InvalidArgument
from searchmesh.text import Shortened, Truncation

_SEAMS = 2
"""Tokens that are kept free for each text because texts may have a few more together than apart, where they meet."""


class Listwise:
    """Cosine between what the model makes of the query and of each document, in the order of the request: the model is
    causal, so it sees the documents before.

    A list that is too long for one pass is read in several. Each makes its own vector of the query; their average,
    weighted by how well the best document of the pass fits, is the query for all documents.
    """

    def __init__(self, encoder: Encoder, settings: RerankerSettings) -> None:
        if encoder.card.listing is None:
            raise FailedPrecondition(f"{encoder.card.name} reads no lists")
        self._encoder = encoder
        self._listing: Listing = encoder.card.listing
        self._prompter = Prompter(self._listing, encoder.tokenizer)
        self._max_documents = settings.listwise_documents
        self._max_request = settings.max_request_tokens
        self._max_query = min(self._listing.max_query_tokens, encoder.model.max_tokens // 8)
        self._around = self._prompter.tokens_around(self._max_documents - 1) + _SEAMS
        # The longest query, which is there twice, and an instruction as long leave room for a document.
        if self._prompter.tokens() + 3 * self._max_query + self._around + 4 * _SEAMS >= encoder.model.max_tokens:
            raise FailedPrecondition(
                f"{encoder.card.name} takes {encoder.model.max_tokens} tokens, less than its prompt"
            )

    @property
    def abilities(self) -> Abilities:
        """See `Scorer`."""
        return Abilities(instruction=True, vectors="one")

    async def score(self, ask: Ask) -> Scores:
        """See `Scorer`."""
        with ask.context.stages.measure("tokenize"):
            query, instruction = await self._asked(ask)
            room = self._room(query, instruction)
            documents = await self._documents(ask, room.tokens - self._around)
            lists = blocks([document.tokens for document in documents], self._around, room)
            texts = [[document.text for document in documents[first:last]] for first, last in lists]
            prompts = await self._prompter.prompts(query.text, instruction, texts)
        check_tokens(sum(len(prompt.ids) for prompt in prompts), self._max_request)
        rows = [Row(prompt.ids, Output.PICKS, picks=prompt.picks) for prompt in prompts]
        picked = await self._encoder.run(rows, ask.context)
        with ask.context.stages.measure("score"):
            vectors, scores = cosines(picked)
        return Scores(
            Read(query.tokens, query.truncated),
            [
                Scored(float(score), Read(document.tokens, document.truncated), vector[None])
                for score, document, vector in zip(scores, documents, vectors, strict=True)
            ],
        )

    async def _asked(self, ask: Ask) -> tuple[Shortened, str]:
        """Query and instruction, stripped of special tokens."""
        query, *_ = ask.texts
        query, instruction = self._prompter.stripped(query), self._prompter.stripped(ask.instruction)
        _check_not_empty("query", query)
        (cut,) = await self._shortened([query], self._max_query, Truncation.END, lambda _: "query")
        await self._shortened([instruction], self._max_query, Truncation.REFUSE, lambda _: "instruction")
        return cut, instruction

    async def _documents(self, ask: Ask, limit: int) -> list[Shortened]:
        _, *documents = map(self._prompter.stripped, ask.texts)
        for place, document in enumerate(documents):
            _check_not_empty(document_field(place), document)
        return await self._shortened(
            documents, min(self._listing.max_document_tokens, limit), ask.truncation, document_field
        )

    async def _shortened(
        self, texts: Sequence[str], limit: int, truncation: Truncation, field: Callable[[int], str]
    ) -> list[Shortened]:
        return await self._encoder.tokenizer.shortened(texts, max_tokens=limit, truncation=truncation, field=field)

    def _room(self, query: Shortened, instruction: str) -> Room:
        asked = 2 * query.tokens
        total = self._encoder.model.max_tokens
        return Room(
            documents=self._max_documents,
            budget=total - asked,
            reserve=self._listing.blocks.close_when_budget_left_at_most,
            tokens=total - asked - self._prompter.tokens(instruction) - 4 * _SEAMS,
        )


def cosines(passes: Sequence[Vectors]) -> tuple[Vectors, Vectors]:
    """Vectors [n, d] of all documents at unit length, and their scores [n].

    A pass has the vectors of its documents and, last, that of the query.
    """
    documents = [unit(own[:-1]) for own in passes]
    queries = np.stack([own[-1] for own in passes])
    if len(passes) > 1:
        best = [(own @ query).max() for own, query in zip(documents, unit(queries), strict=True)]
        # Never zero, so that there is an average.
        weights = np.maximum((1 + np.array(best)) / 2, 1e-6)
        queries = np.average(queries, axis=0, weights=weights)[None]
    (query,) = unit(queries)
    vectors = np.concatenate(documents)
    return vectors, vectors @ query


def _check_not_empty(field: str, text: str) -> None:
    if not text or text.isspace():
        raise InvalidArgument(f"{field}.text", "has nothing but special tokens")

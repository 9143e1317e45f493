"""Scores of pairs of texts: one query and one document, or a window of it, in one sequence."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from searchmesh.encoding import Encoder, Output, Row
from searchmesh.reranker.inputs import document_field
from searchmesh.reranker.limits import check_tokens, too_long
from searchmesh.reranker.probability import probabilities
from searchmesh.reranker.scorer import Abilities, Ask, Read, Scored, Scores
from searchmesh.reranker.settings import RerankerSettings
from searchmesh.reranker.template import Template, parsed
from searchmesh.reranker.windows import windows
from searchmesh.runtime.errors import FailedPrecondition
from searchmesh.text import Truncation

Ids = Sequence[int]


class Pairwise:
    """The model's own tokens go around query and document, which are tokenised apart.

    A document that is longer than the query leaves room for is read in windows, and its score is that of the best one,
    so nothing of it is lost. Truncation concerns what is beyond `max_document_tokens` of the settings.
    """

    def __init__(self, encoder: Encoder, settings: RerankerSettings) -> None:
        card, tokenizer = encoder.card, encoder.tokenizer
        if card.pair is None or card.score is None:
            raise FailedPrecondition(f"{card.name} scores no pairs")
        self._encoder = encoder
        self._scoring = card.score
        self._chunking = card.pair.chunking
        self._max_query = min(card.pair.max_query_tokens, encoder.model.max_tokens // 2) - tokenizer.special_tokens
        self._max_document = settings.max_document_tokens
        self._max_request = settings.max_request_tokens
        template = parsed(card.pair.template)
        # The card writes the tokens with spaces between them; the model has none.
        texts = [text.strip() for text in (template.before, template.between, template.after)]
        before, between, after = tokenizer.encode(texts)
        self._template: Template[Ids] = Template(before, between, after, template.document_first)

    @property
    def abilities(self) -> Abilities:
        """See `Scorer`."""
        return Abilities()

    async def score(self, ask: Ask) -> Scores:
        """See `Scorer`."""
        with ask.context.stages.measure("tokenize"):
            asked, *given = await self._encoder.tokenizer.plain(ask.texts)
        query = asked[: self._max_query]
        pair = sum(map(len, self._template.filled(query, [])))
        window = self._encoder.model.max_tokens - pair
        documents = [self._shortened(place, ids, window, ask.truncation) for place, ids in enumerate(given)]
        cuts = [windows(len(document), window, self._chunking) for document in documents]
        check_tokens(sum(pair + last - first for first, last in chain(*cuts)), self._max_request)
        rows = [
            Row(list(chain(*self._template.filled(query, document[first:last]))), Output.LOGIT)
            for document, own in zip(documents, cuts, strict=True)
            for first, last in own
        ]
        logits = iter(await self._encoder.run(rows, ask.context))
        best = [max(float(next(logits).item()) for _ in own) for own in cuts]
        reads = [Read(len(document), len(document) < len(ids)) for document, ids in zip(documents, given, strict=True)]
        return Scores(
            Read(len(query), len(query) < len(asked)),
            [Scored(score, read) for score, read in zip(probabilities(best, self._scoring), reads, strict=True)],
        )

    def _shortened(self, place: int, ids: Ids, window: int, truncation: Truncation) -> Ids:
        limit = self._max_document if self._chunking else min(window, self._max_document)
        if len(ids) <= limit:
            return ids
        if truncation is Truncation.REFUSE:
            raise too_long(document_field(place), len(ids), limit)
        return ids[:limit] if truncation is Truncation.END else ids[-limit:]

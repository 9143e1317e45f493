"""Scores of pairs of which each side is a text or an image, in one sequence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, groupby

from searchmesh.encoding import Encoder, ImageReader, Output, Row, Seen, Vision
from searchmesh.reranker.inputs import Input, document_field, inputs_of
from searchmesh.reranker.limits import check_tokens, too_long
from searchmesh.reranker.probability import probabilities
from searchmesh.reranker.scorer import Abilities, Ask, Read, Scored, Scores
from searchmesh.reranker.settings import RerankerSettings
from searchmesh.reranker.template import Template, parsed
from searchmesh.runtime.errors import FailedPrecondition
from searchmesh.text import Shortened, Truncation

_SEAMS = 16
"""Tokens that are kept free because texts may have a few more of them together than apart, where they meet."""


class PairwiseImages:
    """Query and document stand in the text of the card's template, an image in the place of its side.

    Each side is cut beforehand, so that neither pushes the other out. The whole is tokenised as one text, as it was in
    training: a full stop and the line end behind it are one token.
    """

    def __init__(self, encoder: Encoder, images: ImageReader, settings: RerankerSettings) -> None:
        card, tokenizer = encoder.card, encoder.tokenizer
        if card.pair is None or card.score is None or encoder.vision is None or not card.pair.image_placeholder:
            raise FailedPrecondition(f"{card.name} scores no pairs with images")
        self._encoder = encoder
        self._vision: Vision = encoder.vision
        self._images = images
        self._scoring = card.score
        self._max_request = settings.max_request_tokens
        template = parsed(card.pair.template)
        self._template: Template[Input] = Template(
            template.before, template.between, template.after, template.document_first
        )
        self._start, _, self._end = card.pair.image_placeholder.partition(encoder.vision.word)
        self._last = [card.pair.score_token.id] if card.pair.score_token else []
        around = [template.before, template.between, template.after, *(self._start, self._end) * 2]
        self._room = encoder.model.max_tokens - sum(map(len, tokenizer.encode(around))) - len(self._last) - _SEAMS
        self._max_query = min(card.pair.max_query_tokens, self._room // 2)
        self._max_document = card.pair.max_document_tokens or self._room

    @property
    def abilities(self) -> Abilities:
        """See `Scorer`."""
        return Abilities(images=True)

    async def score(self, ask: Ask) -> Scores:
        """See `Scorer`."""
        async with inputs_of(ask, self._images, self._vision) as inputs:
            with ask.context.stages.measure("tokenize"):
                query, asked = await self._query(inputs.query)
                documents, reads = await self._documents(inputs.documents, asked.tokens, ask.truncation)
                rows = await self._rows([self._parts(query, document) for document in documents])
            check_tokens(sum(row.tokens for row in rows), self._max_request)
            logits = await self._encoder.run(rows, ask.context)
        scores = probabilities([logit.item() for logit in logits], self._scoring)
        return Scores(asked, [Scored(score, read) for score, read in zip(scores, reads, strict=True)])

    async def _query(self, query: Input) -> tuple[Input, Read]:
        if isinstance(query, Seen):
            if query.tokens > (limit := self._room // 2):
                raise too_long("query.image", query.tokens, limit)
            return query, Read(query.tokens)
        (cut,) = await self._shortened({"query": query}, self._max_query, Truncation.END)
        return cut.text, Read(cut.tokens, cut.truncated)

    async def _documents(
        self, documents: Sequence[Input], query_tokens: int, truncation: Truncation
    ) -> tuple[list[Input], list[Read]]:
        limit = min(self._max_document, self._room - query_tokens)
        texts = {
            document_field(place): document for place, document in enumerate(documents) if isinstance(document, str)
        }
        cut = iter(await self._shortened(texts, limit, truncation))
        found: list[Input] = []
        reads = []
        for place, document in enumerate(documents):
            if isinstance(document, Seen):
                if document.tokens > limit:
                    raise too_long(f"{document_field(place)}.image", document.tokens, limit)
                found.append(document)
                reads.append(Read(document.tokens))
            else:
                own = next(cut)
                found.append(own.text)
                reads.append(Read(own.tokens, own.truncated))
        return found, reads

    async def _shortened(self, texts: dict[str, str], limit: int, truncation: Truncation) -> list[Shortened]:
        fields = list(texts)
        return await self._encoder.tokenizer.shortened(
            list(texts.values()), max_tokens=limit, truncation=truncation, field=fields.__getitem__
        )

    def _parts(self, query: Input, document: Input) -> list[Input]:
        """Texts and images in turns."""
        parts: list[Input] = []
        for side in self._template.filled(query, document):
            parts += [self._start, side, self._end] if isinstance(side, Seen) else [side]
        return list(_joined(parts))

    async def _rows(self, pairs: Sequence[Sequence[Input]]) -> list[Row]:
        texts = [part for pair in pairs for part in pair if isinstance(part, str)]
        ids = iter(await self._encoder.tokenizer.plain(texts))
        return [self._row([part if isinstance(part, Seen) else next(ids) for part in pair]) for pair in pairs]

    def _row(self, parts: Sequence[Sequence[int] | Seen]) -> Row:
        if any(isinstance(part, Seen) for part in parts):
            ids, pictures = self._vision.sequence([*parts, self._last])
            return Row(ids, Output.LOGIT, pictures=pictures)
        texts = chain.from_iterable(part for part in parts if not isinstance(part, Seen))
        return Row([*(token for token in texts if token != self._vision.token), *self._last], Output.LOGIT)


def _joined(parts: Sequence[Input]) -> Iterator[Input]:
    """The parts, texts that follow one another as one."""
    for is_text, run in groupby(parts, key=lambda part: isinstance(part, str)):
        if is_text:
            yield "".join(part for part in run if isinstance(part, str))
        else:
            yield from run

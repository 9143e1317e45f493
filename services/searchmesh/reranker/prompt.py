"""The prompt of a listwise model: query, instruction and many documents in one text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from searchmesh.catalog.sections import Listing, ListToken
from searchmesh.text import Tokenizer


@dataclass(frozen=True)
class Prompt:
    """Token ids, and where the states that count are."""

    ids: Sequence[int]
    picks: Sequence[int]
    """The document tokens in the order of the documents, then the query token."""


class Prompter:
    """Writes a card's prompt. The tokens that are read out are put between texts that are tokenised apart, so where
    they stand is known, whatever the texts say.
    """

    def __init__(self, listing: Listing, tokenizer: Tokenizer) -> None:
        self._listing = listing
        self._tokenizer = tokenizer
        self._document_id = _id_of(listing.document_token, tokenizer)
        self._query_id = _id_of(listing.query_token, tokenizer)
        self._passage, _, self._passage_end = listing.passage.partition(listing.document_token.token)
        self._query, _, self._query_end = listing.query_block.partition(listing.query_token.token)
        words = {*tokenizer.special_words, listing.document_token.token, listing.query_token.token}
        self._special = re.compile("|".join(re.escape(word) for word in sorted(words, key=len, reverse=True)))

    def stripped(self, text: str) -> str:
        """The text without what it spells of special tokens, and without what that leaves of others."""
        while True:
            text, found = self._special.subn("", text)
            if not found:
                return text

    def tokens(self, instruction: str = "") -> int:
        """Of a prompt with one document, where query and document are empty."""
        return self._count(self._texts("", instruction, [""]))

    def tokens_around(self, place: int) -> int:
        """Of what is written around the document at that place."""
        return self._count([self._passage.format(i=place, document=""), self._passage_end + self._listing.passage_join])

    def _count(self, texts: Sequence[str]) -> int:
        """With the tokens that are read out between them."""
        return sum(map(len, self._tokenizer.encode(texts))) + len(texts) - 1

    async def prompts(self, query: str, instruction: str, lists: Sequence[Sequence[str]]) -> list[Prompt]:
        """A prompt for each list of documents."""
        texts = [self._texts(query, instruction, documents) for documents in lists]
        ids = iter(await self._tokenizer.plain([text for own in texts for text in own]))
        return [self._joined([next(ids) for _ in own]) for own in texts]

    def _texts(self, query: str, instruction: str, documents: Sequence[str]) -> list[str]:
        """The texts between the tokens that are read out: one before each of them and one at the end."""
        listing = self._listing
        start = listing.prefix.format(system=listing.system) + listing.head.format(n=len(documents), query=query)
        if instruction:
            start += listing.instruction.format(instruction=instruction)
        passages = [self._passage.format(i=place, document=document) for place, document in enumerate(documents)]
        between = self._passage_end + listing.passage_join
        return [
            start + passages[0],
            *(between + passage for passage in passages[1:]),
            self._passage_end + self._query.format(query=query),
            self._query_end + listing.suffix,
        ]

    def _joined(self, texts: Sequence[Sequence[int]]) -> Prompt:
        ids: list[int] = []
        picks = []
        tokens = [self._document_id] * (len(texts) - 2) + [self._query_id]
        for text, token in zip(texts, tokens, strict=False):
            ids += text
            picks.append(len(ids))
            ids.append(token)
        return Prompt([*ids, *texts[-1]], picks)


def _id_of(token: ListToken, tokenizer: Tokenizer) -> int:
    """The vocabulary's own id; the published one for a token that is not in tokenizer.json."""
    found = tokenizer.id_of(token.token)
    return token.id if found is None else found

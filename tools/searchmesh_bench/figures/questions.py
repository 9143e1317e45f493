"""Queries that nobody asked before: runs of words from random passages."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from searchmesh.client import Document

_WORDS = (4, 10)


def questions(documents: Sequence[Document]) -> Iterator[str]:
    """Queries without end, other ones in each run, so that none is answered from the cache."""
    chance = random.Random()
    texts = [words for document in documents if len(words := document.text.split()) >= _WORDS[1]]
    while True:
        words = chance.choice(texts)
        length = chance.randint(*_WORDS)
        start = chance.randrange(len(words) - length + 1)
        yield " ".join(words[start : start + length])

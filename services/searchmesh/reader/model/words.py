"""Words of a page and of what a model makes of it: whether it repeats itself, and whether it invents."""

from __future__ import annotations

import re
from collections import Counter, deque

_WORD = re.compile(r"\w+")
_LINK_TARGET = re.compile(r"\]\([^()\s]*(?:\s+\"[^\"]*\")?\)")

NGRAM = 16
"""Words in a row that a text repeats by chance or by quoting, but not often."""

ALLOWED = 3
"""Times that they may stand in the output beyond those that the page has them."""


def words_of(text: str) -> str:
    """The words in lower case, with a space around each."""
    return f" {' '.join(_WORD.findall(text.lower()))} "


def fidelity(page_words: str, output: str) -> float:
    """The share of the output's word trigrams that the page has, 0 to 1.

    An output of fewer than three words is measured by its words. What links lead to is left out: the page has it in
    another place than the words around it.
    """
    page = page_words.split()
    found = _WORD.findall(_LINK_TARGET.sub("] ", output).lower())
    size = min(3, len(found))
    if not size:
        return 0.0
    known = set(zip(*(page[shift:] for shift in range(size)), strict=False))
    grams = list(zip(*(found[shift:] for shift in range(size)), strict=False))
    return sum(gram in known for gram in grams) / len(grams)


class LoopGuard:
    """Notices that a model goes round in circles, while it writes."""

    def __init__(self, page_words: str) -> None:
        self._page = page_words
        self._last: deque[str] = deque(maxlen=NGRAM)
        self._seen: Counter[str] = Counter()
        self._known: dict[str, int] = {}
        self._rest = ""

    def is_loop(self, text: str) -> bool:
        """Whether the output has begun to repeat itself with this piece.

        It has when words in a row stand in it more often than the page has them, and then some.
        """
        text = (self._rest + text).lower()
        ends = [found.end() for found in _WORD.finditer(text)]
        # The last word may go on in the next piece.
        end = ends[-1] if ends and ends[-1] < len(text) else (ends[-2] if len(ends) > 1 else 0)
        self._rest = text[end:]
        return any(self._repeats(word) for word in _WORD.findall(text[:end]))

    def _repeats(self, word: str) -> bool:
        self._last.append(word)
        if len(self._last) < NGRAM:
            return False
        gram = f" {' '.join(self._last)} "
        self._seen[gram] += 1
        times = self._seen[gram]
        return times > ALLOWED and times > ALLOWED + self._in_page(gram)

    def _in_page(self, gram: str) -> int:
        """How often the page has these words, also where one time begins within another."""
        if gram not in self._known:
            times = 0
            start = self._page.find(gram)
            while start >= 0:
                times += 1
                start = self._page.find(gram, start + 1)
            self._known[gram] = times
        return self._known[gram]

"""Whether a model goes round in circles."""

from __future__ import annotations

from collections import Counter, deque

from searchmesh.text.words import settled

NGRAM = 16
"""Words in a row that a text repeats by chance or by quoting, but not often."""

ALLOWED = 3
"""Times that they may stand in a text beyond those that its source has them."""

WORDLESS = 1000
"""Characters in a row without a word: more than the rule of a wide table has, or a drawing of dashes."""


class LoopGuard:
    """Notices that a text begins to repeat itself, while it is written."""

    def __init__(self, source: str, *, patience: int = 1) -> None:
        """`source`, as `words_of` has it, is what the text may repeat as it does; so many words in a row have to be
        repetitions for a loop."""
        self._source = source
        self._patience = patience
        self._last: deque[str] = deque(maxlen=NGRAM)
        self._seen: Counter[str] = Counter()
        self._known: dict[str, int] = {}
        self._rest = ""
        self._repetitions = 0
        self._wordless = 0

    def is_loop(self, piece: str) -> bool:
        """Whether the text, now that it goes on with `piece`, repeats itself.

        It does when words in a row stand in it more often than in the source, and then some, or when it has no words
        any more.
        """
        found, rest = settled(self._rest + piece)
        self._wordless = 0 if found or rest else self._wordless + len(piece)
        self._rest = rest
        return any(map(self._is_one_too_many, found)) or self._wordless > WORDLESS

    def _is_one_too_many(self, word: str) -> bool:
        self._repetitions = self._repetitions + 1 if self._repeats(word) else 0
        return self._repetitions >= self._patience

    def _repeats(self, word: str) -> bool:
        self._last.append(word)
        if len(self._last) < NGRAM:
            return False
        gram = f" {' '.join(self._last)} "
        self._seen[gram] += 1
        times = self._seen[gram]
        return times > ALLOWED and times > ALLOWED + self._in_source(gram)

    def _in_source(self, gram: str) -> int:
        """How often the source has these words, also where one time begins within another."""
        if gram not in self._known:
            times = 0
            start = self._source.find(gram)
            while start >= 0:
                times += 1
                start = self._source.find(gram, start + 1)
            self._known[gram] = times
        return self._known[gram]

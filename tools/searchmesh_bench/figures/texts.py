"""Real texts of a wanted number of tokens, each different from all others."""

from __future__ import annotations

import random
from collections.abc import Sequence

import tokenizers

_SPECIAL_TOKENS = 2


class Texts:
    """Cuts pieces out of a corpus. The same seed gives the same pieces."""

    def __init__(self, tokenizer: tokenizers.Tokenizer, corpus: Sequence[str], seed: int = 0) -> None:
        self._text = "\n".join(corpus)
        self._offsets = tokenizer.encode(self._text, add_special_tokens=False).offsets
        self._random = random.Random(seed)

    def about(self, tokens: int, count: int) -> list[str]:
        """`count` texts whose lengths are spread evenly from 3/4 to 5/4 of `tokens`, special tokens included."""
        made: dict[str, None] = {}
        while len(made) < count:
            length = self._random.randint(tokens * 3 // 4, tokens * 5 // 4) - _SPECIAL_TOKENS
            start = self._random.randrange(len(self._offsets) - length)
            made[self._text[self._offsets[start][0] : self._offsets[start + length - 1][1]]] = None
        return list(made)

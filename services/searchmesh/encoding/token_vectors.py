"""Which tokens a multi-vector encoder reads, and which of their vectors count."""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from searchmesh.catalog.sections import MultiVector, TokenVectorRules
from searchmesh.text import Tokenizer

Vectors = NDArray[np.float32]
Side = Literal["query", "passage"]

_PUNCTUATION = list(string.punctuation)


class TokenVectors:
    """The rules of a card's section `multi_vector`, for one tokenizer."""

    def __init__(self, card: MultiVector, tokenizer: Tokenizer) -> None:
        self._card = card
        self._tokenizer = tokenizer
        self._skipped: dict[str, NDArray[np.int64]] = {
            "nothing": np.empty(0, np.int64),
            "punctuation": np.unique([ids[0] for ids in tokenizer.encode(_PUNCTUATION) if ids]),
        }

    def room(self, side: Side | None, max_tokens: int) -> int:
        """Tokens that the tokenizer may give, special tokens included, if the model takes `max_tokens`."""
        rules = self._rules(side)
        limit = min(max_tokens, rules.length or max_tokens, rules.max_tokens or max_tokens)
        return limit - (rules.marker is not None)

    def cuts(self, side: Side | None) -> bool:
        """Whether the side has a fixed length, so that what is longer is cut whatever the caller asked for."""
        return self._rules(side).length is not None

    def prepared(self, ids: Sequence[int], side: Side | None) -> list[int]:
        """The ids with the side's marker, and with its padding where it has a fixed length."""
        rules = self._rules(side)
        made = list(ids)
        if rules.marker is not None:
            made.insert(rules.marker.position, rules.marker.id)
        if rules.length is not None and rules.pad_id is not None:
            made += [rules.pad_id] * (rules.length - len(made))
        return made

    def kept(self, ids: Sequence[int], vectors: Vectors, side: Side | None) -> Vectors:
        """The vectors [n, dimensions] that count, of unit length, of those of all `ids`."""
        rules = self._rules(side)
        before, after = self._tokenizer.around if self._card.skip_special else (0, 0)
        if before + after >= len(ids):
            before, after = 0, 0
        chosen = np.ones(len(ids), dtype=bool)
        chosen[:before] = chosen[len(ids) - after :] = False
        if len(skipped := self._skipped[rules.skip]):
            chosen &= ~np.isin(ids, skipped)
        kept = vectors[chosen]
        lengths = np.linalg.norm(kept, axis=1, keepdims=True)
        return np.asarray(kept / np.maximum(lengths, np.float32(1e-12)))

    def _rules(self, side: Side | None) -> TokenVectorRules:
        return self._card.query if side == "query" else self._card.document

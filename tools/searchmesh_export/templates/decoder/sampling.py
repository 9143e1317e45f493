"""From logits to a token."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .guidance import Guide
from .options import Options

Logits = NDArray[np.float32]


class Sampler:
    """Picks the tokens of one text, one after the other. The same seed and logits give the same text.

    Penalties come first, then the guide, temperature, top-k and top-p: the order of transformers.
    """

    def __init__(self, options: Options, prompt: Sequence[int], guide: Guide | None) -> None:
        self._options = options
        self._guide = guide
        self._numbers = np.random.default_rng(options.seed)
        self._seen = np.unique(prompt) if options.repetition_penalty != 1 else np.empty(0, np.int64)
        self._written = np.empty(0, np.int64)
        self._counts = np.empty(0, np.float32)

    def pick(self, logits: Logits) -> int:
        """The next token. Changes the logits, [vocabulary]."""
        self._penalise(logits)
        if self._guide is not None:
            self._guide.mask(logits)
        token = int(logits.argmax()) if self._options.temperature == 0 else self._drawn(logits)
        self._remember(token)
        return token

    def _penalise(self, logits: Logits) -> None:
        options = self._options
        if options.repetition_penalty != 1:
            # Some models read tokens that they cannot write, which have no logits.
            seen = self._seen[self._seen < len(logits)]
            found = logits[seen]
            penalty = np.float32(options.repetition_penalty)
            logits[seen] = np.where(found < 0, found * penalty, found / penalty)
        if options.frequency_penalty or options.presence_penalty:
            logits[self._written] -= options.frequency_penalty * self._counts + np.float32(options.presence_penalty)

    def _remember(self, token: int) -> None:
        options = self._options
        if options.repetition_penalty != 1 and token not in self._seen:
            self._seen = np.append(self._seen, token)
        if options.frequency_penalty or options.presence_penalty:
            if token in self._written:
                self._counts[self._written == token] += 1
            else:
                self._written = np.append(self._written, token)
                self._counts = np.append(self._counts, np.float32(1))

    def _drawn(self, logits: Logits) -> int:
        options = self._options
        count = min(options.top_k or len(logits), len(logits))
        # No order is needed among those that are left out.
        chosen = np.argpartition(logits, -count)[-count:] if count < len(logits) else np.arange(len(logits))
        chosen = chosen[np.argsort(-logits[chosen], kind="stable")]
        scaled = logits[chosen].astype(np.float64) / options.temperature
        odds = np.exp(scaled - scaled[0]).cumsum()
        odds /= odds[-1]
        if options.top_p < 1:
            odds = odds[: int(np.searchsorted(odds, options.top_p)) + 1]
            odds /= odds[-1]
        return int(chosen[np.searchsorted(odds, self._numbers.random(), side="right")])

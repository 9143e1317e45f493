"""Tokens drafted from what was read: a text that copies from its prompt goes on as the prompt does.

A draft is read by the model in one step with the token before it, and as far as the model agrees it saved that many
steps (arXiv 2304.04487: reference text, here the prompt and the text so far).
"""

from __future__ import annotations

from collections.abc import Sequence


class Drafter:
    """Looks up where the last tokens stood before. Takes no time until the first draft is wanted."""

    def __init__(self, ids: Sequence[int], ngram: int, most: int) -> None:
        """`ids` is the sequence of a stream and grows with it; `ngram` tokens have to be the same, and `most` are
        drafted."""
        self._ids = ids
        self._ngram = ngram
        self._most = most
        self._next = most
        self._places: dict[tuple[int, ...], int] = {}
        self._known = 0

    def draft(self, room: int) -> list[int]:
        """Up to `room` tokens that may come next."""
        self._learn()
        place = self._places.get(tuple(self._ids[-self._ngram :]))
        length = min(self._next, room)
        if place is None or length <= 0:
            return []
        return list(self._ids[place : place + length])

    def settle(self, proposed: int, accepted: int) -> None:
        """What became of a draft. The next is longer if all of it was right, and about as long as what was right
        otherwise: reading tokens in vain takes time."""
        self._next = min(self._most, max(1, accepted * 2 if accepted == proposed else accepted))

    def _learn(self) -> None:
        """Where each n-gram goes on, for all of them but the last: the latest place counts."""
        for end in range(max(self._known, self._ngram), len(self._ids)):
            self._places[tuple(self._ids[end - self._ngram : end])] = end
        self._known = len(self._ids)

"""Token ids back to text, while they come."""

from __future__ import annotations

from collections.abc import Callable, Sequence

_INCOMPLETE = "\N{REPLACEMENT CHARACTER}"
"""What a decoder makes of the first bytes of a character whose others are in the next token."""


class Spelling:
    """The text of a growing sequence. What was told never changes: a character is told when it is whole."""

    def __init__(self, decode: Callable[[list[int]], str]) -> None:
        self._decode = decode
        self._ids: list[int] = []
        self._start = 0
        """From where on tokens are decoded: some decoders treat the first token of a text in a way of its own, so one
        piece that was told already goes before the new one."""
        self._told = 0

    def feed(self, ids: Sequence[int]) -> str:
        """What may be told of the text when `ids` come behind it; empty while the last character is not whole."""
        self._ids += ids
        piece = self._untold()
        if not piece or piece.endswith(_INCOMPLETE):
            return ""
        self._start, self._told = self._told, len(self._ids)
        return piece

    def rest(self) -> str:
        """What is left when nothing follows."""
        piece = self._untold()
        self._start = self._told = len(self._ids)
        return piece

    def _untold(self) -> str:
        told = self._decode(self._ids[self._start : self._told])
        return self._decode(self._ids[self._start :])[len(told) :]

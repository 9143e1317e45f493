"""Strings that end a text."""

from __future__ import annotations

from collections.abc import Sequence


class Stops:
    """Ends a text before the first of some strings. What may be the beginning of one is kept back."""

    def __init__(self, strings: Sequence[str]) -> None:
        self._strings = strings
        self._kept = ""
        self.found = ""
        """The string that was met, and that ended the text."""

    def feed(self, piece: str) -> str:
        """What of the text may be told, now that it goes on with `piece`."""
        text = self._kept + piece
        met = [(text.index(stop), -len(stop), stop) for stop in self._strings if stop in text]
        if met:
            place, _, self.found = min(met)
            self._kept = ""
            return text[:place]
        keep = max((_overlap(text, stop) for stop in self._strings), default=0)
        told, self._kept = text[: len(text) - keep], text[len(text) - keep :]
        return told

    def rest(self) -> str:
        """What was kept back, when nothing follows."""
        return self._kept


def _overlap(text: str, stop: str) -> int:
    """The longest end of the text that `stop` begins with."""
    return next((size for size in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:size])), 0)

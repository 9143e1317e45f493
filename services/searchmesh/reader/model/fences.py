"""Output of a model without the fence that it may put around all of it."""

from __future__ import annotations

import re

_OPENING = re.compile(r"\s*```(?:markdown|md|json|html)?[ \t]*\n")
_COULD_OPEN = re.compile(r"\s*(?:`{0,3}|```[a-z]{0,8}[ \t]*)")
_CLOSING = re.compile(r"\n?```\s*\Z")
_HELD = 8
"""Characters that a closing fence can have with the line ends around it."""


class Unfenced:
    """Takes a text piece by piece and gives it back without the fence around it, if there is one."""

    def __init__(self) -> None:
        self._waiting = ""
        self._started = False
        self._fenced = False

    def feed(self, piece: str) -> str:
        """What is certain to be text."""
        self._waiting += piece
        if not self._started:
            if found := _OPENING.match(self._waiting):
                self._fenced = True
                self._waiting = self._waiting[found.end() :]
            elif _COULD_OPEN.fullmatch(self._waiting):
                return ""
            self._started = True
        if not self._fenced:
            ready, self._waiting = self._waiting, ""
            return ready
        # A fence inside is not the last line, so nothing but the end is held back.
        end = max(0, len(self._waiting) - _HELD)
        ready, self._waiting = self._waiting[:end], self._waiting[end:]
        return ready

    def finish(self) -> str:
        """The rest."""
        rest = _CLOSING.sub("", self._waiting) if self._fenced else self._waiting
        self._waiting = ""
        return rest

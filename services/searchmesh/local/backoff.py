"""How long a child that keeps ending waits before its next start."""

from __future__ import annotations


class Backoff:
    """Doubles from `first_s` up to `longest_s`, and begins again once a child was ready for `stable_s`."""

    def __init__(self, first_s: float = 0.25, longest_s: float = 15.0, stable_s: float = 30.0) -> None:
        self.first_s = first_s
        self.longest_s = longest_s
        self.stable_s = stable_s
        self._next_s = first_s

    def delay_s(self, ready_s: float) -> float:
        """The wait after an end that followed `ready_s` seconds of being ready."""
        delay = self.first_s if ready_s >= self.stable_s else self._next_s
        self._next_s = min(self.longest_s, 2 * delay)
        return delay

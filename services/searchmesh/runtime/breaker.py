"""A circuit breaker: one per dependency, shared by all its operations.

Without it every operation pays the full timeout of a dead dependency, one after the other.
"""

from __future__ import annotations

import time


class Breaker:
    """Opens after `failures` failures in a row; after `open_s` one call may try, and its result decides."""

    def __init__(self, name: str, *, failures: int = 3, open_s: float = 1.0) -> None:
        self.name = name
        self._limit = failures
        self._open_s = open_s
        self._failed = 0
        self._retry_at = 0.0

    @property
    def is_open(self) -> bool:
        """Whether calls are being skipped."""
        return self._failed >= self._limit

    def allows(self) -> bool:
        """Whether to try now. While open, True once per `open_s`, for the call that probes."""
        if not self.is_open:
            return True
        now = time.monotonic()
        if now < self._retry_at:
            return False
        self._retry_at = now + self._open_s
        return True

    def success(self) -> None:
        """The dependency answered."""
        self._failed = 0

    def failure(self) -> None:
        """The dependency failed or was late."""
        self._failed += 1
        if self.is_open:
            self._retry_at = time.monotonic() + self._open_s

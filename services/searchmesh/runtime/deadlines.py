"""The caller's deadline, carried through a request."""

from __future__ import annotations

import math
import time

from searchmesh.runtime.errors import DeadlineExceeded


class Deadline:
    """A point on the monotonic clock; `math.inf` if the caller set none."""

    __slots__ = ("at",)

    def __init__(self, at: float = math.inf) -> None:
        self.at = at

    @classmethod
    def after(cls, seconds: float | None) -> Deadline:
        """The deadline `seconds` from now; None is no deadline."""
        return cls() if seconds is None else cls(time.monotonic() + seconds)

    def remaining_s(self) -> float | None:
        """Seconds left (never negative), None without a deadline. Fits gRPC's `timeout` argument."""
        return None if self.at == math.inf else max(0.0, self.at - time.monotonic())

    def bounded(self, seconds: float) -> float:
        """Seconds left, at most `seconds`."""
        return min(seconds, max(0.0, self.at - time.monotonic()))

    def expired(self) -> bool:
        """Whether it has passed."""
        return time.monotonic() >= self.at

    def check(self) -> None:
        """Raise DeadlineExceeded if it has passed."""
        if self.expired():
            raise DeadlineExceeded("the deadline passed before the work was done")

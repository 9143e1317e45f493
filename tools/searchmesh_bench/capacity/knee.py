"""The highest rate of an open-loop load at which the wait stays bounded.

Offered less than it can do, a service keeps its latency however long the load lasts; offered more, its queue grows
without end. So a rate is sustained if nothing is refused and the 95th percentile of latency stays below a limit. Above
capacity by a share x, the queue grows by x of the trial's length: with trials of T seconds and a limit of L, what is
found exceeds the capacity by at most about L / T.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from searchmesh.runtime.errors import FailedPrecondition


@dataclass(frozen=True)
class Trial:
    """What one offered rate led to."""

    per_second: float
    """Calls that were offered."""
    p95_ms: float
    """Latency of the calls that succeeded, from the moment when they were due; infinite if none did."""
    failed: int
    """Calls that were refused or too late."""

    def sustained(self, limit_ms: float) -> bool:
        """Whether the service kept up."""
        return self.failed == 0 and self.p95_ms <= limit_ms


@dataclass(frozen=True)
class Knee:
    """The last rate that is sustained."""

    per_second: float
    trials: tuple[Trial, ...]
    """All that were made, in order; the last confirms the rate."""


async def knee(
    offer: Callable[[float], Awaitable[Trial]],
    *,
    start: float,
    limit_ms: float,
    tolerance: float = 0.05,
    lowest: float = 0.01,
    highest: float = 1e5,
) -> Knee:
    """Find the knee of a system that `offer` puts a rate to, in calls per second, within `tolerance` of itself.

    Doubles from `start` until a rate is not sustained (or halves until one is), halves the gap, and then offers what it
    found once more: luck must not size a deployment. Raises FailedPrecondition if even `lowest` is not sustained, or
    `highest` still is.
    """
    trials: list[Trial] = []

    async def sustained(rate: float) -> bool:
        if rate < lowest:
            raise FailedPrecondition(
                f"{lowest:g} calls/s are already too many to be answered within {limit_ms:g} ms", reason="NO_CAPACITY"
            )
        if rate > highest:
            raise FailedPrecondition(f"{highest:g} calls/s are not too many: make each larger", reason="NO_KNEE")
        trials.append(await offer(rate))
        return trials[-1].sustained(limit_ms)

    low, high = 0.0, start
    while await sustained(high):
        low, high = high, high * 2
    while low == 0:
        if await sustained(high / 2):
            low = high / 2
        else:
            high /= 2
    while high > low * (1 + tolerance):
        middle = (low + high) / 2
        if await sustained(middle):
            low = middle
        else:
            high = middle
    while not await sustained(low):
        low *= 1 - tolerance
    return Knee(low, tuple(trials))

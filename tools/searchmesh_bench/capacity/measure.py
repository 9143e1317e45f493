"""The capacity of a model, measured on the services that run."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from searchmesh.client import ClientSettings
from searchmesh_bench.capacity.items import Shape, calls_of
from searchmesh_bench.capacity.knee import Knee, Trial, knee
from searchmesh_bench.load import Request, closed_loop, open_loop

_PROBES = 3
"""Calls one after the other, the median of which tells where to begin."""

_PAUSE_S = 0.5
"""Between two trials."""


@dataclass(frozen=True)
class Capacity:
    """What a pool does with calls of one shape."""

    model: str
    shape: Shape
    seconds: float
    """Length of each trial."""
    limit_ms: float
    """Latency that 95 of 100 calls had to stay below."""
    knee: Knee

    @property
    def items_per_second(self) -> float:
        """The number that the pool is scaled by, if one pod of it was measured."""
        return self.knee.per_second * self.shape.items

    def values(self, pool: str) -> str:
        """The chart's values that say so, with three digits: more are not known."""
        digits = 2 - math.floor(math.log10(self.items_per_second))
        rate = round(self.items_per_second, digits)
        return (
            "triton:\n  pools:\n"
            f"    {pool}:\n      autoscaling:\n        itemsPerSecondPerPod:\n          {self.model}: {rate:.10g}\n"
        )


async def measure(
    model: str,
    shape: Shape,
    targets: ClientSettings,
    *,
    seconds: float,
    limit_ms: float,
    on_trial: Callable[[Trial], None] = lambda _: None,
) -> Capacity:
    """Load the services with calls of one shape, faster and slower, until the knee is found.

    Raises what `calls_of` and `knee` raise, and what the first call fails with.
    """
    async with calls_of(model, shape, targets) as call:
        first = (await closed_loop(call, concurrency=1, calls=_PROBES)).checked()

        async def offer(rate: float) -> Trial:
            trial = await _trial(call, rate, seconds)
            on_trial(trial)
            # What a rate that was too high left behind must not count against the next.
            await asyncio.sleep(_PAUSE_S)
            return trial

        found = await knee(offer, start=1000 / first.latency.p50_ms, limit_ms=limit_ms)
    return Capacity(model, shape, seconds, limit_ms, found)


async def _trial(call: Request, rate: float, seconds: float) -> Trial:
    # Few calls in a trial would make chance of a percentile: a slow model gets the time for twenty.
    outcome = await open_loop(call, per_second=rate, seconds=max(seconds, 20 / rate))
    latencies = outcome.latencies_s
    p95_ms = float(np.percentile(latencies, 95)) * 1000 if latencies else math.inf
    return Trial(rate, p95_ms, len(outcome.errors))

"""A pool under a load: pods that start, serve in order of arrival, and go away; what does not fit is shed.

A fluid model: pods share one queue, as they do behind the services' schedulers, and each takes work off it at a
constant rate. Calls whose estimated wait exceeds their deadline are refused on arrival, as there. It orders settings;
it is no prediction of milliseconds.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from searchmesh_bench.simulate.loads import Load
from searchmesh_bench.simulate.scaler import BACKLOG_WINDOW_S, OFFERED_WINDOW_S, SYNC_S, Scaler, Scaling


@dataclass(frozen=True)
class Pool:
    """What is not a setting of the scaler."""

    start_s: float = 90.0
    """From the decision to a pod that serves: node, image, model, warm-up."""
    deadline_s: float = 2.0
    """Longest wait that a caller accepts; more is refused at once."""
    limit_s: float = 0.5
    """Longer waits count as slow."""
    tokens_per_item: float = 128.0
    """Padded tokens of a mean item."""


@dataclass(frozen=True)
class Result:
    """What a load met with."""

    items: float
    pod_hours: float
    """Of all pods, those that still start included."""
    peak: int
    slow: float
    """Share of the items that were offered."""
    shed: float
    """Likewise."""
    replicas: tuple[int, ...]
    """At the end of each step."""


class _Queue:
    """Work in order of arrival, in cohorts of (arrival, items, work)."""

    def __init__(self) -> None:
        self._cohorts: deque[tuple[float, float, float]] = deque()
        self.work = 0.0

    def put(self, now: float, items: float, work: float) -> None:
        self._cohorts.append((now, items, work))
        self.work += work

    def serve(self, now: float, work: float, limit_s: float) -> float:
        """Take work off; the items of it that had waited longer than the limit."""
        slow = 0.0
        while self._cohorts and work > 0:
            arrived, items, left = self._cohorts[0]
            share = min(1.0, work / left)
            slow += items * share if now - arrived > limit_s + 1e-9 else 0.0
            self.work -= left * share
            if share < 1:
                self._cohorts[0] = (arrived, items * (1 - share), left * (1 - share))
                break
            work -= left
            self._cohorts.popleft()
        self.work = max(0.0, self.work)
        return slow

    def rest(self) -> float:
        """Items that nobody served."""
        return sum(items for _, items, _ in self._cohorts)


def simulate(load: Load, pool: Pool, scaling: Scaling) -> Result:
    """Run the load through the pool, which begins with its fewest pods, ready."""
    scaler, queue = Scaler(scaling), _Queue()
    ready_at = [0.0] * scaling.min_replicas
    step, rate = load.step_s, scaling.items_per_second_per_pod
    sync = round(SYNC_S / step)
    offered: deque[float] = deque(maxlen=round(OFFERED_WINDOW_S / step))
    queued: deque[float] = deque(maxlen=round(BACKLOG_WINDOW_S / step))
    slow = shed = pod_steps = 0.0
    replicas = []
    for number, (items, work) in enumerate(zip(load.items.tolist(), load.work.tolist(), strict=True)):
        now = number * step
        ready = sum(when <= now for when in ready_at)
        if number and number % sync == 0:
            tokens = sum(queued) / len(queued) * pool.tokens_per_item
            # Also before a whole window has passed: what Prometheus makes of a counter's first minute.
            per_second = sum(offered) / (len(offered) * step)
            _resize(ready_at, scaler.replicas(now, len(ready_at), ready, per_second, tokens), now + pool.start_s)
            ready = sum(when <= now for when in ready_at)
        offered.append(items)
        if work > 0:
            # Room for work that is done within the deadline.
            fits = min(1.0, max(0.0, ready * rate * (pool.deadline_s + step) - queue.work) / work)
            shed += items * (1 - fits)
            if fits > 0:
                queue.put(now, items * fits, work * fits)
        slow += queue.serve(now, ready * rate * step, pool.limit_s)
        queued.append(queue.work)
        pod_steps += len(ready_at)
        replicas.append(len(ready_at))
    total = float(load.items.sum())
    for late in range(1, math.ceil(pool.deadline_s / step) + 1):
        slow += queue.serve(now + late * step, ready * rate * step, pool.limit_s)
    shed += queue.rest()
    return Result(
        items=total,
        pod_hours=pod_steps * step / 3600,
        peak=max(replicas),
        slow=slow / total,
        shed=shed / total,
        replicas=tuple(replicas),
    )


def _resize(ready_at: list[float], wanted: int, ready: float) -> None:
    """Make it `wanted` pods; pods that are not ready yet go first."""
    ready_at += [ready] * (wanted - len(ready_at))
    ready_at.sort()
    del ready_at[wanted:]

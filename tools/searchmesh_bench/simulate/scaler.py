"""What the chart's autoscaling of a Triton pool would decide, second by second.

The two signals are those of the chart (`searchmesh.demand` and `searchmesh.backlog` in `_promql.tpl`), the rules of
HorizontalPodAutoscaler v2: an External metric with an AverageValue wants ``ceil(total / target)`` replicas unless that
is within a tenth of what there is; the largest wish counts, the stabilisation window and then the policies restrain it.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

SYNC_S = 15.0
"""Between two decisions."""
OFFERED_WINDOW_S = 60.0
"""Of the rate of offered items."""
BACKLOG_WINDOW_S = 30.0
"""Of the mean backlog."""
_TOLERANCE = 0.1
"""Of HorizontalPodAutoscaler: less of a change is none."""
_EPSILON = 1e-9
"""Rounding errors must not ask for a pod."""


@dataclass(frozen=True)
class Scaling:
    """Settings of a pool under their names in the chart's values, and the behaviour that its templates give it."""

    items_per_second_per_pod: float
    min_replicas: int = 1
    max_replicas: int = 8
    target_utilization: float = 0.7
    queued_tokens_per_pod: int = 65536
    up_percent: int = 100
    up_pods: int = 2
    up_period_s: float = 30.0
    down_window_s: float = 600.0
    down_pods: int = 1
    down_period_s: float = 120.0

    def demand(self, offered_per_second: float) -> float:
        """Offered work in pods, at full utilization."""
        return offered_per_second / self.items_per_second_per_pod

    def backlog(self, queued_tokens: float, ready: int) -> int:
        """Pods that the waiting work asks for: at most one more than are ready. Work waits in the services alone; the
        chart adds the batches that wait in Triton.
        """
        return min(math.ceil(queued_tokens / self.queued_tokens_per_pod - _EPSILON), ready + 1)


class Scaler:
    """One autoscaler, which remembers what it has done."""

    def __init__(self, scaling: Scaling) -> None:
        self._scaling = scaling
        self._wishes: deque[tuple[float, int]] = deque()
        self._changes: deque[tuple[float, int]] = deque()

    def replicas(self, now: float, current: int, ready: int, offered_per_second: float, queued_tokens: float) -> int:
        """Replicas from `now` on. `offered_per_second` and `queued_tokens` are means over their windows."""
        scaling = self._scaling
        wish = max(
            _wanted(scaling.demand(offered_per_second), scaling.target_utilization, current),
            _wanted(scaling.backlog(queued_tokens, ready), 1, current),
        )
        wish = self._stabilised(now, current, min(max(wish, scaling.min_replicas), scaling.max_replicas))
        after = self._restrained(now, current, wish)
        if after != current:
            self._changes.append((now, after - current))
        return after

    def _stabilised(self, now: float, current: int, wish: int) -> int:
        """Out at once; in only to the largest wish of the window."""
        self._wishes.append((now, wish))
        while self._wishes[0][0] <= now - self._scaling.down_window_s:
            self._wishes.popleft()
        return wish if wish >= current else min(current, max(wish for _, wish in self._wishes))

    def _restrained(self, now: float, current: int, wish: int) -> int:
        scaling = self._scaling
        if wish > current:
            before = current - self._changed(now, scaling.up_period_s)
            most = max(math.ceil(before * (1 + scaling.up_percent / 100)), before + scaling.up_pods)
            return max(current, min(wish, most))
        before = current - self._changed(now, scaling.down_period_s)
        return min(current, max(wish, before - scaling.down_pods))

    def _changed(self, now: float, period_s: float) -> int:
        return sum(change for when, change in self._changes if when > now - period_s)


def _wanted(total: float, target: float, current: int) -> int:
    if current and abs(total / (target * current) - 1) <= _TOLERANCE:
        return current
    return math.ceil(total / target - _EPSILON)

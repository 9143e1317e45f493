"""What an operator sees of a pool: what was offered, what waits, what was shed, how full the batches are."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from opentelemetry.metrics import CallbackOptions, Observation

from searchmesh.batching.lanes import Lane, LaneQueue
from searchmesh.runtime.telemetry import meter

_pools: dict[str, Mapping[Lane, LaneQueue[Any]]] = {}


def _queued_tokens(_: CallbackOptions) -> Iterable[Observation]:
    for pool, lanes in _pools.items():
        for lane, queue in lanes.items():
            yield Observation(queue.tokens, {"pool": pool, "lane": lane.value})


def _oldest_age(_: CallbackOptions) -> Iterable[Observation]:
    for pool, lanes in _pools.items():
        for lane, queue in lanes.items():
            oldest = queue.oldest()
            age = 0.0 if oldest is None else time.monotonic() - oldest.arrived
            yield Observation(age, {"pool": pool, "lane": lane.value})


_meter = meter()
_items_offered = _meter.create_counter(
    "inference_pool_items_offered",
    description="Rows that needed the model: after the cache, before shedding. The autoscaling signal.",
)
_tokens_offered = _meter.create_counter(
    "inference_pool_tokens_offered", description="Padded tokens of the rows that needed the model."
)
_items_shed = _meter.create_counter("inference_pool_items_shed", description="Rows refused because of load.")
_batch_rows = _meter.create_counter("inference_pool_batch_rows", description="Rows sent to the model.")
_batch_tokens = _meter.create_counter("inference_pool_batch_tokens", description="Tokens sent, without padding.")
_batch_seconds = _meter.create_histogram(
    "inference_pool_batch_duration", unit="s", description="Time from sending a batch to its results."
)
_meter.create_observable_gauge(
    "inference_pool_queued_tokens", callbacks=[_queued_tokens], description="Padded tokens that wait for a slot."
)
_meter.create_observable_gauge(
    "inference_pool_oldest_age", unit="s", callbacks=[_oldest_age], description="Age of the oldest waiting row."
)


class PoolMetrics:
    """The instruments of one pool."""

    def __init__(self, pool: str, lanes: Mapping[Lane, LaneQueue[Any]]) -> None:
        _pools[pool] = lanes
        self._pool = {"pool": pool}
        # A counter that begins with its first items has no rate for them.
        _items_offered.add(0, self._pool)
        self._lane = {lane: {"pool": pool, "lane": lane.value} for lane in Lane}

    def offered(self, rows: int, padded_tokens: int) -> None:
        """Work came in."""
        _items_offered.add(rows, self._pool)
        _tokens_offered.add(padded_tokens, self._pool)

    def shed(self, lane: Lane, rows: int) -> None:
        """Work was refused."""
        _items_shed.add(rows, self._lane[lane])

    def batch(self, lane: Lane, seconds: float, rows: int, tokens: int) -> None:
        """A batch came back."""
        _batch_rows.add(rows, self._lane[lane])
        _batch_tokens.add(tokens, self._lane[lane])
        _batch_seconds.record(seconds, self._lane[lane])

"""Named stages of a request and the time spent in each."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from searchmesh.v1 import common_pb2


class Stages:
    """Collects durations by stage name, in order of first use. Times of one name add up."""

    __slots__ = ("seconds",)

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def add(self, stage: str, seconds: float) -> None:
        """Add time to a stage."""
        self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        """Add the time spent in the block to a stage, also if the block raises."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.add(stage, time.perf_counter() - start)

    def to_proto(self) -> list[common_pb2.StageTiming]:
        """As the wire has it, microseconds."""
        return [
            common_pb2.StageTiming(stage=stage, duration_us=round(seconds * 1e6))
            for stage, seconds in self.seconds.items()
        ]

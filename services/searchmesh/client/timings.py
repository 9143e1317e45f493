"""Stage timings as the services report them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from searchmesh.v1 import common_pb2


def timings_of(timings: Iterable[common_pb2.StageTiming]) -> Mapping[str, float]:
    """Seconds by stage, in the order of the stages."""
    return {timing.stage: timing.duration_us / 1e6 for timing in timings}

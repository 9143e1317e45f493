"""Latency distributions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Latency:
    """Milliseconds of `count` calls. Percentiles are interpolated between the two nearest calls."""

    count: int
    mean_ms: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Latency:
        """Of at least one duration; ValueError for none."""
        if not seconds:
            raise ValueError("no call was measured")
        ms = np.asarray(seconds) * 1000
        p50, p90, p99 = np.percentile(ms, [50, 90, 99])
        return cls(len(seconds), float(ms.mean()), float(p50), float(p90), float(p99), float(ms.max()))

"""Scaling settings of a Triton pool, compared on simulated pods before anybody pays for real ones."""

from __future__ import annotations

from searchmesh_bench.simulate.loads import MADE, TRACES, Load, load_of
from searchmesh_bench.simulate.pods import Pool, Result, simulate
from searchmesh_bench.simulate.scaler import Scaler, Scaling

__all__ = ["MADE", "TRACES", "Load", "Pool", "Result", "Scaler", "Scaling", "load_of", "simulate"]

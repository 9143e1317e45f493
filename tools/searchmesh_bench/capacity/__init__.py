"""How much work a second one pod of a model does: the number that its pool is scaled by."""

from __future__ import annotations

from searchmesh_bench.capacity.items import Shape
from searchmesh_bench.capacity.knee import Knee, Trial, knee
from searchmesh_bench.capacity.measure import Capacity, measure

__all__ = ["Capacity", "Knee", "Shape", "Trial", "knee", "measure"]

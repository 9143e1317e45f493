"""From single rows to full batches: a closed set of shapes, two lanes, bounded queues."""

from searchmesh.batching.ladder import Ladder
from searchmesh.batching.lanes import Lane
from searchmesh.batching.scheduler import Batch, Item, Limits, Scheduler

__all__ = ["Batch", "Item", "Ladder", "Lane", "Limits", "Scheduler"]

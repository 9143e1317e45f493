"""One graph of the backend: rows in, each row's vectors out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from searchmesh.batching import Batch, Item, Ladder, Lane, Limits, Scheduler
from searchmesh.encoding.rows import Output
from searchmesh.runtime.deadlines import Deadline
from searchmesh.runtime.stages import Stages
from searchmesh.triton import Backend, Priority, Tensor

Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Context:
    """For whom the model works."""

    lane: Lane
    deadline: Deadline
    stages: Stages


class Input(Item, Protocol):
    """A row that knows what it wants of the graph."""

    @property
    def output(self) -> Output:
        """Part of its `kind`."""

    def cut(self, result: Vectors) -> Vectors:
        """The row's own vectors, [n, dimensions], from its part of the batch's output."""


I = TypeVar("I", bound=Input)  # noqa: E741


class Pool(Generic[I]):
    """Packs rows into batches of the ladder's shapes. `tensors` makes the inputs of a batch."""

    def __init__(
        self,
        model: str,
        backend: Backend,
        ladder: Ladder,
        limits: Limits,
        tensors: Callable[[Batch[I]], Mapping[str, Tensor]],
    ) -> None:
        self.model = model
        self.ladder = ladder
        self._backend = backend
        self._slots = limits.slots
        self._tensors = tensors
        self._scheduler: Scheduler[I, Vectors] = Scheduler(model, ladder, self._infer, limits)

    async def run(self, rows: Sequence[I], context: Context) -> list[Vectors]:
        """The vectors of each row, in order. Raises Overloaded, DeadlineExceeded and what the backend raises."""
        # The longest go first: what runs at the end, when slots fall idle, is short.
        order = sorted(range(len(rows)), key=lambda place: -rows[place].tokens)
        found, queue_s, infer_s = await self._scheduler.submit(
            [rows[place] for place in order], lane=context.lane, deadline=context.deadline
        )
        context.stages.add("queue", queue_s)
        context.stages.add("infer", infer_s)
        return [vectors for _, vectors in sorted(zip(order, found, strict=True), key=lambda pair: pair[0])]

    async def _infer(self, batch: Batch[I]) -> list[Vectors]:
        output = batch.items[0].output.value
        answer = await self._backend.infer(
            self.model,
            self._tensors(batch),
            [output],
            deadline=batch.deadline,
            priority=Priority.INTERACTIVE if batch.lane is Lane.INTERACTIVE else Priority.BULK,
        )
        return [row.cut(result) for row, result in zip(batch.items, answer[output], strict=False)]

    async def warm(self, row: Callable[[int], I], deadline: Deadline, *, every_shape: bool) -> None:
        """Run the shapes that cost time when they are first met; `row` makes one of a length.

        GPU providers plan kernels per shape: every shape of the ladder that is within the budget. ONNX Runtime on a CPU
        has no such cost beyond its memory arena, which the shortest, the longest and the fullest shape size.
        """
        budget = self.ladder.max_batch_tokens
        shapes = [shape for shape in self.ladder.shapes() if shape[0] * shape[1] <= budget]
        shapes = shapes or [(1, self.ladder.lengths[0])]
        if not every_shape:
            shapes = [shapes[0], shapes[-1], max(shapes, key=lambda shape: shape[0] * shape[1])]
        for rows, length in shapes:
            batch = Batch([row(length)] * rows, rows, length, Lane.INTERACTIVE, deadline)
            # As many at a time as there are slots, so that every instance of the model gets its turn.
            await asyncio.gather(*(self._infer(batch) for _ in range(self._slots)))

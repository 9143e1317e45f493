"""Which rows go to the backend next.

Rows wait only while the backend is busy: when a slot is free, what is there is sent at once; while all slots are
taken, rows gather and the next batch is fuller. So there is no timer to tune, an idle system adds no latency and a
busy one coalesces by itself.

* A batch holds rows of one group: one padded length, one kind of item. Its oldest row decides the group.
* Of `slots` batches in flight at most `bulk_slots` are bulk, so that a query does not wait for a whole bulk batch.
* For `bulk_yield_s` after a query bulk work leaves one slot more: where the model runs on the cores that also run
  everything else, a core that is free now and then is what keeps the tail of the next query short.
* A bulk row counts as if it had arrived `bulk_ageing_s` later than it did: queries pass it, but not for ever.
* The queue is bounded in padded tokens, a lane each: what would not be done in time is refused at once.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from searchmesh.batching.ladder import Ladder
from searchmesh.batching.lanes import Lane, LaneQueue
from searchmesh.batching.metrics import PoolMetrics
from searchmesh.runtime.deadlines import Deadline
from searchmesh.runtime.errors import DeadlineExceeded, Overloaded, SearchmeshError


class Item(Protocol):
    """What becomes one row of a batch."""

    @property
    def tokens(self) -> int:
        """Its length before padding, at least 1."""

    @property
    def kind(self) -> Hashable:
        """Items of one kind may share a batch."""


I = TypeVar("I", bound=Item)  # noqa: E741
R = TypeVar("R")

_RATE_MEMORY = 0.2
"""Weight of the newest batch in the running mean of seconds per token: about the last ten batches count."""


@dataclass(frozen=True)
class Limits:
    """How much work a pool takes at once."""

    slots: int = 3
    """Batches in flight."""

    bulk_slots: int = 2
    """Of these, bulk batches."""

    bulk_yield_s: float = 1.0
    """Time after an interactive row in which bulk batches have one slot less, if they have more than one."""

    bulk_ageing_s: float = 2.0
    """Head start of an interactive row over a bulk row."""

    max_queued_tokens: int = 262_144
    """Padded tokens that may wait in each lane."""


class Job(Generic[R]):
    """The rows of one request; done when all of them are, failed when one of them is."""

    __slots__ = ("deadline", "done", "lane", "left", "started")

    def __init__(self, rows: int, lane: Lane, deadline: Deadline) -> None:
        self.left = rows
        self.lane = lane
        self.deadline = deadline
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.started = 0.0
        """When the first of its batches was sent."""

    def fail(self, error: SearchmeshError) -> None:
        if not self.done.done():
            self.done.set_exception(error)

    def row_done(self) -> None:
        self.left -= 1
        if self.left == 0 and not self.done.done():
            self.done.set_result(None)


class Row(Generic[I, R]):
    """One item on its way through the backend."""

    __slots__ = ("arrived", "group", "item", "job", "padded_tokens", "result")

    def __init__(self, item: I, length: int, job: Job[R]) -> None:
        self.item = item
        self.padded_tokens = length
        self.group: Hashable = (length, item.kind)
        self.job = job
        self.arrived = time.monotonic()
        self.result: R | None = None

    def alive(self) -> bool:
        """Whether somebody still wants it. A deadline that passed while it waited fails its job."""
        if self.job.deadline.expired():
            self.job.fail(DeadlineExceeded("the deadline passed while the request waited for the model"))
        return not self.job.done.done()


@dataclass(frozen=True)
class Batch(Generic[I]):
    """Items that go to the backend together, all of one kind."""

    items: Sequence[I]
    padded_rows: int
    length: int
    lane: Lane
    deadline: Deadline
    """The last moment at which a result is of use to anybody."""


class Scheduler(Generic[I, R]):
    """Feeds one pool. `run` makes one result per item of a batch, in order; its errors fail the batch's jobs."""

    def __init__(
        self, pool: str, ladder: Ladder, run: Callable[[Batch[I]], Awaitable[Sequence[R]]], limits: Limits
    ) -> None:
        self._ladder = ladder
        self._run = run
        self._limits = limits
        self._lanes: dict[Lane, LaneQueue[Row[I, R]]] = {lane: LaneQueue() for lane in Lane}
        self._running: dict[asyncio.Task[None], tuple[Lane, list[Row[I, R]]]] = {}
        self._last_query = -math.inf
        self._seconds_per_token = 0.0
        self._metrics = PoolMetrics(pool, self._lanes)

    async def submit(self, items: Sequence[I], *, lane: Lane, deadline: Deadline) -> tuple[list[R], float, float]:
        """Results of the items in order, the seconds until the first was sent, and those from then on.

        Raises Overloaded or DeadlineExceeded without doing any work if the queue is full or too slow for the
        deadline, and what `run` raises.
        """
        job: Job[R] = Job(len(items), lane, deadline)
        rows = [Row(item, self._ladder.length(item.tokens), job) for item in items]
        self._metrics.offered(len(rows), sum(row.padded_tokens for row in rows))
        self._admit(rows, lane, deadline)
        start = time.monotonic()
        if lane is Lane.INTERACTIVE:
            self._last_query = start
        for row in rows:
            self._lanes[lane].add(row)
        self._pump()
        try:
            await asyncio.wait_for(job.done, deadline.remaining_s())
        except TimeoutError:
            raise DeadlineExceeded("the deadline passed before the model had answered") from None
        finally:
            job.done.cancel()
            self._cancel_unwanted()
        end = time.monotonic()
        return [row.result for row in rows], job.started - start, end - job.started  # type: ignore[misc]

    def _admit(self, rows: Sequence[Row[I, R]], lane: Lane, deadline: Deadline) -> None:
        queued = self._lanes[lane].tokens
        if not queued:
            return
        new = sum(row.padded_tokens for row in rows)
        slots = self._limits.slots if lane is Lane.INTERACTIVE else self._limits.bulk_slots
        wait_s = queued * self._seconds_per_token / slots
        remaining_s = deadline.remaining_s()
        if queued + new > self._limits.max_queued_tokens or (remaining_s is not None and wait_s > remaining_s):
            self._metrics.shed(lane, len(rows))
            raise Overloaded(
                f"{queued} tokens wait in the {lane.value} lane, about {wait_s:.1f} s of work; the request brings {new}"
                f" and the limit is {self._limits.max_queued_tokens}",
                retry_after_s=max(0.05, wait_s / 2),
            )

    def _pump(self) -> None:
        while len(self._running) < self._limits.slots and (following := self._next()) is not None:
            rows, batch = following
            now = time.monotonic()
            for row in rows:
                row.job.started = row.job.started or now
            task = asyncio.create_task(self._execute(rows, batch))
            self._running[task] = (batch.lane, rows)
            task.add_done_callback(self._finished)

    def _next(self) -> tuple[list[Row[I, R]], Batch[I]] | None:
        while (lane := self._next_lane()) is not None:
            queue = self._lanes[lane]
            oldest = queue.oldest()
            if oldest is None:
                return None
            waiting = queue.keep(oldest.group, Row.alive)
            if waiting:
                count, padded_rows = self._ladder.take(waiting, oldest.padded_tokens)
                rows = queue.pop(oldest.group, count)
                deadline = Deadline(max(row.job.deadline.at for row in rows))
                items = [row.item for row in rows]
                return rows, Batch(items, padded_rows, oldest.padded_tokens, lane, deadline)
        return None

    def _next_lane(self) -> Lane | None:
        interactive, bulk = (self._lanes[lane].oldest() for lane in (Lane.INTERACTIVE, Lane.BULK))
        running = sum(lane is Lane.BULK for lane, _ in self._running.values())
        if bulk is None or running >= self._bulk_slots():
            return None if interactive is None else Lane.INTERACTIVE
        if interactive is None or bulk.arrived + self._limits.bulk_ageing_s <= interactive.arrived:
            return Lane.BULK
        return Lane.INTERACTIVE

    def _bulk_slots(self) -> int:
        yields = time.monotonic() - self._last_query < self._limits.bulk_yield_s
        return max(1, self._limits.bulk_slots - yields)

    async def _execute(self, rows: Sequence[Row[I, R]], batch: Batch[I]) -> None:
        start = time.monotonic()
        try:
            results = await self._run(batch)
        except SearchmeshError as error:
            for row in rows:
                row.job.fail(error)
            return
        for row, result in zip(rows, results, strict=True):
            row.result = result
            row.job.row_done()
        seconds = time.monotonic() - start
        newest = seconds / (batch.padded_rows * batch.length)
        memory = _RATE_MEMORY if self._seconds_per_token else 1.0
        self._seconds_per_token += memory * (newest - self._seconds_per_token)
        self._metrics.batch(batch.lane, seconds, len(rows), sum(item.tokens for item in batch.items))

    def _finished(self, task: asyncio.Task[None]) -> None:
        _, rows = self._running.pop(task)
        self._pump()
        if not task.cancelled() and (bug := task.exception()) is not None:
            for row in rows:
                if not row.job.done.done():
                    row.job.done.set_exception(bug)

    def _cancel_unwanted(self) -> None:
        """Cancel batches of which no row is wanted any more: Triton drops them if they are still queued there."""
        for task, (_, rows) in self._running.items():
            if all(row.job.done.done() for row in rows) and not task.done():
                task.cancel()

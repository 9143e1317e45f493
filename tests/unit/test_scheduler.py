"""Order, lanes, bounds and cancellation of the scheduler."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from searchmesh.batching import Batch, Ladder, Lane, Limits, Scheduler
from searchmesh.runtime.deadlines import Deadline
from searchmesh.runtime.errors import BackendUnavailable, DeadlineExceeded, Overloaded


@dataclass(frozen=True)
class Text:
    mark: int
    tokens: int = 16
    kind: str = "out"


class Model:
    """Answers a batch when told to, and remembers the batches."""

    def __init__(self) -> None:
        self.batches: list[Batch[Text]] = []
        self.cancelled = 0
        self._gates: list[asyncio.Event] = []

    async def run(self, batch: Batch[Text]) -> list[int]:
        self.batches.append(batch)
        gate = asyncio.Event()
        self._gates.append(gate)
        try:
            await gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return [item.mark for item in batch.items]

    async def finish(self, count: int = 1) -> None:
        for _ in range(count):
            while not self._gates:
                await asyncio.sleep(0)
            self._gates.pop(0).set()
            await asyncio.sleep(0.001)


def _scheduler(model: Model, limits: Limits) -> Scheduler[Text, int]:
    return Scheduler("test", Ladder(64, max_batch_tokens=64, max_rows=4), model.run, limits)


def _submit(
    scheduler: Scheduler[Text, int],
    rows: int,
    lane: Lane = Lane.INTERACTIVE,
    *,
    mark: int = 1,
    timeout: float | None = None,
) -> asyncio.Task[tuple[list[int], float, float]]:
    items = [Text(mark) for _ in range(rows)]
    return asyncio.create_task(scheduler.submit(items, lane=lane, deadline=Deadline.after(timeout)))


async def test_an_idle_backend_gets_the_rows_at_once() -> None:
    model = Model()
    task = _submit(_scheduler(model, Limits()), 1)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(model.batches) == 1
    await model.finish()
    assert (await task)[0] == [1]


async def test_rows_of_several_requests_gather_while_the_backend_is_busy() -> None:
    model = Model()
    scheduler = _scheduler(model, Limits(slots=1, bulk_slots=1))
    tasks = [_submit(scheduler, 1, mark=mark) for mark in range(5)]
    await model.finish(2)
    assert [len(batch.items) for batch in model.batches] == [1, 4]
    assert [(await task)[0] for task in tasks] == [[0], [1], [2], [3], [4]]


async def test_queries_pass_bulk_rows_that_wait() -> None:
    model = Model()
    scheduler = _scheduler(model, Limits(slots=1, bulk_slots=1, bulk_ageing_s=60))
    bulk = _submit(scheduler, 8, Lane.BULK)
    await asyncio.sleep(0.001)
    query = _submit(scheduler, 1)
    await asyncio.sleep(0.001)
    await model.finish(3)
    assert [batch.lane for batch in model.batches] == [Lane.BULK, Lane.INTERACTIVE, Lane.BULK]
    await asyncio.gather(bulk, query)


async def test_bulk_rows_that_aged_go_first() -> None:
    model = Model()
    scheduler = _scheduler(model, Limits(slots=1, bulk_slots=1, bulk_ageing_s=0.02))
    first = _submit(scheduler, 1)
    await asyncio.sleep(0.001)
    bulk = _submit(scheduler, 1, Lane.BULK)
    await asyncio.sleep(0.05)
    query = _submit(scheduler, 1)
    await asyncio.sleep(0.001)
    await model.finish(3)
    assert [batch.lane for batch in model.batches] == [Lane.INTERACTIVE, Lane.BULK, Lane.INTERACTIVE]
    await asyncio.gather(first, bulk, query)


async def test_bulk_work_leaves_a_slot_for_queries() -> None:
    model = Model()
    scheduler = _scheduler(model, Limits(slots=3, bulk_slots=2))
    bulk = _submit(scheduler, 40, Lane.BULK)
    await asyncio.sleep(0.001)
    assert len(model.batches) == 2
    query = _submit(scheduler, 1)
    await asyncio.sleep(0.001)
    assert model.batches[-1].lane is Lane.INTERACTIVE
    bulk.cancel()
    await model.finish(3)
    await query


async def test_a_full_queue_sheds_with_a_retry_delay_and_finishes_what_it_took() -> None:
    model = Model()
    scheduler = _scheduler(model, Limits(slots=1, bulk_slots=1, max_queued_tokens=64))
    taken = [_submit(scheduler, 1), _submit(scheduler, 4)]
    await asyncio.sleep(0.001)
    with pytest.raises(Overloaded) as raised:
        await _submit(scheduler, 1)
    assert raised.value.retry_after_s > 0
    await model.finish(2)
    assert [len((await task)[0]) for task in taken] == [1, 4]


async def test_a_queue_too_slow_for_the_deadline_is_refused_before_any_work() -> None:
    model = Model()
    scheduler = _scheduler(model, Limits(slots=1, bulk_slots=1))
    slow = _submit(scheduler, 1)
    await asyncio.sleep(0.2)
    await model.finish()
    await slow
    waiting = [_submit(scheduler, 4) for _ in range(3)]
    await asyncio.sleep(0.001)
    with pytest.raises(Overloaded):
        await _submit(scheduler, 1, timeout=0.05)
    await model.finish(3)
    await asyncio.gather(*waiting)


async def test_rows_whose_deadline_passed_in_the_queue_are_not_run() -> None:
    model = Model()
    scheduler = _scheduler(model, Limits(slots=1, bulk_slots=1))
    first = _submit(scheduler, 1)
    await asyncio.sleep(0.001)
    late = _submit(scheduler, 1, mark=7, timeout=0.02)
    with pytest.raises(DeadlineExceeded):
        await late
    await model.finish()
    await first
    last = _submit(scheduler, 1, mark=9)
    await model.finish()
    await last
    assert [item.mark for batch in model.batches for item in batch.items] == [1, 9]


async def test_rows_of_a_caller_that_left_are_not_run() -> None:
    model = Model()
    scheduler = _scheduler(model, Limits(slots=1, bulk_slots=1))
    first = _submit(scheduler, 1)
    await asyncio.sleep(0.001)
    gone = _submit(scheduler, 1, mark=7)
    await asyncio.sleep(0.001)
    gone.cancel()
    await model.finish()
    await first
    assert len(model.batches) == 1


async def test_a_running_batch_that_nobody_wants_is_cancelled() -> None:
    model = Model()
    scheduler = _scheduler(model, Limits())
    gone = _submit(scheduler, 1)
    await asyncio.sleep(0.001)
    gone.cancel()
    await asyncio.sleep(0.001)
    assert model.cancelled == 1


async def test_a_failing_batch_fails_its_own_requests_alone() -> None:
    async def run(batch: Batch[Text]) -> list[int]:
        if batch.items[0].mark == 13:
            raise BackendUnavailable("gone")
        return [item.mark for item in batch.items]

    scheduler: Scheduler[Text, int] = Scheduler("test", Ladder(64, max_batch_tokens=64, max_rows=4), run, Limits())
    good, bad = _submit(scheduler, 1, mark=1), _submit(scheduler, 1, mark=13)
    with pytest.raises(BackendUnavailable):
        await bad
    assert (await good)[0] == [1]


async def test_a_bug_in_the_model_does_not_stop_the_scheduler() -> None:
    calls = 0

    async def run(batch: Batch[Text]) -> list[int]:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise ValueError("bug")
        return [item.mark for item in batch.items]

    scheduler: Scheduler[Text, int] = Scheduler(
        "test", Ladder(64, max_batch_tokens=64, max_rows=4), run, Limits(slots=1, bulk_slots=1)
    )
    with pytest.raises(ValueError, match="bug"):
        await _submit(scheduler, 1)
    assert (await _submit(scheduler, 1))[0] == [1]


async def test_bulk_work_leaves_one_slot_more_for_a_while_after_a_query() -> None:
    model = Model()
    scheduler = _scheduler(model, Limits(slots=3, bulk_slots=2, bulk_yield_s=0.05))
    query = _submit(scheduler, 1)
    await model.finish()
    await query
    bulk = _submit(scheduler, 40, Lane.BULK)
    await asyncio.sleep(0.001)
    assert len(model.batches) == 2, "one batch of the query, one of bulk work"
    await asyncio.sleep(0.06)
    await model.finish()
    assert len(model.batches) == 4, "two bulk batches again"
    bulk.cancel()
    await asyncio.gather(bulk, return_exceptions=True)

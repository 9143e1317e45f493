"""Processes that parse: whatever happens in one, the service goes on, and the caller hears what it was."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from searchmesh.runtime.deadlines import Deadline
from searchmesh.runtime.errors import DeadlineExceeded, Internal, InvalidArgument, NotFound, Overloaded
from searchmesh.sandbox import Pool
from support import jobs
from support.mesh import eventually


@pytest.fixture(autouse=True)
def _jobs_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the processes, too."""
    monkeypatch.setenv("PYTHONPATH", str(Path(jobs.__file__).parent.parent))


@pytest.fixture
async def pool() -> AsyncIterator[Pool]:
    pool = Pool("test", jobs.__name__, size=1, memory_mb=512, limit_s=0.5, waiting=2)
    await pool.start()
    yield pool
    await pool.close()


async def _call(pool: Pool, job: object, *arguments: object, deadline: Deadline | None = None) -> object:
    return await pool.call(job, *arguments, deadline=deadline or Deadline(), field="page.data")  # type: ignore[arg-type]


async def test_results_come_as_they_are_made(pool: Pool) -> None:
    assert [number async for number in pool.run(jobs.count, 3, deadline=Deadline(), field="x")] == [0, 1, 2]
    assert await _call(pool, jobs.add, 1, 2) == 3
    assert await _call(pool, jobs.take, 20) == 20 * 1024 * 1024


async def test_an_error_of_the_tree_is_raised_and_the_process_stays(pool: Pool) -> None:
    before = await _call(pool, jobs.pid)
    with pytest.raises(NotFound, match="no such thing"):
        await _call(pool, jobs.fail)
    numbers = pool.run(jobs.fail_late, deadline=Deadline(), field="x")
    assert await anext(numbers) == 1
    with pytest.raises(NotFound):
        await anext(numbers)
    assert await _call(pool, jobs.pid) == before


async def test_what_a_library_prints_is_no_result(pool: Pool) -> None:
    assert await _call(pool, jobs.talk) == "done"


@pytest.mark.parametrize(
    ("job", "arguments", "problem"),
    [
        (jobs.hang_in_c, (), r"page\.data: takes more than 0\.5 s to read"),
        (jobs.take, (2048,), r"page\.data: takes more memory"),
        (jobs.recurse, (), r"page\.data: is nested too deeply"),
        (jobs.crash, (), r"page\.data: cannot be read"),
        (jobs.leave, (), r"page\.data: cannot be read"),
    ],
)
async def test_a_document_that_breaks_its_process_is_refused_and_the_next_is_read(
    pool: Pool, job: object, arguments: tuple[object, ...], problem: str
) -> None:
    before = await _call(pool, jobs.pid)
    with pytest.raises(InvalidArgument, match=problem) as raised:
        await _call(pool, job, *arguments)
    assert raised.value.reason == "TOO_COMPLEX"
    assert await _call(pool, jobs.pid) != before


async def test_a_bug_tells_nothing_of_the_document(pool: Pool) -> None:
    with pytest.raises(Internal) as raised:
        await _call(pool, jobs.bug)
    assert "secret" not in raised.value.message
    assert await _call(pool, jobs.add, 1, 1) == 2


async def test_the_event_loop_runs_while_a_process_hangs(pool: Pool) -> None:
    work = asyncio.ensure_future(_call(pool, jobs.hang_in_c))
    turns = 0
    while not work.done():
        await asyncio.sleep(0.01)
        turns += 1
    assert turns >= 10  # in a thread, the hang would have held the interpreter for all of its half second
    with pytest.raises(InvalidArgument):
        await work


async def test_the_callers_deadline_ends_the_work(pool: Pool) -> None:
    before = await _call(pool, jobs.pid)
    with pytest.raises(DeadlineExceeded):
        await _call(pool, jobs.sleep, 30.0, deadline=Deadline.after(0.1))
    assert await _call(pool, jobs.pid) != before


async def test_a_caller_that_leaves_ends_the_work(pool: Pool) -> None:
    before = await _call(pool, jobs.pid)
    async with aclosing(pool.run(jobs.count, 10_000_000, deadline=Deadline(), field="x")) as numbers:
        async for _ in numbers:
            break
    assert await _call(pool, jobs.pid) != before
    await eventually(lambda: not _lives(int(str(before))), "the process of the work is gone")


async def test_more_work_than_may_wait_is_shed(pool: Pool) -> None:
    work = [asyncio.ensure_future(_call(pool, jobs.sleep, 0.3)) for _ in range(3)]
    await asyncio.sleep(0.05)
    with pytest.raises(Overloaded):
        await _call(pool, jobs.add, 1, 1)
    with pytest.raises(Overloaded):
        await _call(pool, jobs.add, 1, 1, deadline=Deadline.after(0.01))
    assert await asyncio.gather(*work) == [1, 1, 1]


async def test_waiting_ends_with_the_callers_deadline(pool: Pool) -> None:
    work = asyncio.ensure_future(_call(pool, jobs.sleep, 0.5))
    await asyncio.sleep(0.05)
    with pytest.raises(DeadlineExceeded, match="before a process of the sandbox was free"):
        await _call(pool, jobs.add, 1, 1, deadline=Deadline.after(0.05))
    assert await work == 1


async def test_a_process_that_took_much_memory_makes_room_for_another(pool: Pool) -> None:
    before = await _call(pool, jobs.pid)
    assert await _call(pool, jobs.take, 250)
    assert await _call(pool, jobs.pid) != before


async def test_a_large_service_wears_out_no_process() -> None:
    ballast = bytearray(os.urandom(300 * 1024 * 1024))
    pool = Pool("test", jobs.__name__, size=1, memory_mb=512, limit_s=10, waiting=2)
    await pool.start()
    pids = {await _call(pool, jobs.pid) for _ in range(3)}
    await pool.close()
    assert len(pids) == 1
    assert ballast[0] >= 0


async def test_a_slow_caller_holds_no_process(pool: Pool) -> None:
    async with aclosing(pool.run(jobs.count, 1000, deadline=Deadline(), field="x")) as numbers:
        await anext(numbers)
        assert await _call(pool, jobs.add, 1, 1) == 2
        assert [number async for number in numbers] == list(range(1, 1000))


async def test_nothing_is_left_after_the_end() -> None:
    pool = Pool("test", jobs.__name__, size=2, memory_mb=512, limit_s=10, waiting=2)
    await pool.start()
    pids = {int(str(await _call(pool, jobs.pid))) for _ in range(4)}
    work = asyncio.ensure_future(_call(pool, jobs.hang_in_c))
    await asyncio.sleep(0.1)
    await pool.close()
    assert len(pids) == 2
    assert not any(map(_lives, pids))
    with pytest.raises(InvalidArgument):
        await work


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
